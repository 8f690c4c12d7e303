package examples

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The blocks of README.md, docs/start.md, docs/git.md and docs/deploy.md are marked by their info strings:
//
//	sh run      is run, once
//	sh until    is run again until its output is what is shown
//	sh start    is run in the background until the walk ends
//	yaml FILE   is saved as that file
//	text        is what the block before it prints; its exit code may be anything
//	text log    are lines, or parts of lines, that "signalbox run" has printed by
//	            now, or does soon
//
// What differs from run to run (ids, times, ports) is levelled out before texts
// are compared. An id that a command names stands for what took its place in the
// output before.

const wait = 30 * time.Second

func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("takes fifteen seconds: the README waits for retries")
	}
	w := newWalk(t, "bin", "12000")
	w.copyExample("quickstart")
	w.start("bin/signalbox run examples/quickstart") // what "make run" does after building
	if ran := w.follow("../README.md"); ran < 8 {
		t.Errorf("only %d blocks of the README were run", ran)
	}
}

func TestStart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes eight seconds: the walk waits for retries")
	}
	w := newWalk(t, "", "12100", "12101")
	if ran := w.follow("../docs/start.md"); ran < 7 {
		t.Errorf("only %d blocks of docs/start.md were run", ran)
	}
}

func TestGit(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and runs it")
	}
	w := newWalk(t, "bin", "12000", "8081")
	w.copyExample("git-push")
	if ran := w.follow("../docs/git.md"); ran < 5 {
		t.Errorf("only %d blocks of docs/git.md were run", ran)
	}
	if n := strings.Count(w.log.String(), "building acme/shop"); n != 1 {
		t.Errorf("the push was acted on %d times", n)
	}
}

func TestDeploy(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and runs it")
	}
	w := newWalk(t, "bin")
	w.copyExample("image-to-deploy")
	if ran := w.follow("../docs/deploy.md"); ran < 1 {
		t.Error("no block of docs/deploy.md was run")
	}
}

// walk is a folder with the built program, in which a text is followed.
type walk struct {
	t     *testing.T
	dir   string
	ports map[string]string // in the text -> here
	log   *output
	ids   map[string]string // in the text -> here
}

// build builds the program, once for all walks. TestMain removes it.
var build = sync.OnceValues(func() (program string, err error) {
	if programs, err = os.MkdirTemp("", "signalbox-examples-"); err != nil {
		return "", err
	}
	program = filepath.Join(programs, "signalbox")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../cmd/signalbox").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
})

var programs string

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// newWalk puts the program into the folder bin of the walk's own.
func newWalk(t *testing.T, bin string, ports ...string) *walk {
	w := &walk{t: t, dir: t.TempDir(), ports: map[string]string{}, log: &output{}, ids: map[string]string{}}
	for _, p := range ports {
		w.ports[p] = freePort(t)
	}
	program, err := build()
	if err == nil {
		err = os.MkdirAll(filepath.Join(w.dir, bin), 0o700)
	}
	if err == nil {
		err = os.Link(program, filepath.Join(w.dir, bin, "signalbox"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// copyExample copies a folder of examples/ into that of the walk.
func (w *walk) copyExample(name string) {
	files, err := filepath.Glob(filepath.Join(name, "*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("there is no example %s: %v", name, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		w.save(filepath.Join("examples", f), string(b))
	}
}

func (w *walk) save(file, text string) {
	path := filepath.Join(w.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(w.here(text)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// follow does what a text says, and returns how many of its blocks were run or saved.
func (w *walk) follow(file string) (ran int) {
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	blocks := fence.FindAllStringSubmatch(string(text), -1)
	for i, b := range blocks {
		var shown *string
		if i+1 < len(blocks) && blocks[i+1][1] == "text" {
			shown = &blocks[i+1][2]
		}
		ran++
		name, isFile := strings.CutPrefix(b[1], "yaml ")
		switch {
		case isFile:
			w.save(name, b[2])
		case b[1] == "sh run":
			w.once(b[2], shown)
		case b[1] == "sh until":
			w.until(b[2], *shown)
		case b[1] == "sh start":
			w.start(strings.TrimSpace(b[2]))
		case b[1] == "text log":
			w.logged(b[2])
			ran--
		default:
			ran--
		}
	}
	return ran
}

func (w *walk) start(command string) {
	args := append(strings.Fields(w.here(command)), "--host", "127.0.0.1")
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), filepath.Join(w.dir, args[0]), args[1:]...) //nolint:gosec // the text's own command
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, w.log, w.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("%s: %v\n%s", command, err, w.log)
		}
	})
}

// here puts free ports in the place of the text's, and ids of this run.
func (w *walk) here(s string) string {
	for there, here := range w.ids {
		s = strings.ReplaceAll(s, there, here)
	}
	for there, here := range w.ports {
		s = strings.ReplaceAll(s, there, here)
	}
	return s
}

func (w *walk) sh(script string) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), wait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", w.here(script)) //nolint:gosec // the text's own commands
	cmd.Dir = w.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *walk) once(script string, shown *string) {
	w.t.Helper()
	got, err := w.sh(script)
	switch {
	case shown == nil && err != nil:
		w.t.Fatalf("%s%v\n%s", script, err, got)
	case shown != nil && !w.same(*shown, got):
		w.t.Fatalf("%sprinted\n%s\nand the text says\n%s", script, got, *shown)
	}
}

func (w *walk) until(script, shown string) {
	w.t.Helper()
	var got string
	ok := eventually(func() bool {
		got, _ = w.sh(script)
		return w.same(shown, got)
	})
	if !ok {
		w.t.Fatalf("%sprints\n%s\nand the text says\n%s", script, got, shown)
	}
}

func (w *walk) logged(shown string) {
	w.t.Helper()
	for line := range strings.Lines(shown) {
		want := w.level(line)
		if !eventually(func() bool { return strings.Contains(w.level(w.log.String()), want) }) {
			w.t.Fatalf("the log of signalbox run has no line\n%s\nIt is\n%s", line, w.log)
		}
	}
}

func eventually(ok func() bool) bool {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

var (
	ids    = regexp.MustCompile(`\b([0-9a-f]{32}|[0-9a-f]{12})\b`)
	times  = regexp.MustCompile(`\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`)
	spaces = regexp.MustCompile(` +`)
)

// level takes out of a text what differs from run to run.
func (w *walk) level(s string) string {
	for there, here := range w.ports {
		s = strings.ReplaceAll(s, here, there)
	}
	s = strings.NewReplacer("127.0.0.1", "localhost", "[::1]", "localhost").Replace(s)
	s = times.ReplaceAllString(ids.ReplaceAllString(s, "ID"), "TIME")
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}

// same compares, and remembers which id stands for which.
func (w *walk) same(shown, got string) bool {
	if w.level(shown) != w.level(got) {
		return false
	}
	here := ids.FindAllString(got, -1)
	for i, there := range ids.FindAllString(shown, -1) {
		w.ids[there] = here[i]
	}
	return true
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  strings.Builder
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

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
