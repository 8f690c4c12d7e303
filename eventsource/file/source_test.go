package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestData(t *testing.T) {
	modes(t, func(r *rig) {
		r.start("CREATE", "metadata: {a: b}")
		r.write("x.txt", "")
		name := r.file("x.txt")
		if r.polling {
			name = "x.txt"
		}
		want := fmt.Sprintf(`{"name":%q,"op":1,"metadata":{"a":"b"}}`, name)
		if e := r.running.Next(r); string(e.Data) != want || e.ID == "" {
			r.Errorf("event %+v with data %s, want %s", e, e.Data, want)
		}
	})
}

func TestMetadataIsAlwaysThere(t *testing.T) {
	r := newRig(t, true)
	r.start("CREATE", "")
	r.write("x", "")
	if got := string(r.running.Next(t).Data); got != `{"name":"x","op":1,"metadata":null}` {
		t.Errorf("data is %s", got)
	}
}

func TestEventTypes(t *testing.T) {
	for name, c := range map[string]struct {
		eventType string
		do        func(r *rig)
		want      []string
	}{
		"create":            {"CREATE", func(r *rig) { r.write("a", ""); r.next0(); r.write("b", "") }, []string{"CREATE b"}},
		"write":             {"WRITE", func(r *rig) { r.write("old", "something longer") }, []string{"WRITE old"}},
		"write a new file":  {"WRITE", func(r *rig) { r.write("new", "text") }, []string{"WRITE new"}},
		"remove":            {"REMOVE", func(r *rig) { r.must(os.Remove(r.file("old"))) }, []string{"REMOVE old"}},
		"rename":            {"RENAME", func(r *rig) { r.must(os.Rename(r.file("old"), r.file("new"))) }, []string{"RENAME old"}},
		"rename is create":  {"CREATE", func(r *rig) { r.must(os.Rename(r.file("old"), r.file("new"))) }, []string{"CREATE new"}},
		"both of a rename":  {"CREATE|RENAME", func(r *rig) { r.must(os.Rename(r.file("old"), r.file("new"))) }, []string{"RENAME old", "CREATE new"}},
		"replace by rename": {"CREATE", func(r *rig) { r.must(os.Rename(r.file("other"), r.file("old"))) }, []string{"CREATE old"}},
		"chmod":             {"CHMOD", func(r *rig) { r.must(os.Chmod(r.file("old"), 0o400)) }, []string{"CHMOD old"}},
		"remove and make another": {"REMOVE|RENAME", func(r *rig) {
			// The new file may get the inode of the old one.
			r.must(os.Remove(r.file("old")))
			r.write("new", "other text")
		}, []string{"REMOVE old"}},
		"remove a second name": {"REMOVE|RENAME", func(r *rig) { r.must(os.Remove(r.file("link"))) }, []string{"REMOVE link"}},
		"make a directory":     {"CREATE", func(r *rig) { r.must(os.Mkdir(r.file("sub"), 0o700)) }, []string{"CREATE sub"}},
		"create or remove": {"CREATE|REMOVE", func(r *rig) {
			r.write("new", "")
			r.expect("CREATE new")
			r.must(os.Remove(r.file("new")))
		}, []string{"REMOVE new"}},
		"not what is in directories": {"CREATE|WRITE|CHMOD", func(r *rig) {
			r.must(os.Mkdir(r.file("sub"), 0o700))
			r.expect("CREATE sub")
			r.write("sub/x", "text")
			r.write("after", "")
			r.expect("CREATE after")
			r.write("last", "")
		}, []string{"CREATE last"}},
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, func(r *rig) {
				r.Helper()
				r.write("old", "text")
				r.write("other", "text")
				r.must(os.Link(r.file("other"), r.file("link")))
				r.start(c.eventType, "")
				c.do(r)
				r.expect(c.want...)
			})
		})
	}
}

// next0 takes an event without a look at it.
func (r *rig) next0() { r.running.Next(r) }

func TestPaths(t *testing.T) {
	for name, watch := range map[string]string{
		"path":                  `directory: "DIR/", path: x.txt`,
		"directory, no slash":   `directory: "DIR", path: x.txt`,
		"slash before the path": `directory: "DIR", path: /x.txt`,
		"regexp":                `directory: "DIR/", pathRegexp: '^x.*t$'`,
		"regexp, slash":         `directory: "DIR", pathRegexp: '^/x'`,
		"path of detours":       `directory: "DIR/sub/../", path: x.txt`,
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, func(r *rig) {
				r.must(os.Mkdir(r.file("sub"), 0o700))
				r.start("CREATE", "watchPathConfig: {"+strings.ReplaceAll(watch, "DIR", r.dir)+"}")
				r.write("y.txt", "")
				r.write("axt", "")
				r.write("x.txt", "")
				r.expect("CREATE x.txt")
			})
		})
	}
}

func TestConformance(t *testing.T) {
	for name, poll := range map[string]string{"fsnotify": "", "polling": "polling: true\npollInterval: 10ms\n"} {
		t.Run(name, func(t *testing.T) {
			dirs, ready := map[*sourcetest.Env]string{}, map[*sourcetest.Env]*readiness{}
			sourcetest.Run(t, sourcetest.Case{
				Kind: Kind,
				Setup: func(t *testing.T, e *sourcetest.Env) string {
					dirs[e], ready[e] = t.TempDir(), tellReady(e)
					return poll + fmt.Sprintf("eventType: CREATE\nwatchPathConfig: {directory: %q, pathRegexp: .}", dirs[e])
				},
				Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
					sourcetest.Eventually(t, "the source to watch", ready[e].ready.Load)
					return os.WriteFile(filepath.Join(dirs[e], strconv.Itoa(n)), nil, 0o600)
				},
			})
		})
	}
}

func TestNothingIsLostWhileTheBusIsAway(t *testing.T) {
	modes(t, func(r *rig) {
		r.start("CREATE|REMOVE", "")
		r.running.Fail(errors.New("bus is away"))
		for i := range 20 {
			r.write(fmt.Sprintf("%02d", i), "")
		}
		sourcetest.Eventually(r, "an attempt", func() bool { return len(r.running.Refused()) > 1 })
		r.running.Fail(nil)
		for i := range 20 {
			r.expect(fmt.Sprintf("CREATE %02d", i))
		}
		for _, e := range r.running.Refused() {
			if e.ID != r.running.Stored()[0].ID {
				r.Errorf("%s overtook the first", e.Data)
			}
		}
	})
}

func TestOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	limit, numErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || numErr != nil || limit > 100_000 {
		t.Skip("no small limit of queued events:", err, numErr, limit)
	}
	r := newRig(t, false)
	r.start("CREATE|REMOVE", fmt.Sprintf("watchPathConfig: {directory: %q, pathRegexp: '^wanted'}", r.dir))
	r.running.Fail(errors.New("bus is away"))
	r.write("wanted 1", "")
	r.write("noise a", "")
	for range limit/2 + 10_000 { // two events each; fsnotify itself reads 4096 ahead
		r.must(os.Rename(r.file("noise a"), r.file("noise b")))
		r.must(os.Rename(r.file("noise b"), r.file("noise a")))
	}
	r.must(os.Remove(r.file("wanted 1")))
	r.write("wanted 2", "")
	r.write("wanted 3", "")
	r.running.Fail(nil)
	r.expect("CREATE wanted 1", "REMOVE wanted 1", "CREATE wanted 2", "CREATE wanted 3")
	if !r.full.Load() {
		t.Error("the queue did not overflow, this test is worth nothing")
	}
	r.write("wanted 4", "")
	r.expect("CREATE wanted 4")
}

func TestLimitsAreExplained(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EMFILE: "max_user_instances", syscall.ENOSPC: "max_user_watches", syscall.EACCES: "permission denied",
	} {
		if got := explain(os.NewSyscallError("inotify", err)); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("got %q, want it to speak of %s", got, want)
		}
	}
}

func TestDirectoryThatComesAndGoes(t *testing.T) {
	modes(t, func(r *rig) {
		root := r.dir
		r.dir = filepath.Join(root, "data")
		r.running = sourcetest.Start(r, Kind, r.manifest("CREATE|REMOVE", ""), r.env)
		sourcetest.Eventually(r, "an error that names the directory", func() bool {
			err := r.running.Err()
			return err != nil && strings.Contains(err.Error(), r.dir) && errors.Is(err, os.ErrNotExist)
		})
		r.must(os.Mkdir(r.dir, 0o700))
		r.write("early", "")
		r.expect("CREATE early")
		r.await()

		r.must(os.RemoveAll(r.dir))
		r.expect("REMOVE early")
		sourcetest.Eventually(r, "the source to notice", func() bool { return !r.ready.Load() })
		r.must(os.Mkdir(r.dir, 0o700))
		r.write("late", "")
		r.expect("CREATE late")

		r.await()
		r.must(os.Rename(r.dir, filepath.Join(root, "away")))
		r.expect("REMOVE late")
	})
}

func TestNoDirectory(t *testing.T) {
	modes(t, func(r *rig) {
		r.write("plain", "")
		r.dir = r.file("plain")
		r.running = sourcetest.Start(r, Kind, r.manifest("CREATE", ""), r.env)
		sourcetest.Eventually(r, "an error", func() bool {
			err := r.running.Err()
			return err != nil && strings.Contains(err.Error(), r.dir+" is not a directory")
		})
	})
}

// A link may lead elsewhere without a word from the system.
func TestLinkedDirectoryIsExchanged(t *testing.T) {
	modes(t, func(r *rig) {
		root := r.dir
		for _, d := range []string{"one", "two"} {
			r.must(os.Mkdir(filepath.Join(root, d), 0o700))
		}
		r.must(os.WriteFile(filepath.Join(root, "two", "new"), nil, 0o600))
		r.dir = filepath.Join(root, "link")
		r.must(os.Symlink("one", r.dir))

		s := sourcetest.Build(r, Kind, r.manifest("CREATE", ""), r.env).(*source)
		s.checkup = 10 * time.Millisecond
		r.running = sourcetest.Go(r, s)
		r.await()
		r.must(os.Symlink("two", r.dir+".new"))
		r.must(os.Rename(r.dir+".new", r.dir))
		r.expect("CREATE new")
		r.await()
		r.write("newer", "")
		r.expect("CREATE newer")
	})
}

// During a reload the old and the new version of a manifest watch side by side.
func TestTwoWatchersGiveTheSameIDs(t *testing.T) {
	modes(t, func(r *rig) {
		r.write("old", "text")
		const types = "CREATE|REMOVE|RENAME"
		r.start(types, "")
		other := &rig{T: r.T, dir: r.dir, env: sourcetest.NewEnv(r), polling: r.polling}
		other.readiness = tellReady(other.env)
		other.start(types, "metadata: {version: two}")
		do := []func(){
			func() { r.write("new", "") },
			func() { r.must(os.Rename(r.file("old"), r.file("older"))) },
			func() { r.must(os.Remove(r.file("older"))) },
		}
		for i, n := range []int{1, 2, 1} {
			do[i]()
			for range n {
				a, b := r.running.Next(r), other.running.Next(r)
				if a.ID != b.ID {
					r.Errorf("%s has the id %s, %s has %s", a.Data, a.ID, b.Data, b.ID)
				}
			}
		}
	})
}

func TestWritesWithoutADifferenceAreOne(t *testing.T) {
	m := newMemory()
	st := stat{inode: 1, size: 2}
	if m.note("/x", change{"x", opCreate, &st}) == "" || m.note("/x", change{"x", opWrite, &st}) == "" {
		t.Error("an event is missing")
	}
	if m.note("/x", change{"x", opWrite, &st}) != "" {
		t.Error("the same was said twice")
	}
	more := st
	more.size++
	if m.note("/x", change{"x", opWrite, &more}) == "" {
		t.Error("an event is missing")
	}
}

// A lock file may come and go within one tick of the file system's clock.
func TestFileThatIsMadeAgainAlike(t *testing.T) {
	m := newMemory()
	st := stat{inode: 1, modified: 2, changed: 2}
	seen := map[string]bool{}
	for i := range 5 {
		for _, c := range []change{{"lock", opCreate, &st}, {"lock", opRemove, nil}} {
			if id := m.note("/lock", c); id == "" || seen[id] {
				t.Fatalf("round %d: id %q came before", i, id)
			} else {
				seen[id] = true
			}
		}
	}
	for i := range 3 * maxGone { // what nobody saw
		id := m.note("/lock", change{strconv.Itoa(i), opRemove, nil})
		if seen[id] {
			t.Fatalf("id %q came before", id)
		}
		seen[id] = true
	}
	for i := range 3 * maxGone {
		m.note("/lock", change{strconv.Itoa(i), opRemove, &st})
	}
	if len(m.gone) > maxGone || len(m.files) > 0 {
		t.Errorf("%d files gone and %d there are remembered", len(m.gone), len(m.files))
	}
}
