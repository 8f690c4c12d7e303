package manifest

import (
	"context"
	"os"
	"path/filepath"
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

// A ConfigMap mount changes by swapping one link for another.
func TestWatchOfAMount(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"..v1", "..v2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, v, "a.yaml"), v)
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/a.yaml", "a.yaml")
	changes := watch(t, &watcher{paths: []string{dir}, settle: 20 * time.Millisecond, poll: time.Hour})
	link("..v2", "..data_tmp")
	if err := os.Rename(dir+"/..data_tmp", dir+"/..data"); err != nil {
		t.Fatal(err)
	}
	wait(t, changes, "the swapped link")
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
