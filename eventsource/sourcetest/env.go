// Package sourcetest checks that a kind of source keeps the contract of
// eventsource.Source, and gives the tests of a kind surroundings to run in.
//
// Run is the conformance suite; every kind runs it. Start is for a kind's own
// tests: it runs one entry, made from the YAML that a user writes.
package sourcetest

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Env is what a source runs in: a real HTTP server on loopback, state in
// memory, secrets from a map. The embedded eventsource.Env is what the source
// is built with; its fields may be changed before Start.
type Env struct {
	eventsource.Env
	// Memory is the State of the embedded Env. It outlives the source, as the
	// bus does.
	Memory *State
	// Vault is the Secrets of the embedded Env.
	Vault *Vault
	// Server is the Hooks of the embedded Env.
	Server *ingress.Server
}

// NewEnv makes surroundings for the entry "example" of the EventSource "test".
func NewEnv(t testing.TB) *Env {
	t.Helper()
	e := &Env{Memory: &State{}, Vault: &Vault{}}
	log := slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e.Server = &ingress.Server{Log: log, Secrets: e.Vault, Listen: ingress.Loopback}
	e.Env = eventsource.Env{
		Namespace: "default", EventSource: "test", Event: "example",
		Log: log, Secrets: e.Vault, Hooks: e.Server, State: e.Memory, Lead: Leads{},
	}
	return e
}

// URL is where a path of a port can be reached. Ports of the manifest are
// mapped to free ones of the loopback interface, so tests can use "12000" side
// by side. It waits until the port is open.
func (e *Env) URL(t testing.TB, port, path string) string {
	t.Helper()
	var addr string
	Eventually(t, "port "+port+" to open", func() bool {
		addr = e.Server.Addr(port)
		return addr != ""
	})
	scheme := "http://"
	if e.Server.Secure(port) {
		scheme = "https://"
	}
	return scheme + addr + path
}

// writer sends log lines to the test's own log.
type writer struct{ t testing.TB }

func (w writer) Write(b []byte) (int, error) {
	w.t.Log(string(b[:max(0, len(b)-1)]))
	return len(b), nil
}

// Leads is an eventsource.Leader that is always the one.
type Leads struct{}

var _ eventsource.Leader = Leads{}

// Lead implements eventsource.Leader.
func (Leads) Lead(ctx context.Context, _ string, run func(ctx context.Context) error) error {
	for ctx.Err() == nil {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// State is an eventsource.State in memory. The zero value is ready for use.
type State struct {
	mu     sync.Mutex
	values map[string][]byte
	err    error
}

var _ eventsource.State = (*State)(nil)

// Get implements eventsource.State.
func (s *State) Get(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.err != nil {
		return nil, s.err
	}
	v, ok := s.values[key]
	if !ok {
		return nil, nil
	}
	return append([]byte{}, v...), nil
}

// Put implements eventsource.State.
func (s *State) Put(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.err != nil {
		return s.err
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[key] = append([]byte{}, value...)
	return nil
}

// Fail makes Get and Put return err until it is called with nil.
func (s *State) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// All is a copy of what is stored.
func (s *State) All() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for k, v := range s.values {
		all[k] = string(v)
	}
	return all
}

// Vault is a secret.Reader in memory. The zero value is empty and ready for use.
type Vault struct {
	mu      sync.RWMutex
	objects secret.Objects
}

var _ secret.Reader = (*Vault)(nil)

// Set stores a value under the name and key of a secret or ConfigMap.
func (v *Vault) Set(name, key, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]map[string][]byte{}
	maps.Copy(all, v.objects.Secrets)
	keys := maps.Clone(all[name])
	if keys == nil {
		keys = map[string][]byte{}
	}
	keys[key] = []byte(value)
	all[name] = keys
	v.objects = secret.Objects{Secrets: all, ConfigMaps: all}
}

// Secret implements secret.Reader.
func (v *Vault) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.objects.Secret(ctx, ref)
}

// ConfigMap implements secret.Reader.
func (v *Vault) ConfigMap(ctx context.Context, ref *corev1.ConfigMapKeySelector) ([]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.objects.ConfigMap(ctx, ref)
}
