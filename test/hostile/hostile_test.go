// Package hostile_test runs the built binary while senders do what they should
// not, and looks whether those who do what they should notice.
//
// SIGNALBOX_HOSTILE=60s go test ./test/hostile runs it for a minute.
package hostile_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/test/proc"
)

// mostMemory is what the process may have resident. It stays below 200 MiB where
// it has the machine to itself; where tests run beside it, garbage is collected later.
const mostMemory = 256 << 20

// mostRefused is how many of an honest sender's requests may be cut off: its
// connection can be one of those that give way when thousands come at once.
const mostRefused = 3

func duration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SIGNALBOX_HOSTILE")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestHostileTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), duration(t))
	defer cancel()
	var most atomic.Int64
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, &most) })
	stop := startAttack(t, s.addr, duration(t))
	honest := make([]*sender, len(endpoints))
	var sending sync.WaitGroup
	for i := range endpoints {
		honest[i] = &sender{endpoint: &endpoints[i], url: "http://" + s.addr + endpoints[i].path()}
		sending.Go(func() { honest[i].send(ctx) })
	}
	sending.Wait()
	sent := stop()
	watching.Wait()
	if s.process.Exited() {
		t.Fatalf("the process has ended:\n%s", s.process.Log())
	}
	for _, h := range honest {
		if len(h.took) == 0 {
			t.Errorf("%s: nothing was sent", h.endpoint.name())
			continue
		}
		slices.Sort(h.took)
		t.Logf("%s: %d honest requests, %d refused; p50 %v, p99 %v, most %v", h.endpoint.name(), len(h.took)+len(h.refused), len(h.refused),
			h.took[len(h.took)/2], h.took[len(h.took)*99/100], h.took[len(h.took)-1])
		for i, r := range h.refused {
			if i < 5 {
				t.Logf("%s: an honest request was refused: %s", h.endpoint.name(), r)
			}
		}
		if len(h.refused) > mostRefused {
			t.Errorf("%s: %d honest requests were refused", h.endpoint.name(), len(h.refused))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		n := sent[name]
		t.Logf("hostile: %7d %s", n, name)
		if n == 0 {
			t.Errorf("%s: nothing was sent", name)
		}
	}
	t.Logf("most memory: %d MiB", most.Load()>>20)
	if most.Load() > mostMemory {
		t.Errorf("%d MiB were resident", most.Load()>>20)
	}
	if log := s.process.Log(); strings.Contains(log, "panic") {
		t.Errorf("log:\n%s", log)
	}
	if code, err := s.process.Terminate(30 * time.Second); code != 0 || err != nil {
		t.Errorf("ended with %d, %v", code, err)
	}
}

// served is a running signalbox with all endpoints on one port.
type served struct {
	process *proc.Process
	addr    string
}

func start(t *testing.T) *served {
	t.Helper()
	dir := t.TempDir()
	bin, err := proc.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := proc.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secrets/hook/token", secretValue)
	write("secrets/hook/user", "hooks")
	write("m/sources.yaml", manifests(addr[strings.LastIndexByte(addr, ':')+1:]))
	p, err := proc.Start(bin, "run", filepath.Join(dir, "m"), "--host", "127.0.0.1", "--data-dir", filepath.Join(dir, "data"),
		"--secrets", filepath.Join(dir, "secrets"), "--admin-addr", admin, "--max-store", "256Mi", "--fsync", "1m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Ready(admin, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	return &served{p, addr}
}

func manifests(port string) string {
	var b strings.Builder
	for _, e := range endpoints {
		name := strings.ToLower(e.name())
		fmt.Fprintf(&b, "---\napiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: %s}\nspec:\n  %s:\n    all:\n", name, e.kind)
		indent := "      "
		if e.nested {
			b.WriteString("      webhook:\n")
			indent += "  "
		}
		fmt.Fprintf(&b, "%sendpoint: %s\n%sport: %q\n", indent, e.path(), indent, port)
		for _, line := range e.context {
			b.WriteString(indent + line + "\n")
		}
		for _, line := range e.entry {
			b.WriteString("      " + line + "\n")
		}
	}
	return b.String()
}

func (s *served) watch(ctx context.Context, most *atomic.Int64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if n, err := s.process.Resident(); err == nil && n > most.Load() {
			most.Store(n)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sender sends a request every few milliseconds, by turns on a connection that
// is kept and on a new one.
type sender struct {
	endpoint *endpoint
	url      string
	took     []time.Duration
	refused  []string
}

func (h *sender) send(ctx context.Context) {
	kept := &http.Transport{}
	defer kept.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		t := kept
		if n%2 == 1 {
			t = &http.Transport{DisableKeepAlives: true}
		}
		h.one(&http.Client{Transport: t, Timeout: 30 * time.Second}, n)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (h *sender) one(client *http.Client, n int) {
	req, err := http.NewRequest(http.MethodPost, h.url, strings.NewReader(h.endpoint.body)) //nolint:noctx // the client has a timeout
	if err != nil {
		panic(err)
	}
	req.Header = h.endpoint.header([]byte(h.endpoint.body), n)
	begun := time.Now()
	res, err := client.Do(req)
	if err != nil {
		h.refused = append(h.refused, err.Error())
		return
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode/100 != 2 {
		h.refused = append(h.refused, fmt.Sprintf("%s: %s, %v", res.Status, answer, err))
		return
	}
	h.took = append(h.took, time.Since(begun))
}
