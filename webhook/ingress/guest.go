package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
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
	by  map[netip.Prefix]int // how many of an address
}

func newGuests(r *room) *guests {
	l := r.limits
	return &guests{room: r, most: l.Connections, mostWaiting: max(l.Memory/12, 1<<20), all: map[*guest]struct{}{}, by: map[netip.Prefix]int{}}
}

// guest is one connection.
type guest struct {
	net.Conn
	of      *guests
	address netip.Prefix
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

// A connection has silence to say something, and grace for a request that it has
// begun, before it is sent away for another one of the same address.
const (
	silence = 50 * time.Millisecond
	grace   = 500 * time.Millisecond
)

// overdue tells whether g may be sent away for another one of its address.
func (g *guest) overdue(now time.Time) bool {
	age := now.Sub(time.Unix(0, g.since.Load()))
	if g.inside.Load() == 0 && g.waiting.Load() == 0 {
		return age > silence
	}
	return age > grace
}

// admit takes a connection in, and sends others away where there are too many:
// those of the address that has most of them. It returns nil, having closed c,
// if that is c's own and all of them are new, or if all others are worked for.
func (gs *guests) admit(c net.Conn) *guest {
	g := &guest{Conn: c, of: gs, address: addressOf(c)}
	tooMany := func() bool { return len(gs.all) >= gs.most }
	for begun := time.Now(); !gs.enter(g); time.Sleep(silence / 10) {
		now := time.Now()
		crowd, alone := gs.crowd()
		own := crowd == g.address
		gs.shed(tooMany, func(o *guest) bool { return o.address == crowd && (!own || o.overdue(now)) })
		if gs.enter(g) {
			break
		}
		// Who shares an address with everybody, as behind a proxy, is worth a moment.
		if own && !alone || now.Sub(begun) > 2*silence {
			_ = c.Close() //nolint:errcheck // nobody has asked anything on it
			return nil
		}
	}
	return g
}

// crowd is the address with most connections; alone tells that there is no other.
func (gs *guests) crowd() (address netip.Prefix, alone bool) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	most := 0
	for a, n := range gs.by {
		if n > most {
			address, most = a, n
		}
	}
	return address, len(gs.by) == 1
}

// addressOf is where a connection comes from: an IPv4 address, or the first half
// of an IPv6 one, of which a machine has as many as it likes.
func addressOf(c net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	a := at.Addr().Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// enter puts g among the others if there is room.
func (gs *guests) enter(g *guest) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if len(gs.all) >= gs.most {
		return false
	}
	g.since.Store(time.Now().UnixNano())
	gs.all[g] = struct{}{}
	gs.by[g.address]++
	return true
}

// drop takes g out. The lock is held.
func (gs *guests) drop(g *guest) {
	if _, in := gs.all[g]; !in {
		return
	}
	delete(gs.all, g)
	if gs.by[g.address]--; gs.by[g.address] == 0 {
		delete(gs.by, g.address)
	}
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
			gs.drop(c.guest)
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
		g.of.drop(g)
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
