package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

func signalbox(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := execute(t.Context(), args, strings.NewReader(`{"from":"stdin"}`), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// folder makes a folder of files and goes there, so that paths in outputs are short.
func folder(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// background is a command that goes on until the test ends.
type background struct{ out, err output }

func start(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, args, strings.NewReader(""), &b.out, &b.err) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("signalbox %s: exit code %d\n%s", strings.Join(args, " "), code, b.err.String())
		}
	})
	return b
}

// output collects what a command prints while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is everything so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

const (
	source = "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: clock}\nspec: {calendar: {tick: {interval: 1h}}}\n"
	sensor = "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: listen}\nspec:\n" +
		"  dependencies: [{name: a, eventSourceName: clock, eventName: tick, transform: {jq: '.num |= tonumber'}}]\n" +
		"  triggers: [{template: {name: tell, log: {}}}]\n"
)
