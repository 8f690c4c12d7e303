// Package azuredevops is the source of the service hooks of Azure DevOps Services
// and Server.
package azuredevops

import (
	"context"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.azureDevOps.
var Kind = eventsource.Kind{
	Kind:     kind.Of("azureDevOps", New),
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
	Senders:     []eventsource.Sender{{Name: "azureDevOps", Header: header}},
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	api, keys := newAPI(&c, env), c.keys(env)
	d := decoder{}
	if !env.Offline {
		f := finder{api: api, organization: organizationOf(c.OrganizationURL)}
		d.lookup = c.ChangedFiles.Uses(f.find, c.credentials(), env.Log)
	}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: api.Clients,
		Hook: ingress.Hook{
			Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata, Events: d.events,
		},
	}
	if h := c.SecretHeader; h != nil {
		s.Hook.Keys = keys
		s.Hook.Schemes = schemes(h.Name)
		s.Hook.SecretHeaders = []string{http.CanonicalHeaderKey(h.Name)}
	}
	if c.kept() && !env.Offline {
		s.Keeper = c.keeper(api, env, keys)
	}
	return s, nil
}

func schemes(name string) []verify.Scheme { return []verify.Scheme{verify.Token{Header: name}} }

func newAPI(c *Config, env eventsource.Env) *githost.API {
	return &githost.API{
		Base: strings.TrimRight(c.OrganizationURL, "/"), Clients: githost.Clients(env.Secrets), TLS: c.TLS,
		Authorize: githost.Basic(env.Secrets, nil, c.AccessToken),
	}
}

// keys are what a subscription is given: the secret of the header, or the
// password; nil if there is neither.
func (c *Config) keys(env eventsource.Env) *verify.Keys {
	var ref *corev1.SecretKeySelector
	switch b := c.Webhook.BasicAuth; {
	case c.SecretHeader != nil:
		ref = c.SecretHeader.Secret
	case b != nil:
		ref = b.Password
	}
	return githost.Keys(env.Secrets, ref, c.Webhook)
}

func (c *Config) finishes() bool { return c.kept() && c.DeleteHookOnFinish }

func (c *Config) keeper(api *githost.API, env eventsource.Env, keys *verify.Keys) *hooks.Keeper {
	targets := c.targets()
	h := hookAPI{api: api, keys: keys, secrets: env.Secrets}
	switch {
	case c.SecretHeader != nil:
		h.header = c.SecretHeader.Name
	case c.Webhook.BasicAuth != nil:
		h.user = c.Webhook.BasicAuth.Username
	}
	return &hooks.Keeper{
		API: h, Targets: func(context.Context) ([]string, error) { return targets, nil },
		// The event is the target's.
		Want: hooks.Hook{URL: eventsource.PublicURL(c), Active: true, Settings: map[string]string{details: detailsWanted}},
		Keys: keys, State: env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

// decoder makes events of deliveries.
type decoder struct{ lookup *gitevent.Lookup }

func (d decoder) events(ctx context.Context, in *ingress.Delivery) ([]ingress.Made, error) {
	var p payload
	gitevent.Decode(in.Body, &p)
	subscription := githost.First(p.SubscriptionID, in.Header.Get("X-Vss-Subscriptionid"))
	delivery := p.ID
	if delivery != "" && subscription != "" {
		delivery += "." + subscription
	}
	id := githost.ID(in.Body, delivery, p.ID)
	base := gitevent.Event{
		Provider: "azureDevOps", RawEvent: p.EventType, DeliveryID: p.ID, HookID: subscription, Verified: in.Verified,
		Commits: []gitevent.Commit{},
	}
	base.Unknown(gitevent.UnknownNotSent)
	p.fill(&base)
	if p.EventType != "git.push" {
		return githost.Emit(ctx, id, d.lookup, []*gitevent.Event{&base}, [][]byte{nil}), nil
	}
	parts, ok, err := githost.Split(in.Body, "resource", "refUpdates")
	if err != nil {
		return nil, err
	}
	if !ok || len(parts.Items) == 0 {
		base.Unknown(gitevent.UnknownMinimal)
		return githost.Emit(ctx, id, d.lookup, []*gitevent.Event{&base}, [][]byte{nil}), nil
	}
	events, bodies := make([]*gitevent.Event, len(parts.Items)), make([][]byte, len(parts.Items))
	for i, item := range parts.Items {
		e := base
		var u refUpdate
		gitevent.Decode(item, &u)
		u.push(&e, &p.Resource, len(parts.Items) == 1)
		events[i] = &e
		if len(parts.Items) > 1 {
			bodies[i] = parts.With(i)
		}
	}
	return githost.Emit(ctx, id, d.lookup, events, bodies), nil
}

// push makes e the push of one ref. alone tells that the payload has no other, so
// that its commits are this one's.
func (u *refUpdate) push(e *gitevent.Event, r *resource, alone bool) {
	if u.Name == "" {
		return
	}
	e.SetPush(u.Name, u.OldObjectID, u.NewObjectID)
	if alone {
		for _, c := range r.Commits.Items {
			e.Commits = append(e.Commits, c.block())
		}
		slices.Reverse(e.Commits) // the host sends the newest first
	}
	n := len(e.Commits)
	e.CommitsTruncated = r.Commits.Cut || n == 0 && !e.Created && !e.Deleted
	switch {
	case e.Deleted:
		e.Unknown(gitevent.UnknownDeletedRef)
	case e.Created:
		e.Unknown(gitevent.UnknownNewRef)
	default:
		e.Unknown(gitevent.UnknownNotSent)
	}
}
