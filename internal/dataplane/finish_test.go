package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus/server"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// mark is a kind that makes a mark elsewhere when it runs, and removes it when it finishes.
type mark struct {
	v1alpha1.EventCommon `json:",inline"`
	// Remove asks for that.
	Remove bool `json:"remove,omitempty"`
	// Token is needed to remove it.
	Token *corev1.SecretKeySelector `json:"token,omitempty"`
}

func (*mark) Default()        {}
func (*mark) Validate() error { return nil }

// elsewhere is where the marks are.
type elsewhere struct {
	mu     sync.Mutex
	marks  map[string]string // by entry: what the source remembered
	fail   int               // finishes that fail first
	tokens []string
}

func (w *elsewhere) kinds() eventsource.Kinds {
	return eventsource.Kinds{{
		Kind: kind.Of("mark", func(_ mark, env eventsource.Env) (eventsource.Source, error) {
			return &marker{w, env}, nil
		}),
		NeedsFinish: func(c kind.Config) bool { return c.(*mark).Remove },
		Finish:      w.finish,
	}}
}

func (w *elsewhere) finish(ctx context.Context, c kind.Config, env eventsource.Env) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail > 0 {
		w.fail--
		return errors.New("the host is away")
	}
	if ref := c.(*mark).Token; ref != nil {
		token, err := env.Secrets.Secret(ctx, ref)
		if err != nil {
			return err
		}
		w.tokens = append(w.tokens, string(token))
	}
	b, err := env.State.Get(ctx, "id")
	if err != nil {
		return err
	}
	entry := env.EventSource + "/" + env.Event
	if id, ok := w.marks[entry]; ok && len(b) > 0 && id != string(b) {
		return fmt.Errorf("%s is remembered, but %s is there", b, id)
	}
	delete(w.marks, entry)
	return env.State.Put(ctx, "id", nil)
}

func (w *elsewhere) has() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for n := range w.marks {
		names = append(names, n)
	}
	return fmt.Sprint(len(names), strings.Join(names, " "))
}

type marker struct {
	w   *elsewhere
	env eventsource.Env
}

func (m *marker) Run(ctx context.Context, _ eventsource.Emit) error {
	return m.env.Lead.Lead(ctx, "mark", func(ctx context.Context) error {
		entry := m.env.EventSource + "/" + m.env.Event
		if err := m.env.State.Put(ctx, "id", []byte("id of "+entry)); err != nil {
			return err
		}
		m.w.mu.Lock()
		m.w.marks[entry] = "id of " + entry
		m.w.mu.Unlock()
		<-ctx.Done()
		return nil
	})
}

const marking = "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: es}\nspec:\n  mark:\n"

// follow runs a folder of manifests with the kind mark.
func follow(t *testing.T, w *elsewhere, dir, bus string) (log *output, stop func()) {
	t.Helper()
	log = &output{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cfg := Config{
		Paths: []string{dir}, Host: "127.0.0.1", Sources: w.kinds(), Log: logger, Out: &output{},
		Server: &server.Config{DataDir: bus, Embedded: true, Log: logger},
	}
	go func() { ended <- Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return log, stop
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	// Whole or not at all, as an editor does.
	if err := os.WriteFile(filepath.Join(dir, "."+name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "."+name), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, log *output, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s\n%s", what, log)
		}
	}
}

func TestFinishWhenAnEventSourceLeaves(t *testing.T) {
	w := &elsewhere{marks: map[string]string{}, fail: 1}
	dir := t.TempDir()
	write(t, dir, "keep.yaml", strings.ReplaceAll(marking, "name: es", "name: other")+"    a: {remove: true}\n")
	write(t, dir, "es.yaml", marking+"    a: {remove: true, token: {name: s, key: k}}\n    b: {remove: true}\n    c: {}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: t0ken}\n")
	log, stop := follow(t, w, dir, filepath.Join(t.TempDir(), "bus"))
	eventually(t, log, "all marks", func() bool { return strings.HasPrefix(w.has(), "4") })

	// A file that is broken for a moment undoes nothing.
	write(t, dir, "es.yaml", marking+"    a: {remove: [\n")
	eventually(t, log, "the file is read", func() bool { return strings.Contains(log.String(), "es.yaml") })
	time.Sleep(comeBack + 500*time.Millisecond)
	if got := w.has(); !strings.HasPrefix(got, "4") {
		t.Errorf("after a broken file: %s", got)
	}
	// An entry leaves.
	write(t, dir, "es.yaml", marking+"    a: {remove: true, token: {name: s, key: k}}\n    c: {}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: t0ken}\n")
	eventually(t, log, "b is undone", func() bool { return !strings.Contains(w.has(), "es/b") })
	if got := w.has(); !strings.HasPrefix(got, "3") {
		t.Errorf("after an entry has left: %s", got)
	}
	// All of it leaves, with its secret.
	if err := os.Remove(filepath.Join(dir, "es.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, log, "a is undone", func() bool { return !strings.Contains(w.has(), "es/a") })
	w.mu.Lock()
	if got := fmt.Sprint(w.tokens); got != "[t0ken]" {
		t.Errorf("tokens %s", got)
	}
	w.mu.Unlock()
	if got := w.has(); !strings.Contains(got, "es/c") || !strings.Contains(got, "other/a") {
		t.Errorf("left are %s", got)
	}
	stop()
	if got := w.has(); !strings.Contains(got, "other/a") {
		t.Errorf("the end of the process undoes: %s", got)
	}
	for _, want := range []string{"cannot be undone yet", "the host is away", "is undone"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestAnEventSourceComesBack(t *testing.T) {
	w := &elsewhere{marks: map[string]string{}, fail: 1000}
	dir := t.TempDir()
	write(t, dir, "es.yaml", marking+"    a: {remove: true}\n")
	write(t, dir, "keep.yaml", strings.ReplaceAll(marking, "name: es", "name: other")+"    a: {}\n")
	log, stop := follow(t, w, dir, filepath.Join(t.TempDir(), "bus"))
	eventually(t, log, "the marks", func() bool { return strings.HasPrefix(w.has(), "2") })
	if err := os.Remove(filepath.Join(dir, "es.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, log, "it is tried", func() bool { return strings.Contains(log.String(), "cannot be undone yet") })
	write(t, dir, "es.yaml", marking+"    a: {remove: true}\n")
	eventually(t, log, "it runs again", func() bool { return strings.Contains(log.String(), "event source added") })
	w.mu.Lock()
	w.fail = 0
	w.mu.Unlock()
	time.Sleep(2 * time.Second) // longer than until the next try
	if got := w.has(); !strings.HasPrefix(got, "2") {
		t.Errorf("left are %s", got)
	}
	if strings.Contains(log.String(), "left there") {
		t.Errorf("complains:\n%s", log)
	}
	stop()
}

func TestFinishByHand(t *testing.T) {
	w := &elsewhere{marks: map[string]string{}}
	dir, bus := t.TempDir(), filepath.Join(t.TempDir(), "bus")
	write(t, dir, "es.yaml", marking+"    a: {remove: true}\n    b: {remove: true}\n    c: {}\n")
	write(t, dir, "other.yaml", strings.ReplaceAll(marking, "name: es", "name: other")+"    a: {remove: true, token: {name: s, key: k}}\n")
	log, stop := follow(t, w, dir, bus)
	eventually(t, log, "all marks", func() bool { return strings.HasPrefix(w.has(), "4") })
	stop()
	finish := func(only string, timeout time.Duration, busDir string) (string, error) {
		out, logged := &bytes.Buffer{}, &output{}
		logger := slog.New(slog.NewTextHandler(logged, nil))
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		cfg := Config{Paths: []string{dir}, Sources: w.kinds(), Log: logger, Out: out}
		if busDir != "" {
			cfg.Server = &server.Config{DataDir: busDir, Embedded: true, Log: logger}
		}
		err := Finish(ctx, cfg, only)
		return out.String(), err
	}
	if _, err := finish("nobody", time.Second, bus); err == nil || !strings.Contains(err.Error(), "no EventSource nobody") {
		t.Errorf("got %v", err)
	}
	// The bus remembers another id than what is there for one of them.
	w.mu.Lock()
	w.marks["es/b"] = "made by somebody else"
	w.mu.Unlock()
	out, err := finish("es", 1500*time.Millisecond, bus)
	if err == nil || !strings.Contains(err.Error(), "es/b: id of es/b is remembered") || strings.Contains(err.Error(), "es/a") || !strings.Contains(out, "es/a: nothing is left") {
		t.Errorf("got %v\n%s", err, out)
	}
	if got := w.has(); !strings.HasPrefix(got, "3") {
		t.Errorf("left are %s", got)
	}
	// Without the bus what is there is enough.
	if out, err := finish("es", time.Minute, ""); err != nil {
		t.Errorf("got %v\n%s", err, out)
	}
	if _, err := finish("", 1500*time.Millisecond, bus); err == nil || !strings.Contains(err.Error(), "other/a: ") || !strings.Contains(err.Error(), `secret "s"`) {
		t.Errorf("got %v", err)
	}
	write(t, dir, "secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: t0ken}\n")
	if _, err := finish("", time.Minute, bus); err != nil {
		t.Error(err)
	}
	if got := w.has(); !strings.Contains(got, "1es/c") {
		t.Errorf("left are %s", got)
	}
}
