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

// match is a dependency that let an event pass, with the event as transformed.
type match struct {
	dep   *Dependency
	event *event.Event
}

// meet hands an event to the trigger's condition, and fires if it is met.
func (t *runner) meet(ctx context.Context, from origin, addr eventbus.Address, e *event.Event, passed []match) (ending, error) {
	if t.join == nil {
		return t.fireEach(ctx, from, addr, e, passed)
	}
	return t.join.take(ctx, from, addr, e, passed)
}

// fireEach fires once for each dependency: a condition without && .
func (t *runner) fireEach(ctx context.Context, from origin, addr eventbus.Address, e *event.Event, passed []match) (ending, error) {
	var ends []ending
	var ids []string
	open := false
	for _, m := range passed {
		f := newFiring()
		f.add(m.dep.Name, addr, e, m.event)
		f.id = firingID(t.namespace, t.sensor, t.plan.Name, f.origin)
		end, err := t.fire(ctx, from, f)
		if err != nil {
			return done, err
		}
		ends, ids = append(ends, end), append(ids, f.id)
		open = open || end.again
	}
	if len(ends) == 1 {
		return ends[0], nil
	}
	if !open {
		return ending{then: func(ctx context.Context) error {
			var errs []error
			for _, end := range ends {
				if end.then != nil {
					errs = append(errs, end.then(ctx))
				}
			}
			// Marks of firings that ended in an earlier delivery.
			if from.delivery.Deliveries > 1 {
				for _, id := range ids {
					errs = append(errs, t.bus.State().Delete(ctx, t.progressKey(id)))
				}
			}
			return errors.Join(errs...)
		}}, nil
	}
	// One of them has to be tried again: mark those that are through, so that
	// the redelivery does not repeat them.
	wait := time.Duration(-1)
	for i, end := range ends {
		if !end.again {
			if err := t.saveProgress(ctx, ids[i], &progress{Done: true, Total: 1}); err != nil {
				return done, err
			}
			continue
		}
		if wait < 0 || end.wait < wait {
			wait = end.wait
		}
	}
	return again(wait), nil
}

// take takes up an event into the half-met condition and fires if that makes
// it true. The order of the writes is such that a crash between any two of
// them neither loses the event nor counts it twice:
// the event's content, then the state that refers to it, then (if met) the
// action, then the state without the firing, then the acknowledgement, then
// the contents that nothing refers to any more.
func (j *join) take(ctx context.Context, from origin, addr eventbus.Address, e *event.Event, passed []match) (ending, error) {
	seq := from.delivery.Seq
	if from.delivery.Deliveries > 1 {
		if end, known, err := j.resume(ctx, from); known || err != nil {
			return end, err
		}
	}
	if err := j.putEvent(ctx, seq, e); err != nil {
		return done, err
	}
	var met *storedFiring
	var replaced []uint64
	err := j.change(ctx, func(s *joinState) bool {
		met, replaced = nil, nil
		for _, m := range passed {
			old, ok := s.Waiting[m.dep.Name]
			if ok && old.Seq > seq {
				continue // a newer event is waiting already
			}
			if ok && old.Seq != seq {
				replaced = append(replaced, old.Seq)
			}
			s.Waiting[m.dep.Name] = ref{Seq: seq, ID: e.ID(), From: addr, Since: time.Now().UTC()}
		}
		if !j.t.plan.Condition.Eval(func(name string) bool { _, ok := s.Waiting[name]; return ok }) {
			s.take(seq)
			return true
		}
		met = &storedFiring{Seq: seq, Events: s.Waiting}
		s.Waiting = map[string]ref{}
		s.Firings = append(s.Firings, *met)
		return true
	})
	if err != nil {
		return done, err
	}
	j.trace(ctx, e, met != nil)
	if met == nil {
		return ending{then: func(ctx context.Context) error {
			j.noted(seq)
			return j.drop(ctx, append(replaced, seq))
		}}, nil
	}
	return j.fire(ctx, from, met)
}

// resume goes on with a message that has been delivered before.
func (j *join) resume(ctx context.Context, from origin) (end ending, known bool, err error) {
	seq := from.delivery.Seq
	var stored *storedFiring
	var taken bool
	err = j.change(ctx, func(s *joinState) bool {
		stored, taken = s.firingOf(seq), false
		for _, t := range s.Taken {
			taken = taken || t == seq
		}
		return false
	})
	switch {
	case err != nil:
		return done, false, err
	case stored != nil:
		end, err = j.fire(ctx, from, stored)
		return end, true, err
	case taken:
		return ending{then: func(ctx context.Context) error { j.noted(seq); return j.drop(ctx, []uint64{seq}) }}, true, nil
	default:
		return done, false, nil
	}
}

// fire fires what has been put together, and takes it out of the state when it
// has come to its end.
func (j *join) fire(ctx context.Context, from origin, stored *storedFiring) (ending, error) {
	f := newFiring()
	var broken error
	for name, r := range stored.Events {
		original, err := j.getEvent(ctx, r.Seq)
		if errors.Is(err, eventbus.ErrNotFound) {
			broken = fmt.Errorf("dependency %s: event %s has been removed from the bus's state", name, r.ID)
			continue
		}
		if err != nil {
			return done, err
		}
		transformed := original
		if dep := j.t.plan.dependency(name); dep != nil {
			if transformed, err = dep.applyTransform(ctx, original); err != nil {
				if ctx.Err() != nil {
					return done, ctx.Err()
				}
				broken, transformed = fmt.Errorf("dependency %s: transform: %w", name, err), original
			}
		}
		f.add(name, r.From, original, transformed)
	}
	f.id = firingID(j.t.namespace, j.t.sensor, j.t.plan.Name, f.origin)
	var end ending
	var err error
	if broken != nil {
		err = j.t.putLetter(ctx, j.t.letter(f.id, broken.Error(), f.origin))
	} else {
		end, err = j.t.fire(ctx, from, f)
	}
	if err != nil || end.again {
		return end, err
	}
	if err := j.change(ctx, func(s *joinState) bool {
		for i := range s.Firings {
			if s.Firings[i].Seq == stored.Seq {
				s.Firings = append(s.Firings[:i:i], s.Firings[i+1:]...)
				break
			}
		}
		s.take(stored.Seq)
		return true
	}); err != nil {
		return done, err
	}
	first := end.then
	return ending{then: func(ctx context.Context) error {
		j.noted(stored.Seq)
		var seqs []uint64
		for _, r := range stored.Events {
			seqs = append(seqs, r.Seq)
		}
		err := j.drop(ctx, seqs)
		if first != nil {
			err = errors.Join(err, first(ctx))
		}
		return err
	}}, nil
}

// drop removes the contents of events that nothing refers to any more.
func (j *join) drop(ctx context.Context, seqs []uint64) error {
	var unused []uint64
	err := j.change(ctx, func(s *joinState) bool {
		unused = unused[:0]
		for _, seq := range seqs {
			if !s.refers(seq) {
				unused = append(unused, seq)
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, seq := range unused {
		errs = append(errs, j.t.bus.State().Delete(ctx, j.eventKey(seq)))
	}
	return errors.Join(errs...)
}

// trace logs what the condition said, for those who ask.
func (j *join) trace(ctx context.Context, e *event.Event, met bool) {
	if !j.t.debug(ctx) {
		return
	}
	j.mu.Lock()
	c := j.t.plan.verdict(func(name string) bool { _, ok := j.state.Waiting[name]; return ok })
	j.mu.Unlock()
	j.t.log.Debug("condition", "event", e.ID(), "met", met, "have", c.Have, "missing", c.Missing)
}

// verdict tells what the condition says if has tells which dependencies have an event.
func (p *TriggerPlan) verdict(has func(string) bool) verdict.Condition {
	c := verdict.Condition{Expression: p.Condition.String(), Met: p.Condition.Eval(has)}
	for _, d := range p.Dependencies {
		if has(d.Name) {
			c.Have = append(c.Have, d.Name)
		} else {
			c.Missing = append(c.Missing, d.Name)
		}
	}
	return c
}
