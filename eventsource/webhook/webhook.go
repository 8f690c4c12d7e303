// Package webhook is the source of events that come as plain HTTP requests.
package webhook

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Kind is spec.webhook.
var Kind = eventsource.Kind{
	Kind:     kind.Of("webhook", New),
	DataKeys: []string{"header", "body", "bodyEncoding", "query", "path", "metadata"},
	Routes: func(c kind.Config) []eventsource.Route {
		return []eventsource.Route{ingress.RouteOf(&c.(*Config).WebhookContext)}
	},
}

type source struct {
	endpoint ingress.Endpoint
	hooks    eventsource.Hooks
	shape    shape
	idHeader string
}

// New makes the source of c.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	s := &source{
		hooks:    env.Hooks,
		shape:    newShape(c.Endpoint, c.Metadata),
		idHeader: http.CanonicalHeaderKey(c.IDHeader),
	}
	s.endpoint = ingress.Endpoint{
		Route: ingress.RouteOf(&c.WebhookContext), Context: c.WebhookContext,
		Secrets: env.Secrets, Log: env.Log, Receive: s.receive,
	}
	if signed := newSigned(&c, env); signed != nil {
		s.endpoint.Verify = func(r *http.Request, body []byte) error {
			_, err := ingress.CheckKeys(r, body, signed.schemes, signed.keys)
			return err
		}
	}
	return s, nil
}

// Run implements eventsource.Source.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	return s.endpoint.Serve(ctx, s.hooks, emit)
}

// maxID is the longest id that is taken from a header.
const maxID = 255

// keptBuffer is the largest buffer that is kept for the next request.
const keptBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (s *source) receive(r *http.Request, body []byte, emit eventsource.Emit) (ingress.Answer, error) {
	id, err := s.id(r)
	if err != nil {
		return ingress.Answer{}, err
	}
	buf := buffers.Get().(*[]byte)
	data, err := s.shape.append((*buf)[:0], r, body)
	if err != nil {
		return ingress.Answer{}, err
	}
	err = emit(r.Context(), eventsource.Event{ID: id, Data: data, Extensions: ingress.Trace(r.Header)})
	if err != nil {
		// The bus may hold on to the data of an event that it did not store.
		return ingress.Answer{}, err
	}
	if cap(data) <= keptBuffer {
		*buf = data
		buffers.Put(buf)
	}
	return ingress.Answer{ID: id}, nil
}

func (s *source) id(r *http.Request) (string, error) {
	if s.idHeader != "" {
		if values := r.Header[s.idHeader]; len(values) > 0 && values[0] != "" {
			if len(values[0]) > maxID {
				return "", badRequest("the header " + s.idHeader + " is longer than " + strconv.Itoa(maxID) + " bytes")
			}
			if !utf8.ValidString(values[0]) {
				return "", badRequest("the header " + s.idHeader + " is not UTF-8")
			}
			return values[0], nil
		}
	}
	return eventsource.NewID(), nil
}
