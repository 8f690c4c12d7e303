package gitpoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// process is what a replica needs of the bus, until it is killed: from then on
// nothing of it reaches the bus.
type process struct {
	bus    *eventbus.Bus
	killed atomic.Bool
	// after is called for each event that was stored.
	after func(p *process, n int64)
	n     atomic.Int64
}

var errKilled = errors.New("the process is dead")

// Publish implements eventsource.Publisher.
func (p *process) Publish(ctx context.Context, to eventbus.Address, id string, e *event.Event) error {
	if p.killed.Load() {
		return errKilled
	}
	err := p.bus.Publish(ctx, to, id, e)
	if err == nil && p.after != nil {
		p.after(p, p.n.Add(1))
	}
	if p.killed.Load() {
		return errKilled
	}
	return err
}

// dying is a State that ends with the process.
type dying struct {
	eventsource.State
	p *process
}

func (d dying) Put(ctx context.Context, key string, value []byte) error {
	if d.p.killed.Load() {
		return errKilled
	}
	return d.State.Put(ctx, key, value)
}

// start runs a replica with the real runner; if it is not to be elected, it polls at any rate.
func (p *process) start(t *testing.T, text string, elected bool) (stop func()) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	state, lease := eventsource.OnBus(p.bus.State(), "source", "event")
	config := eventsource.RunnerConfig{
		Namespace: "test", EventSource: "source", Event: "event", Kind: Kind, Config: c, Publisher: p,
		Metrics: telemetry.New("test", ""), Log: slog.New(slog.DiscardHandler), Secrets: &sourcetest.Vault{}, State: dying{state, p},
	}
	if elected {
		lease.TTL = 600 * time.Millisecond
		config.Lead = lease
	}
	r, err := eventsource.NewRunner(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx) // the source never ends for good
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// listener collects what is on the bus, as "REF BEFORE AFTER".
type listener struct {
	mu  sync.Mutex
	all []string
}

func listen(t *testing.T, bus *eventbus.Bus) *listener {
	t.Helper()
	l := &listener{}
	config := eventbus.ConsumerConfig{Sensor: "s", Trigger: "t", From: []eventbus.Address{{Source: "source", Event: "event"}}}
	if err := bus.EnsureConsumer(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- bus.Consume(ctx, config, 1, func(_ context.Context, d *eventbus.Delivery) {
			var data struct {
				Git struct{ Ref, Before, After string }
			}
			if err := json.Unmarshal(d.Event.Data(), &data); err != nil {
				t.Error(err)
			}
			l.mu.Lock()
			l.all = append(l.all, fmt.Sprintf("%s %.7s %.7s", data.Git.Ref, data.Git.Before, data.Git.After))
			l.mu.Unlock()
			if err := d.Done(); err != nil {
				t.Error(err)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// is waits until exactly these are on the bus, in any order.
func (l *listener) is(t *testing.T, want []string) {
	t.Helper()
	sourcetest.Eventually(t, fmt.Sprintf("%d events", len(want)), func() bool { return len(l.heard()) >= len(want) })
	got := l.heard()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

type world struct {
	repo   *gitrepotest.Repo
	server *gitrepotest.HTTP
	bus    *eventbus.Bus
	heard  *listener
	text   string
	want   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{repo: gitrepotest.New(t, "shop"), bus: bustest.New(t)}
	w.repo.Commit(t, main, "base", map[string]string{"a": "1"})
	w.server = w.repo.Serve(t)
	w.heard = listen(t, w.bus)
	w.text = "url: '" + w.server.Repository + "'\ninterval: 100ms"
	// It was looked at before.
	m := &memory{}
	m.learn(refs("heads/main="+w.repo.At(t, main)), selection{Branches: []string{"**"}}, false)
	state, _ := eventsource.OnBus(w.bus.State(), "source", "event")
	if err := newRecord(state, w.server.Repository).Save(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return w
}

// push moves a ref and waits until that is on the bus.
func (w *world) push(t *testing.T, ref string) {
	t.Helper()
	before := w.repo.At(t, ref)
	after := w.repo.Commit(t, ref, fmt.Sprint(len(w.want)), map[string]string{"f": fmt.Sprint(len(w.want))})
	w.want = append(w.want, fmt.Sprintf("%s %.7s %.7s", ref, before, after))
}

func (w *world) quiet(t *testing.T) {
	t.Helper()
	n := w.server.Lists.Load()
	sourcetest.Eventually(t, "more looks", func() bool { return w.server.Lists.Load() >= n+4 })
}

func TestTwoReplicas(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		(&process{bus: w.bus}).start(t, w.text, true)
	}
	for range 5 {
		w.push(t, main)
		w.heard.is(t, w.want)
	}
	w.push(t, "refs/heads/other")
	w.heard.is(t, w.want)
	w.quiet(t)
	w.heard.is(t, w.want)
}

// Even if two poll at once, which an election that errs can bring about, an event is stored once.
func TestTwoReplicasWithoutElection(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		(&process{bus: w.bus}).start(t, w.text, false)
	}
	w.push(t, main)
	w.heard.is(t, w.want)
	w.quiet(t)
	w.heard.is(t, w.want)
}

// A process that is killed after an event was stored, and before that was
// written down, is followed by one that loses nothing and repeats nothing.
func TestKilledBetweenEmitAndRemember(t *testing.T) {
	for _, at := range []int64{1, 7, saveEach, saveEach + 3} {
		t.Run(fmt.Sprint("event ", at), func(t *testing.T) {
			w := newWorld(t)
			dead := make(chan struct{})
			first := &process{bus: w.bus, after: func(p *process, n int64) {
				if n == at {
					p.killed.Store(true)
					close(dead)
				}
			}}
			tip := w.repo.At(t, main)
			var all strings.Builder
			for i := range saveEach + 5 {
				fmt.Fprintf(&all, "create refs/heads/b%03d %s\n", i, tip)
				w.want = append(w.want, fmt.Sprintf("refs/heads/b%03d  %.7s", i, tip))
			}
			w.repo.Git(t, all.String(), "update-ref", "--stdin")
			stop := first.start(t, w.text, true)
			<-dead
			stop()
			// Meanwhile refs move on.
			w.push(t, "refs/heads/b001")
			w.push(t, "refs/heads/b100")
			(&process{bus: w.bus}).start(t, w.text, true)
			w.heard.is(t, w.want)
			w.quiet(t)
			w.heard.is(t, w.want)
		})
	}
}
