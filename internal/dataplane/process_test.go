package dataplane

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus/server"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

const (
	clock   = "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: clock}\nspec: {calendar: {tick: {interval: 1h}}}\n"
	listen  = "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: listen}\nspec:\n  dependencies: [{name: a, eventSourceName: clock, eventName: tick}]\n  triggers: [{template: {name: t, log: {}}}]\n"
	busHead = "apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {name: default}\n"
)

// runner is a process that runs the manifests of a folder.
type runner struct {
	t        *testing.T
	dir      string
	out, log *output
}

func start(t *testing.T, files map[string]string) *runner {
	t.Helper()
	r := &runner{t: t, dir: t.TempDir(), out: &output{}, log: &output{}}
	for name, text := range files {
		r.write(name, text)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cfg := Config{
		Paths: []string{r.dir}, Host: "127.0.0.1", AdminAddr: "127.0.0.1:0", Sources: sources.Kinds, Triggers: triggers.Kinds,
		Server:  &server.Config{DataDir: filepath.Join(t.TempDir(), "bus"), Embedded: true, Log: log},
		NewHTTP: func(secret.Reader) trigger.HTTP { return nil }, Log: log, Out: r.out,
	}
	go func() { ended <- Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

func (r *runner) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not in time: %s\n%s\n%s", what, r.out, r.log)
		}
	}
}

func (r *runner) prints(text string) {
	r.t.Helper()
	r.until(text, func() bool { return strings.Contains(r.out.String(), text) })
}

func (r *runner) logs(text string) {
	r.t.Helper()
	r.until(text, func() bool { return strings.Contains(r.log.String(), text) })
}

var adminAddress = regexp.MustCompile(`msg="admin open" address=(\S+)`)

func (r *runner) ready() (ready Readiness) {
	r.t.Helper()
	r.logs("admin open")
	addr := adminAddress.FindStringSubmatch(r.log.String())[1]
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true // no connection stays behind
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &ready)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if ready.Ready != (res.StatusCode == http.StatusOK) {
		r.t.Errorf("status %d with ready %v", res.StatusCode, ready.Ready)
	}
	return ready
}

func TestNothingRuns(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"all are broken":         {strings.Replace(clock, "interval: 1h", "interval: soon", 1) + "---\n" + strings.Replace(listen, "log: {}", "", 1), "each EventSource and Sensor has errors"},
		"there are none":         {busHead + "spec: {jetstream: {}}\n", "there is no EventSource and no Sensor among the manifests"},
		"the event bus is wrong": {clock + "---\n" + busHead + "spec: {jetstream: {streamConfig: 'maxAge: soon'}}\n", "EventBus default is not valid, see its problems"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, map[string]string{"m.yaml": tc.text})
			r.prints("NOTHING IS RUNNING: " + tc.want)
			if strings.Contains(r.out.String(), "EVENT SOURCE") {
				t.Errorf("a table of nothing: %s", r.out)
			}
		})
	}
}

func TestABrokenFolderIsMendedWhileItRuns(t *testing.T) {
	r := start(t, map[string]string{"m.yaml": strings.Replace(clock, "interval: 1h", "interval: soon", 1), "s.yaml": strings.Replace(listen, "log: {}", "", 1)})
	r.prints("NOTHING IS RUNNING")
	r.prints("m.yaml:4: error: EventSource/clock: spec.calendar.tick.interval:")
	if got := r.ready(); got.Ready || len(got.Problems) != 2 {
		t.Errorf("ready %v, problems %q", got.Ready, got.Problems)
	}
	r.write("m.yaml", clock)
	r.write("s.yaml", listen)
	r.logs(`msg="event source added" eventsource=clock`)
	r.logs(`msg="sensor added" sensor=listen`)
	r.until("it is ready", func() bool { return r.ready().Ready })
}

func TestATableSaysWhatDoesNotRun(t *testing.T) {
	r := start(t, map[string]string{
		"m.yaml": clock + "---\n" + strings.Replace(clock, "name: clock", "name: other", 1) + "---\n" + strings.Replace(busHead, "default", "broken", 1) + "spec: {}\n",
		"o.yaml": strings.Replace(strings.Replace(clock, "name: clock", "name: third", 1), "spec: {", "spec: {eventBusName: broken, ", 1),
	})
	r.prints("PROBLEMS")
	for _, want := range []string{`clock +tick +calendar +-\n`, `other +tick +calendar +-\n`, `third +tick +calendar +NOT RUNNING: EventBus broken is not valid`} {
		if !regexp.MustCompile(want).MatchString(r.out.String()) {
			t.Errorf("no line %s in\n%s", want, r.out)
		}
	}
}

func TestChangedBusSettingsNeedARestart(t *testing.T) {
	r := start(t, map[string]string{"m.yaml": clock, "bus.yaml": busHead + "spec: {jetstream: {streamConfig: 'maxAge: 72h'}}\n"})
	r.prints("clock")
	problems := func() string { return strings.Join(r.ready().Problems, "\n") }
	if got := problems(); got != "" {
		t.Errorf("problems without a change: %s", got)
	}

	r.write("bus.yaml", "a: [")
	r.until("the file cannot be read", func() bool { return strings.Contains(problems(), "cannot be read") })
	r.write("bus.yaml", busHead+"spec: {jetstream: {streamConfig: \"maxAge: 1h\\nmaxBytes: 1GB\"}}\n")
	const want = "maxBytes, maxAge changed; the bus runs with what it had at the start, restart to apply it"
	r.logs(want)
	r.until("a problem on /readyz", func() bool { return problems() == "warning: EventBus/default: "+want })
	if !r.ready().Ready {
		t.Error("the bus works all the same")
	}
	if n := strings.Count(r.log.String(), "event bus needs a restart"); n != 1 {
		t.Errorf("told %d times; a file that cannot be read is no change:\n%s", n, r.log)
	}

	r.write("bus.yaml", "---\n# gone\n")
	r.until("the default counts as a change", func() bool {
		return problems() == "warning: EventBus/default: maxAge changed; the bus runs with what it had at the start, restart to apply it"
	})
	r.write("bus.yaml", busHead+"spec: {jetstream: {version: latest, streamConfig: 'MaxAge: 72h'}}\n")
	r.until("the same in other words is no change", func() bool { return problems() == "" })
}

// output collects what a process prints.
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
