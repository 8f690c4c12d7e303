// Package github is the source of events that GitHub sends to a webhook.
package github

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.github.
var Kind = eventsource.Kind{
	Kind:     kind.Of("github", New),
	DataKeys: []string{"headers", "body", gitevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook, http.MethodPost)}
	},
	Finish: func(ctx context.Context, c kind.Config, env eventsource.Env) error {
		own := c.(*Config)
		if !own.managed() || own.appLevel() {
			return nil
		}
		a := newAPI(own, env)
		defer a.clients.Close()
		return own.keeper(a, own.keys(env), env).Finish(ctx)
	},
	NeedsFinish: func(c kind.Config) bool {
		own := c.(*Config)
		return own.DeleteHookOnFinish && own.managed() && !own.appLevel()
	},
	Senders: []eventsource.Sender{sender},
}

// signature of GitHub's. The header X-Hub-Signature, with SHA-1, comes beside it and is not looked at.
var signature = verify.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256="}

const (
	headerEvent    = "X-Github-Event"
	headerDelivery = "X-Github-Delivery"
	headerHook     = "X-Github-Hook-Id"
)

type source struct {
	githost.Source
	lookup *gitevent.Lookup
	ping   bool
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	a, keys := newAPI(&c, env), c.keys(env)
	s := &source{ping: c.ForwardPing, lookup: c.ChangedFiles.Uses(a.files, c.credentials(), env.Log)}
	s.Source = githost.Source{Hooks: env.Hooks, Clients: a.clients, Hook: ingress.Hook{
		Context: *c.Webhook, Methods: []string{http.MethodPost}, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
		Schemes: []verify.Scheme{signature}, Keys: keys,
		Payload: payloadOf, Events: s.events,
	}}
	if env.Offline {
		s.lookup = nil
		return s, nil
	}
	if c.managed() {
		s.Keeper = c.keeper(a, keys, env)
	}
	return s, nil
}

// keys that requests are checked with; nil if there are none.
func (c *Config) keys(env eventsource.Env) *verify.Keys {
	return githost.Keys(env.Secrets, c.WebhookSecret, c.Webhook)
}

func (s *source) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	event := d.Header.Get(headerEvent)
	body, err := withKeys(d.Body, event, d.Header.Get(headerDelivery))
	if err != nil {
		return nil, err
	}
	e := decode(d.Header, d.Body)
	if e.Event == gitevent.Ping && !s.ping {
		return nil, nil
	}
	e.Verified = d.Verified
	// The id stays the same when it is sent again, and is the same for all hooks
	// that send one event.
	return githost.Emit(ctx, githost.ID(d.Body, e.DeliveryID), s.lookup, []*gitevent.Event{e}, [][]byte{body}), nil
}

func payloadOf(r *http.Request, body []byte) ([]byte, error) {
	payload, ok := hub.PayloadOf(r, body)
	if !ok {
		return nil, badRequest("the body is said to be a form, but has no field payload")
	}
	return payload, nil
}

// withKeys puts what Argo Events puts there into the body, which is JSON. They
// stand at its end, where they win over keys of the same name.
func withKeys(body []byte, event, delivery string) ([]byte, error) {
	if body[0] != '{' {
		return nil, badRequest("the body is not a JSON object")
	}
	open := body[:len(body)-1]
	out := make([]byte, 0, len(body)+len(event)+len(delivery)+64)
	out = append(out, open...)
	if strings.TrimSpace(string(open[1:])) != "" {
		out = append(out, ',')
	}
	out = ingress.AppendJSON(append(out, `"X-GitHub-Event":`...), event)
	out = ingress.AppendJSON(append(out, `,"X-GitHub-Delivery":`...), delivery)
	return append(out, '}'), nil
}

func badRequest(text string) error {
	return &ingress.Error{Status: http.StatusBadRequest, Text: text}
}

// keeper keeps the hooks. It has the keys that requests are checked with, so that
// both know what the secret was before it changed.
func (c *Config) keeper(a *api, keys *verify.Keys, env eventsource.Env) *hooks.Keeper {
	events := slices.Clone(c.Events)
	slices.Sort(events)
	insecure := "0"
	if c.Insecure {
		insecure = "1"
	}
	want := hooks.Hook{
		URL:    strings.TrimRight(c.Webhook.URL, "/") + "/" + strings.TrimLeft(c.Webhook.Endpoint, "/"),
		Events: slices.Compact(events),
		Active: c.Active != nil && *c.Active,
		Settings: map[string]string{
			settingContent:  c.ContentType,
			settingInsecure: insecure,
		},
	}
	if c.appLevel() { // these are in the App's settings
		want.Events, want.Active = nil, true
	}
	return &hooks.Keeper{
		API: a, Want: want, Keys: keys, State: env.State, Lead: env.Lead, Log: env.Log,
		Targets:    func(context.Context) ([]string, error) { return c.targets(), nil },
		SameEvents: sameEvents, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

// targets are the paths of the API below which there is /hooks.
func (c *Config) targets() []string {
	if c.appLevel() {
		return []string{targetApp}
	}
	var all []string
	for _, r := range c.repositories() {
		all = append(all, targetRepo+r)
	}
	for _, o := range c.Organizations {
		all = append(all, targetOrg+o)
	}
	return all
}

// sameEvents: all events are all, whatever is named beside.
func sameEvents(have, want []string) bool {
	if slices.Contains(have, "*") && slices.Contains(want, "*") {
		return true
	}
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(have))), want)
}
