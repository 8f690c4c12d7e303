package eventsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// scripted is a kind whose source does what the test says.
type scripted struct {
	v1alpha1.EventCommon `json:",inline"`
}

func (*scripted) Default()        {}
func (*scripted) Validate() error { return nil }

type run func(ctx context.Context, emit Emit) error

func (r run) Run(ctx context.Context, emit Emit) error { return r(ctx, emit) }

func scriptedKind(r run) Kind {
	return Kind{
		Kind:      kind.Of("scripted", func(scripted, Env) (Source, error) { return r, nil }),
		EventType: "scripted.type",
	}
}

// bus is a Publisher that keeps what it is given.
type bus struct {
	mu     sync.Mutex
	err    error
	to     []eventbus.Address
	ids    []string
	events []*event.Event
}

func (b *bus) Publish(_ context.Context, to eventbus.Address, id string, e *event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.to, b.ids, b.events = append(b.to, to), append(b.ids, id), append(b.events, e)
	return nil
}

type fixture struct {
	runner  *Runner
	bus     *bus
	metrics *telemetry.Metrics
	log     *bytes.Buffer
}

func newFixture(t *testing.T, k Kind, manifest string) *fixture {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{bus: &bus{}, metrics: telemetry.New("test", "test"), log: &bytes.Buffer{}}
	f.runner, err = NewRunner(RunnerConfig{
		Namespace: "ns", EventSource: "es", Event: "ev", Kind: k, Config: c,
		Publisher: f.bus, Metrics: f.metrics, Log: slog.New(slog.NewTextHandler(f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) count(t *testing.T, want string) {
	t.Helper()
	m, l := f.metrics, []string{"ns", "es", "ev"}
	got := fmt.Sprintf("sent %v failed %v unread %v filtered %v",
		testutil.ToFloat64(m.EventsSent.WithLabelValues(l...)), testutil.ToFloat64(m.EventsFailed.WithLabelValues(l...)),
		testutil.ToFloat64(m.EventsUnread.WithLabelValues(l...)), testutil.ToFloat64(m.EventsFiltered.WithLabelValues(l...)))
	if got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

func TestRunRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		gone := errors.New("no such topic")
		f := newFixture(t, scriptedKind(func(context.Context, Emit) error {
			starts = append(starts, time.Now())
			switch len(starts) {
			case 1:
				panic("boom")
			case 2:
				return nil // which it must not
			case 10:
				time.Sleep(2 * time.Minute)
				return errors.New("lost")
			case 11:
				return Permanent(gone)
			default:
				return errors.New("refused")
			}
		}), "{}")
		err := f.runner.Run(t.Context())
		if !errors.Is(err, gone) {
			t.Errorf("Run returned %v, want %v", err, gone)
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60, 121}
		for i := range want {
			least := want[i] * time.Second
			most := least + least/4
			if got := starts[i+1].Sub(starts[i]); got < least || got > most {
				t.Errorf("try %d came after %s, want %s to %s", i+2, got, least, most)
			}
		}
		log := f.log.String()
		for _, want := range []string{"panic: boom", "runner_test.go", "not told to", "source runs again", "retry_in=1m0s"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
		if n := strings.Count(log, "refused"); n > 5 {
			t.Errorf("the same error is logged %d times", n)
		}
		if strings.Contains(log, gone.Error()) {
			t.Error("the error that is returned is logged too")
		}
		if s := f.runner.Status(); s.Running || !s.Ended || s.Error != gone.Error() {
			t.Errorf("status %+v", s)
		}
	})
}

func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, source := range map[string]run{
			"while it runs":   func(ctx context.Context, _ Emit) error { <-ctx.Done(); return ctx.Err() },
			"while it waits":  func(context.Context, Emit) error { return errors.New("refused") },
			"while it panics": func(ctx context.Context, _ Emit) error { <-ctx.Done(); panic("boom") },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			start := time.Now()
			f := newFixture(t, scriptedKind(source), "{}")
			if err := f.runner.Run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 90*time.Second {
				t.Errorf("%s: ended after %s", name, took)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		f := newFixture(t, scriptedKind(func(ctx context.Context, emit Emit) error {
			if tries++; tries == 1 {
				time.Sleep(5 * time.Second)
				return errors.New("refused")
			}
			if err := emit(ctx, Event{Data: []byte("{}")}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}), "{}")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		if s := f.runner.Status(); s.Running {
			t.Errorf("before: %+v", s)
		}
		go func() { done <- f.runner.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		at := func(what string, after time.Duration, running bool, since time.Duration, text string, failures int) {
			t.Helper()
			time.Sleep(time.Until(begin.Add(after)))
			synctest.Wait()
			s := f.runner.Status()
			if s.Running != running || s.Error != text || s.Failures != failures || s.Since.Sub(begin).Truncate(time.Second) != since {
				t.Errorf("%s: %+v since %s", what, s, s.Since.Sub(begin))
			}
		}
		gauge := func(want float64) {
			t.Helper()
			if got := testutil.ToFloat64(f.metrics.SourcesRunning.WithLabelValues("ns", "es")); got != want {
				t.Errorf("%v sources run, want %v", got, want)
			}
		}
		at("at first", 0, true, 0, "", 0)
		gauge(1)
		at("between tries", 5500*time.Millisecond, false, 5*time.Second, "refused", 1)
		gauge(0)
		at("after the second try", 8*time.Second, true, 6*time.Second, "refused", 1)
		at("after a good minute", 70*time.Second, true, 6*time.Second, "", 0)
		if last := f.runner.Status().LastEvent.Sub(begin).Truncate(time.Second); last != 6*time.Second {
			t.Errorf("last event after %s", last)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		gauge(0)
	})
}

var randomID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func TestEmit(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	f := newFixture(t, scriptedKind(func(ctx context.Context, emit Emit) error {
		for _, e := range []Event{
			{Data: []byte(`{"a":1}`)},
			{
				ID: "1", Data: []byte("hi"), ContentType: "text/plain", Time: when, Source: "/my source%2F", Type: "their.type",
				Subject: "sub", DataSchema: "urn:x", Extensions: map[string]string{"traceparent": "00-1-2-01"},
			},
		} {
			if err := emit(ctx, e); err != nil {
				return Permanent(err)
			}
		}
		return Permanent(errors.New("end"))
	}), "{}")
	before := time.Now()
	if err := f.runner.Run(t.Context()); err == nil || err.Error() != "end" {
		t.Fatal(err)
	}
	own, theirs := f.bus.events[0], f.bus.events[1]
	if f.bus.to[0] != (eventbus.Address{Source: "es", Event: "ev"}) {
		t.Errorf("published to %+v", f.bus.to[0])
	}
	if !randomID.MatchString(own.ID()) || f.bus.ids[0] != own.ID() {
		t.Errorf("id %q, on the bus %q", own.ID(), f.bus.ids[0])
	}
	got := []string{own.SpecVersion(), own.Source(), own.Subject(), own.Type(), own.DataContentType(), string(own.Data())}
	if want := `[1.0 es ev scripted.type application/json {"a":1}]`; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if own.Time().Before(before.Add(-time.Second)) || own.Time().After(time.Now().Add(time.Second)) {
		t.Errorf("time %s", own.Time())
	}
	if err := own.Validate(); err != nil {
		t.Error(err)
	}
	got = []string{
		theirs.ID(), theirs.Source(), theirs.Subject(), theirs.Type(), theirs.DataContentType(), string(theirs.Data()),
		theirs.DataSchema(), theirs.Time().Format(time.RFC3339Nano), fmt.Sprint(theirs.Extensions()),
	}
	if want := `[1 /my source%2F sub their.type text/plain hi urn:x 2026-01-02T03:04:05.000000678Z map[traceparent:00-1-2-01]]`; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.bus.ids[1] != "/my source%2F 1" {
		t.Errorf("id on the bus: %q", f.bus.ids[1])
	}
	f.count(t, "sent 2 failed 0 unread 0 filtered 0")
}

func TestEmitFails(t *testing.T) {
	for name, tt := range map[string]struct {
		bus      error
		event    Event
		tooLarge bool
	}{
		"the bus is away":    {eventbus.ErrUnavailable, Event{}, false},
		"too large":          {fmt.Errorf("publish: %w", eventbus.ErrTooLarge), Event{}, true},
		"a wrong extension":  {nil, Event{Extensions: map[string]string{"a-b": "c"}}, false},
		"a reserved keyword": {nil, Event{Extensions: map[string]string{"source": "c"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, scriptedKind(func(ctx context.Context, emit Emit) error {
				for range 3 {
					if err := emit(ctx, tt.event); errors.Is(err, ErrTooLarge) != tt.tooLarge || err == nil {
						t.Errorf("emit returned %v", err)
					}
				}
				return Permanent(errors.New("end"))
			}), "{}")
			f.bus.err = tt.bus
			_ = f.runner.Run(t.Context())
			f.count(t, "sent 0 failed 3 unread 0 filtered 0")
			if n := strings.Count(f.log.String(), "event not stored"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, f.log)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	tests := []struct {
		name, manifest string
		data           []string
		stored         int
		count          string
	}{
		{"none", "{}", []string{`{"a":1}`}, 1, "sent 1 failed 0 unread 0 filtered 0"},
		{"empty", "filter: {}", []string{`{"a":1}`}, 1, "sent 1 failed 0 unread 0 filtered 0"},
		{"blank", "filter: {expression: ' '}", []string{`[]`}, 1, "sent 1 failed 0 unread 0 filtered 0"},
		{"some pass", "filter: {expression: a > 1}", []string{`{"a":1}`, `{"a":2}`}, 1, "sent 1 failed 0 unread 0 filtered 1"},
		{"errors", "filter: {expression: a.b.c == 1}", []string{`{"a":{}}`, `{"a":{"b":{"c":1}}}`}, 1, "sent 1 failed 0 unread 1 filtered 0"},
		{"no boolean", "filter: {expression: a}", []string{`{"a":1}`}, 0, "sent 0 failed 0 unread 1 filtered 0"},
		{"no object", "filter: {expression: 'true'}", []string{`[1]`, `x`}, 0, "sent 0 failed 0 unread 2 filtered 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, scriptedKind(func(ctx context.Context, emit Emit) error {
				for _, d := range tt.data {
					if err := emit(ctx, Event{Data: []byte(d)}); err != nil {
						t.Error(err)
					}
				}
				return Permanent(errors.New("end"))
			}), tt.manifest)
			_ = f.runner.Run(t.Context())
			if len(f.bus.events) != tt.stored {
				t.Errorf("%d events stored, want %d", len(f.bus.events), tt.stored)
			}
			f.count(t, tt.count)
		})
	}
}

func TestCountersBeginAtZero(t *testing.T) {
	f := newFixture(t, scriptedKind(nil), "{}")
	for _, v := range []int{
		testutil.CollectAndCount(f.metrics.EventsSent), testutil.CollectAndCount(f.metrics.EventsFailed),
		testutil.CollectAndCount(f.metrics.EventsUnread), testutil.CollectAndCount(f.metrics.EventsFiltered),
		testutil.CollectAndCount(f.metrics.SourcesRunning), testutil.CollectAndCount(f.metrics.EventDuration),
	} {
		if v != 1 {
			t.Error("a counter is not there before the first event")
		}
	}
}

func TestDecodeChecksTheFilter(t *testing.T) {
	_, err := scriptedKind(nil).Decode([]byte(`{"filter":{"expression":"a =="},"metdata":{}}`))
	var got []string
	for _, p := range v1alpha1.Problems(err) {
		got = append(got, p.Severity.String()+" "+p.Path)
		if strings.Contains(p.Message, "\n") {
			t.Errorf("message of several lines: %q", p.Message)
		}
	}
	if want := "[warning metdata error filter.expression]"; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s: %v", got, want, err)
	}
}
