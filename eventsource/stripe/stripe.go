// Package stripe is the source of events that Stripe sends to a webhook endpoint.
package stripe

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.stripe.
var Kind = eventsource.Kind{
	Kind:     kind.Of("stripe", New),
	DataKeys: []string{"event", "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook)}
	},
	Finish:      finish,
	NeedsFinish: func(c kind.Config) bool { return c.(*Config).CreateWebhook && c.(*Config).DeleteHookOnFinish },
	Senders:     []eventsource.Sender{{Name: "stripe", Header: header}},
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return newSource(c, env, time.Now), nil
}

func newSource(c Config, env eventsource.Env, now func() time.Time) *githost.Source {
	keys := githost.Keys(env.Secrets, c.SigningSecret, &c.Webhook)
	if keys != nil {
		keys.Now = now
	}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: githost.Clients(env.Secrets),
		Hook: ingress.Hook{
			Context: c.Webhook, Secrets: env.Secrets, Log: env.Log,
			Schemes: []verify.Scheme{verify.Stripe{}}, Keys: keys,
			Events: func(_ context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
				return []ingress.Made{decode(d.Body, &c)}, nil
			},
		},
	}
	if k := keeper(&c, env, s); k != nil && !env.Offline {
		s.Keeper = k
	}
	return s
}

// keeper is nil if no endpoint is to be kept at Stripe. Stripe makes the secret
// itself and shows it once, to whoever makes the endpoint; it is not kept.
func keeper(c *Config, env eventsource.Env, s *githost.Source) *hooks.Keeper {
	target := eventsource.PublicURL(c)
	if !c.CreateWebhook || target == "" {
		return nil
	}
	return &hooks.Keeper{
		API:     &api{base: strings.TrimSuffix(c.APIURL, "/"), key: c.APIKey, secrets: env.Secrets, clients: s.Clients},
		Targets: func(context.Context) ([]string, error) { return []string{account}, nil },
		Want:    hooks.Hook{URL: target, Events: c.wanted(), Active: true},
		State:   env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

func finish(ctx context.Context, config kind.Config, env eventsource.Env) error {
	c := config.(*Config)
	s := &githost.Source{Clients: githost.Clients(env.Secrets)}
	defer s.Clients.Close()
	if k := keeper(c, env, s); k != nil {
		return k.Finish(ctx)
	}
	return nil
}

// decode makes the data {"event":..}, the event being Stripe's own, whole.
func decode(body []byte, c *Config) ingress.Made {
	var e struct {
		ID      string          `json:"id"`
		Type    string          `json:"type"`
		Created json.RawMessage `json:"created"`
	}
	_ = json.Unmarshal(body, &e) // what could not be read is empty
	if !c.takes(e.Type) {
		return ingress.Made{Filtered: true}
	}
	data := append(append(make([]byte, 0, len(body)+64), `{"event":`...), body...)
	if len(c.Metadata) > 0 {
		m, _ := json.Marshal(c.Metadata) //nolint:errchkjson // it holds text
		data = append(append(data, `,"metadata":`...), m...)
	}
	return ingress.Made{ID: githost.ID(body, e.ID), Data: append(data, '}'), Time: created(e.Created)}
}

func (c *Config) takes(eventType string) bool {
	if len(c.EventFilter) == 0 {
		return true
	}
	for _, t := range c.EventFilter {
		if prefix, ok := strings.CutSuffix(t, "*"); t == eventType || ok && strings.HasPrefix(eventType, prefix) {
			return true
		}
	}
	return false
}

func isPattern(t string) bool { return strings.HasSuffix(t, "*") }

// created is a Unix time in seconds or, in events of version 2, a text.
func created(raw json.RawMessage) time.Time {
	var sec int64
	if json.Unmarshal(raw, &sec) == nil && sec > 0 && sec < 1<<40 {
		return time.Unix(sec, 0).UTC()
	}
	var at time.Time
	if json.Unmarshal(raw, &at) != nil {
		return time.Time{}
	}
	return at
}

// header is what Stripe sends with a body.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{
		"Content-Type": {"application/json; charset=utf-8"},
		"User-Agent":   {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
	}
	if len(s.Secret) == 0 {
		return h, nil
	}
	return h, verify.Stripe{}.Sign(h, s.Body, s.Secret, s.Now)
}
