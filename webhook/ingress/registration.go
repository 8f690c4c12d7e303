package ingress

import (
	"net/http"
	"sync"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// registration is one call of Serve.
type registration struct {
	route   eventsource.Route
	pattern pattern
	handler http.Handler
	answers answers

	mu       sync.RWMutex
	ended    bool
	inFlight sync.WaitGroup
}

func newRegistration(route eventsource.Route, h http.Handler, m *telemetry.Metrics) (*registration, error) {
	p, err := parsePattern(route.Path)
	if err != nil {
		return nil, err
	}
	route.Path = p.path
	return &registration{route: route, pattern: p, handler: h, answers: countOf(m, route.Owner)}, nil
}

// enter counts a request in, unless the registration has ended.
func (r *registration) enter() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.ended {
		return false
	}
	r.inFlight.Add(1)
	return true
}

// end lets no more requests in.
func (r *registration) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}
