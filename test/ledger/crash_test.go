package ledger_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestKilledUnderLoad(t *testing.T) {
	kills, events, rate := 5, 3000, 300
	if testing.Short() {
		kills, events = 2, 900
	}
	s := newSite(t)
	s.sink.delay = 100 * time.Millisecond // so that each kill cuts off some actions
	s.writeBoth(patient)
	p := s.start()
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	l := startLoad(t, s.hookURL(), rate, events)
	for k := range kills {
		// The point of the kill: so many events accepted, somewhere in this share.
		share := events / kills
		at := k*share + random.IntN(share)
		until(t, "load goes on", func() bool { return l.count() >= at })
		p.Kill()
		p = s.start()
	}
	l.done(t, time.Minute)
	r := s.settle(l, 30*time.Second)
	// What was in flight at a kill comes again: 64 workers, and what the senders
	// had under way.
	if limit := kills * 80; r.repeated > limit {
		t.Errorf("%d actions repeated, want at most %d", r.repeated, limit)
	}
	if r.refused == 0 || r.repeated == 0 {
		t.Error("no request failed or no action was cut off, so no kill hit the load")
	}
}

func TestTerminatedUnderLoad(t *testing.T) {
	s := newSite(t)
	s.writeBoth(patient)
	p := s.start()
	l := startLoad(t, s.hookURL(), 300, 0)
	for round := range 2 {
		before := l.count()
		until(t, "load goes on", func() bool { return l.count() >= before+150 })
		id := fmt.Sprintf("slow-%d", round)
		slow := openRequest(t, s.webhook, "/push", fmt.Sprintf(`{"id":%q}`, id))
		ended := make(chan error, 1)
		go func() {
			code, err := p.Terminate(30 * time.Second)
			if err == nil && code != 0 {
				err = fmt.Errorf("exit code %d", code)
			}
			ended <- err
		}()
		until(t, "the process says that it stops", func() bool { return strings.Contains(p.Log(), "msg=stopping") })
		if status := slow.finish(t); status/100 != 2 {
			t.Errorf("request in flight at SIGTERM was answered %d", status)
		}
		l.accept(id)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		p = s.start()
	}
	l.finish()
	r := s.settle(l, 30*time.Second)
	if r.repeated != 0 {
		t.Errorf("%d actions repeated after an orderly end", r.repeated)
	}
}

// openedRequest is a request whose handler runs and waits for the body.
type openedRequest struct {
	conn   net.Conn
	answer *bufio.Reader
	body   string
}

// openRequest asks to be told to go on (Expect: 100-continue): the server says
// so when the handler begins to read the body.
func openRequest(t *testing.T, addr, path, body string) *openedRequest {
	t.Helper()
	conn, err := net.Dial("tcp", addr) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		path, addr, len(body))
	if err != nil {
		t.Fatal(err)
	}
	r := &openedRequest{conn, bufio.NewReader(conn), body}
	line, err := r.answer.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("want to be told to go on, got %q, %v", line, err)
	}
	if _, err := r.answer.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return r
}

// finish sends the body and returns the status of the answer.
func (r *openedRequest) finish(t *testing.T) int {
	t.Helper()
	if _, err := io.WriteString(r.conn, r.body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r.answer, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close() //nolint:errcheck // the connection goes too
	return resp.StatusCode
}
