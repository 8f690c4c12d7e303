package file

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

// rig is a directory that is watched, with the source that watches it.
type rig struct {
	*testing.T
	dir     string
	env     *sourcetest.Env
	running *sourcetest.Running
	polling bool
	*readiness
}

// readiness is a slog.Handler that knows from the log whether the source watches.
type readiness struct {
	slog.Handler
	ready, full atomic.Bool
}

func (h *readiness) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "watching":
		h.ready.Store(true)
	case "no longer watching":
		h.ready.Store(false)
	case "the system's queue of file events was full, comparing":
		h.full.Store(true)
	}
	return h.Handler.Handle(ctx, r)
}

func tellReady(e *sourcetest.Env) *readiness {
	h := &readiness{Handler: e.Log.Handler()}
	e.Log = slog.New(h)
	return h
}

func newRig(t *testing.T, polling bool) *rig {
	r := &rig{T: t, dir: t.TempDir(), env: sourcetest.NewEnv(t), polling: polling}
	r.readiness = tellReady(r.env)
	return r
}

// modes runs a test with both ways of watching.
func modes(t *testing.T, test func(r *rig)) {
	t.Helper()
	for name, polling := range map[string]bool{"fsnotify": false, "polling": true} {
		t.Run(name, func(t *testing.T) { test(newRig(t, polling)) })
	}
}

// manifest of an entry; rest is more YAML.
func (r *rig) manifest(eventType, rest string) string {
	m := "eventType: " + eventType + "\n" + rest
	if !strings.Contains(rest, "watchPathConfig") {
		m += fmt.Sprintf("\nwatchPathConfig: {directory: %q, pathRegexp: .}\n", r.dir+"/")
	}
	if r.polling {
		m += "\npolling: true\npollInterval: 10ms\n"
	}
	return m
}

func (r *rig) start(eventType, rest string) {
	r.Helper()
	r.running = sourcetest.Start(r, Kind, r.manifest(eventType, rest), r.env)
	r.await()
}

func (r *rig) await() {
	r.Helper()
	sourcetest.Eventually(r, "the source to watch", r.ready.Load)
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, content string) {
	r.Helper()
	if err := os.WriteFile(r.file(name), []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// next is the next event, as "OP name".
func (r *rig) next() string {
	r.Helper()
	return r.name(r.running.Next(r))
}

// name writes an event as "OP name" and checks its form.
func (r *rig) name(e eventsource.Event) string {
	r.Helper()
	var d data
	r.must(json.Unmarshal(e.Data, &d))
	dir, base := filepath.Split(d.Name)
	if want := map[bool]string{true: "", false: r.dir + "/"}[r.polling]; dir != want {
		r.Errorf("the name is %q, want it in %q", d.Name, want)
	}
	for _, n := range opNames {
		if n.op == d.Op {
			return n.name + " " + base
		}
	}
	return fmt.Sprintf("%d %s", d.Op, base)
}

func (r *rig) expect(want ...string) {
	r.Helper()
	for _, w := range want {
		if got := r.next(); got != w {
			r.Fatalf("got the event %q, want %q", got, w)
		}
	}
}
