package sensor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// The outcomes of an action, as its event's name ends.
const (
	outcomeSucceeded = "succeeded"
	outcomeFailed    = "failed"
	outcomeTimedOut  = "timedout"
)

// outcomes are all of them.
var outcomes = []string{outcomeSucceeded, outcomeFailed, outcomeTimedOut}

// telling is what an event that tells an outcome needs, before the outcome is known.
type telling struct {
	Kind      string           `json:"kind"`
	Trigger   string           `json:"trigger"` // the action's name
	Firing    string           `json:"firing"`
	StartedAt time.Time        `json:"startedAt"`
	Details   map[string]any   `json:"details,omitempty"`
	Events    map[string]cause `json:"events"`
	Payload   json.RawMessage  `json:"payload,omitempty"`
	Hops      int32            `json:"hops"`
	Trace     map[string]any   `json:"trace,omitempty"`
}

// cause is an event that fired a trigger.
type cause struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Type    string    `json:"type"`
	Subject string    `json:"subject,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// told is the data of an event that tells an outcome.
type told struct {
	Outcome    string           `json:"outcome"`
	Kind       string           `json:"kind"`
	Namespace  string           `json:"namespace"`
	Sensor     string           `json:"sensor"`
	Trigger    string           `json:"trigger"`
	Firing     string           `json:"firing"`
	Summary    string           `json:"summary"`
	StartedAt  time.Time        `json:"startedAt"`
	FinishedAt time.Time        `json:"finishedAt"`
	Details    map[string]any   `json:"details"`
	Events     map[string]cause `json:"events"`
	Payload    json.RawMessage  `json:"payload,omitempty"`
}

// telling gathers what there is to tell of a firing.
func (t *runner) telling(a *actionPlan, f *firing, p *progress, block *v1alpha1.Follow, details map[string]any) (*telling, error) {
	out := &telling{Kind: a.kind.Name, Trigger: a.name, Firing: f.id, StartedAt: p.First, Details: details, Events: map[string]cause{}}
	for name, e := range f.events {
		out.Events[name] = cause{ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.Time()}
	}
	if !block.Emit {
		return out, nil
	}
	hops, err := trigger.NextHop(f.events, trigger.MaxHops)
	if err != nil {
		hops = trigger.MaxHops // nobody acts on what follows from it
	}
	out.Hops = hops
	carrier := event.New()
	trigger.CarryTrace(&carrier, f.events)
	out.Trace = carrier.Extensions()
	payload, err := param.CompilePayload(block.Payload)
	if err != nil || payload.Empty() {
		return out, err
	}
	b, err := payload.Payload(f.events)
	if err == nil && !json.Valid(b) {
		b, err = json.Marshal(string(b))
	}
	if err != nil {
		// The action is done, and its outcome is worth more than what goes with it.
		b, err = json.Marshal(map[string]string{"error": err.Error()})
	}
	out.Payload = b
	return out, err
}

// tell puts an outcome on the bus. The bus stores it once within its window.
func (t *runner) tell(ctx context.Context, what *telling, outcome, summary string, details map[string]any) error {
	name := what.Trigger + "." + outcome
	data := told{
		Outcome: outcome, Kind: what.Kind, Namespace: t.namespace, Sensor: t.sensor, Trigger: what.Trigger, Firing: what.Firing,
		Summary: summary, StartedAt: what.StartedAt, FinishedAt: time.Now().UTC(),
		Details: map[string]any{}, Events: what.Events, Payload: what.Payload,
	}
	maps.Copy(data.Details, what.Details)
	maps.Copy(data.Details, details)
	e := event.New()
	e.SetID(what.Firing)
	e.SetType("outcome")
	e.SetSource(t.sensor)
	e.SetSubject(t.sensor + "." + name)
	e.SetTime(data.FinishedAt)
	e.SetExtension(trigger.ExtHops, what.Hops)
	e.SetExtension(trigger.ExtFrom, t.namespace+"/"+t.sensor+"/"+what.Trigger)
	for k, v := range what.Trace {
		e.SetExtension(k, v)
	}
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	if err := t.bus.Publish(ctx, eventbus.Address{Source: t.sensor, Event: name}, what.Firing, &e); err != nil {
		return fmt.Errorf("tell the outcome: %w", err)
	}
	return nil
}

// tellFailure tells that an action has failed for good, if somebody wants to
// know how it ends.
func (t *runner) tellFailure(ctx context.Context, a *actionPlan, f *firing, p *progress, why error) error {
	if !a.mayFollow {
		return nil
	}
	block := t.followOf(a, f)
	if block == nil || !block.Emit {
		return nil
	}
	what, err := t.telling(a, f, p, block, nil)
	if err != nil || what.Hops >= trigger.MaxHops {
		return nil //nolint:nilerr // the dead letter tells all there is
	}
	t.metrics.outcome(outcomeFailed)
	return t.tell(ctx, what, outcomeFailed, oneLine(why), trigger.DetailsOf(why))
}

// followOf is the block follow for a firing; without its parameters where they
// cannot be applied.
func (t *runner) followOf(a *actionPlan, f *firing) *v1alpha1.Follow {
	if tr, release, err := t.actions.get(a, f); err == nil {
		defer release()
		return tr.follow
	}
	if cfg, k, err := a.decode(a.template); err == nil {
		return k.FollowOf(cfg)
	}
	return nil
}

func oneLine(err error) string { first, _, _ := strings.Cut(err.Error(), "\n"); return first }
