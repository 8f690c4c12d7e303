package calendar

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/eventsource"
)

// station is all that a source sees of the world. Its clock runs with that of
// the synctest bubble, which begins at 2000-01-01 00:00 UTC, plus a shift.
type station struct {
	t      *testing.T
	log    bytes.Buffer
	mu     sync.Mutex
	shift  time.Duration
	events []eventsource.Event
	broken error // what emit returns
	state  map[string][]byte
	lost   error // what the state returns
}

func newStation(t *testing.T) *station { return &station{t: t, state: map[string][]byte{}} }

func (s *station) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state[key], s.lost
}

func (s *station) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.state[key] = value
	}
	return s.lost
}

func (s *station) emit(ctx context.Context, e eventsource.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.events = append(s.events, e)
	}
	return s.broken
}

func (s *station) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.shift).Round(0)
}

func (s *station) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// build makes the source from the YAML of an entry.
func (s *station) build(manifest string) *source {
	s.t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := Kind.Decode(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	src, err := Kind.Build(c, eventsource.Env{Log: slog.New(slog.NewTextHandler(&s.log, nil)), State: s})
	if err != nil {
		s.t.Fatal(err)
	}
	src.(*source).now = s.now
	return src.(*source)
}

// run starts src; the returned function stops it.
func (s *station) run(src *source) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, s.emit) }()
	return func() {
		s.t.Helper()
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	}
}

// wait lets d pass; what falls on its last instant happens, too.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// times are those of all events, as HH:MM:SS, on other days than the first with the day.
func (s *station) times() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.events {
		layout := "15:04:05"
		if e.Time.UTC().YearDay() != 1 {
			layout = "02T15:04:05"
		}
		all = append(all, e.Time.UTC().Format(layout))
	}
	return strings.Join(all, " ")
}

func (s *station) expect(want string) {
	s.t.Helper()
	if got := s.times(); got != want {
		s.t.Fatalf("ticks at %s, want %s\nlog: %s", got, want, &s.log)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range s.events {
		if seen[e.ID] {
			s.t.Fatalf("the tick %s was emitted twice", e.ID)
		}
		seen[e.ID] = true
	}
}
