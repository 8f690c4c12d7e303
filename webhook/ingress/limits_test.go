package ingress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/telemetry"
)

// dial connects and sends text.
func (h *house) dial(text string) net.Conn {
	h.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(h.t.Context(), "tcp", h.Addr("1"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// answer is the status line of what comes on c, or the error.
func answer(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func (h *house) guests() int {
	h.mu.Lock()
	p := h.ports["1"]
	h.mu.Unlock()
	p.listener.guests.mu.Lock()
	defer p.listener.guests.mu.Unlock()
	return len(p.listener.guests.all)
}

func limited(t *testing.T, l Limits, receive Receive) *house {
	h := newHouse(t)
	h.Limits = l
	limit := int64(1 << 20)
	if receive == nil {
		receive = func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, nil }
	}
	h.serveEndpoint(v1alpha1.WebhookContext{MaxPayloadSize: &limit}, store, receive)
	return h
}

// One connection more than there may be replaces one that waits, and not one
// that has been useful or is worked for.
func TestConnections(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	h := limited(t, Limits{Connections: 4}, func(_ *http.Request, body []byte, _ eventsource.Emit) (Answer, error) {
		if string(body) == "slow" {
			close(begun)
			<-release
		}
		return Answer{}, nil
	})
	useful := h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
	if got := answer(useful); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	working := h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslow")
	<-begun
	var waiting []net.Conn
	for _, text := range []string{"", "POST / HTTP/1.1\r\nHost:"} {
		n := h.guests()
		waiting = append(waiting, h.dial(text))
		h.until("the connection", func() bool { return h.guests() == n+1 })
	}
	for range 3 {
		last := h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
		if got := answer(last); got != "HTTP/1.1 200 OK" {
			t.Errorf("a new one: %s", got)
		}
	}
	for i, c := range waiting {
		if got := answer(c); strings.HasPrefix(got, "HTTP/1.1 2") {
			t.Errorf("one that waits, %d: %s", i, got)
		}
	}
	close(release)
	if got := answer(working); got != "HTTP/1.1 200 OK" {
		t.Errorf("the one that was worked for: %s", got)
	}
	if n := h.guests(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

// Requests whose header does not end take little memory together.
func TestHeadersUnderWay(t *testing.T) {
	h := limited(t, Limits{Memory: 12 << 20}, nil) // 1 MiB of headers
	for range 200 {
		h.dial("POST / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("x", 14_000))
	}
	h.mu.Lock()
	g := h.ports["1"].listener.guests
	h.mu.Unlock()
	h.until("the rest to be sent away", func() bool { return h.guests() < 200 && g.waiting.Load() <= g.mostWaiting })
	if got := h.post(strings.NewReader("x")); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

func TestManyHeaders(t *testing.T) {
	h := limited(t, Limits{}, nil)
	for n, want := range map[int]string{150: "HTTP/1.1 200 OK", 250: "HTTP/1.1 431 Request Header Fields Too Large"} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X%d: 1\r\n", i)
		}
		if got := answer(h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + b.String() + "\r\n")); got != want {
			t.Errorf("%d: %s", n, got)
		}
		same := strings.Repeat("A: 1\r\n", n)
		if got := answer(h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + same + "\r\n")); got != want {
			t.Errorf("%d of one name: %s", n, got)
		}
	}
}

func TestSlow(t *testing.T) {
	h := limited(t, Limits{HeaderTime: 300 * time.Millisecond, BodyTime: 600 * time.Millisecond, IdleTime: 300 * time.Millisecond}, nil)
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":         {"", "EOF"},
		"half a header":   {"POST / HTTP/1.1\r\nHost:", "EOF"},
		"no body":         {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 408 Request Timeout"},
		"half a body":     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345", "HTTP/1.1 408 Request Timeout"},
		"half a large":    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n12345", "HTTP/1.1 408 Request Timeout"},
		"half a chunked":  {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", "HTTP/1.1 408 Request Timeout"},
		"whole":           {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK"},
		"body announced":  {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", "HTTP/1.1 413 Request Entity Too Large"},
		"negative length": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := answer(h.dial(tt.text)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A body that comes, but too slowly, is ended at the end of a few seconds.
func TestPace(t *testing.T) {
	r := newRoom(Limits{BodyRate: 100}.withDefaults())
	b := &body{begun: time.Now(), control: http.NewResponseController(discarding{})}
	check := func(want bool, what string) {
		t.Helper()
		if err := b.pace.check(b, r); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	check(true, "at first")
	check(true, "right after")
	b.pace.until = time.Now()
	b.bytes = make([]byte, 500)
	check(true, "500 bytes in 5 s")
	b.pace.until = time.Now()
	b.bytes = make([]byte, 999)
	check(false, "499 bytes in 5 s")
	b.bytes, b.begun = make([]byte, 5000), time.Now().Add(-time.Hour)
	b.pace.until = time.Now()
	check(false, "after an hour")
}

type discarding struct{ http.ResponseWriter }

func (discarding) SetReadDeadline(time.Time) error { return nil }

// Large bodies share what is theirs, and leave small ones their part.
func TestMemory(t *testing.T) {
	h := limited(t, Limits{Memory: 2 << 20}, nil)
	h.until("the room", func() bool { return h.room != nil })
	const announced = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
	half := strings.Repeat("x", 300_000) // for which 1,000,000 are taken
	h.dial(announced + half)
	h.until("the first large one", func() bool { return h.room.large.Load() > 900_000 })
	res := h.post(strings.NewReader(strings.Repeat("x", 1_000_000)))
	if res.status != 503 || res.header.Get("Retry-After") == "" {
		t.Errorf("a second large one: %+v", res)
	}
	for range 10 {
		if res := h.post(strings.NewReader(strings.Repeat("x", 50_000))); res.status != 200 {
			t.Errorf("a small one: %+v", res)
		}
	}
	// Once it is not young any more, the first gives way.
	h.until("the first to give way", func() bool {
		return h.post(strings.NewReader(strings.Repeat("x", 1_000_000))).status == 200
	})
	h.until("all to be given back", func() bool { return h.room.used.Load() == 0 && h.room.large.Load() == 0 && h.room.leaving.Load() == 0 })
}

func TestRequestsInWork(t *testing.T) {
	release := make(chan struct{})
	var working atomic.Int32
	h := limited(t, Limits{Requests: 2}, func(*http.Request, []byte, eventsource.Emit) (Answer, error) {
		working.Add(1)
		<-release
		return Answer{}, nil
	})
	var wg sync.WaitGroup
	for range 2 {
		c := h.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
		wg.Go(func() {
			if got := answer(c); got != "HTTP/1.1 200 OK" {
				t.Error(got)
			}
		})
	}
	h.until("two", func() bool { return working.Load() == 2 })
	if res := h.post(strings.NewReader("1")); res.status != 503 || res.header.Get("Retry-After") == "" {
		t.Errorf("a third: %+v", res)
	}
	close(release)
	wg.Wait()
	if res := h.post(strings.NewReader("1")); res.status != 200 {
		t.Errorf("after that: %+v", res)
	}
}

func TestRateLimit(t *testing.T) {
	rate := &v1alpha1.RequestRate{Requests: 3, Per: "1h"}
	t.Run("with credentials", func(t *testing.T) {
		h := newHouse(t)
		h.Secrets = vault("token", "tok")
		h.serveEndpoint(v1alpha1.WebhookContext{AuthSecret: selector("s", "token"), RateLimit: rate}, store,
			func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, nil })
		for range 10 {
			if res := h.post(nil, "Authorization", "Bearer x"); res.status != 401 {
				t.Errorf("%+v", res)
			}
		}
		limitIs3(t, func() posted { return h.post(nil, "Authorization", "Bearer tok") })
	})
	t.Run("signed", func(t *testing.T) {
		h := newHouse(t)
		h.Secrets = vault("sign", "k1")
		hook := hookWithKey(h, "sign")
		hook.Context.RateLimit = rate
		h.serveHook(hook)
		for range 10 {
			if res := h.post(strings.NewReader("{}"), signWith("k2", "{}")...); res.status != 401 {
				t.Errorf("%+v", res)
			}
		}
		limitIs3(t, func() posted { return h.post(strings.NewReader("{}"), signWith("k1", "{}")...) })
	})
	t.Run("open", func(t *testing.T) {
		h := newHouse(t)
		h.serveHook(&Hook{Context: v1alpha1.WebhookContext{RateLimit: rate}})
		limitIs3(t, func() posted { return h.post(strings.NewReader("{}")) })
	})
	if l := limiterOf(&v1alpha1.RequestRate{Requests: 60, Per: "1m", Burst: 5}); l.Limit() != 1 || l.Burst() != 5 {
		t.Errorf("%v a second, %d at once", l.Limit(), l.Burst())
	}
}

func limitIs3(t *testing.T, post func() posted) {
	t.Helper()
	for range 3 {
		if res := post(); res.status != 200 {
			t.Errorf("%+v", res)
		}
	}
	res := post()
	if res.status != 429 || res.header.Get("Retry-After") != "1200" && res.header.Get("Retry-After") != "1199" {
		t.Errorf("the fourth: %+v", res)
	}
}

func TestCounts(t *testing.T) {
	h := newHouse(t)
	h.Metrics = telemetry.New("", "")
	route := eventsource.Route{Path: "/x", Methods: []string{"POST"}, Owner: eventsource.Owner{Namespace: "n", EventSource: "s", Event: "e"}}
	h.open(route, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "panic":
			panic("boom")
		case "refuse":
			writeError(w, 401, "no")
		default:
			writeAnswer(w, Answer{})
		}
	})
	for _, q := range []string{"POST /x", "POST /x", "POST /x?panic", "POST /x?refuse", "GET /x", "POST /y", "POST /z", "GET /health"} {
		method, path, _ := strings.Cut(q, " ")
		h.ask(method, path)
	}
	want := `# HELP signalbox_webhook_requests_total HTTP requests answered, by status code.
# TYPE signalbox_webhook_requests_total counter
signalbox_webhook_requests_total{code="200",event_name="e",eventsource_name="s",namespace="n"} 2
signalbox_webhook_requests_total{code="401",event_name="e",eventsource_name="s",namespace="n"} 1
signalbox_webhook_requests_total{code="500",event_name="e",eventsource_name="s",namespace="n"} 1
signalbox_webhook_requests_total{code="404",event_name="",eventsource_name="",namespace=""} 2
signalbox_webhook_requests_total{code="405",event_name="",eventsource_name="",namespace=""} 1
`
	h.until("the counts", func() bool { // which come after the answer
		return testutil.GatherAndCompare(h.Metrics.Registry, strings.NewReader(want), "signalbox_webhook_requests_total") == nil
	})
}

// One port with 500 routes, of which some come and go: those that stay answer
// every request, whether its connection is new or kept.
func TestManyRoutesUnderLoad(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	serve := func(ctx context.Context, i int) {
		h.serving.Go(func() {
			c := v1alpha1.WebhookContext{Endpoint: fmt.Sprintf("/s/%d", i)}
			Default(&c)
			c.Port = "1"
			e := &Endpoint{Route: RouteOf(&c), Context: c, Secrets: h.Secrets, Log: slog.New(slog.DiscardHandler), Receive: func(*http.Request, []byte, eventsource.Emit) (Answer, error) {
				return Answer{ID: fmt.Sprint(i)}, nil
			}}
			if err := e.Serve(ctx, h.Server, store); err != nil {
				t.Error(err)
			}
		})
	}
	defer cancel()
	const n = 500
	for i := range n {
		serve(ctx, i)
	}
	h.until("all routes", func() bool { return h.routes("1") == n })
	kept := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer kept.CloseIdleConnections()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	var sent atomic.Int64
	for s := range 4 {
		senders.Go(func() {
			for i := s; ; i += 7 {
				select {
				case <-stop:
					return
				default:
				}
				client := kept
				if s == 0 {
					client = fresh
				}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://%s/s/%d", h.Addr("1"), i%n), strings.NewReader("{}"))
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if want := fmt.Sprintf("{\"id\":\"%d\"}\n", i%n); res.StatusCode != 200 || string(b) != want {
					t.Errorf("%d: %d %s", i%n, res.StatusCode, b)
				}
				sent.Add(1)
			}
		})
	}
	for i := range 100 {
		guest, leave := context.WithCancel(ctx)
		serve(guest, n+i)
		h.until("one more", func() bool { return h.routes("1") == n+1 })
		before := sent.Load()
		h.until("a request meanwhile", func() bool { return sent.Load() > before })
		leave()
		h.until("one less", func() bool { return h.routes("1") == n })
	}
	close(stop)
	senders.Wait()
	cancel()
}

func hookWithKey(h *house, key string) *Hook {
	return &Hook{Schemes: schemesByHeader(), Keys: keysOf(h, key)}
}
