package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// ref is what Await needs to find a group.
type ref struct {
	Key string `json:"key"`
	// Config after the kind's own parameters, if it has any.
	Config *Config `json:"config,omitempty"`
}

// slot is the key of a group's value.
func slot(key string) string { return "group/" + short(key) }

// decode reads a group; nil if there is none. What cannot be read counts as
// none: nobody could go on with it.
func decode(b []byte) *group {
	g := new(group)
	if len(b) == 0 || json.Unmarshal(b, g) != nil {
		return nil
	}
	return g
}

// errAsk says that the groups that have ended have to be asked first.
var errAsk = errors.New("ask those that have ended")

// counted is what became of a firing in its group.
type counted struct {
	// number of the firing in the group; 0 if it was there before.
	number int
	// tends says that the activity of the group is the firing's business.
	tends bool
	// resolves says that it has ended a group.
	resolves bool
}

// gather counts a firing in its group, or resolves the group.
//
// Whoever opens a group returns the reference by which the sensor starts the
// group's activity; the group bears the firing's id. The same firing again, after
// a crash before the sensor has written that down, gets the same reference. If
// a group has no activity all the same (its opener failed for good after it
// had counted), the next firing takes it over.
func (n *notifier) gather(ctx context.Context, p *plan, in trigger.Input) (trigger.Result, error) {
	key, err := p.groupKey(in.Events)
	if err != nil {
		return trigger.Result{}, err
	}
	f := firing{id: short(in.ID), key: key, resolves: p.resolves(in.Events), events: in.Events}
	if !f.resolves {
		// All that can be made now is, so that a text that cannot be fails here.
		if _, err := p.all(in.Events, alone(key, in.Since)); err != nil {
			return trigger.Result{}, err
		}
		if f.message, err = p.say(in.Events); err != nil {
			return trigger.Result{}, err
		}
		f.message.Text = cut(f.message.Text, mostText)
		f.message.Title = cut(f.message.Title, sampleSize)
	}
	if f.kept, err = p.keep(in.Events); err != nil {
		return trigger.Result{}, trigger.Permanent(err)
	}
	var c counted
	asked := false
	for {
		now := time.Now()
		err = n.env.State.Change(ctx, slot(key), func(old []byte) (next []byte, err error) {
			next, c, err = f.into(p, decode(old), now, asked)
			return next, err
		})
		if !errors.Is(err, errAsk) {
			break
		}
		known, err := ended{n.env.State}.has(ctx, key, f.id)
		if err != nil {
			return trigger.Result{}, fmt.Errorf("group %q: %w", key, err)
		}
		if known {
			return trigger.Result{Summary: fmt.Sprintf("had been counted in group %q, which has ended", key)}, nil
		}
		asked = true
	}
	if err != nil {
		return trigger.Result{}, fmt.Errorf("group %q: %w", key, err)
	}
	r := trigger.Result{Details: map[string]any{"group": key}}
	switch {
	case f.resolves && c.resolves:
		r.Summary = fmt.Sprintf("resolved group %q", key)
	case f.resolves:
		r.Summary = fmt.Sprintf("group %q has nothing to resolve", key)
	case c.number == 0:
		r.Summary = fmt.Sprintf("had been counted in group %q", key)
	default:
		r.Summary = fmt.Sprintf("number %d of group %q", c.number, key)
		r.Details["count"] = c.number
	}
	if c.tends {
		ref := ref{Key: key}
		if !n.params.Empty() {
			ref.Config = &p.conf
		}
		if r.Follow, err = json.Marshal(ref); err != nil {
			return trigger.Result{}, trigger.Permanent(err)
		}
	}
	return r, nil
}

// firing is what a group needs to know of one.
type firing struct {
	id, key  string
	resolves bool
	message  message
	events   map[string]*event.Event
	kept     json.RawMessage
}

// into makes the next value of a group. It depends on nothing else.
func (f *firing) into(p *plan, g *group, now time.Time, asked bool) ([]byte, counted, error) {
	var c counted
	if g != nil && slices.Contains(g.Recent, f.id) {
		c.tends = g.Tender == f.id
		return nil, c, trigger.ErrKeep
	}
	if f.resolves {
		if g == nil || !g.Resolved.IsZero() {
			return nil, c, trigger.ErrKeep
		}
		g.Resolved = now
		g.Events = merged(g.Events, f.kept)
		g.remember(f.id)
		c.resolves = true
		b, err := json.Marshal(g)
		return b, c, err
	}
	fresh := g == nil || !g.Resolved.IsZero() && g.heard()
	switch {
	case fresh && !asked:
		return nil, c, errAsk
	case fresh:
		next := &group{Key: f.key, Tender: f.id, Tended: now}
		if g != nil {
			next.Recent = g.Recent
		}
		g = next
	case now.Sub(g.Tended) > orphaned:
		g.Tender, g.Tended = f.id, now
	}
	g.count(*p.group, f.message, now)
	g.Events = f.kept
	g.remember(f.id)
	c.number, c.tends = g.Count, g.Tender == f.id
	b, err := json.Marshal(g)
	return b, c, err
}

// merged puts the events of a firing that resolves beside those of the newest one.
func merged(old, more json.RawMessage) json.RawMessage {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(more, &b) != nil {
		return old
	}
	if json.Unmarshal(old, &a) != nil {
		return more
	}
	maps.Copy(a, b)
	out, err := json.Marshal(a)
	if err != nil {
		return old
	}
	return out
}
