package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// await is the activity of one group: it sends what is due and returns when the
// group has ended. It may be ended and called again at any time, because all
// that it knows is in the group's value. What is sent is noted right after: a
// crash in between sends one message twice, never none.
func await(ctx context.Context, t trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
	n, ok := t.(*notifier)
	if !ok {
		return trigger.Outcome{}, trigger.Permanent(errors.New("this is no notify trigger"))
	}
	var r ref
	if err := json.Unmarshal(f.Ref, &r); err != nil {
		return trigger.Outcome{}, trigger.Permanent(fmt.Errorf("read what is to be followed: %w", err))
	}
	p := n.plan
	if r.Config != nil {
		var err error
		if p, err = newPlan(*r.Config); err != nil {
			return trigger.Outcome{}, trigger.Permanent(err)
		}
	}
	if p.group == nil || n.env.State == nil {
		return trigger.Outcome{}, trigger.Permanent(errors.New("the trigger has no group"))
	}
	a := &activity{n: n, p: p, key: r.Key, id: short(f.ID), name: short(f.Namespace + "/" + f.Sensor + "/" + f.Trigger + "/" + r.Key)}
	for {
		out, next, err := a.step(ctx)
		if err != nil || out != nil {
			return value(out), err
		}
		if err := sleep(ctx, next); err != nil {
			return trigger.Outcome{}, err
		}
	}
}

func value(o *trigger.Outcome) trigger.Outcome {
	if o == nil {
		return trigger.Outcome{}
	}
	return *o
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// activity is one call of await.
type activity struct {
	n   *notifier
	p   *plan
	key string
	id  string
	// name of the group for services that have one for their messages.
	name string
}

// change changes the group as long as it is this activity's; f returns false to
// leave it.
func (a *activity) change(ctx context.Context, f func(*group) bool) error {
	return a.n.env.State.Change(ctx, slot(a.key), func(old []byte) ([]byte, error) {
		g := decode(old)
		if g == nil || g.Tender != a.id || !f(g) {
			return nil, trigger.ErrKeep
		}
		return json.Marshal(g)
	})
}

// step does what is due, and tells how long nothing will be; or how it ended.
func (a *activity) step(ctx context.Context) (*trigger.Outcome, time.Duration, error) {
	b, err := a.n.env.State.Get(ctx, slot(a.key))
	if err != nil {
		return nil, 0, fmt.Errorf("group %q: %w", a.key, err)
	}
	g := decode(b)
	if g == nil || g.Tender != a.id {
		return a.ended(ctx)
	}
	now := time.Now()
	if now.Sub(g.Tended) >= pulse {
		if err := a.change(ctx, func(g *group) bool { g.Tended = now; return true }); err != nil {
			return nil, 0, fmt.Errorf("group %q: %w", a.key, err)
		}
	}
	// A firing in another process is seen at the next look: soon while there are
	// many, later once it is quiet.
	wait := min(max(now.Sub(g.Last)/10, time.Second), 10*time.Second)
	var tasks sync.WaitGroup
	sent := false
	for _, d := range a.p.dests {
		kind, at := g.due(*a.p.group, d.id)
		switch {
		case kind == "":
		case at.After(now):
			wait = min(wait, at.Sub(now))
		default:
			sent = true
			tasks.Go(func() { a.send(ctx, g, d, kind, now) })
		}
	}
	tasks.Wait()
	if sent {
		return nil, 0, ctx.Err()
	}
	at, quiet := g.end(*a.p.group, a.p.ids())
	if at.After(now) {
		return nil, min(wait, at.Sub(now)), nil
	}
	if quiet {
		return nil, 0, a.change(ctx, func(g *group) bool {
			at, quiet := g.end(*a.p.group, a.p.ids())
			if at.After(now) || !quiet {
				return false
			}
			g.Resolved, g.Quiet = at, true
			return true
		})
	}
	return a.close(ctx, g, now)
}

// outcomes remembers how groups have ended, by the id of who tended them: a crash
// after the end changes nothing about it.
func (a *activity) outcomes() trigger.Memory[trigger.Outcome] {
	return trigger.Memory[trigger.Outcome]{State: a.n.env.State, Name: "outcome", Keep: 24 * time.Hour}
}

// ended is the outcome of a group that is not there any more, or is somebody else's.
func (a *activity) ended(ctx context.Context) (*trigger.Outcome, time.Duration, error) {
	out, err := a.outcomes().Get(ctx, a.id)
	if err != nil {
		return nil, 0, fmt.Errorf("group %q: %w", a.key, err)
	}
	if out.Summary == "" {
		out.Summary = fmt.Sprintf("group %q has ended", a.key)
	}
	return &out, 0, nil
}

// close removes the group, unless something has come meanwhile. Its firings are
// put where a repetition finds them first. If somebody could not be told, the one
// that becomes the dead letter is left out: fired again it opens a group anew.
func (a *activity) close(ctx context.Context, g *group, now time.Time) (*trigger.Outcome, time.Duration, error) {
	out := a.outcome(g)
	over := g.Recent
	if out.Failed {
		over = slices.DeleteFunc(slices.Clone(over), func(id string) bool { return id == g.Tender })
	}
	err := ended{a.n.env.State}.add(ctx, a.key, over)
	if err == nil {
		err = a.outcomes().Change(ctx, a.id, func(trigger.Outcome) (trigger.Outcome, error) { return *out, nil })
	}
	closed := false
	if err == nil {
		err = a.n.env.State.Change(ctx, slot(a.key), func(old []byte) ([]byte, error) {
			closed = false
			last := decode(old)
			if last == nil || last.Tender != a.id {
				return nil, trigger.ErrKeep
			}
			if at, quiet := last.end(*a.p.group, a.p.ids()); at.After(now) || quiet || len(last.Recent) != len(g.Recent) || last.Count != g.Count {
				return nil, trigger.ErrKeep
			}
			closed = true
			return nil, nil
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("group %q: %w", a.key, err)
	}
	if !closed {
		return nil, 0, nil
	}
	return out, 0, nil
}

func (a *activity) outcome(g *group) *trigger.Outcome {
	messages := 0
	var failed, reasons []string
	for _, d := range a.p.dests {
		t := g.at(d.id)
		messages = max(messages, t.Messages)
		if !t.Failing.IsZero() {
			failed = append(failed, d.label())
			reasons = append(reasons, t.Why)
		}
	}
	out := &trigger.Outcome{
		Failed:  len(failed) > 0,
		Summary: fmt.Sprintf("group %q has ended: %d firings in %s, %d messages", g.Key, g.Count, span(g.Last.Sub(g.First)), messages),
		Details: map[string]any{
			"group": g.Key, "count": g.Count, "messages": messages, "first": stamp(g.First), "last": stamp(g.Last), "resolved": !g.Resolved.IsZero(),
		},
	}
	if out.Failed {
		out.Summary += fmt.Sprintf("; %d of %d destinations could not be told all: %s", len(failed), len(a.p.dests), strings.Join(reasons, "; "))
		out.Details["failed"] = failed
	}
	return out
}

// send sends one message and notes it. The group goes on whatever happens.
func (a *activity) send(ctx context.Context, g *group, d *dest, kind sort, now time.Time) {
	t := g.at(d.id)
	facts := g.facts(t, kind, now)
	var events map[string]*event.Event
	if len(g.Events) > 0 && json.Unmarshal(g.Events, &events) != nil {
		events = nil
	}
	log := a.n.env.Log.With("group", g.Key, "to", d.label())
	m, err := a.p.word(g, t, kind, facts, events)
	if err != nil {
		log.Warn("the text cannot be made, a plain one is sent", "message", string(kind), "error", err)
	}
	o, err := a.p.address(d, m, kind, facts, events)
	if err != nil && d.JSON == "" { // its params
		o, err = outgoing{message: m, Kind: kind}, nil
	}
	if err == nil {
		o.id = fmt.Sprintf("%s-%s-%d", g.Tender, d.id, t.Messages+1)
		o.group = a.name
		err = a.n.attempt(ctx, a.p, d, o)
	}
	if err != nil && ctx.Err() != nil {
		return // not its fault
	}
	then := time.Now()
	switch {
	case err != nil && t.Failing.IsZero():
		log.Warn("a message could not be sent, it is tried again", "message", string(kind), "error", err)
	case err == nil && !t.Failing.IsZero():
		log.Info("messages arrive again", "after", span(then.Sub(t.Failing)))
	}
	asked, covered := trigger.AskedWait(err), g.Count
	a.note(ctx, func(g *group) bool {
		if err != nil {
			g.failed(d.id, oneLine(err), then, asked)
		} else {
			g.arrived(d.id, kind, covered, then)
		}
		return true
	})
}

// note changes the group and does not let go before it has: what has been sent
// and is not noted would be sent again, over and over. When ctx is done it has a
// little more time.
func (a *activity) note(ctx context.Context, f func(*group) bool) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), notingTime)
		err := a.change(bounded, f)
		cancel()
		if err == nil {
			return
		}
		a.n.env.Log.Warn("what was sent cannot be noted, it is tried again", "group", a.key, "error", err)
		if sleep(ctx, wait) != nil {
			return
		}
	}
}
