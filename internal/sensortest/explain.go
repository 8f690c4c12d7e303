// Package sensortest tells what the sensors of a set of manifests would do with
// events, and runs checked-in cases of that. It is what "signalbox test" does.
package sensortest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Runner explains and runs cases over a set of manifests.
type Runner struct {
	Set      *manifest.Set
	Triggers trigger.Kinds
	// Secrets of a namespace.
	Secrets func(namespace string) secret.Reader
}

// Input is an event to be explained.
type Input struct {
	// Name for errors, such as the file's.
	Name string
	// From is where it comes from; empty if the sensor leaves no doubt.
	From eventbus.Address
	// Data is the event's data as JSON, or a whole CloudEvent.
	Data []byte
	// IsBody means that Data is the body of a request to a webhook.
	IsBody bool
	// As is the sender of the body, SENDER or SENDER/EVENT, where the source
	// takes requests of several or the body does not tell.
	As string
}

// SensorReport is what one sensor would do.
type SensorReport struct {
	Namespace string          `json:"namespace"`
	Sensor    string          `json:"sensor"`
	Reports   []sensor.Report `json:"reports"`
	// DeadLetters are those that a running sensor would make of the events.
	DeadLetters []DeadLetter `json:"deadLetters,omitempty"`
}

// Explain tells what the sensors of the set, or the named one, would do with
// the events, one after the other. With an error about sensors that are not
// valid come the reports of those that are.
func (r *Runner) Explain(ctx context.Context, name string, inputs []Input) ([]SensorReport, error) {
	var out []SensorReport
	var names []string
	var errs []error
	for _, o := range r.Set.OfKind(v1alpha1.KindSensor) {
		names = append(names, o.Name)
		if name != "" && o.Name != name {
			continue
		}
		plan, err := r.plan(o)
		if err != nil { // the others can be explained all the same
			errs = append(errs, err)
			continue
		}
		arrivals, err := r.arrivals(ctx, o, inputs, name == "" && len(r.Set.OfKind(v1alpha1.KindSensor)) > 1)
		if err != nil {
			return nil, fmt.Errorf("sensor %s: %w", o.Name, err)
		}
		if len(arrivals) == 0 {
			continue // listens to none of the events
		}
		reports := plan.Explain(ctx, arrivals, r.Secrets(o.Namespace))
		out = append(out, SensorReport{o.Namespace, o.Name, reports, deadLetters(reports)})
	}
	switch {
	case len(names) == 0:
		return nil, errors.Join(errors.New("there is no Sensor among the manifests"), r.problems(""))
	case len(errs) > 0:
		return out, errors.Join(errs...)
	case len(out) == 0 && name != "":
		return nil, fmt.Errorf("there is no Sensor %q among the manifests; there are %s", name, strings.Join(names, ", "))
	case len(out) == 0:
		return nil, errors.New("no sensor listens to these events; see --from")
	}
	return out, nil
}

func (r *Runner) plan(o *manifest.Object) (*sensor.Plan, error) {
	if o.Broken {
		return nil, fmt.Errorf("sensor %s is not valid:\n%w", o.Name, r.problems(o.String()))
	}
	plan, err := sensor.Compile(o.Sensor, r.Triggers)
	if plan == nil {
		return nil, fmt.Errorf("sensor %s: %w", o.Name, v1alpha1.Fatal(err))
	}
	return plan, nil
}

// problems are the errors of an object, or all.
func (r *Runner) problems(object string) error {
	var errs []error
	for _, p := range r.Set.Problems {
		if p.Severity == v1alpha1.Error && (object == "" || p.Object == object) {
			errs = append(errs, errors.New(p.String()))
		}
	}
	return errors.Join(errs...)
}

// arrivals puts addresses to the inputs. With lenient, a sensor that does
// not listen to an event is passed over.
func (r *Runner) arrivals(ctx context.Context, o *manifest.Object, inputs []Input, lenient bool) ([]sensor.Arrival, error) {
	var known []eventbus.Address
	for _, d := range o.Sensor.Spec.Dependencies {
		a := eventbus.Address{Source: d.EventSourceName, Event: d.EventName}
		if !slices.Contains(known, a) {
			known = append(known, a)
		}
	}
	var out []sensor.Arrival
	for i, in := range inputs {
		from := in.From
		if from == (eventbus.Address{}) {
			if !in.IsBody {
				from = foreignAddress(in.Data)
			}
			if !slices.Contains(known, from) && !lenient {
				from = guess(known, i, len(inputs))
			}
			if lenient && from == (eventbus.Address{}) {
				return nil, fmt.Errorf("%s: there are several sensors: say where the event comes from with --from, or name one sensor with --sensor", in.Name)
			}
		}
		if !slices.Contains(known, from) {
			if lenient {
				continue
			}
			return nil, fmt.Errorf("%s: say where the event comes from with --from; the sensor listens to %s", in.Name, addresses(known))
		}
		in.From = from
		all := [][]byte{in.Data}
		if in.IsBody {
			var err error
			if all, err = r.received(ctx, o.Namespace, in); err != nil {
				return nil, fmt.Errorf("%s: %w", in.Name, err)
			}
		}
		for _, data := range all {
			e, err := NewEvent(from, data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", in.Name, err)
			}
			if e.ID() == "" {
				e.SetID(fmt.Sprintf("event-%d", len(out)+1))
			}
			if t := r.eventType(o.Namespace, from); t != "" && e.Type() == manual {
				e.SetType(t)
			}
			out = append(out, sensor.Arrival{From: from, Event: e})
		}
	}
	return out, nil
}

// eventType is the CloudEvents type of the events at an address, as far as the
// manifests tell: filters and actions may look at it.
func (r *Runner) eventType(namespace string, from eventbus.Address) string {
	o := r.Set.Find(manifest.ID{Kind: v1alpha1.KindEventSource, Namespace: namespace, Name: from.Source})
	if o == nil {
		return ""
	}
	for _, e := range o.Entries {
		if e.Event == from.Event && !e.Kind.ForeignContext {
			return cmp.Or(e.Kind.EventType, e.Kind.Name)
		}
	}
	return ""
}

// foreignAddress is what a whole CloudEvent says of where it comes from.
func foreignAddress(data []byte) eventbus.Address {
	var ce struct {
		SpecVersion string `json:"specversion"`
		Source      string `json:"source"`
		Subject     string `json:"subject"`
	}
	if json.Unmarshal(data, &ce) != nil || ce.SpecVersion == "" {
		return eventbus.Address{}
	}
	return eventbus.Address{Source: ce.Source, Event: ce.Subject}
}

// guess says where an event comes from if the sensor leaves no doubt: it listens
// to one address only, or there are as many events as addresses, in their order.
func guess(known []eventbus.Address, i, n int) eventbus.Address {
	switch len(known) {
	case 1:
		return known[0]
	case n:
		return known[i]
	}
	return eventbus.Address{}
}

func addresses(as []eventbus.Address) string {
	var out []string
	for _, a := range as {
		out = append(out, a.Source+"/"+a.Event)
	}
	return strings.Join(out, ", ")
}

// asBody is the data of a webhook event with the given request body.
func asBody(body []byte) []byte {
	if !json.Valid(body) {
		body, _ = json.Marshal(string(body)) //nolint:errchkjson // a string
	}
	return slices.Concat([]byte(`{"header":{},"body":`), body, []byte(`}`))
}

// manual is the CloudEvents type of an event that no source has made.
const manual = "manual"

// NewEvent makes an event of its data as JSON, or of a whole CloudEvent. Its id
// may be empty.
func NewEvent(from eventbus.Address, data []byte) (*event.Event, error) {
	e := event.New()
	var probe struct {
		SpecVersion string `json:"specversion"`
	}
	data = bytes.TrimSpace(data)
	if json.Unmarshal(data, &probe) == nil && probe.SpecVersion != "" {
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, fmt.Errorf("is no CloudEvent: %w", err)
		}
		return &e, nil
	}
	if !json.Valid(data) {
		return nil, errors.New("is no JSON; give the event's data as JSON, or a whole CloudEvent")
	}
	e.SetSource(from.Source)
	e.SetSubject(from.Event)
	e.SetType(manual)
	e.SetTime(time.Now().UTC())
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		return nil, err
	}
	return &e, nil
}
