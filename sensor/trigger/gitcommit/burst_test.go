package gitcommit_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// Two replicas set tags, people push to the same files.
func TestBurst(t *testing.T) {
	tempDir(t)
	const firings, workers, apps, byHand = 200, 64, 10, 12
	files := map[string]string{}
	for n := range apps {
		files[fmt.Sprintf("deploy/app%d.yaml", n)] = values("v0", 0)
	}
	r := newRig(t, files)
	replicas := []trigger.Trigger{r.build(t, "window: 100ms"), r.build(t, "window: 100ms")}

	// Events come in any order, and some twice.
	newest := map[string]int{}
	var work []trigger.Input
	for n := range firings {
		app := fmt.Sprintf("app%d", n%apps)
		newest[app] = n
		in := push(n+1, app, fmt.Sprintf("v%d", n), n)
		work = append(work, in)
		if n%10 == 0 {
			work = append(work, in)
		}
	}
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] }) //nolint:gosec // the same each time
	next := make(chan trigger.Input)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for in := range next {
				for attempt := 1; ; attempt++ {
					if _, err := replicas[n%2].Fire(t.Context(), in); err == nil {
						break
					} else if attempt == 3 {
						t.Errorf("firing %s: %v", in.ID, err)
						break
					}
				}
			}
		})
	}
	wg.Go(func() { secondWriter(t, r, byHand) })
	for _, in := range work {
		next <- in
	}
	close(next)
	wg.Wait()

	for app, n := range newest {
		r.wantFile(t, "deploy/"+app+".yaml", values(fmt.Sprintf("v%d", n), map[bool]int{true: byHand}[app == "app3"]))
	}
	ours := strings.Count(r.Git(t, "", "log", "--format=%an", "main"), "Signalbox")
	if ours < 2 || ours > firings/4 {
		t.Errorf("%d commits for %d firings", ours, firings)
	}
	t.Logf("%d commits for %d firings", ours, firings)
	noStepBack(t, r, newest)
	r.Git(t, "", "fsck", "--strict")
}

// noStepBack looks at each commit: tags only become newer, and what people
// counted up is never less than before.
func noStepBack(t *testing.T, r *rig, apps map[string]int) {
	t.Helper()
	tag, count := regexp.MustCompile(`tag: v(\d+)`), regexp.MustCompile(`replicas: (\d+)`)
	for app := range apps {
		path := "deploy/" + app + ".yaml"
		last := map[*regexp.Regexp]int{}
		for commit := range strings.FieldsSeq(r.Git(t, "", "log", "--reverse", "--format=%H", "main", "--", path)) {
			text := r.Git(t, "", "show", commit+":"+path)
			for _, what := range []*regexp.Regexp{tag, count} {
				n, err := strconv.Atoi(what.FindStringSubmatch(text)[1])
				if err != nil || n < last[what] {
					t.Errorf("%s steps back from %d to %d, %v", path, last[what], n, err)
				}
				last[what] = n
			}
		}
	}
}

// secondWriter counts up, commit by commit, with the git program.
func secondWriter(t *testing.T, r *rig, commits int) {
	dir := filepath.Join(t.TempDir(), "clone")
	git := func(args ...string) error {
		cmd := exec.CommandContext(t.Context(), "git", args...) //nolint:gosec // a test says what
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.Dir)
		if args[0] != "clone" {
			cmd.Dir = dir
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out.String())
		}
		return nil
	}
	must := func(args ...string) {
		if err := git(args...); err != nil {
			t.Error(err)
		}
	}
	must("clone", "--quiet", r.http.Repository, dir)
	path := filepath.Join(dir, "deploy", "app3.yaml")
	for n := range commits {
		for try := 0; ; try++ {
			must("fetch", "--quiet", "origin", "main")
			must("reset", "--quiet", "--hard", "origin/main")
			text, err := os.ReadFile(path) //nolint:gosec // the test's own
			if err != nil {
				t.Error(err)
				return
			}
			text = bytes.Replace(text, fmt.Appendf(nil, "replicas: %d\n", n), fmt.Appendf(nil, "replicas: %d\n", n+1), 1)
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Error(err)
				return
			}
			must("-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "-am", fmt.Sprintf("replicas %d", n+1))
			err = git("push", "--quiet", "origin", "HEAD:main")
			if err == nil {
				break
			}
			if try == 100 {
				t.Error(err)
				return
			}
		}
	}
}

// A busy branch does not keep a firing out for ever, and a firing keeps nobody out.
func TestTriggersWithoutCommonQueue(t *testing.T) {
	const writers, firings = 5, 3
	files := map[string]string{}
	for n := range writers {
		files[fmt.Sprintf("deploy/app%d.yaml", n)] = values("v0", 0)
	}
	r := newRig(t, files)
	var wg sync.WaitGroup
	for n := range writers {
		r.env.Env.State = triggertest.NewState()
		tr := r.build(t, "window: 0s")
		wg.Go(func() {
			for k := range firings {
				if _, err := tr.Fire(t.Context(), push(n*10+k+1, fmt.Sprintf("app%d", n), fmt.Sprintf("v%d", k+1), k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.wantCommits(t, 1+writers*firings)
	for path := range files {
		r.wantFile(t, path, values(fmt.Sprintf("v%d", firings), 0))
	}
}
