package manifest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files have to be quiet before they are looked at:
	// editors and ConfigMap mounts change them in several steps.
	settle = 200 * time.Millisecond
	// poll is how often files are looked at where nobody tells of changes.
	poll = 5 * time.Second
)

// Watch calls onChange after each change of the files that Load(paths) would
// read, until ctx is done. Changes that follow each other within 200 ms are one.
// onChange runs in Watch's goroutine: changes during a call give one more call.
// Where the system cannot tell of changes, files are looked at every 5 s.
func Watch(ctx context.Context, paths []string, onChange func()) {
	w := watcher{paths: paths, settle: settle, poll: poll}
	w.run(ctx, onChange)
}

type watcher struct {
	paths        []string
	settle, poll time.Duration
	// blind leaves everything to polling.
	blind bool
	// ready, where set, is called when changes are noticed from now on.
	ready func()
}

func (w *watcher) run(ctx context.Context, onChange func()) {
	var events <-chan fsnotify.Event
	var failures <-chan error
	var notify *fsnotify.Watcher
	if !w.blind {
		var err error
		if notify, err = fsnotify.NewWatcher(); err == nil {
			defer notify.Close() //nolint:errcheck // nothing is left to do
			events, failures = notify.Events, notify.Errors
		}
	}
	watched := map[string]bool{}
	w.follow(notify, watched)
	seen := w.state()
	if w.ready != nil {
		w.ready()
	}

	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()
	quiet := time.NewTimer(w.settle)
	defer quiet.Stop()
	quiet.Stop()
	var first time.Time // of the changes that are waited out; zero if there are none
	changed := func() {
		if first.IsZero() {
			first = time.Now()
		}
		// Files that never get quiet are looked at all the same.
		quiet.Reset(min(w.settle, time.Until(first.Add(10*w.settle))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			changed()
		case _, ok := <-failures: // an overflow, for example: look for ourselves
			if !ok {
				failures = nil
			}
			changed()
		case <-ticker.C:
			if first.IsZero() && w.state() != seen {
				changed()
			}
		case <-quiet.C:
			first = time.Time{}
			w.follow(notify, watched)
			if now := w.state(); now != seen {
				seen = now
				onChange()
			}
		}
	}
}

// follow watches all folders that matter, new ones too. A folder that cannot be
// watched is left to polling.
func (w *watcher) follow(notify *fsnotify.Watcher, watched map[string]bool) {
	if notify == nil {
		return
	}
	now := map[string]bool{}
	for _, p := range w.paths {
		now[filepath.Dir(filepath.Clean(p))] = true
	}
	for _, folder := range listFiles(w.paths).folders {
		now[folder] = true
	}
	for dir := range now {
		// Adding again is how a folder that was removed and made anew is found.
		if err := notify.Add(dir); err == nil {
			watched[dir] = true
		}
	}
	for dir := range watched {
		if !now[dir] {
			_ = notify.Remove(dir) //nolint:errcheck // it may be gone
			delete(watched, dir)
		}
	}
}

// state sums up the files: names, what links lead to, sizes and times.
func (w *watcher) state() [sha256.Size]byte {
	h := sha256.New()
	f := listFiles(w.paths)
	for _, file := range f.files {
		describe(h, file)
	}
	for _, e := range f.failed {
		fmt.Fprintf(h, "%q %v\n", e.path, e.err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func describe(h hash.Hash, file string) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		fmt.Fprintf(h, "%q %v\n", file, err)
		return
	}
	info, err := os.Stat(real)
	if err != nil {
		fmt.Fprintf(h, "%q %v\n", file, err)
		return
	}
	fmt.Fprintf(h, "%q %q %d %d %v\n", file, real, info.Size(), info.ModTime().UnixNano(), info.Mode())
}
