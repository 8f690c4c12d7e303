// Package alertmanager is the source of alerts that a Prometheus Alertmanager
// sends with its webhook receiver.
package alertmanager

import (
	"context"
	"net/http"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Kind is spec.alertmanager.
var Kind = eventsource.Kind{
	Kind:     kind.Of("alertmanager", New),
	DataKeys: []string{"headers", "body", blockKey, "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).Webhook)}
	},
	Senders: []eventsource.Sender{{Name: "alertmanager", Header: header}},
}

type source struct {
	hook  ingress.Hook
	hooks eventsource.Hooks
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return &source{
		hooks: env.Hooks,
		hook: ingress.Hook{
			Context: c.Webhook, Secrets: env.Secrets, Log: env.Log, Metadata: c.Metadata,
			Events: func(_ context.Context, d *ingress.Delivery) ([]ingress.Made, error) {
				return decode(d.Body, c.PerAlert)
			},
		},
	}, nil
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	return s.hook.Serve(ctx, s.hooks, emit)
}

// header is what Alertmanager sends with its http_config's bearer token, if there is one.
func header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Alertmanager/0.28.1"}}
	if len(s.Secret) > 0 {
		h.Set("Authorization", "Bearer "+string(s.Secret))
	}
	return h, nil
}
