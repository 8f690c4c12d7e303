package hooks

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/webhook/verify"
)

// host is an API in memory. What it is asked to write it notes.
type host struct {
	mu     sync.Mutex
	hooks  map[string][]Hook
	did    []string
	fail   map[string]error // by target
	limits []error          // for the next calls
	ids    int
	secret map[string]string // by hook
	lists  int
	atOnce int
	most   int
	panics bool
}

func (h *host) enter(target string) error {
	h.mu.Lock()
	h.atOnce++
	h.most = max(h.most, h.atOnce)
	h.mu.Unlock()
	time.Sleep(time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.atOnce--
	if h.panics {
		panic("boom")
	}
	if len(h.limits) > 0 {
		err := h.limits[0]
		h.limits = h.limits[1:]
		return err
	}
	return h.fail[target]
}

func (h *host) note(format string, args ...any) { h.did = append(h.did, fmt.Sprintf(format, args...)) }

func (h *host) List(_ context.Context, target string) ([]Hook, error) {
	if err := h.enter(target); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists++
	return slices.Clone(h.hooks[target]), nil
}

func (h *host) Create(_ context.Context, target string, want Hook, secret []byte) (string, error) {
	if err := h.enter(target); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	want.ID = fmt.Sprintf("new%d", h.ids)
	h.hooks[target] = append(h.hooks[target], want)
	h.secret[want.ID] = string(secret)
	h.note("create %s %s", target, secret)
	return want.ID, nil
}

func (h *host) Update(_ context.Context, target string, want Hook, secret []byte) error {
	if err := h.enter(target); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.hooks[target] {
		if h.hooks[target][i].ID == want.ID {
			h.hooks[target][i] = want
		}
	}
	if secret != nil {
		h.secret[want.ID] = string(secret)
	}
	h.note("update %s %s %s", target, want.ID, secret)
	return nil
}

func (h *host) Delete(_ context.Context, target, id string) error {
	if err := h.enter(target); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks[target] = slices.DeleteFunc(h.hooks[target], func(o Hook) bool { return o.ID == id })
	h.note("delete %s %s", target, id)
	return nil
}

// done are the writes since the last call, sorted.
func (h *host) done() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	did := h.did
	h.did = nil
	slices.Sort(did)
	return strings.Join(did, "; ")
}

func (h *host) listed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lists
}

func (h *host) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// store is a State in memory.
type store struct {
	mu    sync.Mutex
	value map[string][]byte
	err   error
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value[key], s.err
}

func (s *store) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.value[key] = value
	}
	return s.err
}

type always struct{}

func (always) Lead(ctx context.Context, _ string, run func(context.Context) error) error {
	return run(ctx)
}

// safe is a secret.
type safe struct {
	mu    sync.Mutex
	value string
}

func (s *safe) Secret(context.Context, *corev1.SecretKeySelector) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []byte(s.value), nil
}

func (s *safe) ConfigMap(context.Context, *corev1.ConfigMapKeySelector) ([]byte, error) {
	return nil, nil
}

func (s *safe) set(v string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = v
}

// written is a log that is read while it is written.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

type world struct {
	host    *host
	state   *store
	safe    *safe
	log     *written
	keeper  *Keeper
	targets []string
}

const url = "https://events.example.com/push"

func newWorld(targets ...string) *world {
	w := &world{
		host:  &host{hooks: map[string][]Hook{}, fail: map[string]error{}, secret: map[string]string{}},
		state: &store{value: map[string][]byte{}}, safe: &safe{value: "one"}, log: &written{}, targets: targets,
	}
	w.keeper = &Keeper{
		API:     w.host,
		Targets: func(context.Context) ([]string, error) { return slices.Clone(w.targets), nil },
		Want:    wanted(),
		Keys:    &verify.Keys{Secrets: w.safe, Refs: []*corev1.SecretKeySelector{{}}},
		State:   w.state, Lead: always{}, Log: slog.New(slog.NewTextHandler(w.log, nil)), Period: 10 * time.Minute,
	}
	return w
}

func wanted() Hook {
	return Hook{URL: url, Events: []string{"push", "tag"}, Active: true, Settings: map[string]string{"tls": "yes"}}
}

func with(change func(*Hook)) Hook {
	h := wanted()
	h.ID = "7"
	change(&h)
	return h
}

// during runs the keeper while f does.
func (w *world) during(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.keeper.Run(ctx) }()
	f()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// settle lets the keeper do what it does at once.
func settle() { time.Sleep(time.Second); synctest.Wait() }
