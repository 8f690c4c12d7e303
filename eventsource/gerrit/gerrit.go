// Package gerrit is the source of events that the webhooks plugin of Gerrit sends.
package gerrit

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Kind is spec.gerrit.
var Kind = eventsource.Kind{
	Kind:     kind.Of("gerrit", New),
	DataKeys: []string{"headers", "body", gitevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Finish: func(ctx context.Context, c kind.Config, env eventsource.Env) error {
		own := c.(*Config)
		if !own.kept() {
			return nil
		}
		api := own.api(env)
		defer api.Clients.Close()
		return own.keeper(api, env).Finish(ctx)
	},
	NeedsFinish: func(c kind.Config) bool {
		own := c.(*Config)
		return own.DeleteHookOnFinish && own.kept()
	},
	Senders: []eventsource.Sender{{Name: "gerrit", Header: header}},
}

// receiver makes events of deliveries.
type receiver struct {
	lookup *gitevent.Lookup
	// base is Gerrit's address, for deliveries that do not tell it.
	base string
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	api, r := c.api(env), &receiver{base: c.GerritBaseURL}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: api.Clients,
		Hook: ingress.Hook{Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata, Events: r.events},
	}
	if env.Offline {
		return s, nil
	}
	r.lookup = c.ChangedFiles.Uses(finder{api}.find, c.asks(), env.Log)
	if c.kept() {
		s.Keeper = c.keeper(api, env)
	}
	return s, nil
}

func (c *Config) api(env eventsource.Env) *githost.API {
	api := &githost.API{
		Base: strings.TrimRight(c.GerritBaseURL, "/"), Clients: githost.Clients(env.Secrets), TLS: c.TLS, Guard: guard,
	}
	if c.Auth != nil {
		api.Authorize = githost.Basic(env.Secrets, c.Auth.Username, c.Auth.Password)
	}
	return api
}

func (c *Config) keeper(api *githost.API, env eventsource.Env) *hooks.Keeper {
	projects := slices.Clone(c.Projects)
	want := hooks.Hook{
		URL: eventsource.PublicURL(c), Events: slices.Compact(slices.Sorted(slices.Values(c.Events))), Active: true,
		Settings: map[string]string{sslVerify: strconv.FormatBool(c.SslVerify)},
	}
	if c.MaxTries > 0 {
		want.Settings[maxTries] = strconv.FormatInt(c.MaxTries, 10)
	}
	name := c.HookName
	if name == "" {
		name = env.EventSource + "-" + env.Event
	}
	return &hooks.Keeper{
		API:     &hookAPI{api: api, name: name},
		Targets: func(context.Context) ([]string, error) { return slices.Clone(projects), nil },
		Want:    want, State: env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

func (r *receiver) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	origin := d.Header.Get("X-Origin-Url")
	if githost.HostOf(origin) == "" {
		origin = r.base
	}
	bodies, err := split(d.Body)
	if err != nil {
		return nil, err
	}
	events := make([]*gitevent.Event, len(bodies))
	for i, body := range bodies {
		e := decode(origin, body)
		e.Verified = d.Verified
		events[i] = &e
	}
	// Gerrit gives its deliveries no id, but its events have their time in them.
	return githost.Emit(ctx, githost.ID(d.Body), r.lookup, events, bodies), nil
}

// split cuts a batch of refs into one body for each.
func split(body []byte) ([][]byte, error) {
	parts, ok, err := githost.Split(body, "refUpdates")
	if err != nil {
		return nil, err
	}
	if !ok || len(parts.Items) < 2 {
		return [][]byte{body}, nil
	}
	bodies := make([][]byte, len(parts.Items))
	for i := range parts.Items {
		bodies[i] = parts.With(i)
	}
	return bodies, nil
}

// header is what Gerrit sends with a body.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	if len(s.Secret) > 0 { // of authSecret: Gerrit itself has none
		h.Set("Authorization", "Bearer "+string(s.Secret))
	}
	return h, nil
}
