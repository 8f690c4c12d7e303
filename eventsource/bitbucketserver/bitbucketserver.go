// Package bitbucketserver is the source of the webhooks of Bitbucket Data Center
// and Server.
package bitbucketserver

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.bitbucketserver.
var Kind = eventsource.Kind{
	Kind:     kind.Of("bitbucketserver", New),
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
	Senders:     []eventsource.Sender{{Name: "bitbucketserver", Header: header}},
}

const pingKey = "diagnostics:ping"

// signature is how Bitbucket signs.
var signature = verify.HMAC{Header: "X-Hub-Signature", Prefix: "sha256="}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	api, keys := newAPI(&c, env), c.keys(env)
	d := decoder{env: env, whole: c.OneEventPerChange != nil && !*c.OneEventPerChange, ping: c.ForwardPing, secret: keys != nil}
	if !env.Offline {
		d.lookup = c.ChangedFiles.Uses(finder{api}.find, c.credentials(), env.Log)
		if c.SkipBranchRefsChangedOnOpenPR {
			d.open = pulls{api}.open
		}
	}
	s := &githost.Source{
		Hooks: env.Hooks, Clients: api.Clients,
		Hook: ingress.Hook{
			Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
			Schemes: []verify.Scheme{signature}, Keys: keys, Events: d.events,
		},
	}
	if keys != nil {
		s.Hook.Check = check(keys)
	}
	if c.kept() && !env.Offline {
		s.Keeper = c.keeper(api, env, keys)
	}
	return s, nil
}

// check checks signatures. A connection test is not signed, and makes no event then.
func check(keys *verify.Keys) func(*http.Request, []byte) (string, error) {
	return func(r *http.Request, body []byte) (string, error) {
		if r.Header.Get("X-Event-Key") == pingKey && r.Header.Get(signature.Header) == "" {
			return verify.ByNothing, nil
		}
		values, err := keys.Read(r.Context())
		if err != nil {
			return "", &ingress.Error{Status: http.StatusInternalServerError, Text: "the server cannot check signatures at the moment", Cause: err}
		}
		return ingress.CheckSchemes([]verify.Scheme{signature}, r.Header, body, values, time.Now())
	}
}

func newAPI(c *Config, env eventsource.Env) *githost.API {
	return &githost.API{
		Base: c.base(), Clients: githost.Clients(env.Secrets), TLS: c.TLS,
		Authorize: githost.Bearer(env.Secrets, c.AccessToken),
	}
}

func (c *Config) keys(env eventsource.Env) *verify.Keys {
	return githost.Keys(env.Secrets, c.WebhookSecret, c.Webhook)
}

func (c *Config) finishes() bool { return c.kept() && c.DeleteHookOnFinish }

func (c *Config) keeper(api *githost.API, env eventsource.Env, keys *verify.Keys) *hooks.Keeper {
	return &hooks.Keeper{
		API: hookAPI{api, keys},
		Targets: func(ctx context.Context) ([]string, error) {
			return targets(ctx, api, c.repositories(), c.Projects)
		},
		Want: hooks.Hook{URL: eventsource.PublicURL(c), Events: slices.Sorted(slices.Values(c.Events)), Active: true},
		Keys: keys, State: env.State, Lead: env.Lead, Log: env.Log, Period: c.interval(), DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

// decoder makes events of deliveries.
type decoder struct {
	env    eventsource.Env
	lookup *gitevent.Lookup
	// whole makes one event of a push; ping makes one of a connection test, which
	// has to be signed if there is a secret.
	whole, ping, secret bool
	// open tells whether a branch is the source of an open pull request; nil for not to ask.
	open func(ctx context.Context, r *repository, ref string) (bool, error)
}

func (d decoder) events(ctx context.Context, in *ingress.Delivery) ([]ingress.Made, error) {
	requestID := in.Header.Get("X-Request-Id")
	var p payload
	gitevent.Decode(in.Body, &p)
	key := githost.First(in.Header.Get("X-Event-Key"), p.EventKey)
	base := gitevent.Event{
		Provider: "bitbucketserver", RawEvent: key, DeliveryID: requestID, Verified: in.Verified,
		Repository: p.repository().block(), Sender: p.Actor.sender(), Commits: []gitevent.Commit{},
	}
	base.Unknown(gitevent.UnknownNotSent)
	one := func(e *gitevent.Event, body []byte) []ingress.Made {
		return githost.Emit(ctx, githost.ID(in.Body, requestID), d.lookup, []*gitevent.Event{e}, [][]byte{body})
	}
	switch key {
	case pingKey:
		if !d.ping || d.secret && in.Verified == verify.ByNothing {
			return nil, nil
		}
		base.Event = gitevent.Ping
		return one(&base, nil), nil
	case "repo:refs_changed":
	default:
		p.fill(&base, key)
		return one(&base, nil), nil
	}
	base.Event = gitevent.Push
	parts, ok, err := githost.Split(in.Body, "changes")
	if err != nil {
		return nil, err
	}
	if !ok || len(parts.Items) == 0 {
		return one(&base, nil), nil
	}
	changes := make([]change, len(parts.Items))
	for i, item := range parts.Items {
		gitevent.Decode(item, &changes[i])
	}
	wanted, err := d.wanted(ctx, p.repository(), changes)
	if err != nil {
		return nil, err
	}
	var left []ingress.Made
	for range len(changes) - len(wanted) {
		left = append(left, ingress.Made{Filtered: true})
	}
	if len(wanted) == 0 {
		return left, nil
	}
	body := func(items ...int) []byte {
		if len(items) == len(parts.Items) {
			return nil
		}
		return parts.With(items...)
	}
	alone := len(changes) == 1
	if d.whole {
		changes[wanted[0]].push(&base, &p, alone)
		return one(&base, body(wanted...)), nil // the event is not the less for what it does not tell
	}
	events, bodies := make([]*gitevent.Event, len(wanted)), make([][]byte, len(wanted))
	for n, i := range wanted {
		e := base
		changes[i].push(&e, &p, alone)
		events[n], bodies[n] = &e, body(i)
	}
	return append(githost.Emit(ctx, githost.ID(in.Body, requestID), d.lookup, events, bodies), left...), nil
}

// wanted are the changes to make events of. A branch of which Bitbucket does not
// tell whether it has a pull request is one of them.
func (d decoder) wanted(ctx context.Context, r *repository, changes []change) ([]int, error) {
	wanted := make([]int, 0, len(changes))
	for i := range changes {
		if d.open == nil || !changes[i].branch() {
			wanted = append(wanted, i)
			continue
		}
		has, err := d.open(ctx, r, changes[i].name())
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		if err != nil {
			d.env.Log.WarnContext(ctx, "whether a branch has an open pull request is not known, so its push counts", "error", err)
		}
		if !has {
			wanted = append(wanted, i)
		}
	}
	return wanted, nil
}
