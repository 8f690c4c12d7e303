package sensor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// mostAction is the size of a rendered action in a dead letter.
const mostAction = 64 << 10

// bury stores the dead letter of a firing whose action has failed for good.
// Called once a stage: the letter of the dlqTrigger's failure replaces the first.
func (t *runner) bury(ctx context.Context, from origin, a *actionPlan, f *firing, p *progress) error {
	letter := t.letter(f.id, p.Attempts[len(p.Attempts)-1].Error, f.origin)
	letter.Attempts, letter.AttemptCount = p.Attempts, p.Total
	if p.Stage > 0 {
		letter.Reason = fmt.Sprintf("dlqTrigger %s: %s", a.name, letter.Reason)
	}
	if from.dead != nil {
		letter.Attempts = append(from.dead.Attempts, p.Attempts...)
		letter.AttemptCount += from.dead.AttemptCount
		if n := len(letter.Attempts); n > 2*keptAttempts {
			letter.Attempts = append(letter.Attempts[:keptAttempts:keptAttempts], letter.Attempts[n-keptAttempts:]...)
		}
	}
	letter.Action = t.rendered(ctx, t.plan.action, f, p.Total)
	return t.putLetter(ctx, letter)
}

// buryEvent stores the dead letter of an event that could not be evaluated.
func (t *runner) buryEvent(ctx context.Context, dependency string, from eventbus.Address, e *event.Event, reason string) error {
	events := map[string]eventbus.DeadEvent{dependency: {From: from, Event: e}}
	letter := t.letter(firingID(t.namespace, t.sensor, t.plan.Name, events), reason, events)
	letter.Unevaluated = true
	return t.putLetter(ctx, letter)
}

func (t *runner) letter(id, reason string, events map[string]eventbus.DeadEvent) *eventbus.DeadLetter {
	return &eventbus.DeadLetter{
		ID: id, Namespace: t.namespace, Sensor: t.sensor, Trigger: t.plan.Name,
		Time: time.Now().UTC(), Reason: reason, Events: events,
	}
}

func (t *runner) putLetter(ctx context.Context, letter *eventbus.DeadLetter) error {
	if err := t.bus.DeadLetters().Put(ctx, letter); err != nil {
		return fmt.Errorf("store the dead letter: %w", err)
	}
	t.metrics.retriesFailed.Inc()
	t.metrics.dead.Inc()
	t.log.Error("failed for good, kept as a dead letter", "firing", letter.ID, "attempts", letter.AttemptCount, "error", letter.Reason)
	return nil
}

// rendered is what the trigger would do, as far as that can be told.
func (t *runner) rendered(ctx context.Context, a *actionPlan, f *firing, n int) (r *eventbus.Rendered) {
	defer func() {
		if recover() != nil {
			r = nil
		}
	}()
	tr, release, err := t.actions.get(a, f)
	if err != nil {
		return nil
	}
	defer release()
	action, err := tr.Render(ctx, t.input(a, f, n))
	if err != nil {
		return nil
	}
	r = &eventbus.Rendered{Kind: action.Kind, Spec: string(action.Spec)}
	if len(r.Spec) > mostAction {
		r.Spec, r.Cut = r.Spec[:mostAction], true
	}
	return r
}

// redrive fires a dead letter again, or evaluates its event again if it did not
// get as far as a firing.
func (t *runner) redrive(ctx context.Context, d *eventbus.Delivery) (ending, error) {
	letter, err := t.bus.DeadLetters().Get(ctx, d.Redrive)
	if errors.Is(err, eventbus.ErrNotFound) {
		return done, nil // dropped, or fired by an earlier delivery
	}
	if err != nil {
		return done, err
	}
	from := origin{delivery: d, dead: letter}
	if letter.Unevaluated {
		return t.reevaluate(ctx, from, letter)
	}
	f := newFiring()
	f.id = letter.ID
	for name, dead := range letter.Events {
		transformed := dead.Event
		if dep := t.plan.dependency(name); dep != nil {
			if transformed, err = dep.applyTransform(ctx, dead.Event); err != nil {
				if ctx.Err() != nil {
					return done, ctx.Err()
				}
				letter.Time, letter.Reason = time.Now().UTC(), fmt.Sprintf("dependency %s: transform: %v", name, err)
				return done, t.putLetter(ctx, letter)
			}
		}
		f.add(name, dead.From, dead.Event, transformed)
	}
	return t.fire(ctx, from, f)
}

func (t *runner) reevaluate(ctx context.Context, from origin, letter *eventbus.DeadLetter) (ending, error) {
	for name, dead := range letter.Events {
		dep := t.plan.dependency(name)
		if dep == nil {
			letter.Time, letter.Reason = time.Now().UTC(), fmt.Sprintf("the trigger has no dependency %s any more", name)
			return done, t.putLetter(ctx, letter)
		}
		passed, v := dep.Evaluate(ctx, dead.Event)
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		if v.Transform != nil && v.Transform.Outcome == verdict.Error {
			letter.Time, letter.Reason = time.Now().UTC(), fmt.Sprintf("dependency %s: transform: %s", name, v.Transform.Err)
			return done, t.putLetter(ctx, letter)
		}
		if v.Outcome == verdict.Pass {
			end, err := t.meet(ctx, from, dead.From, dead.Event, []match{{dep, passed}})
			if err != nil || end.again {
				return end, err
			}
			return t.thenDrop(end, letter.ID), nil
		}
	}
	return t.thenDrop(done, letter.ID), nil
}

// thenDrop drops a dead letter after what end already does.
func (t *runner) thenDrop(end ending, id string) ending {
	first := end.then
	end.then = func(ctx context.Context) error {
		if first != nil {
			if err := first(ctx); err != nil {
				return err
			}
		}
		err := t.bus.DeadLetters().Drop(ctx, id)
		if errors.Is(err, eventbus.ErrNotFound) {
			return nil
		}
		return err
	}
	return end
}

func (p *TriggerPlan) dependency(name string) *Dependency {
	for _, d := range p.Dependencies {
		if d.Name == name {
			return d
		}
	}
	return nil
}
