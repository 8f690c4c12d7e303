package ingress

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// Limits against clients that are slow or send without end. The body's size is
// limited by whoever reads it.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// port is one listening socket with its routes. The Server's lock guards routes
// and every change of table.
type port struct {
	server   *Server
	number   string
	listener *listener
	http     *http.Server
	done     chan struct{} // closed when the accepting goroutine has ended
	err      error         // why it has, once done is closed
	routes   []*registration
	table    atomic.Pointer[table]
	ending   atomic.Bool
}

func newPort(s *Server, number string, l net.Listener) *port {
	p := &port{server: s, number: number, listener: &listener{Listener: l, log: s.Log}, done: make(chan struct{})}
	p.listener.config = p.listener.tlsConfig()
	p.http = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// What clients do wrong at the protocol's level is no concern of the operator.
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	return p
}

func (p *port) serve() {
	go func() {
		defer close(p.done)
		p.err = p.http.Serve(p.listener)
	}()
}

// shutdown waits for the connections to finish what they are at.
func (p *port) shutdown() {
	// Handlers have returned already; what is left are answers on their way out,
	// and connections on which nothing happens or nothing ever was asked.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.http.Shutdown(ctx) != nil {
		_ = p.http.Close()
	}
	<-p.done
}

// clash finds a route at another path whose certificates are not those of r.
func (p *port) clash(r *registration) *registration {
	for _, other := range p.routes {
		if other.route.Path != r.route.Path && !sameCertificate(other.route, r.route) {
			return other
		}
	}
	return nil
}

func (p *port) drop(r *registration) {
	p.routes = slices.DeleteFunc(slices.Clone(p.routes), func(o *registration) bool { return o == r })
	p.table.Store(newTable(p.routes))
}

// ServeHTTP finds the route of a request.
func (p *port) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	defer p.recover(w, req)
	if p.server.draining.Load() {
		// Whoever keeps the connection for more requests is to make a new one,
		// to somebody else, rather than lose a request on one that is closed.
		w.Header().Set("Connection", "close")
	}
	for {
		r, allowed := p.table.Load().find(req)
		switch {
		case r != nil:
			if !r.enter() { // ended since the table was read
				continue
			}
			defer r.inFlight.Done()
			r.handler.ServeHTTP(w, req)
		case allowed != "":
			w.Header().Set("Allow", allowed)
			writeError(w, http.StatusMethodNotAllowed, "the method "+req.Method+" is not answered here; use "+allowed)
		case req.URL.Path == "/health":
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("OK"))
		case p.ending.Load() || p.server.draining.Load():
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", retryAfter)
			writeError(w, http.StatusServiceUnavailable, "the server is stopping")
		default:
			writeError(w, http.StatusNotFound, "there is nothing at this path")
		}
		return
	}
}

func (p *port) recover(w http.ResponseWriter, req *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // panics are compared as net/http does
		panic(v)
	}
	p.server.Log.Error("panic while answering a request", "port", p.number, "path", req.URL.Path, "panic", v, "stack", string(debug.Stack()))
	writeError(w, http.StatusInternalServerError, "internal error")
}
