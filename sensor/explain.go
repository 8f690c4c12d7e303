package sensor

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// Arrival is an event at the address it was published to.
type Arrival struct {
	From  eventbus.Address
	Event *event.Event
}

// Report is what one trigger said of one event.
type Report struct {
	Trigger string `json:"trigger"`
	// Event is the number of the arrival, from 1.
	Event int `json:"event"`
	// Dependencies that wait for the event's address; empty if there are none.
	Dependencies []verdict.Dependency `json:"dependencies,omitempty"`
	// Condition after the event; nil if no dependency let it pass.
	Condition *verdict.Condition `json:"condition,omitempty"`
	// Firings that follow from the event.
	Firings []PlannedFiring `json:"firings,omitempty"`
}

// PlannedFiring is a firing that has been worked out and not carried out.
type PlannedFiring struct {
	ID string `json:"id"`
	// Events are the ids of the events by dependency.
	Events map[string]string `json:"events"`
	// Action that would be performed; nil if Err says why not.
	Action *trigger.Action `json:"action,omitempty"`
	Err    string          `json:"error,omitempty"`
}

// Explain tells what the sensor would do if the events arrived one after the
// other, with all that each step said, and does nothing. It goes through the
// same code as a running sensor does.
func (p *Plan) Explain(ctx context.Context, arrivals []Arrival, secrets secret.Reader) []Report {
	var reports []Report
	for _, t := range p.Triggers {
		x := explainer{plan: p, trigger: t, waiting: newFiring()}
		x.actions = newActions(trigger.Env{Log: slog.New(slog.DiscardHandler), Secrets: secrets, HTTP: nil, Publish: refuse})
		for i, a := range arrivals {
			r := x.arrive(ctx, a)
			r.Trigger, r.Event = t.Name, i+1
			reports = append(reports, r)
		}
		_ = x.actions.close()
	}
	return reports
}

// refuse stands in for the bus where nothing may be published.
func refuse(context.Context, string, string, string, *event.Event) error {
	return fmt.Errorf("nothing is published in an explanation")
}

type explainer struct {
	plan    *Plan
	trigger *TriggerPlan
	actions *actions
	waiting *firing
}

func (x *explainer) arrive(ctx context.Context, a Arrival) Report {
	var r Report
	var passed []match
	for _, dep := range x.trigger.Dependencies {
		if dep.From != a.From {
			continue
		}
		e, v := dep.Evaluate(ctx, a.Event)
		r.Dependencies = append(r.Dependencies, v)
		if v.Outcome == verdict.Pass {
			passed = append(passed, match{dep, e})
		}
	}
	if len(passed) == 0 {
		return r
	}
	if !x.trigger.Condition.HasAnd() {
		for _, m := range passed {
			f := newFiring()
			f.add(m.dep.Name, a.From, a.Event, m.event)
			r.Firings = append(r.Firings, x.plan1(ctx, f))
		}
		c := x.trigger.verdict(func(name string) bool { return name == passed[0].dep.Name })
		r.Condition = &c
		return r
	}
	for _, m := range passed {
		x.waiting.add(m.dep.Name, a.From, a.Event, m.event)
	}
	c := x.trigger.verdict(func(name string) bool { _, ok := x.waiting.events[name]; return ok })
	r.Condition = &c
	if c.Met {
		r.Firings = append(r.Firings, x.plan1(ctx, x.waiting))
		x.waiting = newFiring()
	}
	return r
}

// plan1 works out one firing.
func (x *explainer) plan1(ctx context.Context, f *firing) (out PlannedFiring) {
	f.id = firingID(x.plan.Namespace, x.plan.Name, x.trigger.Name, f.origin)
	out = PlannedFiring{ID: f.id, Events: map[string]string{}}
	for name, e := range f.events {
		out.Events[name] = e.ID()
	}
	defer func() {
		if p := recover(); p != nil {
			out.Err = fmt.Sprintf("panic: %v", p)
		}
	}()
	tr, release, err := x.actions.get(x.trigger.action, f)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	defer release()
	action, err := tr.Render(ctx, trigger.Input{
		ID: f.id, Namespace: x.plan.Namespace, Sensor: x.plan.Name, Trigger: x.trigger.Name,
		Events: f.events, Attempt: 1, Policy: x.trigger.action.policy,
	})
	if err != nil {
		out.Err = err.Error()
		return out
	}
	out.Action = &action
	return out
}
