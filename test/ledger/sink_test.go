package ledger_test

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// request is one request as the sink got it.
type request struct {
	method, path string
	header       http.Header
	body         string
}

// sink is where actions arrive. It writes down who came.
type sink struct {
	t    *testing.T
	addr string
	// delay is what an action takes. One whose sender goes before the end has not
	// taken place.
	delay time.Duration

	mu     sync.Mutex
	server *httptest.Server
	acts   map[string]*act // by the id in the body
	last   request
	// replicas counts requests by their X-Replica header.
	replicas map[string]int
	// versions has the X-Version headers that were seen.
	versions map[string]bool
}

// act is what arrived of one event. Requests count when they come; first is when
// the first came to its end.
type act struct {
	first time.Time
	hits  int
	keys  map[string]bool
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, acts: map[string]*act{}, replicas: map[string]int{}, versions: map[string]bool{}}
	s.addr = freeAddr(t)
	s.up()
	t.Cleanup(s.down)
	return s
}

func (s *sink) url() string { return "http://" + s.addr + "/act" }

// up makes the sink take connections, at the same address each time.
func (s *sink) up() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr) //nolint:noctx // returns at once
	if err != nil {
		s.t.Fatalf("sink: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
}

// down makes connections to the sink fail.
func (s *sink) down() {
	s.mu.Lock()
	server := s.server
	s.server = nil
	s.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

func (s *sink) serve(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off: the action did not take place
	}
	var payload struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &payload); err != nil || payload.ID == "" {
		s.t.Errorf("sink got a body without an id: %s", body)
		return
	}
	s.note(payload.ID, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
	done := time.NewTimer(s.delay)
	defer done.Stop()
	select {
	case <-done.C:
		s.finish(payload.ID)
	case <-r.Context().Done():
	}
}

func (s *sink) note(id string, r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acts[id]
	if a == nil {
		a = &act{keys: map[string]bool{}}
		s.acts[id] = a
	}
	a.hits++
	a.keys[r.header.Get("Idempotency-Key")] = true
	s.replicas[r.header.Get("X-Replica")]++
	s.versions[r.header.Get("X-Version")] = true
	s.last = r
}

func (s *sink) finish(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.acts[id]; a.first.IsZero() {
		a.first = time.Now()
	}
}

func (s *sink) seen(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acts[id] != nil && !s.acts[id].first.IsZero()
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acts)
}

func (s *sink) hasVersion(v string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[v]
}

// latest is the last request.
func (s *sink) latest() request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *sink) byReplica() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.replicas)
}

// result compares what was accepted with what was acted on.
type result struct {
	accepted, refused int
	// lost are accepted and not acted on.
	lost []string
	// repeated is how many more requests came than there were events: what a sink
	// that ignores Idempotency-Key does twice.
	repeated int
	// twice is how many events came with more than one Idempotency-Key: what a
	// sink that honours it does twice.
	twice int
	// slowest is the longest time from an event's acceptance to its action.
	slowest time.Duration
}

func (s *sink) compare(l *load) result {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := result{accepted: len(l.accepted), refused: l.refused}
	for id, at := range l.accepted {
		a := s.acts[id]
		if a == nil || a.first.IsZero() {
			r.lost = append(r.lost, id)
			continue
		}
		r.slowest = max(r.slowest, a.first.Sub(at))
	}
	for id, a := range s.acts {
		r.repeated += a.hits - 1
		r.twice += len(a.keys) - 1
		if !l.tried[id] {
			s.t.Errorf("sink got %q, which nobody sent", id)
		}
	}
	return r
}
