package sensor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/telemetry"
	"github.com/signalbox-events/signalbox/sensor"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a kind of trigger that records what it is fired with.
type probe struct {
	mu    sync.Mutex
	fired []trigger.Input
	// answer decides what Fire returns; nil means success.
	answer func(ctx context.Context, text string, in trigger.Input) error
	// onFire is told which trigger fires.
	onFire func(*probeTrigger)
	// await is how what is fired ends; nil means that it is over at once.
	await func(ctx context.Context, text string, f trigger.Following) (trigger.Outcome, error)
	// acts says that it is await that acts.
	acts bool
}

// probeConfig is the configuration of the kind "probe".
type probeConfig struct {
	Text   string           `json:"text,omitempty"`
	Must   string           `json:"must,omitempty"`
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

func (*probeConfig) Default() {}

func (c *probeConfig) Validate() error {
	if c.Must == "fail" {
		return v1alpha1.Invalid("must", "is not to be fail")
	}
	return nil
}

func (p *probe) kinds() trigger.Kinds {
	return trigger.Kinds{{
		Kind: kind.Of("probe", func(c probeConfig, e trigger.Env) (trigger.Trigger, error) {
			return &probeTrigger{p, c.Text, e}, nil
		}),
		Follow: &trigger.Follow{
			Block: func(c kind.Config) *v1alpha1.Follow { return c.(*probeConfig).Follow },
			Await: func(ctx context.Context, t trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
				return p.await(ctx, t.(*probeTrigger).text, f)
			},
			Acts: p.acts,
		},
	}}
}

type probeTrigger struct {
	p    *probe
	text string
	env  trigger.Env
}

func (t *probeTrigger) Render(_ context.Context, in trigger.Input) (trigger.Action, error) {
	spec, err := json.Marshal(map[string]string{"text": t.text, "id": in.ID})
	return trigger.Action{Kind: "probe", Spec: spec}, err
}

func (t *probeTrigger) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	t.p.mu.Lock()
	t.p.fired = append(t.p.fired, in)
	answer, await := t.p.answer, t.p.await
	t.p.mu.Unlock()
	if t.p.onFire != nil {
		t.p.onFire(t)
	}
	r := trigger.Result{Summary: "probed", Details: map[string]any{"text": t.text}}
	if await != nil {
		r.Follow = json.RawMessage(`{"run":1}`)
	}
	if answer != nil {
		return r, answer(ctx, t.text, in)
	}
	return r, nil
}

func (t *probeTrigger) Close() error { return nil }

// inputs waits until there are n calls, and a little for more than n.
func (p *probe) inputs(t *testing.T, n int) []trigger.Input {
	t.Helper()
	eventually(t, fmt.Sprintf("%d calls", n), func() bool { return p.count() >= n })
	settle()
	if got := p.count(); got != n {
		t.Fatalf("fired %d times, want %d", got, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.fired)
}

func (p *probe) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fired)
}

// settle gives what must not happen a moment to happen.
func settle() { time.Sleep(100 * time.Millisecond) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// parse reads a Sensor's YAML.
func parse(t *testing.T, text string) *v1alpha1.Sensor {
	t.Helper()
	s := &v1alpha1.Sensor{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	if s.Name == "" {
		s.Name = "s"
	}
	return s
}

func compile(t *testing.T, text string, p *probe) *sensor.Plan {
	t.Helper()
	plan, err := sensor.Compile(parse(t, text), p.kinds())
	if err := v1alpha1.Fatal(err); err != nil || plan == nil {
		t.Fatal(err)
	}
	return plan
}

// running is a sensor that runs until stop is called or the test ends.
type running struct {
	*sensor.Sensor
	stop    func()
	metrics *telemetry.Metrics
	log     *lines // warnings and worse
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, bus *eventbus.Bus, text string, p *probe) *running {
	t.Helper()
	r := &running{metrics: telemetry.New("test", ""), log: &lines{}}
	s := sensor.New(compile(t, text, p), sensor.Env{
		Bus: bus, Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelWarn})), Metrics: r.metrics,
		Secrets: secret.Dir(""), Grace: 5 * time.Second, LeaseTTL: time.Second,
	})
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	r.Sensor, r.stop = s, stop
	return r
}

func publish(t *testing.T, bus *eventbus.Bus, source, name, id, data string) {
	t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetSource(source)
	e.SetSubject(name)
	e.SetType("test")
	e.SetTime(time.Now())
	if err := e.SetData(event.ApplicationJSON, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(t.Context(), eventbus.Address{Source: source, Event: name}, id, &e); err != nil {
		t.Fatal(err)
	}
}

// idle waits until the bus has noted that nothing is left to do.
func idle(t *testing.T, bus *eventbus.Bus) {
	t.Helper()
	eventually(t, "idle consumer", func() bool {
		infos, err := bus.Consumers(t.Context())
		if err != nil {
			return false
		}
		for _, i := range infos {
			if i.Waiting+i.InWork > 0 {
				return false
			}
		}
		return true
	})
}

func letters(t *testing.T, bus *eventbus.Bus) []eventbus.DeadLetter {
	t.Helper()
	ls, err := bus.DeadLetters().List(t.Context(), eventbus.DeadFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

// stateLeft lists the keys of the sensor's state, without the join documents.
func stateLeft(t *testing.T, bus *eventbus.Bus) []string {
	t.Helper()
	keys, err := bus.State().Keys(t.Context(), "sensor/s")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "sensor/s/t/join" || k == "sensor/s/t/rate" })
}

func ids(in trigger.Input) map[string]string {
	out := map[string]string{}
	for dep, e := range in.Events {
		out[dep] = e.ID()
	}
	return out
}

var errRefused = errors.New("refused")
