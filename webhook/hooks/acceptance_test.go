package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/lease"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// vault is a secret that changes.
type vault struct{ value atomic.Pointer[string] }

func newVault(s string) *vault { v := &vault{}; v.set(s); return v }

func (v *vault) set(s string) { v.value.Store(&s) }

func (v *vault) Secret(context.Context, *corev1.SecretKeySelector) ([]byte, error) {
	s := *v.value.Load()
	if s == "" {
		return nil, errors.New("no such secret")
	}
	return []byte(s), nil
}

func (v *vault) ConfigMap(context.Context, *corev1.ConfigMapKeySelector) ([]byte, error) {
	return nil, errors.New("no such ConfigMap")
}

// replica is one process that keeps the hooks of an entry.
type replica struct {
	keeper *hooks.Keeper
	client *client
	keys   *verify.Keys
	lease  *cutLease
	stop   func()
}

// cutLease is a store that a process which is gone does not write to any more.
type cutLease struct {
	lease.Store
	state eventsource.State
	dead  atomic.Bool
}

var errDead = errors.New("the process is gone")

func (c *cutLease) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if c.dead.Load() {
		return 0, errDead
	}
	return c.Store.Update(ctx, key, value, revision)
}

func (c *cutLease) Put(ctx context.Context, key string, value []byte) error {
	if c.dead.Load() {
		return errDead
	}
	return c.state.Put(ctx, key, value)
}

type cutState struct{ *cutLease }

func (c cutState) Get(ctx context.Context, key string) ([]byte, error) {
	return c.state.Get(ctx, key)
}

func start(t *testing.T, v *vendor, bus *eventbus.Bus, secret *vault, repos []string, change ...func(*client)) *replica {
	t.Helper()
	state, lease := eventsource.OnBus(bus.State(), "shop", "push")
	cut := &cutLease{Store: lease.Store, state: state}
	lease.Store = cut
	r := &replica{client: v.client(t), lease: cut}
	for _, f := range change {
		f(r.client)
		lease.TTL = 3 * time.Second
	}
	r.keys = &verify.Keys{Secrets: secret, Refs: []*corev1.SecretKeySelector{{Key: "k"}}}
	r.keeper = &hooks.Keeper{
		API:     r.client,
		Targets: func(context.Context) ([]string, error) { return repos, nil },
		Want:    hooks.Hook{URL: ourURL, Events: []string{"push"}, Active: true, Settings: map[string]string{"content_type": "json"}},
		Keys:    r.keys, State: cutState{cut}, Lead: lease, Log: slog.New(slog.DiscardHandler), DeleteOnFinish: true,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.keeper.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func names(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("org/repo%03d", i))
	}
	return out
}

func allSigned(v *vendor, repos []string, secret string) func() bool {
	return func() bool {
		for _, r := range repos {
			list := v.hooks(r)
			if len(list) == 0 || list[len(list)-1].Secret != secret {
				return false
			}
		}
		return true
	}
}

// TestLifecycle is the life of the hooks of 100 repositories with two replicas.
func TestLifecycle(t *testing.T) {
	bus := bustest.Open(t, bustest.Link(t, bustest.Server(t)), eventbus.Config{})
	repos := names(100)
	v := newVendor(t, repos...)
	theirs := stored{URL: "https://ci.example.com", Events: []string{"push"}, Active: true, Type: "json"}
	for range 3 { // more than a page before ours
		v.put(repos[7], theirs)
	}
	secret := newVault("first")
	replicas := []*replica{start(t, v, bus, secret, repos), start(t, v, bus, secret, repos)}
	eventually(t, "each repository has its hook", allSigned(v, repos, "first"))
	for _, r := range repos {
		if n := v.made(r); n != 1 {
			t.Errorf("%s: %d hooks were made", r, n)
		}
	}
	if a, b := replicas[0].client.made.Load(), replicas[1].client.made.Load(); a+b != 100 || a*b != 0 {
		t.Errorf("the replicas made %d and %d hooks", a, b)
	}

	// The secret changes while deliveries come in, on both replicas.
	delivering, stop := context.WithCancel(t.Context())
	var sent, refused atomic.Int64
	var wg sync.WaitGroup
	scheme := verify.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256="}
	wg.Go(func() {
		for i := 0; delivering.Err() == nil; i++ {
			hook := v.hooks(repos[i%100])
			h, payload := http.Header{}, fmt.Appendf(nil, `{"n":%d}`, i)
			if err := scheme.Sign(h, payload, []byte(hook[len(hook)-1].Secret), time.Now()); err != nil {
				t.Error(err)
			}
			keys, err := replicas[i%2].keys.Read(context.Background())
			if err != nil || verify.Any(scheme, h, payload, keys, time.Now()) != nil {
				refused.Add(1)
			}
			sent.Add(1)
			time.Sleep(time.Millisecond)
		}
	})
	eventually(t, "some deliveries", func() bool { return sent.Load() > 50 })
	for _, value := range []string{"second", "third"} {
		secret.set(value)
		eventually(t, "hooks signed with the "+value+" secret", allSigned(v, repos, value))
	}
	after := sent.Load()
	eventually(t, "more deliveries", func() bool { return sent.Load() > after+50 })
	stop()
	wg.Wait()
	if refused.Load() > 0 {
		t.Errorf("%d of %d deliveries were refused", refused.Load(), sent.Load())
	}

	// A restart changes nothing, and remembers what the hooks are signed with.
	for _, r := range replicas {
		r.stop()
	}
	before, same := v.asked()
	if same < 100 {
		t.Errorf("%d answers were the same as before, want those of the second rotation", same)
	}
	again := start(t, v, bus, secret, repos)
	eventually(t, "all are looked at again", func() bool {
		all, _ := v.asked()
		return all >= before+101
	})
	again.stop()
	for _, r := range repos {
		if n := v.made(r); n != 1 {
			t.Errorf("%s: %d hooks were made", r, n)
		}
	}

	// The EventSource is deleted.
	if err := again.keeper.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range repos {
		want := 0
		if i == 7 {
			want = 3
		}
		if got := v.hooks(r); len(got) != want {
			t.Errorf("%s: left are %+v", r, got)
		}
	}
	if err := again.keeper.Finish(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestLeaderDies kills the process that leads while it makes hooks.
func TestLeaderDies(t *testing.T) {
	bus := bustest.Open(t, bustest.Link(t, bustest.Server(t)), eventbus.Config{})
	repos := names(100)
	v := newVendor(t, repos...)
	secret := newVault("s3cr3t")
	first := start(t, v, bus, secret, repos, func(c *client) { c.dies = 40 })
	eventually(t, "some hooks are there", first.client.dead.Load)
	first.lease.dead.Store(true)
	second := start(t, v, bus, secret, repos)
	eventually(t, "each repository has its hook", allSigned(v, repos, "s3cr3t"))
	for _, r := range repos {
		if got := v.hooks(r); len(got) != 1 {
			t.Errorf("%s: %+v", r, got)
		}
	}
	if n := second.client.made.Load(); n < 50 || n > 60 {
		t.Errorf("the second replica made %d hooks", n)
	}
}
