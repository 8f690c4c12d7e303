package sensortest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// received is the data of the events that a source makes of a request's body.
// The source is built and given the request as its sender would make it, signed
// with a secret that stands in for all of the source's; nothing is asked outside.
func (r *Runner) received(ctx context.Context, namespace string, in Input) ([][]byte, error) {
	entry, raw := r.entry(namespace, in.From)
	if entry == nil || len(entry.Kind.Senders) == 0 {
		if in.As != "" {
			return nil, fmt.Errorf("%s/%s takes no requests of a sender that is known here, so there is no %q", in.From.Source, in.From.Event, in.As)
		}
		return [][]byte{asBody(in.Data)}, nil
	}
	config, err := entry.Kind.Decode(openToAll(raw))
	if config == nil {
		return nil, err
	}
	var data [][]byte
	for _, value := range secretValues {
		if data, err = r.staged(ctx, namespace, in, entry, config, raw, &standIn{value}); err == nil {
			return data, nil
		}
	}
	return nil, err
}

// staged builds the source, and plays the request with one value of all secrets.
func (r *Runner) staged(ctx context.Context, namespace string, in Input, entry *manifest.Entry, config kind.Config, raw []byte, secrets *standIn) ([][]byte, error) {
	stage := &stage{serving: make(chan struct{}), secret: secrets.value}
	source, err := entry.Kind.Build(config, eventsource.Env{
		Namespace: namespace, EventSource: in.From.Source, Event: in.From.Event, Offline: true,
		Log: slog.New(slog.DiscardHandler), Secrets: secrets, Hooks: stage, State: forgetful{}, Lead: neverLeads{},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	var ended error
	done.Go(func() {
		defer stage.once.Do(func() { close(stage.serving) })
		ended = source.Run(ctx, stage.emit)
	})
	<-stage.serving
	if stage.handler == nil {
		cancel()
		done.Wait()
		return nil, fmt.Errorf("%s/%s takes no requests: %w", in.From.Source, in.From.Event, errors.Join(ended))
	}
	return stage.play(ctx, entry.Kind, providerOf(raw), in)
}

// entry of an address, with its manifest.
func (r *Runner) entry(namespace string, at eventbus.Address) (*manifest.Entry, []byte) {
	o := r.Set.Find(manifest.ID{Kind: "EventSource", Namespace: namespace, Name: at.Source})
	if o == nil || o.EventSource == nil {
		return nil, nil
	}
	for i := range o.Entries {
		e := &o.Entries[i]
		if e.Event == at.Event {
			return e, o.EventSource.Spec.Sources[e.Kind.Name][e.Event].Raw
		}
	}
	return nil, nil
}

// openToAll takes the credentials out that no sender could show here.
func openToAll(raw []byte) []byte {
	var config map[string]json.RawMessage
	if json.Unmarshal(raw, &config) != nil {
		return raw
	}
	keys := []string{"authSecret", "basicAuth", "oidc", "clientCASecret", "rateLimit"}
	for _, k := range keys {
		delete(config, k)
	}
	var hook map[string]json.RawMessage
	if json.Unmarshal(config["webhook"], &hook) == nil && hook != nil {
		for _, k := range keys {
			delete(hook, k)
		}
		config["webhook"], _ = json.Marshal(hook) //nolint:errchkjson // it was read as JSON
	}
	raw, _ = json.Marshal(config) //nolint:errchkjson // it was read as JSON
	return raw
}

func providerOf(raw []byte) string {
	var c struct {
		Provider string `json:"provider"`
	}
	_ = json.Unmarshal(raw, &c)
	return c.Provider
}

// secretValues are what every secret is for the time of a test, one after the
// other until the request is taken: senders that have two ways to sign choose by
// the form of the secret. The first has that of a Standard Webhooks secret.
var secretValues = [][]byte{
	[]byte("whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes ..."))),
	[]byte("a secret that is plain text"),
}

// standIn is every secret at once.
type standIn struct{ value []byte }

func (s *standIn) Secret(context.Context, *corev1.SecretKeySelector) ([]byte, error) {
	return s.value, nil
}

func (s *standIn) ConfigMap(context.Context, *corev1.ConfigMapKeySelector) ([]byte, error) {
	return s.value, nil
}

type forgetful struct{}

func (forgetful) Get(context.Context, string) ([]byte, error) { return nil, nil }
func (forgetful) Put(context.Context, string, []byte) error   { return nil }

// neverLeads leaves all that one replica does alone.
type neverLeads struct{}

func (neverLeads) Lead(ctx context.Context, _ string, _ func(context.Context) error) error {
	<-ctx.Done()
	return nil
}

// stage is the server and the bus of one source.
type stage struct {
	once    sync.Once
	serving chan struct{}
	secret  []byte
	handler http.Handler
	route   eventsource.Route
	mu      sync.Mutex
	data    [][]byte
}

// Serve implements eventsource.Hooks.
func (s *stage) Serve(ctx context.Context, route eventsource.Route, h http.Handler) error {
	s.once.Do(func() {
		s.handler, s.route = h, route
		close(s.serving)
	})
	<-ctx.Done()
	return nil
}

func (s *stage) emit(_ context.Context, e eventsource.Event) error {
	if e.Filtered {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, bytes.Clone(e.Data))
	return nil
}

// play sends the body as each sender would who may be meant, until one is understood.
func (s *stage) play(ctx context.Context, k eventsource.Kind, provider string, in Input) ([][]byte, error) {
	name, event, _ := strings.Cut(in.As, "/")
	if name == "" {
		name = provider
	}
	var named []eventsource.Sender
	for _, sender := range k.Senders {
		if sender.Name == name {
			named = append(named, sender)
		}
	}
	switch {
	case len(named) == 0 && in.As != "":
		return nil, fmt.Errorf("kind %s knows no sender %q; there are %s", k.Name, name, senders(k))
	case len(named) == 0:
		named = k.Senders
	}
	var why []error
	for _, sender := range named {
		header, err := sender.Header(eventsource.Sending{Body: in.Data, Event: event, ID: "delivery-1", Secret: s.secret, Now: time.Now()})
		if err != nil {
			why = append(why, fmt.Errorf("as %s: %w", sender.Name, err))
			continue
		}
		req := httptest.NewRequestWithContext(ctx, s.method(), "/", bytes.NewReader(in.Data))
		req.Header = header
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, req)
		switch {
		case w.Code/100 == 2 && len(s.data) > 0:
			return s.data, nil
		case w.Code/100 == 2:
			why = append(why, fmt.Errorf("as %s: taken, but it makes no event", sender.Name))
		default:
			text, _ := io.ReadAll(w.Body)
			why = append(why, fmt.Errorf("as %s: %d %s", sender.Name, w.Code, strings.TrimSpace(string(text))))
		}
	}
	return nil, fmt.Errorf("%s/%s makes no event of it: %w", in.From.Source, in.From.Event, errors.Join(why...))
}

func (s *stage) method() string {
	if len(s.route.Methods) == 0 {
		return http.MethodPost
	}
	return s.route.Methods[0]
}

func senders(k eventsource.Kind) string {
	var names []string
	for _, s := range k.Senders {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
