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

// headerSlack is what net/http reads beyond MaxHeaderBytes.
const headerSlack = 4 << 10

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
	p := &port{server: s, number: number, listener: &listener{Listener: l, log: s.Log, guests: newGuests(s.room)}, done: make(chan struct{})}
	p.listener.config = p.listener.tlsConfig()
	limits := s.room.limits
	p.http = &http.Server{
		Handler:           p,
		ConnContext:       remember,
		ReadHeaderTimeout: limits.HeaderTime,
		ReadTimeout:       max(limits.BodyTime, limits.HeaderTime),
		IdleTimeout:       limits.IdleTime,
		MaxHeaderBytes:    max(limits.HeaderBytes-headerSlack, 1),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: mostStreams},
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
	p.changed()
}

// changed makes the port answer what its routes say.
func (p *port) changed() {
	p.listener.asks.Store(slices.ContainsFunc(p.routes, func(r *registration) bool { return r.route.ClientCA != nil }))
	p.table.Store(newTable(p.routes))
}

// ServeHTTP implements http.Handler: it answers a request and counts that.
func (p *port) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	rec := recorders.Get().(*recorder)
	rec.ResponseWriter, rec.status = w, 0
	from, r := guestOf(req), (*registration)(nil)
	if from != nil {
		from.enter()
	}
	defer func() {
		if from != nil {
			from.leave(rec.status)
		}
		p.count(r, req, rec.status)
		*rec = recorder{}
		recorders.Put(rec)
		if r != nil {
			r.inFlight.Done()
		}
	}()
	defer p.recover(rec, req)
	if p.server.draining.Load() {
		// Whoever keeps the connection for more requests is to make a new one,
		// to somebody else, rather than lose a request on one that is closed.
		rec.Header().Set("Connection", "close")
	}
	if tooManyFields(req.Header) {
		rec.Header().Set("Connection", "close")
		writeError(rec, http.StatusRequestHeaderFieldsTooLarge, "the request has too many header fields")
		return
	}
	var allowed string
	if r, allowed = p.find(req); r != nil {
		r.handler.ServeHTTP(rec, req)
		return
	}
	p.nothing(rec, req, allowed)
}

// find returns the route of a request, which it has counted in.
func (p *port) find(req *http.Request) (*registration, string) {
	for {
		r, allowed := p.table.Load().find(req)
		if r == nil || r.enter() {
			return r, allowed
		} // it has ended since the table was read
	}
}

// nothing answers a request that no route is for.
func (p *port) nothing(w http.ResponseWriter, req *http.Request, allowed string) {
	switch {
	case allowed != "":
		w.Header().Set("Allow", allowed)
		writeError(w, http.StatusMethodNotAllowed, "the method "+req.Method+" is not answered here; use "+allowed)
	case req.URL.Path == healthPath:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("OK"))
	case p.ending.Load() || p.server.draining.Load():
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", retryAfter)
		writeError(w, http.StatusServiceUnavailable, "the server is stopping")
	default:
		writeError(w, http.StatusNotFound, "there is nothing at this path")
	}
}

const healthPath = "/health"

// count leaves out the questions of who watches over the process.
func (p *port) count(r *registration, req *http.Request, status int) {
	switch {
	case status == 0: // nothing was answered: net/http says 200 then, but no handler of ours does so
	case r != nil:
		r.answers.count(status)
	case req.URL.Path != healthPath:
		p.server.stray.count(status)
	}
}

func tooManyFields(h http.Header) bool {
	n := len(h)
	if n > mostHeaders {
		return true
	}
	for _, values := range h {
		n += len(values) - 1
	}
	return n > mostHeaders
}

func (p *port) recover(w *recorder, req *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // panics are compared as net/http does
		panic(v)
	}
	p.server.Log.Error("panic while answering a request", "port", p.number, "path", req.URL.Path, "panic", v, "stack", string(debug.Stack()))
	if w.status == 0 {
		writeError(w, http.StatusInternalServerError, "internal error")
	}
}
