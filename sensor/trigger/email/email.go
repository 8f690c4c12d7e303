// Package email is the trigger that sends mail.
package email

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.email.
var Kind = trigger.Kind{
	Kind:   kind.Of("email", newMailer),
	Follow: trigger.FollowAtOnce(func(c *Config) *v1alpha1.Follow { return c.Follow }),
}

const (
	// keepSent is how long it is remembered who got a firing's mail.
	keepSent = 24 * time.Hour
	// patience is how long the server may take for one step.
	patience = time.Minute
	// noteTime bounds the notes that are made after the effect, whatever happens
	// to the context of the firing.
	noteTime = 5 * time.Second
)

// mailer implements trigger.Trigger.
type mailer struct {
	env      trigger.Env
	conf     Config
	params   *param.List
	sent     trigger.Memory[sent]
	patience time.Duration
	closed   atomic.Bool
}

// sent is what is known of the mails of a firing, by the hash of the address.
type sent struct {
	Accepted []string `json:"accepted,omitempty"`
	// Refused for good, with the reason.
	Refused map[string]string `json:"refused,omitempty"`
}

func newMailer(c Config, env trigger.Env) (trigger.Trigger, error) {
	params, err := param.Compile(c.Parameters)
	if err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	return &mailer{
		env: env, conf: c, params: params, patience: patience,
		sent: trigger.Memory[sent]{State: env.State, Name: "sent", Keep: keepSent},
	}, nil
}

func (m *mailer) plan(ctx context.Context, in trigger.Input) (*plan, error) {
	if m.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := trigger.Override(m.conf, m.params, in.Events)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(c, in)
	if err != nil {
		return nil, trigger.Permanent(err)
	}
	return p, nil
}

// Render implements trigger.Trigger. The Spec is a spec.
func (m *mailer) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	p, err := m.plan(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	b, err := p.spec()
	return trigger.Action{Kind: "email", Spec: b}, err
}

// Fire implements trigger.Trigger. The Details are accepted: the addresses whose
// mails the server has taken; messageIDs: the Message-ID of each mail, by address;
// and, with an error, refused: the server's reasons, by address.
func (m *mailer) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	p, err := m.plan(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	before, err := m.sent.Get(ctx, in.ID)
	if err != nil {
		return trigger.Result{}, err
	}
	r := newRound(p, before, in.Attempt > 1)
	if len(r.open) > 0 {
		err = m.deliver(ctx, p, in.ID, r)
	}
	if ctx.Err() != nil && err != nil {
		return trigger.Result{}, fmt.Errorf("%s: %w", p.server, ctx.Err())
	}
	did, err := r.result(p, err)
	if err != nil {
		err = trigger.WithDetails(err, r.details(p))
	}
	return did, err
}

// deliver sends what is open in one connection. Its error is one of the
// connection: what was not sent before it is left open.
func (m *mailer) deliver(ctx context.Context, p *plan, firing string, r *round) error {
	c, err := m.connect(ctx, p)
	if err != nil {
		return err
	}
	defer c.close()
	for len(r.open) > 0 {
		l := r.open[0]
		text, err := p.write(l, time.Now())
		if err != nil {
			return trigger.Permanent(err)
		}
		if err = c.send(p.from.Address, l.recipient.Address, text); err != nil && !isAnswer(err) {
			return c.explain(err)
		}
		r.open = r.open[1:]
		r.settle(l, err, c.quote)
		if !isTemporary(err) {
			m.note(ctx, firing, l, r.refused[l.recipient.Address])
		}
	}
	return nil
}

// note remembers that a mail was accepted or, with a reason, refused. What cannot be written
// down is no failure of the action, which would be repeated then.
func (m *mailer) note(ctx context.Context, firing string, l letter, refusal string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	h := hash(l.recipient.Address)
	err := m.sent.Change(ctx, firing, func(s sent) (sent, error) {
		if refusal == "" {
			s.Accepted = append(s.Accepted, h)
			delete(s.Refused, h)
			return s, nil
		}
		if s.Refused == nil {
			s.Refused = map[string]string{}
		}
		s.Refused[h] = refusal
		return s, nil
	})
	if err != nil {
		m.env.Log.Warn("what was sent could not be noted: a repetition would send it again", "recipient", l.recipient.Address, "error", err)
	}
}

// round is how far the mails of a firing have come.
type round struct {
	accepted []string // addresses
	open     []letter
	// refused are the reasons of those that will not be accepted, failed of those
	// that may be later, by address.
	refused, failed map[string]string
}

// newRound takes up what is known. Refusals count only while the firing is being
// retried: one that is fired again by hand asks all of them again.
func newRound(p *plan, before sent, retried bool) *round {
	r := &round{refused: map[string]string{}, failed: map[string]string{}}
	for _, l := range p.mails {
		h := hash(l.recipient.Address)
		reason, refused := before.Refused[h]
		switch {
		case slices.Contains(before.Accepted, h):
			r.accepted = append(r.accepted, l.recipient.Address)
		case refused && retried:
			r.refused[l.recipient.Address] = reason
		default:
			r.open = append(r.open, l)
		}
	}
	return r
}

func (r *round) settle(l letter, err error, quote func(error) string) {
	to := l.recipient.Address
	switch {
	case err == nil:
		r.accepted = append(r.accepted, to)
	case isTemporary(err):
		r.failed[to] = quote(err)
	default:
		r.refused[to] = quote(err)
	}
}

// result is what the round came to; err ended its connection, or is nil.
func (r *round) result(p *plan, err error) (trigger.Result, error) {
	if err == nil && len(r.refused)+len(r.failed) == 0 {
		return trigger.Result{
			Summary: fmt.Sprintf("%s accepted the mail to %s", p.server, enumerate(r.accepted)),
			Details: r.details(p),
		}, nil
	}
	var all []string
	for _, l := range p.mails {
		to := l.recipient.Address
		if reason := r.refused[to] + r.failed[to]; reason != "" {
			all = append(all, "to "+to+": "+reason)
		}
	}
	text := p.server
	if len(all) > 0 {
		text += ": " + strings.Join(all, "; ")
	}
	if len(r.accepted) > 0 {
		text += fmt.Sprintf(" (accepted: %s)", enumerate(r.accepted))
	}
	switch {
	case err != nil && len(r.accepted)+len(all) == 0:
		return trigger.Result{}, fmt.Errorf("%s: %w", p.server, err)
	case err != nil:
		return trigger.Result{}, fmt.Errorf("%s; then: %w", text, err)
	case len(r.failed) == 0:
		return trigger.Result{}, trigger.Permanent(errors.New(text))
	}
	return trigger.Result{}, errors.New(text)
}

func (r *round) details(p *plan) map[string]any {
	d := map[string]any{"accepted": append([]string{}, r.accepted...), "messageIDs": p.messageIDs()}
	refused := map[string]string{}
	maps.Copy(refused, r.refused)
	maps.Copy(refused, r.failed)
	if len(refused) > 0 {
		d["refused"] = refused
	}
	return d
}

// enumerate names up to ten addresses.
func enumerate(all []string) string {
	const most = 10
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// Close implements trigger.Trigger. Each firing has a connection of its own.
func (m *mailer) Close() error {
	m.closed.Store(true)
	return nil
}
