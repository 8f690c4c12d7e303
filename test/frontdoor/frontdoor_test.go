// Package frontdoor_test runs the built binary with the sources of all senders
// on one port, and sends it what they send: the sample payloads beside the
// project, where they are there.
package frontdoor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/test/proc"
)

// binary is set by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signalbox-frontdoor-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if binary, err = proc.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	// The registry of the tests leaves these behind, and nothing can stop them.
	left := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"),
		goleak.IgnoreAnyFunction("github.com/distribution/distribution/v3/notifications.(*eventQueue).run"),
	}
	if err := goleak.Find(left...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// house is one running process, and what its actions did.
type house struct {
	t           *testing.T
	dir, data   string
	addr, admin string
	sink        *httptest.Server
	process     *proc.Process

	mu   sync.Mutex
	seen map[string][]block // by event name
	keys map[string]bool
}

// block is what an action sends on: the block of the event, and what of it.
type block struct {
	ID    string         `json:"id"`
	Entry string         `json:"entry"`
	Block map[string]any `json:"block"`
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), data: t.TempDir(), seen: map[string][]block{}, keys: map[string]bool{}}
	for _, a := range []*string{&h.addr, &h.admin} {
		var err error
		if *a, err = proc.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	h.sink = httptest.NewServer(http.HandlerFunc(h.receive))
	t.Cleanup(h.sink.Close)
	return h
}

func (h *house) receive(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var b block
	if err := json.Unmarshal(body, &b); err != nil {
		h.t.Errorf("the action sent %s: %v", body, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// An action that a kill has cut off is done again, with the same key; a
	// second event would have another one.
	key := r.Header.Get("Idempotency-Key")
	if h.keys[key] {
		return
	}
	h.keys[key] = true
	h.seen[b.Entry] = append(h.seen[b.Entry], b)
}

func (h *house) port() string {
	_, port, _ := net.SplitHostPort(h.addr)
	return port
}

func (h *house) write(file, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, file)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "PORT", h.port())), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// start runs it, on a bus of its own unless bus is the URL of another.
func (h *house) start(bus string) {
	h.t.Helper()
	args := []string{"run", h.dir, "--admin-addr", h.admin, "--host", "127.0.0.1"}
	if bus == "" {
		args = append(args, "--data-dir", h.data, "--fsync", "1m")
	} else {
		args = append(args, "--bus", bus)
	}
	p, err := proc.Start(binary, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.process = p
	h.t.Cleanup(func() {
		if p.Exited() {
			return
		}
		if _, err := p.Terminate(30 * time.Second); err != nil {
			h.t.Error(err)
		}
		if h.t.Failed() {
			h.t.Log(p.Out(), p.Log())
		}
	})
	if err := p.Ready(h.admin, 30*time.Second); err != nil {
		h.t.Fatal(err, p.Out(), p.Log())
	}
}

// post sends one request and returns the answer.
func (h *house) post(path string, header http.Header, body []byte) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "http://"+h.addr+path, strings.NewReader(string(body)))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header = header
	res, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// of waits until an entry's actions have brought n events.
func (h *house) of(t *testing.T, entry string, n int) []block {
	t.Helper()
	get := func() []block {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.seen[entry]
	}
	if err := proc.Until(20*time.Second, func() bool { return len(get()) >= n }); err != nil {
		t.Errorf("%s: %d events came, want %d", entry, len(get()), n)
	}
	return get()
}

// sensor passes a block of an entry's events on to the sink.
func (h *house) sensor(entry, block, filter string) string {
	return fmt.Sprintf(`---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: %[1]s}
spec:
  dependencies:
    - name: event
      eventSourceName: door
      eventName: %[1]s
      filters: {cel: '%[2]s'}
  triggers:
    - template:
        name: tell
        http:
          url: %[3]s
          method: POST
          payload:
            - {src: {dependencyName: event, contextKey: id}, dest: id}
            - {src: {dependencyName: event, contextKey: subject}, dest: entry}
            - {src: {dependencyName: event, dataKey: %[4]s, useRawData: true}, dest: block}
      policy: {status: {allow: [200]}}
      retryStrategy: {steps: 3}
`, entry, filter, h.sink.URL, block)
}
