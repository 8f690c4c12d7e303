package dataplane

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus/server"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

const hook = "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: hook}\nspec: {webhook: {push: {endpoint: /push, port: \"PORT\"}, " +
	"locked: {endpoint: /locked, port: \"TLS\", serverCertSecret: {name: none, key: c}, serverKeySecret: {name: none, key: k}}}}\n"

// run runs cfg on the manifests of a folder until stop, which may be called once.
func run(t *testing.T, text string, change func(*Config)) (r *runner, stop func(), ended <-chan error) {
	t.Helper()
	r = &runner{t: t, dir: t.TempDir(), out: &output{}, log: &output{}}
	r.write("m.yaml", text)
	log := slog.New(slog.NewTextHandler(r.log, nil))
	cfg := Config{
		Paths: []string{r.dir}, Host: "127.0.0.1", AdminAddr: "127.0.0.1:0", Sources: sources.Kinds, Triggers: triggers.Kinds,
		Server:  &server.Config{DataDir: filepath.Join(t.TempDir(), "bus"), Embedded: true, Log: log},
		NewHTTP: func(secret.Reader) trigger.HTTP { return nil }, Log: log, Out: r.out,
	}
	change(&cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg); close(done) }()
	t.Cleanup(func() {
		cancel()
		for range done { // until it has ended
		}
	})
	return r, cancel, done
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing is left to do
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Requests are taken, on connections that end with the answer, for as long as
// the drain lasts; and an entry without its certificate is no hindrance.
func TestDrain(t *testing.T) {
	port := freePort(t)
	text := strings.NewReplacer("PORT", port, "TLS", freePort(t)).Replace(hook)
	r, stop, ended := run(t, text, func(c *Config) { c.DrainDelay = 2 * time.Second })
	r.until("ready", func() bool { return r.ready().Ready })
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	push := func() (status int, closes bool) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+port+"/push", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Close
	}
	if status, closes := push(); status != http.StatusOK || closes {
		t.Fatalf("before: status %d, close %v", status, closes)
	}
	stop()
	r.until("not ready", func() bool { return !r.ready().Ready })
	if status, closes := push(); status != http.StatusOK || !closes {
		t.Errorf("while it drains: status %d, close %v", status, closes)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Without a server of its own the process waits for the secret of the user's
// server, rather than giving up.
func TestNoEmbeddedBus(t *testing.T) {
	secrets := t.TempDir()
	exotic := "---\n" + busHead + "spec: {jetstreamExotic: {url: \"nats://127.0.0.1:1\", accessSecret: {name: login, key: auth}}}\n"
	t.Run("waits for a secret", func(t *testing.T) {
		r, _, _ := run(t, clock+exotic, func(c *Config) { c.Server, c.SecretsDir = nil, secrets })
		r.logs("event bus not open yet, trying for ever")
		if err := os.MkdirAll(filepath.Join(secrets, "login"), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(secrets, "login", "auth"), []byte("token: abc"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.logs("event bus not reachable yet")
	})
	t.Run("no server at all", func(t *testing.T) {
		r, _, _ := run(t, clock, func(c *Config) { c.Server = nil })
		r.logs("there is no server for this event bus")
		if r.ready().Ready {
			t.Error("ready without a bus")
		}
	})
}
