// Package cloudevents is the source of events that come as CloudEvents 1.0 over
// HTTP, in any of the protocol's three modes: binary, structured (JSON) and
// batched (JSON).
package cloudevents

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Kind is spec.cloudevents.
var Kind = eventsource.Kind{
	Kind:           kind.Of("cloudevents", New),
	ForeignContext: true,
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).WebhookContext)}
	},
}

type source struct {
	endpoint ingress.Endpoint
	hooks    eventsource.Hooks
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	return &source{
		hooks: env.Hooks,
		endpoint: ingress.Endpoint{
			Route: ingress.RouteOf(&c.WebhookContext), Context: c.WebhookContext,
			Secrets: env.Secrets, Log: env.Log, Receive: receive,
		},
	}, nil
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	return s.endpoint.Serve(ctx, s.hooks, emit)
}

// atATime is how many events of a batch are stored side by side.
const atATime = 16

func receive(r *http.Request, body []byte, emit eventsource.Emit) (ingress.Answer, error) {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); {
	case media == "application/cloudevents-batch+json":
		return receiveBatch(r.Context(), body, emit)
	case media == "application/cloudevents+json":
		e, err := structured(body)
		if err != nil {
			return ingress.Answer{}, err
		}
		return receiveOne(r, e, emit)
	case strings.HasPrefix(media, "application/cloudevents"):
		return ingress.Answer{}, &ingress.Error{
			Status: http.StatusUnsupportedMediaType,
			Text:   "of the formats of CloudEvents only JSON is understood, not " + media,
		}
	default:
		e, err := binary(r.Header, body)
		if err != nil {
			return ingress.Answer{}, err
		}
		return receiveOne(r, e, emit)
	}
}

func receiveOne(r *http.Request, e eventsource.Event, emit eventsource.Emit) (ingress.Answer, error) {
	if e.Extensions["traceparent"] == "" { // the request's own trace serves then
		for name, value := range ingress.Trace(r.Header) {
			if e.Extensions == nil {
				e.Extensions = map[string]string{}
			}
			e.Extensions[name] = value
		}
	}
	if err := emit(r.Context(), e); err != nil {
		return ingress.Answer{}, err
	}
	return ingress.Answer{ID: e.ID}, nil
}

// receiveBatch stores all events or answers an error. What had been stored
// before the error is recognized by its ids when the batch is sent again.
func receiveBatch(ctx context.Context, body []byte, emit eventsource.Emit) (ingress.Answer, error) {
	events, err := batch(body)
	if err != nil {
		return ingress.Answer{}, err
	}
	ids := make([]string, len(events))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for i, e := range events {
		ids[i] = e.ID
		group.Go(func() error { return emit(ctx, e) })
	}
	if err := group.Wait(); err != nil {
		return ingress.Answer{}, err
	}
	return ingress.Answer{IDs: ids}, nil
}
