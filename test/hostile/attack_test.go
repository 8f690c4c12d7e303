package hostile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
	var odds []odd
	for i := range endpoints {
		for _, body := range append(nasty(), endpoints[i].mutations()...) {
			odds = append(odds, (odd{&endpoints[i], body}))
		}
	}
	rand.Shuffle(len(odds), func(i, j int) { odds[i], odds[j] = odds[j], odds[i] })
	a.repeat(ctx, "odd bodies", 8, 5*time.Millisecond, func(n int) {
		o := odds[n%len(odds)]
		a.do(http.MethodPost, o.endpoint.path(), o.endpoint.header([]byte(o.body), n), strings.NewReader(o.body))
	})
	a.repeat(ctx, "10 MB", 8, 20*time.Millisecond, func(n int) { a.large(&endpoints[n%len(endpoints)], n) })
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
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: elsewhere().DialContext}}

// elsewhere dials from an address that is not that of honest senders.
func elsewhere() *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
}

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

// odd is one body for one endpoint.
type odd struct {
	endpoint *endpoint
	body     string
}

var tenMB = `{"a":"` + strings.Repeat("x", 10_000_000) + `"}`

// large sends 10 MB, by turns with a length and without, with a signature (of
// something else) or a wrong token, and without.
func (a *attack) large(e *endpoint, n int) {
	h := http.Header{"Content-Type": {"application/json"}}
	if n%4 < 2 {
		h = e.header([]byte(e.body), n)
		if h.Get("Authorization") != "" {
			h.Set("Authorization", "Bearer guessed")
		}
		if h.Get("X-Gitlab-Token") != "" {
			h.Set("X-Gitlab-Token", "guessed")
		}
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
	c, err := elsewhere().DialContext(ctx, "tcp", a.addr)
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

// The attackers have computers of their own: here they are a process of their own
// that gets what the others leave of one processor.
const attackerEnv = "SIGNALBOX_ATTACK"

// TestAttacker is that process.
func TestAttacker(t *testing.T) {
	addr, text, ok := strings.Cut(os.Getenv(attackerEnv), " ")
	if !ok {
		t.Skip("is run by TestHostileTraffic")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	a := &attack{addr: addr, sent: map[string]*atomic.Int64{}}
	a.begin(ctx)()
	sent := map[string]int64{}
	for name, n := range a.sent {
		sent[name] = n.Load()
	}
	b, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nSENT %s\n", b)
}

// startAttack starts the process; the returned function waits for its end and
// tells what it has sent.
func startAttack(t *testing.T, addr string, d time.Duration) func() map[string]int64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{"nice", "-n", "15", self, "-test.run=^TestAttacker$"}
	if _, err := exec.LookPath("taskset"); err == nil {
		command = append([]string{"taskset", "-c", "0"}, command...)
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...) //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), attackerEnv+"="+addr+" "+d.String())
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() map[string]int64 {
		err := cmd.Wait()
		_, after, found := strings.Cut(out.String(), "SENT ")
		sent := map[string]int64{}
		if err != nil || !found {
			t.Fatalf("the attack: %v\n%s", err, out)
		}
		if err := json.NewDecoder(strings.NewReader(after)).Decode(&sent); err != nil {
			t.Fatal(err)
		}
		return sent
	}
}
