// Package ingress is the one HTTP server of the process, and what sources need
// in order to receive webhooks by it: credentials, limits, signatures, answers.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// Server serves the routes of all sources of the process. A port is opened with
// its first route and closed when its last one has ended. Each port answers
// /health with 200 OK, whatever the method, unless a route claims that path.
//
// Set the fields before the first use; Log and Secrets are required.
type Server struct {
	// Host is the address to listen on. Empty means all interfaces.
	Host string
	Log  *slog.Logger
	// Secrets holds the certificates of routes that bring no secrets of their own.
	Secrets secret.Reader
	// Limits that hold for all ports; the zero value has the defaults.
	Limits Limits
	// Metrics counts answers; nil counts nothing.
	Metrics *telemetry.Metrics
	// Listen opens a port. Nil listens on Host.
	Listen func(ctx context.Context, port string) (net.Listener, error)

	mu       sync.Mutex
	ports    map[string]*port
	once     sync.Once
	room     *room
	stray    answers // of requests without a route
	draining atomic.Bool
}

var _ eventsource.Hooks = (*Server)(nil)

// Loopback is a Listen for tests: it opens a free port of the loopback
// interface, whatever the port asked for. Addr tells which.
func Loopback(ctx context.Context, _ string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}

// Serve implements eventsource.Hooks. Of several routes that answer the same
// method at the same path, the newest gets the requests; when it ends, the next
// newest does.
func (s *Server) Serve(ctx context.Context, route eventsource.Route, h http.Handler) error {
	if ctx.Err() != nil {
		return nil
	}
	s.once.Do(func() {
		s.room = newRoom(s.Limits.withDefaults())
		s.stray = countOf(s.Metrics, eventsource.Owner{})
	})
	r, err := newRegistration(route, h, s.Metrics)
	if err != nil {
		return err
	}
	p, err := s.add(ctx, r)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.done: // the socket failed
		err = fmt.Errorf("port %s: %w", p.number, p.err)
	}
	last := s.remove(p, r)
	r.inFlight.Wait()
	if last {
		p.shutdown()
	}
	return err
}

// Addr is the address at which a port listens, or "" while it does not.
func (s *Server) Addr(portNumber string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.ports[portNumber]; p != nil {
		return p.listener.Addr().String()
	}
	return ""
}

// Secure tells whether a port speaks HTTPS.
func (s *Server) Secure(portNumber string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[portNumber]
	return p != nil && p.listener.cert.Load() != nil
}

// Drain says that the process is about to end: requests for routes that have
// ended already are answered 503 with Retry-After from now on, not 404, so that
// senders try again instead of giving up.
func (s *Server) Drain() { s.draining.Store(true) }

// add opens the port where needed and puts r on it.
func (s *Server) add(ctx context.Context, r *registration) (*port, error) {
	secrets := r.route.Secrets
	if secrets == nil {
		secrets = s.Secrets
	}
	cert, err := loadCertificate(ctx, secrets, r.route)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", r.route.Port, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[r.route.Port]
	if p == nil {
		if p, err = s.open(ctx, r.route.Port); err != nil {
			return nil, err
		}
	}
	if other := p.clash(r); other != nil {
		return nil, fmt.Errorf("port %s: %s is served with other certificates than %s; all routes of a port have to name the same",
			r.route.Port, other.route.Path, r.route.Path)
	}
	p.listener.cert.Store(cert)
	p.routes = append(p.routes, r)
	p.changed()
	if len(p.routes) == 1 {
		p.serve()
		s.Log.Info("port open", "port", r.route.Port, "address", p.listener.Addr().String(), "tls", cert != nil)
	}
	return p, nil
}

// open listens. The port is not in use until a route is put on it, which add
// does before it lets go of the lock.
func (s *Server) open(ctx context.Context, number string) (*port, error) {
	listen := s.Listen
	if listen == nil {
		listen = func(ctx context.Context, number string) (net.Listener, error) {
			var lc net.ListenConfig
			return lc.Listen(ctx, "tcp", net.JoinHostPort(s.Host, number))
		}
	}
	l, err := listen(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", number, err)
	}
	p := newPort(s, number, l)
	if s.ports == nil {
		s.ports = map[string]*port{}
	}
	s.ports[number] = p
	return p, nil
}

// remove takes r off its port and tells whether it was the last. The listening
// socket of a port without routes is closed before another can be opened.
func (s *Server) remove(p *port, r *registration) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.drop(r)
	r.end()
	if len(p.routes) > 0 {
		return false
	}
	delete(s.ports, p.number)
	p.ending.Store(true)
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.Log.Warn("closing a port", "port", p.number, "error", err)
	}
	s.Log.Info("port closed", "port", p.number)
	return true
}
