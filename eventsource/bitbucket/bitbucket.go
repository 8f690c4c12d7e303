// Package bitbucket is the source of Bitbucket Cloud's webhooks.
package bitbucket

import (
	"context"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.bitbucket.
var Kind = eventsource.Kind{
	Kind:     kind.Of("bitbucket", New),
	DataKeys: []string{"headers", "body", "git", "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Finish: func(ctx context.Context, c kind.Config, env eventsource.Env) error {
		conf := c.(*Config)
		if !conf.finishes() {
			return nil
		}
		api := newAPI(conf, env)
		defer api.Clients.Close()
		return conf.keeper(api, env, conf.keys(env)).Finish(ctx)
	},
	NeedsFinish: func(c kind.Config) bool { return c.(*Config).finishes() },
	Senders:     []eventsource.Sender{{Name: "bitbucket", Header: header}},
}

// signature is how Bitbucket signs. The header X-Hook-UUID proves nothing: it is
// no secret.
var signature = verify.HMAC{Header: "X-Hub-Signature", Prefix: "sha256="}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	api, keys := newAPI(&c, env), c.keys(env)
	d := decoder{}
	if !env.Offline {
		d.lookup = c.ChangedFiles.Uses(finder{api}.find, c.credentials(), env.Log)
	}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: api.Clients,
		Hook: ingress.Hook{
			Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
			Schemes: []verify.Scheme{signature}, Keys: keys, Events: d.events,
		},
	}
	if c.kept() && !env.Offline {
		s.Keeper = c.keeper(api, env, keys)
	}
	return s, nil
}

func newAPI(c *Config, env eventsource.Env) *githost.API {
	api := &githost.API{Base: strings.TrimSuffix(c.APIURL, "/"), Clients: githost.Clients(env.Secrets)}
	switch {
	case c.Auth == nil:
	case c.Auth.OAuthToken != nil:
		api.Authorize = githost.Bearer(env.Secrets, c.Auth.OAuthToken)
	case c.Auth.Basic != nil:
		api.Authorize = githost.Basic(env.Secrets, c.Auth.Basic.Username, c.Auth.Basic.Password)
	}
	return api
}

func (c *Config) keys(env eventsource.Env) *verify.Keys {
	return githost.Keys(env.Secrets, c.WebhookSecret, c.Webhook)
}

func (c *Config) finishes() bool { return c.kept() && c.DeleteHookOnFinish }

func (c *Config) keeper(api *githost.API, env eventsource.Env, keys *verify.Keys) *hooks.Keeper {
	targets := c.targets()
	return &hooks.Keeper{
		API:     hookAPI{api, description(env)},
		Targets: func(context.Context) ([]string, error) { return targets, nil },
		Want:    hooks.Hook{URL: eventsource.PublicURL(c), Events: slices.Sorted(slices.Values(c.Events)), Active: true},
		Keys:    keys, State: env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

func description(env eventsource.Env) string {
	return "Signalbox " + env.Namespace + "/" + env.EventSource + "/" + env.Event
}

// decoder makes events of deliveries.
type decoder struct{ lookup *gitevent.Lookup }

func (d decoder) events(ctx context.Context, in *ingress.Delivery) ([]ingress.Made, error) {
	key := in.Header.Get("X-Event-Key")
	id := githost.ID(in.Body, in.Header.Get("X-Request-UUID"))
	var p payload
	gitevent.Decode(in.Body, &p)
	base := gitevent.Event{
		Provider: "bitbucket", RawEvent: key, DeliveryID: in.Header.Get("X-Request-UUID"),
		HookID: in.Header.Get("X-Hook-UUID"), Verified: in.Verified,
		Repository: p.Repository.block(), Sender: p.Actor.sender(), Commits: []gitevent.Commit{},
	}
	base.Unknown(gitevent.UnknownNotSent)
	if key != "repo:push" {
		p.fill(&base, key)
		return githost.Emit(ctx, id, d.lookup, []*gitevent.Event{&base}, [][]byte{nil}), nil
	}
	base.Event = gitevent.Push
	parts, ok, err := githost.Split(in.Body, "push", "changes")
	if err != nil {
		return nil, err
	}
	if !ok || len(parts.Items) == 0 {
		return githost.Emit(ctx, id, nil, []*gitevent.Event{&base}, [][]byte{nil}), nil
	}
	events, bodies := make([]*gitevent.Event, len(parts.Items)), make([][]byte, len(parts.Items))
	for i, item := range parts.Items {
		e := base
		var c change
		gitevent.Decode(item, &c)
		c.push(&e)
		events[i] = &e
		if len(parts.Items) > 1 {
			bodies[i] = parts.With(i)
		}
	}
	return githost.Emit(ctx, id, d.lookup, events, bodies), nil
}
