// Package notify is the trigger that tells people, through the services of
// shoutrrr or by JSON to a webhook, and makes few messages of many firings.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.notify. Its Await is the activity of a group of firings, and
// sends its messages.
var Kind = trigger.Kind{
	Kind:   kind.Of("notify", newNotifier),
	Follow: &trigger.Follow{Block: block, Await: await, Acts: true},
	Texts:  true,
}

// aeon is the time-out of following a group, which ends by itself.
const aeon = 100 * 365 * 24 * time.Hour

// block is there for every group, because its activity is followed even if
// nobody wants to know of the outcome.
func block(c kind.Config) *v1alpha1.Follow {
	conf, ok := c.(*Config)
	if !ok || conf.Follow == nil && conf.Group == nil {
		return nil
	}
	f := v1alpha1.Follow{}
	if conf.Follow != nil {
		f = *conf.Follow
	}
	f.Timeout = v1alpha1.DurationOf(aeon)
	return &f
}

// notifier implements trigger.Trigger.
type notifier struct {
	env    trigger.Env
	params *param.List
	plan   *plan
	sender *sender
	// send is sender.send; tests of the timing have another one.
	send   func(context.Context, *dest, outgoing) error
	closed atomic.Bool
}

func newNotifier(c Config, env trigger.Env) (trigger.Trigger, error) {
	n := &notifier{env: env, sender: newSender(env)}
	n.send = n.sender.send
	var err error
	if n.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	n.plan, err = newPlan(c)
	return n, err
}

// planFor is the plan with the kind's own parameters applied.
func (n *notifier) planFor(ctx context.Context, events map[string]*event.Event) (*plan, error) {
	if n.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n.params.Empty() {
		return n.plan, nil
	}
	c, err := trigger.Override(n.plan.conf, n.params, events)
	if err != nil {
		return nil, err
	}
	c.Parameters = nil // now there is nothing that is still to be filled
	if err := v1alpha1.Fatal(c.Validate()); err != nil {
		return nil, trigger.Permanent(fmt.Errorf("after its parameters were applied: %s", oneLine(err)))
	}
	p, err := newPlan(c)
	if err != nil {
		return nil, trigger.Permanent(err)
	}
	return p, nil
}

// shown is a message as Render has it.
type shown struct {
	To       string            `json:"to"`
	Title    string            `json:"title,omitempty"`
	Message  string            `json:"message,omitempty"`
	Severity string            `json:"severity,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	JSON     json.RawMessage   `json:"json,omitempty"`
}

// Render implements trigger.Trigger. The Spec has messages, each with to and
// either title, message, severity and params or json; and with a group its key,
// and whether the firing resolves it.
func (n *notifier) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	p, err := n.planFor(ctx, in.Events)
	if err != nil {
		return trigger.Action{}, err
	}
	type of struct {
		Key      string `json:"key"`
		Resolves bool   `json:"resolves,omitempty"`
	}
	spec := struct {
		Group    *of     `json:"group,omitempty"`
		Messages []shown `json:"messages"`
	}{Messages: []shown{}}
	var facts map[string]any
	if p.group != nil {
		key, err := p.groupKey(in.Events)
		if err != nil {
			return trigger.Action{}, err
		}
		spec.Group = &of{key, p.resolves(in.Events)}
		facts = alone(key, in.Since)
	}
	if spec.Group == nil || !spec.Group.Resolves {
		all, err := p.all(in.Events, facts)
		if err != nil {
			return trigger.Action{}, err
		}
		for i, o := range all {
			s := shown{To: p.dests[i].label(), Title: o.Title, Message: o.Text, Severity: o.Severity, Params: o.Params}
			if o.body != "" {
				s = shown{To: s.To, JSON: json.RawMessage(o.body)}
			}
			spec.Messages = append(spec.Messages, s)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(spec)
	return trigger.Action{Kind: "notify", Spec: bytes.TrimSpace(b.Bytes())}, err
}

// alone are the facts of a group with one firing.
func alone(key string, now time.Time) map[string]any {
	g := group{Key: key, Count: 1, First: now, Last: now}
	return g.facts(told{}, first, now)
}

// all makes the messages of one firing, in the order of the destinations.
func (p *plan) all(events map[string]*event.Event, facts map[string]any) ([]outgoing, error) {
	m, err := p.say(events)
	if err != nil {
		return nil, err
	}
	all := make([]outgoing, len(p.dests))
	for i, d := range p.dests {
		if all[i], err = p.address(d, m, first, facts, events); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Fire implements trigger.Trigger. Without a group it sends. With one it counts
// the firing, and what is to be sent is the business of the group's activity.
func (n *notifier) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	p, err := n.planFor(ctx, in.Events)
	if err != nil {
		return trigger.Result{}, err
	}
	if n.env.State == nil {
		return trigger.Result{}, errors.New("there is no state to remember what was sent")
	}
	if p.group != nil {
		return n.gather(ctx, p, in)
	}
	all, err := p.all(in.Events, nil)
	if err != nil {
		return trigger.Result{}, err
	}
	sent := trigger.Memory[[]string]{State: n.env.State, Name: "sent", Keep: keepSent}
	done, err := sent.Get(ctx, in.ID)
	if err != nil {
		return trigger.Result{}, err
	}
	had := map[string]bool{}
	for _, d := range done {
		had[d] = true
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range p.dests {
		if had[d.id] {
			continue
		}
		all[i].id = in.ID + "-" + d.id
		wg.Go(func() { errs[i] = n.attempt(ctx, p, d, all[i]) })
	}
	wg.Wait()
	names, failed := []string{}, []string{}
	var now []string
	for i, d := range p.dests {
		if errs[i] == nil && !had[d.id] {
			now = append(now, d.id)
		}
		if errs[i] == nil {
			names = append(names, d.label())
		} else {
			failed = append(failed, d.label())
		}
	}
	if len(now) > 0 {
		// Also if the firing is being ended: what was sent was sent.
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), notingTime)
		defer cancel()
		if err := sent.Change(noting, in.ID, func(before []string) ([]string, error) { return append(before, now...), nil }); err != nil {
			n.env.Log.Warn("what was sent could not be noted, a repetition would send it again", "firing", in.ID, "error", err)
		}
	}
	if err := joined(ctx, errs); err != nil {
		return trigger.Result{}, trigger.WithDetails(err, map[string]any{"to": names, "failed": failed})
	}
	how := "sent to "
	if len(now) == 0 {
		how = "had been sent to "
	}
	return trigger.Result{Summary: how + strings.Join(names, ", "), Details: map[string]any{"to": names}}, nil
}

const (
	// notingTime bounds how long a note may take that has to be made.
	notingTime = 10 * time.Second
	// keepSent is how long it is remembered who got a firing's message.
	keepSent = 24 * time.Hour
)

// attempt sends one message, within the time that it has.
func (n *notifier) attempt(ctx context.Context, p *plan, d *dest, o outgoing) error {
	limit := defaultTimeout
	if p.conf.Timeout != nil {
		limit = p.conf.Timeout.Duration
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := n.send(bounded, d, o)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return fmt.Errorf("%s: no answer within %v", d.label(), limit)
	}
	return err
}

// joined makes one line of the errors of destinations.
func joined(ctx context.Context, errs []error) error {
	var texts []string
	var wait time.Duration
	for _, err := range errs {
		if err != nil {
			texts = append(texts, oneLine(err))
			wait = max(wait, trigger.AskedWait(err))
		}
	}
	switch {
	case len(texts) == 0:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", strings.Join(texts, "; "), ctx.Err())
	}
	err := errors.New(strings.Join(texts, "; "))
	if len(errs) > 1 {
		err = fmt.Errorf("%d of %d destinations: %w", len(texts), len(errs), err)
	}
	if wait > 0 {
		return trigger.After(err, wait)
	}
	return err
}

// Close implements trigger.Trigger.
func (n *notifier) Close() error {
	if !n.closed.Swap(true) {
		n.sender.close()
	}
	return nil
}
