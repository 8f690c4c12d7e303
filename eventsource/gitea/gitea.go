// Package gitea is the source of events that Gitea, Forgejo and Gogs send to a webhook.
package gitea

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.gitea.
var Kind = eventsource.Kind{
	Kind:     kind.Of("gitea", New),
	DataKeys: []string{"headers", "body", gitevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Finish: func(ctx context.Context, c kind.Config, env eventsource.Env) error {
		own := c.(*Config)
		if !own.managed() {
			return nil
		}
		a := newAPI(own, env)
		defer a.rest.Clients.Close()
		return own.keeper(a, own.keys(env), env).Finish(ctx)
	},
	NeedsFinish: func(c kind.Config) bool {
		own := c.(*Config)
		return own.DeleteHookOnFinish && own.managed()
	},
	Senders: []eventsource.Sender{
		{Name: "gitea", Header: families[1].send},
		{Name: "forgejo", Header: families[0].send},
		{Name: "gogs", Header: families[2].send},
	},
}

// family is how the headers of a host begin.
type family struct{ provider, prefix string }

// families, the most telling first: each host sends those of its ancestors, too.
var families = []family{
	{"forgejo", "X-Forgejo-"},
	{"gitea", "X-Gitea-"},
	{"gogs", "X-Gogs-"},
	{"gitea", "X-Github-"},
}

// of finds the family of a request; the last one if it has none.
func of(h http.Header) family {
	for _, f := range families {
		if h.Get(f.prefix+"Event") != "" {
			return f
		}
	}
	return families[len(families)-1]
}

// schemes are all the same signature.
var schemes = []verify.Scheme{
	verify.HMAC{Header: "X-Forgejo-Signature"},
	verify.HMAC{Header: "X-Gitea-Signature"},
	verify.HMAC{Header: "X-Gogs-Signature"},
}

type source struct {
	githost.Source
	lookup *gitevent.Lookup
	keys   *verify.Keys
	ping   bool
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	a := newAPI(&c, env)
	s := &source{keys: c.keys(env), ping: c.ForwardPing, lookup: c.ChangedFiles.Uses(a.files, c.reachable(), env.Log)}
	s.Source = githost.Source{Hooks: env.Hooks, Clients: a.rest.Clients, Hook: ingress.Hook{
		Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
		Payload: payloadOf, Events: s.events,
	}}
	if s.keys != nil {
		s.Hook.Check = s.check
	}
	if env.Offline {
		s.lookup = nil
		return s, nil
	}
	if c.managed() {
		s.Keeper = c.keeper(a, s.keys, env)
	}
	return s, nil
}

// keys that requests are checked with; nil if there are none.
func (c *Config) keys(env eventsource.Env) *verify.Keys {
	return githost.Keys(env.Secrets, c.WebhookSecret, c.Webhook)
}

// check the signature, which is over the JSON also where that comes in a form.
func (s *source) check(r *http.Request, body []byte) (string, error) {
	keys, err := s.keys.Read(r.Context())
	if err != nil {
		return "", &ingress.Error{Status: http.StatusInternalServerError, Text: "the server cannot check credentials at the moment", Cause: err}
	}
	payload, err := payloadOf(r, body)
	if err != nil {
		return "", err
	}
	return ingress.CheckSchemes(schemes, r.Header, payload, keys, time.Now())
}

func (s *source) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	e := decode(d.Header, d.Body)
	if e.Event == gitevent.Ping && !s.ping {
		return nil, nil
	}
	e.Verified = d.Verified
	return githost.Emit(ctx, githost.ID(d.Body, e.DeliveryID), s.lookup, []*gitevent.Event{e}, [][]byte{nil}), nil
}

func payloadOf(r *http.Request, body []byte) ([]byte, error) {
	payload, ok := hub.PayloadOf(r, body)
	if !ok {
		return nil, &ingress.Error{Status: http.StatusBadRequest, Text: "the form, or the query, has no field payload"}
	}
	return payload, nil
}

// keeper keeps the hooks. It has the keys that requests are checked with, so that
// both know what the secret was before it changed.
func (c *Config) keeper(a *api, keys *verify.Keys, env eventsource.Env) *hooks.Keeper {
	return &hooks.Keeper{
		API: a,
		Want: hooks.Hook{
			URL:    strings.TrimRight(c.Webhook.URL, "/") + "/" + strings.TrimLeft(c.Webhook.Endpoint, "/"),
			Events: slices.Compact(slices.Sorted(slices.Values(c.Events))), Active: true,
			Settings: map[string]string{settingContent: "json"},
		},
		Keys: keys, State: env.State, Lead: env.Lead, Log: env.Log,
		Targets:    func(context.Context) ([]string, error) { return c.targets(), nil },
		SameEvents: sameEvents, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

// wider are events that stand for several, which the API lists one by one: all
// that begin so.
var wider = map[string]string{
	"pull_request":        "pull_request_",
	"pull_request_review": "pull_request_review_",
	"issues":              "issue_",
}

// narrower are events that the API lists under another name.
var narrower = map[string]string{"pull_request_only": "pull_request", "issues_only": "issues"}

// sameEvents compares what the API lists with what was asked for.
func sameEvents(have, want []string) bool {
	explained := func(h string) bool {
		return slices.ContainsFunc(want, func(w string) bool {
			prefix, wide := wider[w]
			return h == w || h == narrower[w] || wide && strings.HasPrefix(h, prefix)
		})
	}
	there := func(w string) bool {
		if n, ok := narrower[w]; ok {
			w = n
		}
		return slices.ContainsFunc(have, func(h string) bool {
			prefix, wide := wider[w]
			return h == w || wide && strings.HasPrefix(h, prefix)
		})
	}
	for _, h := range have {
		if !explained(h) {
			return false
		}
	}
	for _, w := range want {
		if !there(w) {
			return false
		}
	}
	return true
}
