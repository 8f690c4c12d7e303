// Package storagegrid is the source of events about objects in the buckets of a
// NetApp StorageGRID, which notifies as if this were Amazon SNS.
package storagegrid

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.storageGrid.
var Kind = eventsource.Kind{
	Kind:      kind.Of("storageGrid", New),
	EventType: "storagegrid",
	DataKeys:  []string{"notification", "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook, methods()...)}
	},
	Finish:      finish,
	NeedsFinish: func(c kind.Config) bool { return c.(*Config).APIURL != "" && c.(*Config).DeleteHookOnFinish },
	Senders:     []eventsource.Sender{{Name: "storagegrid", Header: header}},
}

// methods that StorageGRID uses: HEAD looks whether anybody is there.
func methods() []string { return []string{http.MethodPost, http.MethodHead} }

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	s := &githost.Source{
		Hooks: env.Hooks, Clients: githost.Clients(env.Secrets),
		Hook: ingress.Hook{
			Context: c.Webhook, Methods: methods(), Secrets: env.Secrets, Log: env.Log,
			Payload: payload, Answer: answer,
			Events: func(_ context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
				if d.Request.Method == http.MethodHead {
					return nil, nil
				}
				return decode(d.Body, &c)
			},
		},
	}
	if k := keeper(&c, env, s); k != nil && !env.Offline {
		s.Keeper = k
	}
	return s, nil
}

// keeper is nil if nothing is to be kept at StorageGRID.
func keeper(c *Config, env eventsource.Env, s *githost.Source) *hooks.Keeper {
	target := eventsource.PublicURL(c)
	if c.APIURL == "" || target == "" {
		return nil
	}
	a := &api{
		rest: &githost.API{
			Base: strings.TrimSuffix(c.APIURL, "/"), Clients: s.Clients, TLS: c.TLS,
			Authorize: githost.Bearer(env.Secrets, c.AuthToken),
		},
		urn: c.TopicArn, name: env.Event, secrets: env.Secrets,
		insecure: c.TLS != nil && c.TLS.InsecureSkipVerify,
	}
	k := &hooks.Keeper{
		API:     a,
		Targets: func(context.Context) ([]string, error) { return []string{c.Bucket}, nil },
		Want:    hooks.Hook{URL: target, Events: slices.Sorted(slices.Values(c.Events)), Active: true, Settings: map[string]string{authType: anonymous}},
		State:   env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
	if b := c.Webhook.BasicAuth; b != nil {
		a.user, a.password = b.Username, b.Password
		k.Want.Settings[authType] = basic
		k.Keys = &verify.Keys{Secrets: env.Secrets, Refs: []*corev1.SecretKeySelector{b.Password}}
	}
	return k
}

func finish(ctx context.Context, config kind.Config, env eventsource.Env) error {
	s := &githost.Source{Clients: githost.Clients(env.Secrets)}
	defer s.Clients.Close()
	if k := keeper(config.(*Config), env, s); k != nil {
		return k.Finish(ctx)
	}
	return nil
}

// header is what StorageGRID sends; its endpoint's basic authentication is up to
// whoever sends.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{"Content-Type": {form + "; charset=utf-8"}, "User-Agent": {"StorageGRID"}}
	if bytes.HasPrefix(bytes.TrimSpace(s.Body), []byte("{")) {
		h.Set("Content-Type", "application/json")
	}
	return h, nil
}
