package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// guests are the connections of a port.
type guests struct {
	room *room
	most int
	// mostWaiting bounds waiting.
	mostWaiting int64
	// waiting is how many bytes have come of requests that have not begun.
	waiting atomic.Int64

	mu  sync.Mutex
	all map[*guest]struct{}
}

func newGuests(r *room) *guests {
	l := r.limits
	return &guests{room: r, most: l.Connections, mostWaiting: max(l.Memory/12, 1<<20), all: map[*guest]struct{}{}}
}

// guest is one connection.
type guest struct {
	net.Conn
	of *guests
	// since is when it connected, or its last request ended; Unix nanoseconds.
	since atomic.Int64
	// inside counts its requests that have a handler; working those of them
	// that have arrived whole.
	inside, working atomic.Int32
	// known says that a request of it was answered 2xx.
	known   atomic.Bool
	waiting atomic.Int64
	once    sync.Once
}

type guestKey struct{}

// remember is the ConnContext of a port's server.
func remember(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if g, ok := c.(*guest); ok {
		return context.WithValue(ctx, guestKey{}, g)
	}
	return ctx
}

// guestOf is the connection of a request; nil if it came on none of ours.
func guestOf(r *http.Request) *guest {
	g, _ := r.Context().Value(guestKey{}).(*guest)
	return g
}

// admit takes a connection in, and sends others away where there are too many.
// It returns nil, having closed c, if all others are worked for.
func (gs *guests) admit(c net.Conn) *guest {
	g := &guest{Conn: c, of: gs}
	g.since.Store(time.Now().UnixNano())
	gs.mu.Lock()
	full := len(gs.all) >= gs.most
	if !full {
		gs.all[g] = struct{}{}
	}
	gs.mu.Unlock()
	if !full {
		return g
	}
	gs.shed(func() bool { return len(gs.all) >= gs.most }, func(*guest) bool { return true })
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if len(gs.all) >= gs.most {
		_ = c.Close() //nolint:errcheck // nobody has asked anything on it
		return nil
	}
	gs.all[g] = struct{}{}
	return g
}

// shed closes connections of those asked for that nothing is done for, if there
// are too many: those that never had a request accepted before the others, and among them those
// first that have waited longest. It closes some more than it has to, since
// choosing takes a while.
func (gs *guests) shed(tooMany func() bool, asked func(*guest) bool) {
	gs.mu.Lock()
	var closing []*guest
	if tooMany() {
		type candidate struct {
			*guest
			known bool
			since int64
		}
		found := make([]candidate, 0, len(gs.all))
		for g := range gs.all {
			if g.working.Load() == 0 && asked(g) {
				found = append(found, candidate{g, g.known.Load(), g.since.Load()})
			}
		}
		slices.SortFunc(found, func(a, b candidate) int {
			if a.known != b.known {
				if a.known {
					return 1
				}
				return -1
			}
			return cmp.Compare(a.since, b.since)
		})
		for _, c := range found[:min(len(found), 1+gs.most/32)] {
			delete(gs.all, c.guest)
			gs.waiting.Add(-c.waiting.Swap(0))
			closing = append(closing, c.guest)
		}
	}
	gs.mu.Unlock()
	for _, g := range closing {
		// Not by the TLS layer, which would wait to say good-bye.
		_ = g.Close() //nolint:errcheck // it is given up
	}
}

// Read implements net.Conn.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if n > 0 && g.inside.Load() == 0 {
		g.waiting.Add(int64(n))
		if gs := g.of; gs.waiting.Add(int64(n)) > gs.mostWaiting {
			gs.shed(func() bool { return gs.waiting.Load() > gs.mostWaiting }, func(g *guest) bool { return g.waiting.Load() > 0 })
		}
	}
	return n, err
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() {
		g.of.mu.Lock()
		delete(g.of.all, g)
		g.of.mu.Unlock()
		g.of.waiting.Add(-g.waiting.Swap(0))
	})
	return g.Conn.Close()
}

// enter notes that a request has got its handler, leave that it was answered.
func (g *guest) enter() { g.inside.Add(1) }

func (g *guest) leave(status int) {
	if status/100 == 2 && !g.known.Load() {
		g.known.Store(true)
	}
	if g.inside.Add(-1) == 0 {
		g.since.Store(time.Now().UnixNano())
	}
	if n := g.waiting.Swap(0); n != 0 {
		g.of.waiting.Add(-n)
	}
}

// work notes that a request has arrived whole; the connection is not given up
// until rest.
func (g *guest) work() {
	g.working.Add(1)
	if n := g.waiting.Swap(0); n != 0 {
		g.of.waiting.Add(-n)
	}
}

func (g *guest) rest() { g.working.Add(-1) }
