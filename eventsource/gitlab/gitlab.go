// Package gitlab is the source of events that GitLab's webhooks bring: those of
// projects, of groups, and of the whole instance.
package gitlab

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Kind is spec.gitlab.
var Kind = eventsource.Kind{
	Kind:     kind.Of("gitlab", New),
	DataKeys: []string{"headers", "body", gitevent.Key, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(c.(*Config).Webhook)}
	},
	Finish: func(ctx context.Context, c kind.Config, env eventsource.Env) error {
		own := c.(*Config)
		if !own.kept() {
			return nil
		}
		r := own.receiver(env)
		api := own.api(env)
		defer api.Clients.Close()
		return own.keeper(api, env, r).Finish(ctx)
	},
	NeedsFinish: func(c kind.Config) bool {
		own := c.(*Config)
		return own.DeleteHookOnFinish && own.kept()
	},
	Senders: []eventsource.Sender{{Name: "gitlab", Header: header}},
}

var (
	tokenScheme   = verify.Token{Header: "X-Gitlab-Token"}
	signingScheme = verify.StandardWebhooks{}
)

// receiver makes events of deliveries.
type receiver struct {
	// token and signing are nil where they are not asked for.
	token, signing *verify.Keys
	lookup         *gitevent.Lookup
	now            func() time.Time
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return newSource(c, env, time.Now), nil
}

func newSource(c Config, env eventsource.Env, now func() time.Time) *githost.Source {
	api, r := c.api(env), c.receiver(env)
	r.now = now
	s := &githost.Source{
		Hooks: env.Hooks, Clients: api.Clients,
		Hook: ingress.Hook{Context: *c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata, Events: r.events},
	}
	if c.signed() {
		s.Hook.Check = r.check
	}
	if env.Offline {
		return s
	}
	r.lookup = c.ChangedFiles.Uses(finder{api}.find, c.AccessToken != nil, env.Log)
	if c.kept() {
		s.Keeper = c.keeper(api, env, r)
	}
	return s
}

func (c *Config) receiver(env eventsource.Env) *receiver {
	return &receiver{
		token:   githost.Keys(env.Secrets, c.SecretToken, c.Webhook),
		signing: githost.Keys(env.Secrets, c.SigningToken, c.Webhook),
	}
}

func (c *Config) api(env eventsource.Env) *githost.API {
	return &githost.API{
		Base: c.apiURL(), Clients: githost.Clients(env.Secrets), TLS: c.TLS,
		Authorize: githost.Bearer(env.Secrets, c.AccessToken),
	}
}

func (c *Config) keeper(api *githost.API, env eventsource.Env, r *receiver) *hooks.Keeper {
	wanted := apiNames(c.Events)
	targets := c.targets()
	own := &hookAPI{api: api, wanted: wanted}
	if c.signed() {
		own.keys = &verify.Keys{Secrets: pair{r.token, r.signing}, Refs: []*corev1.SecretKeySelector{{}}}
	}
	return &hooks.Keeper{
		API:     own,
		Targets: func(context.Context) ([]string, error) { return slices.Clone(targets), nil },
		Want: hooks.Hook{
			URL: eventsource.PublicURL(c), Events: wanted, Active: true,
			Settings: map[string]string{ssl: strconv.FormatBool(c.EnableSSLVerification)},
		},
		Keys: own.keys, State: env.State, Lead: env.Lead, Log: env.Log, DeleteOnFinish: c.DeleteHookOnFinish,
	}
}

// check wants everything that is configured: the token, the signature, or both.
func (r *receiver) check(req *http.Request, body []byte) (string, error) {
	verified := ""
	for _, want := range []struct {
		scheme verify.Scheme
		keys   *verify.Keys
	}{{tokenScheme, r.token}, {signingScheme, r.signing}} {
		if want.keys == nil {
			continue
		}
		values, err := want.keys.Read(req.Context())
		if err != nil {
			return "", &ingress.Error{Status: http.StatusInternalServerError, Text: "the server cannot check credentials at the moment", Cause: err}
		}
		if verified, err = ingress.CheckSchemes([]verify.Scheme{want.scheme}, req.Header, body, values, r.now()); err != nil {
			return "", err
		}
	}
	return verified, nil
}

func (r *receiver) events(ctx context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
	e := decode(d.Header, d.Body)
	e.DeliveryID = deliveryID(d.Header)
	e.Verified = d.Verified
	return githost.Emit(ctx, id(d.Header, d.Body), r.lookup, []*gitevent.Event{&e}, [][]byte{nil}), nil
}

// deliveryID is the same when a delivery is sent again. Both headers have it, and
// Webhook-Id is signed.
func deliveryID(h http.Header) string {
	return githost.First(h.Get("Webhook-Id"), h.Get("Idempotency-Key"))
}

// id of the event. Older GitLabs have only an id that all events of one action
// share, so that the body has to tell them apart.
func id(h http.Header, body []byte) string {
	if id := deliveryID(h); id != "" {
		return githost.ID([]byte(id), id)
	}
	hash := githost.ID(body)
	if shared := h.Get("X-Gitlab-Event-Uuid"); shared != "" {
		return githost.ID([]byte(shared+hash), shared+"/"+hash)
	}
	return hash
}
