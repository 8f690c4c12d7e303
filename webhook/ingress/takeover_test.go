package ingress

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
)

func TestTakeover(t *testing.T) {
	h := newHouse(t)
	route := eventsource.Route{Path: "/x", Methods: []string{"POST"}}
	endOld := h.open(route, says("old"))
	if got := h.ask("POST", "/x"); got != "200 old" {
		t.Fatal(got)
	}
	endNew := h.open(route, says("new"))
	if got := h.ask("POST", "/x"); got != "200 new" {
		t.Error(got)
	}
	addr := h.Addr("1")
	endOld()
	if got := h.ask("POST", "/x"); got != "200 new" {
		t.Errorf("after the end of the old one: %s", got)
	}
	endThird := h.open(route, says("third"))
	endThird()
	if got := h.ask("POST", "/x"); got != "200 new" {
		t.Errorf("after the end of a newer one: %s", got)
	}
	if h.Addr("1") != addr {
		t.Error("the port was closed in between")
	}
	endNew()
	if h.Addr("1") != "" {
		t.Error("the port is still open")
	}
	var d net.Dialer
	if c, err := d.DialContext(t.Context(), "tcp", addr); err == nil {
		_ = c.Close()
		t.Error("somebody still listens")
	}
	if log := h.log.String(); strings.Count(log, "port open") != 1 || strings.Count(log, "port closed") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// Requests are sent all the time while routes are replaced; none is refused.
func TestTakeoverUnderLoad(t *testing.T) {
	h := newHouse(t)
	h.client.Transport = &http.Transport{MaxIdleConnsPerHost: 8}
	route := eventsource.Route{Path: "/x"}
	end := h.open(route, says("ok"))
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := h.ask("POST", "/x"); got != "200 ok" {
					t.Errorf("refused: %s", got)
					return
				}
			}
		})
	}
	for range 50 {
		next := h.open(route, says("ok"))
		end()
		end = next
	}
	close(stop)
	senders.Wait()
}

func TestDrain(t *testing.T) {
	h := newHouse(t)
	begun, release := make(chan struct{}), make(chan struct{})
	h.open(eventsource.Route{Path: "/other"}, says("other"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- h.Serve(ctx, eventsource.Route{Port: "1", Path: "/slow"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-release
			if r.Context().Err() != nil {
				t.Error("the request was cancelled")
			}
			_, _ = io.WriteString(w, "done")
		}))
	}()
	h.until("the route", func() bool { return h.routes("1") == 2 })
	answer := make(chan string, 1)
	go func() { answer <- h.ask("POST", "/slow") }()
	<-begun
	cancel()
	h.until("the route to go", func() bool { return h.routes("1") == 1 })
	if got := h.ask("POST", "/slow"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("a new request: %s", got)
	}
	h.Drain()
	res := h.do("POST", "/slow")
	_ = res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a new request while draining: %d %v", res.StatusCode, res.Header)
	}
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v although a request is under way", err)
	default:
	}
	close(release)
	if got := <-answer; got != "200 done" {
		t.Errorf("the request under way: %s", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A request that found its route just before the route ended is not let in
// after Serve has counted the requests that it waits for.
func TestEndedRouteLetsNobodyIn(t *testing.T) {
	h := newHouse(t)
	h.open(eventsource.Route{Path: "/other"}, says("other"))
	end := h.open(eventsource.Route{Path: "/x"}, says("x"))
	h.mu.Lock()
	before := h.ports["1"].table.Load()
	h.mu.Unlock()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := before.find(req)
	if r == nil || !r.enter() {
		t.Fatal("the route does not answer")
	}
	r.inFlight.Done()
	end()
	if r.enter() {
		t.Error("a request got in after the end")
	}
}
