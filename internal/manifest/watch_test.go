package manifest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watch runs a watcher and returns the channel on which its calls arrive.
func watch(t *testing.T, w *watcher) <-chan struct{} {
	t.Helper()
	changes, ready := make(chan struct{}, 100), make(chan struct{})
	w.ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx, func() { changes <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		goleak.VerifyNone(t)
	})
	<-ready
	return changes
}

func wait(t *testing.T, changes <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s was not noticed", what)
	}
}

func TestWatch(t *testing.T) {
	for name, w := range map[string]watcher{
		"told by the system": {settle: 20 * time.Millisecond, poll: time.Hour},
		"by looking":         {settle: 20 * time.Millisecond, poll: 30 * time.Millisecond, blind: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			put(t, dir+"/a.yaml", "a")
			put(t, other+"/single.conf", "a")
			w.paths = []string{dir, other + "/single.conf"}
			changes := watch(t, &w)

			put(t, dir+"/a.yaml", "changed")
			wait(t, changes, "a changed file")
			put(t, dir+"/new.tmp", "x") // as editors do
			if err := os.Rename(dir+"/new.tmp", dir+"/a.yaml"); err != nil {
				t.Fatal(err)
			}
			wait(t, changes, "a replaced file")
			if err := os.MkdirAll(dir+"/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, dir+"/b.yaml", "b")
			wait(t, changes, "a new file")
			put(t, dir+"/sub/c.yaml", "c")
			wait(t, changes, "a file in a new folder")
			if err := os.Remove(dir + "/b.yaml"); err != nil {
				t.Fatal(err)
			}
			wait(t, changes, "a removed file")
			put(t, other+"/single.conf", "changed")
			wait(t, changes, "a changed file named by itself")
		})
	}
}

// swap makes a version of a ConfigMap mount as the kubelet does: a new folder,
// links to its files through ..data, the link ..data moved at once, the old
// folder removed.
func swap(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data")) //nolint:errcheck // none at first
	must(os.Mkdir(filepath.Join(dir, version), 0o755))
	for name, text := range files {
		put(t, filepath.Join(dir, version, name), text)
	}
	must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
	if old != "" {
		must(os.RemoveAll(filepath.Join(dir, old)))
	}
}

// A ConfigMap mount changes by swapping one link for another.
func TestWatchOfAMount(t *testing.T) {
	for name, poll := range map[string]time.Duration{"told by the system": time.Hour, "by looking": 30 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			swap(t, dir, "..v1", map[string]string{"a.yaml": "1"})
			w := &watcher{paths: []string{dir}, settle: 20 * time.Millisecond, poll: poll, blind: poll < time.Hour}
			changes := watch(t, w)
			swap(t, dir, "..v2", map[string]string{"a.yaml": "2"})
			wait(t, changes, "the swapped link")
			swap(t, dir, "..v3", map[string]string{"a.yaml": "3", "b.yaml": "3"})
			wait(t, changes, "a second swap, with a new file")
		})
	}
}

// The objects of a mount are there once, not again in ..data.
func TestLoadOfAMount(t *testing.T) {
	dir := t.TempDir()
	bus := func(name string) string {
		return "{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: " + name + "}, spec: {jetstream: {version: latest}}}"
	}
	load := func(want ...string) {
		t.Helper()
		set := Load([]string{dir}, Options{})
		var got []string
		for _, o := range set.Objects {
			got = append(got, o.Name)
		}
		if !slices.Equal(got, want) || len(set.Problems) > 0 {
			t.Errorf("got %v, want %v; problems %v", got, want, set.Problems)
		}
	}
	swap(t, dir, "..v1", map[string]string{"eventbus.json": bus("a")})
	load("a")
	swap(t, dir, "..v2", map[string]string{"eventbus.json": bus("b"), "more.json": bus("c")})
	load("b", "c")
}

func TestWatchTellsOfChangesOnly(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.yaml", "a")
	changes := watch(t, &watcher{paths: []string{dir}, settle: 20 * time.Millisecond, poll: 10 * time.Millisecond})
	put(t, dir+"/notes.txt", "not read by Load")
	put(t, dir+"/a.yaml", "changed")
	wait(t, changes, "a change")
	select {
	case <-changes:
		t.Error("one change, two calls")
	case <-time.After(100 * time.Millisecond):
	}
}
