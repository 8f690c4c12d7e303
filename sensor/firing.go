package sensor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// firing is a trigger to be fired with certain events. It is a value: it can be
// stored, wait, and be taken up by another replica.
type firing struct {
	id     string
	events map[string]*event.Event       // by dependency, as transformed
	origin map[string]eventbus.DeadEvent // by dependency, as they were on the bus
}

func newFiring() *firing {
	return &firing{events: map[string]*event.Event{}, origin: map[string]eventbus.DeadEvent{}}
}

func (f *firing) add(dependency string, from eventbus.Address, original, transformed *event.Event) {
	f.events[dependency] = transformed
	f.origin[dependency] = eventbus.DeadEvent{From: from, Event: original}
}

// firingID is the same for the same events of the same trigger.
func firingID(namespace, sensor, trigger string, origin map[string]eventbus.DeadEvent) string {
	var room [512]byte
	b := appendParts(room[:0], namespace, sensor, trigger)
	for _, dep := range slices.Sorted(maps.Keys(origin)) {
		o := origin[dep]
		b = appendParts(b, dep, o.From.Source, o.From.Event, o.Event.Source(), o.Event.ID())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// appendParts adds strings in a way that no two lists of strings look the same.
func appendParts(b []byte, parts ...string) []byte {
	for _, s := range parts {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
	}
	return b
}

// Evaluate transforms and filters an event of the dependency's address. The
// event is passed on only if the verdict's outcome is verdict.Pass; with
// verdict.Error in the transform it could not be evaluated at all.
func (d *Dependency) Evaluate(ctx context.Context, e *event.Event) (*event.Event, verdict.Dependency) {
	v := verdict.Dependency{Name: d.Name, Outcome: verdict.Pass}
	if d.transform != nil {
		var err error
		v.Transform = &verdict.Clause{Path: "transform", Outcome: verdict.Pass}
		if e, err = d.applyTransform(ctx, e); err != nil {
			v.Transform.Outcome, v.Transform.Err = verdict.Error, err.Error()
			v.Outcome = verdict.Error
			return nil, v
		}
		v.Transform.Got = verdict.Shorten(string(e.Data()))
	}
	if d.filter != nil {
		v.Outcome, v.Filters = d.filter.Eval(ctx, e)
	}
	return e, v
}

// applyTransform returns e with its data transformed, or e itself.
func (d *Dependency) applyTransform(ctx context.Context, e *event.Event) (*event.Event, error) {
	if d.transform == nil {
		return e, nil
	}
	data, err := d.transform.Apply(ctx, e.Data())
	if err != nil {
		return nil, err
	}
	out := e.Clone()
	out.DataEncoded, out.DataBase64 = data, false
	return &out, nil
}

// eventIDs are those of the events as SOURCE/ID, for the log.
func (f *firing) eventIDs() []string {
	ids := make([]string, 0, len(f.origin))
	for _, o := range f.origin {
		ids = append(ids, o.From.Source+"/"+o.Event.ID())
	}
	slices.Sort(ids)
	return ids
}
