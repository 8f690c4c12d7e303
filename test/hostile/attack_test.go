package hostile_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// attack is everything hostile at once.
type attack struct {
	addr string
	// sent counts what was sent, by its name.
	sent map[string]*atomic.Int64
	wg   sync.WaitGroup
}

// begin starts it; the returned function waits until ctx is done and all of it has ended.
func (a *attack) begin(ctx context.Context) (wait func()) {
	for _, e := range endpoints {
		bodies := append(nasty(), e.mutations()...)
		a.repeat(ctx, "odd bodies for "+e.kind, 4, 5*time.Millisecond, func(n int) { a.post(&e, bodies[n%len(bodies)], n) })
		a.repeat(ctx, "10 MB for "+e.kind, 4, 20*time.Millisecond, func(n int) { a.large(&e, n) })
	}
	a.repeat(ctx, "connections without a request", 2500, time.Second, func(int) { a.connect(ctx, nil, 0) })
	a.repeat(ctx, "slow headers", 200, 100*time.Millisecond, func(int) {
		a.connect(ctx, []byte("POST /webhook HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("x", 1000)), 200*time.Millisecond)
	})
	a.repeat(ctx, "slow bodies", 200, 100*time.Millisecond, func(int) {
		a.connect(ctx, []byte("POST /cloudevents HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 30_000)), 200*time.Millisecond)
	})
	a.repeat(ctx, "bodies that do not come", 200, 100*time.Millisecond, func(int) {
		a.connect(ctx, []byte("POST /cloudevents HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"), 0)
	})
	var tiny strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&tiny, "%x:\r\n", i)
	}
	a.repeat(ctx, "many tiny headers", 10, 10*time.Millisecond, func(int) {
		a.connect(ctx, []byte("POST /webhook HTTP/1.1\r\nHost: x\r\n"+tiny.String()), 0)
	})
	garbage := make([]byte, 10_000)
	for i := range garbage {
		garbage[i] = byte(rand.N(256))
	}
	a.repeat(ctx, "garbage", 4, 20*time.Millisecond, func(n int) { a.connect(ctx, garbage[n%1000:], 0) })
	a.repeat(ctx, "other paths", 4, 5*time.Millisecond, func(n int) {
		a.do(http.MethodPost, fmt.Sprintf("/nothing/%d", n), http.Header{}, strings.NewReader("{}"))
	})
	return a.wg.Wait
}

// repeat calls f again and again, pausing in between, from n goroutines.
func (a *attack) repeat(ctx context.Context, name string, n int, pause time.Duration, f func(n int)) {
	count := &atomic.Int64{}
	a.sent[name] = count
	for range n {
		a.wg.Go(func() {
			for ctx.Err() == nil {
				f(int(count.Add(1)))
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
}

// client never keeps a connection.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (a *attack) do(method, path string, h http.Header, body io.Reader) {
	req, err := http.NewRequest(method, "http://"+a.addr+path, body) //nolint:noctx // the client has a timeout
	if err != nil {
		panic(err)
	}
	req.Header = h
	if res, err := client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body) //nolint:errcheck // nobody wants it
		_ = res.Body.Close()
	}
}

func (a *attack) post(e *endpoint, body string, n int) {
	a.do(http.MethodPost, e.path(), e.header([]byte(body), n), strings.NewReader(body))
}

var tenMB = `{"a":"` + strings.Repeat("x", 10_000_000) + `"}`

// large sends 10 MB, by turns with a length and without, with a good signature and without.
func (a *attack) large(e *endpoint, n int) {
	h := http.Header{"Content-Type": {"application/json"}}
	if n%4 < 2 {
		h = e.header([]byte(tenMB), n)
	}
	var r io.Reader = strings.NewReader(tenMB)
	if n%2 == 0 {
		r = io.MultiReader(r) // its length is not known
	}
	a.do(http.MethodPost, e.path(), h, r)
}

// connect sends some bytes and then, if drip is not 0, one at each such time,
// until the server or ctx ends it.
func (a *attack) connect(ctx context.Context, bytes []byte, drip time.Duration) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", a.addr)
	if err != nil {
		return
	}
	defer c.Close() //nolint:errcheck // it is hostile
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := c.Write(bytes); err != nil {
		return
	}
	if drip == 0 {
		_, _ = io.Copy(io.Discard, c) //nolint:errcheck // it ends when the server has enough
		return
	}
	for ctx.Err() == nil {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(drip):
		}
	}
}
