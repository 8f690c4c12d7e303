package ingress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// buffer is a log that many goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// house is a server with its routes.
type house struct {
	*Server
	t       *testing.T
	log     *buffer
	client  *http.Client
	serving sync.WaitGroup
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, log: &buffer{}}
	h.Server = &Server{Log: slog.New(slog.NewTextHandler(h.log, nil)), Secrets: secret.Objects{}, Listen: Loopback}
	h.client = &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		h.serving.Wait()
	})
	return h
}

// open serves a route until the returned function is called, which waits for
// Serve to return.
func (h *house) open(r eventsource.Route, answer http.HandlerFunc) (end func()) {
	h.t.Helper()
	if r.Port == "" {
		r.Port = "1"
	}
	before := h.routes(r.Port)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h.serving.Go(func() { done <- h.Serve(ctx, r, answer) })
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Serve returned %v", err)
		}
	})
	h.t.Cleanup(end)
	h.until("the route "+r.Path, func() bool { return h.routes(r.Port) > before })
	return end
}

func (h *house) routes(port string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.ports[port]; p != nil {
		return len(p.routes)
	}
	return 0
}

func (h *house) until(what string, cond func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// ask returns "STATUS BODY".
func (h *house) ask(method, path string) string {
	h.t.Helper()
	res := h.do(method, path)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, strings.TrimSpace(string(b)))
}

func (h *house) do(method, path string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.Addr("1")+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text+" "+r.PathValue("a")+r.PathValue("b")) //nolint:gosec // plain text
	}
}

func TestRouting(t *testing.T) {
	h := newHouse(t)
	for _, r := range []eventsource.Route{
		{Path: "/push", Methods: []string{"POST"}},
		{Path: "/push", Methods: []string{"PUT", "DELETE"}},
		{Path: "no/slash"},
		{Path: "/push/{a}"},
		{Path: "/push/fixed/{a}"},
		{Path: "/push/{a}/{b}", Methods: []string{"POST"}},
		{Path: "/number/{a:[0-9]{2,3}}"},
		{Path: "/rest/{a:.*}"},
		{Path: "/dot.s/{a}"},
		{Path: "/"},
	} {
		h.open(r, says(r.Path+strings.Join(r.Methods, "")))
	}
	for _, tt := range []struct{ method, path, want string }{
		{"POST", "/push", "200 /pushPOST"},
		{"DELETE", "/push?x=1", "200 /pushPUTDELETE"},
		{"GET", "/push", `405 {"error":"the method GET is not answered here; use DELETE, POST, PUT"}`},
		{"GET", "/no/slash", "200 no/slash"},
		{"PATCH", "/push/team", "200 /push/{a} team"},
		{"POST", "/push/fixed/x", "200 /push/fixed/{a} x"},
		{"POST", "/push/t%20x/y", "200 /push/{a}/{b}POST t xy"},
		{"GET", "/push/t/y", `405 {"error":"the method GET is not answered here; use POST"}`},
		{"GET", "/number/123", "200 /number/{a:[0-9]{2,3}} 123"},
		{"GET", "/number/1", `404 {"error":"there is nothing at this path"}`},
		{"GET", "/rest/x/y", "200 /rest/{a:.*} x/y"},
		{"GET", "/dotxs/y", `404 {"error":"there is nothing at this path"}`},
		{"POST", "/push/", `404 {"error":"there is nothing at this path"}`},
		{"POST", "//push", `404 {"error":"there is nothing at this path"}`},
		{"POST", "/Push", `404 {"error":"there is nothing at this path"}`},
		{"GET", "/", "200 /"},
		{"GET", "/health", "200 OK"},
		{"POST", "/health", "200 OK"},
	} {
		if got := h.ask(tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, got, tt.want)
		}
	}
	res := h.do("GET", "/push")
	defer res.Body.Close()
	if res.Header.Get("Allow") != "DELETE, POST, PUT" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers of a 405: %v", res.Header)
	}
}

func TestHealthCanBeARoute(t *testing.T) {
	h := newHouse(t)
	h.open(eventsource.Route{Path: "/health", Methods: []string{"POST"}}, says("mine"))
	if got := h.ask("POST", "/health"); got != "200 mine" {
		t.Error(got)
	}
	if got := h.ask("GET", "/health"); !strings.HasPrefix(got, "405 ") {
		t.Error(got)
	}
}

func TestServeErrors(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	s := &Server{Host: "127.0.0.1", Log: slog.New(slog.DiscardHandler), Secrets: secret.Objects{}}
	for name, r := range map[string]eventsource.Route{
		"port taken":        {Port: port, Path: "/"},
		"no port":           {Port: "x", Path: "/"},
		"bad pattern":       {Port: "0", Path: "/{"},
		"certificate alone": {Port: "0", Path: "/", ServerCert: selector("tls", "crt")},
		"no certificate":    {Port: "0", Path: "/", ServerCert: selector("tls", "crt"), ServerKey: selector("tls", "key")},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Serve(ctx, r, says("x")); err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
	}
	if s.Addr(port) != "" {
		t.Error("a port that is taken has an address")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx, eventsource.Route{Port: port, Path: "/"}, says("x")); err != nil {
		t.Errorf("done before it began: %v", err)
	}
}

func TestSocketLost(t *testing.T) {
	h := newHouse(t)
	var l net.Listener
	h.Listen = func(ctx context.Context, p string) (_ net.Listener, err error) {
		l, err = Loopback(ctx, p)
		return l, err
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(t.Context(), eventsource.Route{Port: "1", Path: "/"}, says("x")) }()
	h.until("the port", func() bool { return h.Addr("1") != "" })
	_ = l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	h.open(eventsource.Route{Path: "/"}, says("again"))
	if got := h.ask("GET", "/"); got != "200 again" {
		t.Error(got)
	}
}

func TestPanic(t *testing.T) {
	h := newHouse(t)
	h.open(eventsource.Route{Path: "/"}, func(http.ResponseWriter, *http.Request) { panic("boom") })
	for range 2 {
		if got := h.ask("GET", "/"); got != `500 {"error":"internal error"}` {
			t.Error(got)
		}
	}
	if log := h.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, "server_test.go") {
		t.Errorf("log:\n%s", log)
	}
}

func TestHeadersTooLarge(t *testing.T) {
	h := newHouse(t)
	h.open(eventsource.Route{Path: "/"}, says("x"))
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", h.Addr("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 2*Limits{}.withDefaults().HeaderBytes))
	}()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
}
