// Package ledger_test runs the built binary against what goes wrong in life, and
// compares the ids of the events that were accepted with those acted on.
package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/test/proc"
)

// binary is set by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signalbox-ledger-")
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
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := proc.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// site is a folder of manifests with a data directory and addresses: what one
// "signalbox run" is given.
type site struct {
	t                *testing.T
	dir, data, admin string
	webhook          string // its address
	sink             *sink
	args             []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), data: t.TempDir(), admin: freeAddr(t), webhook: freeAddr(t), sink: newSink(t)}
	return s
}

const source = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hook}
spec:
  webhook:
    push: {port: %q, endpoint: /push, method: POST, metadata: {version: %q}}
`

const sensor = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: act}
spec:
  dependencies:
    - {name: push, eventSourceName: hook, eventName: push}
  triggers:
    - template:
        name: call
        http:
          url: %s
          method: POST
          headers: {Content-Type: application/json, X-Version: %q}
          payload:
            - {src: {dependencyName: push, dataKey: body.id}, dest: id}
      policy: {status: {allow: [200]}}
%s`

// patient retries for longer than any test takes.
const patient = `      retryStrategy: {steps: 1000, duration: 200ms, factor: 1.2, cap: 1s}
`

func (s *site) hookURL() string { return "http://" + s.webhook + "/push" }

func (s *site) source(version string) string {
	_, port, err := net.SplitHostPort(s.webhook)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf(source, port, version)
}

func (s *site) sensor(version, retry string) string {
	return fmt.Sprintf(sensor, s.sink.url(), version, retry)
}

// write replaces a manifest in one step.
func (s *site) write(name, text string) {
	s.t.Helper()
	tmp := filepath.Join(s.dir, "."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// writeBoth is one webhook and one sensor.
func (s *site) writeBoth(retry string) {
	s.write("source.yaml", s.source("1"))
	s.write("sensor.yaml", s.sensor("1", retry))
}

// start runs signalbox and waits until it is ready.
func (s *site) start() *proc.Process {
	s.t.Helper()
	p := s.launch()
	if err := p.Ready(s.admin, time.Minute); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// launch runs signalbox and does not wait.
func (s *site) launch() *proc.Process {
	s.t.Helper()
	args := append([]string{"run", s.dir, "--host", "127.0.0.1", "--admin-addr", s.admin, "--data-dir", s.data}, s.args...)
	return startProcess(s.t, args...)
}

func startProcess(t *testing.T, args ...string) *proc.Process {
	t.Helper()
	p, err := proc.Start(binary, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of signalbox %s:\n%s", strings.Join(args, " "), lastLines(p.Log(), 40))
		}
	})
	return p
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// settle waits until everything accepted has been acted on and returns the
// comparison; what is missing after timeout is an error.
func (s *site) settle(l *load, timeout time.Duration) result {
	s.t.Helper()
	var r result
	err := proc.Until(timeout, func() bool { r = s.sink.compare(l); return len(r.lost) == 0 })
	s.t.Logf("accepted %d, refused %d, lost %d, repeated %d, twice by key %d, slowest %s",
		r.accepted, r.refused, len(r.lost), r.repeated, r.twice, r.slowest.Round(time.Millisecond))
	if err != nil {
		s.t.Fatalf("%d accepted events lost, such as %s", len(r.lost), r.lost[0])
	}
	if r.twice > 0 {
		s.t.Errorf("%d events came with more than one Idempotency-Key", r.twice)
	}
	if r.accepted == 0 {
		s.t.Error("nothing was accepted, so nothing was tested")
	}
	return r
}

// until fails the test if ok does not come true in time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if err := proc.Until(30*time.Second, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// command runs signalbox to its end and returns its output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // our binary
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if x, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec documents it
			stderr = x.Stderr
		}
		t.Fatalf("signalbox %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr)
	}
	return string(out)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// get reads a page of the admin address, whatever its status.
func (s *site) get(path string) string {
	s.t.Helper()
	resp, err := http.Get("http://" + s.admin + path) //nolint:noctx // loopback
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to the end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}
