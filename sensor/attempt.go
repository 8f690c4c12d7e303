package sensor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// ending is what a message's handling came to.
type ending struct {
	// again asks for the message after wait; otherwise it is done.
	again bool
	wait  time.Duration
	// then is called once the bus has noted that the message is done.
	then func(context.Context) error
}

var done = ending{}

func again(wait time.Duration) ending { return ending{again: true, wait: max(wait, 0)} }

// origin tells where a firing comes from.
type origin struct {
	delivery *eventbus.Delivery
	dead     *eventbus.DeadLetter // set if it is a dead letter that is fired again
}

// fire makes one attempt (more where a dlqTrigger follows at once) and says how
// it goes on. An error means that the bus could not be asked; nothing has been
// decided then.
func (t *runner) fire(ctx context.Context, from origin, f *firing) (ending, error) {
	p, err := t.loadProgress(ctx, from.delivery, f.id)
	if err != nil {
		return done, err
	}
	if p.Done {
		return t.forget(p, f), nil
	}
	if wait := time.Until(p.NotBefore); wait > 0 {
		return again(wait), nil
	}
	if wait, err := t.waitForSlot(ctx, f, p); err != nil || wait > 0 {
		return again(wait), err
	}
	if p.First.IsZero() {
		p.First = time.Now().UTC()
	}
	for action := t.stage(p.Stage); ; action = action.next {
		did, err := t.attempt(ctx, action, f, p)
		if err == nil {
			return t.succeeded(ctx, from, action, f, p, did)
		}
		if ctx.Err() != nil { // interrupted by our own shutdown: not the action's failure
			return again(0), nil
		}
		if wait, most, ok := trigger.Postponed(err); ok && time.Since(p.First) < most {
			p.NotBefore = time.Now().Add(wait).UTC()
			t.log.Debug("postponed", "action", action.name, "firing", f.id, "again_in", wait, "why", err)
			return again(wait), t.saveProgress(ctx, f.id, p)
		}
		p.failed(time.Now(), err)
		if p.Count < action.retry.Attempts() && !trigger.IsPermanent(err) {
			wait := max(action.retry.Wait(p.Count, rand.Float64()), trigger.AskedWait(err)) //nolint:gosec // jitter
			p.NotBefore = time.Now().Add(wait).UTC()
			if due, skipped := t.retried.Due(err.Error()); due {
				t.log.Warn("attempt failed, and is made again", "action", action.name, "firing", f.id, "attempt", p.Count, "of", action.retry.Attempts(), "retry_in", wait, "alike", skipped, "error", err)
			}
			t.log.Debug("attempt failed", "action", action.name, "firing", f.id, "attempt", p.Count, "of", action.retry.Attempts(), "retry_in", wait, "error", err)
			return again(wait), t.saveProgress(ctx, f.id, p)
		}
		if err := t.bury(ctx, from, action, f, p); err != nil {
			return done, err
		}
		if err := t.tellFailure(ctx, action, f, p, err); err != nil {
			return done, err
		}
		if action.next == nil || from.dead != nil {
			return t.forget(p, f), nil
		}
		p.Stage, p.Count, p.NotBefore, p.First = p.Stage+1, 0, time.Time{}, time.Now().UTC()
		if err := t.saveProgress(ctx, f.id, p); err != nil {
			return done, err
		}
	}
}

func (t *runner) stage(n int) *actionPlan {
	a := t.plan.action
	for ; n > 0 && a.next != nil; n-- {
		a = a.next
	}
	return a
}

func (t *runner) succeeded(ctx context.Context, from origin, a *actionPlan, f *firing, p *progress, did deed) (ending, error) {
	if did.follow != nil {
		if err := t.followUp(ctx, a, f, p, did); err != nil {
			return done, err
		}
	}
	t.metrics.fired.Inc()
	if stored := from.delivery.Stored; !stored.IsZero() {
		t.metrics.latency.Observe(time.Since(stored).Seconds())
	}
	t.status.fired(time.Now())
	if from.dead != nil {
		if err := t.bus.DeadLetters().Drop(ctx, from.dead.ID); err != nil && !errors.Is(err, eventbus.ErrNotFound) {
			return done, err
		}
		t.log.Info("dead letter fired again", "firing", f.id)
	}
	return t.forget(p, f), nil
}

// forget ends a firing. Its state goes once the bus has noted that the message
// is done: until then a redelivery still needs it.
func (t *runner) forget(p *progress, f *firing) ending {
	if !p.kept && p.Slot.IsZero() {
		return done
	}
	return ending{then: func(ctx context.Context) error { return t.bus.State().Delete(ctx, t.progressKey(f.id)) }}
}

// deed is what an action that succeeded did.
type deed struct {
	trigger.Result
	template []byte
	follow   *v1alpha1.Follow
}

// attempt performs the action once.
func (t *runner) attempt(ctx context.Context, a *actionPlan, f *firing, p *progress) (deed, error) {
	start := time.Now()
	did, err := t.perform(ctx, a, f, p)
	t.metrics.duration.Observe(float64(time.Since(start)) / float64(time.Millisecond))
	if _, _, busy := trigger.Postponed(err); busy && ctx.Err() == nil {
		return deed{}, err
	}
	if err != nil {
		t.metrics.failed.Inc()
		t.status.failed(time.Now(), err)
		return deed{}, err
	}
	if t.debug(ctx) {
		t.log.Debug("fired", "action", a.name, "firing", f.id, "events", f.eventIDs(), "attempt", p.Total+1, "result", did.Summary, "took", time.Since(start))
	}
	return did, nil
}

// perform turns a panic of a kind into an error, so that one action cannot take
// the others down.
func (t *runner) perform(ctx context.Context, a *actionPlan, f *firing, p *progress) (_ deed, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	tr, release, err := t.actions.get(a, f)
	if err != nil {
		return deed{}, trigger.Permanent(err)
	}
	defer release()
	if tr.follow != nil && tr.follow.Emit {
		if _, err := trigger.NextHop(f.events, trigger.MaxHops); err != nil {
			return deed{}, err
		}
	}
	in := t.input(a, f, p.Total+1)
	in.Since = p.First
	r, err := tr.Fire(ctx, in)
	return deed{r, tr.template, tr.follow}, err
}

func (t *runner) input(a *actionPlan, f *firing, n int) trigger.Input {
	return trigger.Input{
		ID: f.id, Namespace: t.namespace, Sensor: t.sensor, Trigger: a.name,
		Events: f.events, Attempt: n, Policy: a.policy,
	}
}
