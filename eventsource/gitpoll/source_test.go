package gitpoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

func TestBranches(t *testing.T) {
	r := newRig(t, "")
	two := r.repo.Commit(t, main, "two", map[string]string{"a": "2", "dir/c": "2", "dir/b": ""})
	e := r.next(t)
	want(t, e, "push updated main forced=false commits=[two+[dir/c]~[a]-[dir/b]] files=[a dir/b dir/c]")
	if e.Before != r.base || e.After != two || e.Ref != main || e.Repository.DefaultBranch != "main" || e.Created || e.Deleted ||
		*e.CommitsTotal != 1 || e.CommitsTruncated || e.Commits[0].ID != two || e.Commits[0].Author.Email != "ann@example.com" || e.Commits[0].Timestamp.Year() != 2026 ||
		e.Repository.CloneURLs[0] != r.server.Repository || "http://"+e.Repository.Host != r.server.URL {
		t.Errorf("got %+v", e)
	}

	forced := r.repo.Commit(t, main, "forced", map[string]string{"d": "3"}, r.base)
	e = r.next(t)
	want(t, e, "push updated main forced=true commits=[forced+[d]~[]-[]] files=[a d dir/b dir/c]")
	if e.Before != two || e.After != forced {
		t.Errorf("got %+v", e)
	}

	r.repo.Commit(t, "refs/heads/topic/x", "topic", map[string]string{"t": "1"}, r.base)
	e = r.next(t)
	want(t, e, "push created topic/x forced=false commits=[topic+[t]~[]-[]] files=[t]")
	if e.Before != "" || !e.Created {
		t.Errorf("got %+v", e)
	}
	r.repo.Set(t, "refs/heads/same", forced)
	want(t, r.next(t), "push created same forced=false commits=[] files=[]")
	r.repo.Commit(t, "refs/heads/alone", "alone", map[string]string{"x": "1"}, "-")
	want(t, r.next(t), "push created alone forced=false commits=[alone+[x]~[]-[]] files=new-ref")

	r.repo.Delete(t, "refs/heads/topic/x")
	e = r.next(t)
	want(t, e, "push deleted topic/x forced=false commits=[] files=deleted-ref")
	if e.Before == "" || e.After != "" || !e.Deleted {
		t.Errorf("got %+v", e)
	}
}

func TestTags(t *testing.T) {
	r := newRig(t, "tags: ['v*']\nbranches: [main]\nignore: ['*-rc']")
	r.repo.Set(t, "refs/tags/v1", r.base)
	e := r.next(t)
	want(t, e, "tag created tag v1 forced=false commits=[] files=new-ref")
	if e.After != r.base || e.Before != "" || e.Ref != "refs/tags/v1" {
		t.Errorf("got %+v", e)
	}
	r.repo.Git(t, "", "tag", "-a", "-m", "annotated", "v2", r.base)
	if e = r.next(t); e.Tag != "v2" || e.After != r.base {
		t.Errorf("got %+v, not the tag's commit", e)
	}
	r.repo.Set(t, "refs/tags/other", r.base)
	r.repo.Set(t, "refs/tags/v3-rc", r.base)
	two := r.repo.Commit(t, main, "two", map[string]string{"c": "2"})
	want(t, r.next(t), "push updated main forced=false commits=[two+[c]~[]-[]] files=[c]")
	r.repo.Git(t, "", "tag", "-f", "-a", "-m", "moved", "v2", two)
	want(t, r.next(t), "tag updated tag v2 forced=false commits=[two+[c]~[]-[]] files=[c]")
	r.repo.Git(t, "", "tag", "-f", "-a", "-m", "the same once more", "v2", two)
	want(t, r.next(t), "tag updated tag v2 forced=false commits=[] files=[]")
	r.repo.Delete(t, "refs/tags/v1")
	want(t, r.next(t), "tag deleted tag v1 forced=false commits=[] files=deleted-ref")
	tree := r.repo.Git(t, "", "rev-parse", two+"^{tree}")
	r.repo.Set(t, "refs/tags/v9", tree)
	want(t, r.next(t), "tag created tag v9 forced=false commits=[] files=new-ref")
	r.repo.Set(t, "refs/tags/v9", two)
	if e = r.next(t); e.Tag != "v9" || e.Action != gitevent.Updated {
		t.Errorf("a tag of a folder: %s", told(e))
	}
}

// A branch that goes back and forth gives an event each time, although each is
// as the one before the last.
func TestBackAndForth(t *testing.T) {
	r := newRig(t, "")
	two := r.repo.Commit(t, main, "two", map[string]string{"b": "2"})
	for i := range 6 {
		e := r.next(t)
		if from, to := []string{r.base, two}[i%2], []string{two, r.base}[i%2]; e.Before != from || e.After != to || *e.Forced != (i%2 == 1) {
			t.Fatalf("push %d is %s", i, told(e))
		}
		r.seen(t)
		r.repo.Set(t, main, []string{r.base, two}[i%2])
	}
}

func TestFiveHundredBranches(t *testing.T) {
	r := newRig(t, "")
	var stream strings.Builder
	for i := range 500 {
		fmt.Fprintf(&stream, "commit refs/heads/b%03d\ncommitter ann <a@example.com> %d +0000\ndata 1\nx\nfrom %s\nM 100644 inline f%d\ndata 1\nx\n\n", i, 1_800_000_000+i, r.base, i)
	}
	packs := r.server.Packs.Load()
	r.atOnce(t, func() { r.repo.Git(t, stream.String(), "fast-import", "--quiet") })
	for i := range 500 {
		want(t, r.next(t), fmt.Sprintf("push created b%03d forced=false commits=[x+[f%d]~[]-[]] files=[f%d]", i, i, i))
	}
	if n := r.server.Packs.Load() - packs; n != 1 {
		t.Errorf("%d requests for objects", n)
	}
	r.seen(t)
	if n := len(r.run.Stored()); n != 500 {
		t.Errorf("%d events", n)
	}
}

func TestOptions(t *testing.T) {
	files := map[string]string{"b": "2"}
	for name, c := range map[string]struct{ more, want string }{
		"without files":             {"changedFiles: false", "push updated main forced=false commits=[two+[]~[]-[]] files=not-sent"},
		"without commits":           {"maxCommits: 0", "push updated main forced=false commits=[] files=[b]"},
		"without anything":          {"{changedFiles: false, maxCommits: 0}", "push updated main forced=? commits=[] files=not-sent"},
		"branches by pattern":       {"branches: ['ma*']", "push updated main forced=false commits=[two+[b]~[]-[]] files=[b]"},
		"existing counts as new":    {"emitExisting: true", "push created main forced=false commits=[base+[a dir/b]~[]-[]] files=new-ref"},
		"nothing but tags selected": {"tags: ['**']", "tag created tag v1 forced=false commits=[] files=new-ref"},
	} {
		t.Run(name, func(t *testing.T) {
			more := c.more
			if strings.HasPrefix(more, "{") {
				more = strings.NewReplacer("{", "", "}", "", ", ", "\n").Replace(more)
			}
			r := newRig(t, more)
			r.repo.Commit(t, main, "two", files)
			r.repo.Set(t, "refs/tags/v1", r.base)
			want(t, r.next(t), c.want)
		})
	}
}

func TestMaxCommits(t *testing.T) {
	r := newRig(t, "maxCommits: 2")
	r.atOnce(t, func() {
		for _, text := range []string{"two", "three", "four"} {
			r.repo.Commit(t, main, text, map[string]string{text: "x"})
		}
	})
	e := r.next(t)
	want(t, e, "push updated main forced=false commits=[three+[three]~[]-[] four+[four]~[]-[]] files=[four three two]")
	if !e.CommitsTruncated || *e.CommitsTotal != 3 {
		t.Errorf("got %+v", e)
	}
}

func TestOverSSH(t *testing.T) {
	repo, e := gitrepotest.New(t, "shop"), sourcetest.NewEnv(t)
	base := repo.Commit(t, main, "base", map[string]string{"a": "1"})
	s := repo.ServeSSH(t)
	e.Vault.Set("git", "key", s.Key)
	e.Vault.Set("hosts", "known", s.KnownHosts)
	run := sourcetest.Start(t, Kind, "url: '"+s.Repository+"'\ninterval: 100ms\nsshKeySecret: {name: git, key: key}\nknownHosts: {configMap: {name: hosts, key: known}}", e)
	sourcetest.Eventually(t, "the first look", func() bool { return len(e.Memory.All()) > 0 })
	repo.Commit(t, main, "two", map[string]string{"b": "2"})
	var data struct{ Git gitevent.Event }
	if err := json.Unmarshal(run.Next(t).Data, &data); err != nil {
		t.Fatal(err)
	}
	want(t, data.Git, "push updated main forced=false commits=[two+[b]~[]-[]] files=[b]")
	if data.Git.Before != base || data.Git.Repository.URL != "" || data.Git.Repository.CloneURLs[0] != s.Repository {
		t.Errorf("got %+v", data.Git)
	}
}

// An event comes, however little can be said.
func TestHistoryThatCannotBeHad(t *testing.T) {
	r := newRig(t, "")
	refuse := func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	r.server.Before(refuse)
	r.repo.Commit(t, main, "two", map[string]string{"b": "2"})
	e := r.next(t)
	want(t, e, "push updated main forced=? commits=[] files=lookup-failed")
	if !e.CommitsTruncated {
		t.Error("commits that are not known are not said to be missing")
	}
	r.server.Before(nil)

	r.repo.Configure() // a server that hands out only what refs lead to
	r.seen(t)
	r.repo.Commit(t, main, "forced", map[string]string{"c": "2"}, r.base)
	want(t, r.next(t), "push updated main forced=true commits=[base+[a dir/b]~[]-[] forced+[c]~[]-[]] files=force-push")
}

func TestTooLarge(t *testing.T) {
	r := newRig(t, "")
	s := r.second(t)
	var emitted []eventsource.Event
	emit := func(_ context.Context, e eventsource.Event) error {
		emitted = append(emitted, e)
		if len(emitted) == 1 {
			return eventsource.ErrTooLarge
		}
		return nil
	}
	two := r.repo.Commit(t, main, "two", map[string]string{"b": "2"})
	m := &memory{Refs: map[string]tip{}, Default: main, DefaultCommit: two, Pending: []change{{Ref: main, Before: tip(r.base), After: tip(two), Turn: 1}}}
	if err := s.tell(t.Context(), emit, m); err != nil || len(emitted) != 2 || len(m.Pending) != 0 {
		t.Fatalf("%d events, %v", len(emitted), err)
	}
	want(t, block(t, emitted[0]), "push updated main forced=false commits=[two+[b]~[]-[]] files=[b]")
	e := block(t, emitted[1])
	want(t, e, "push updated main forced=false commits=[] files=too-many")
	if !e.CommitsTruncated || emitted[0].ID != emitted[1].ID {
		t.Errorf("got %+v", e)
	}
}

// That a repository is empty all of a sudden is believed when it is seen twice.
func TestEmptyAllOfASudden(t *testing.T) {
	r := newRig(t, "")
	looks := 0
	s := r.second(t)
	_ = r.run.Stop(t)
	emit := func(context.Context, eventsource.Event) error { looks++; return nil }
	r.repo.Delete(t, main)
	for _, want := range []int{0, 1, 1} {
		if err := s.look(t.Context(), emit); err != nil || looks != want {
			t.Fatalf("%d events, %v; want %d", looks, err, want)
		}
	}
	r.repo.Set(t, main, r.base)
	if err := s.look(t.Context(), emit); err != nil || looks != 2 {
		t.Errorf("%d events, %v", looks, err)
	}
}

func TestHostInTrouble(t *testing.T) {
	r := newRig(t, "")
	r.server.Before(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	sourcetest.Eventually(t, "an error", func() bool { return r.run.Err() != nil })
	if got := r.run.Err().Error(); !strings.Contains(got, "the server answers 502 Bad Gateway") {
		t.Errorf("got %s", got)
	}
	r.repo.Commit(t, main, "two", map[string]string{"b": "2"})
	r.server.Before(nil)
	want(t, r.next(t), "push updated main forced=false commits=[two+[b]~[]-[]] files=[b]")

	r.server.Only("ann", "secret")
	sourcetest.Eventually(t, "an error", func() bool { return errors.Is(r.run.Err(), gitrepo.ErrNoAccess) })
	r.server.Only("", "")
	var asked atomic.Int64
	s := r.second(t)
	_ = r.run.Stop(t)
	r.server.Before(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "1000")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if err := s.poll(t.Context(), nil); err == nil || asked.Load() != 1 || time.Until(s.notBefore) < 900*time.Second {
		t.Fatalf("%v, asked %d times, not before %v", err, asked.Load(), s.notBefore)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.poll(ctx, nil); err != nil || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

// What happened while no process ran is found by the next.
func TestRestart(t *testing.T) {
	r := newRig(t, "")
	_ = r.run.Stop(t)
	r.repo.Commit(t, main, "two", map[string]string{"b": "2"})
	r.repo.Commit(t, "refs/heads/new", "new", map[string]string{"c": "2"})
	r.run = sourcetest.Start(t, Kind, r.manifest(""), r.env)
	want(t, r.next(t), "push updated main forced=false commits=[two+[b]~[]-[]] files=[b]")
	if e := r.next(t); e.Branch != "new" {
		t.Errorf("got %s", told(e))
	}
	r.seen(t)
	if n := len(r.run.Stored()); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := newRig(t, "")
	for _, text := range []string{"two", "three"} {
		r.repo.Commit(t, main, text, map[string]string{"b": text})
		r.next(t)
	}
	_ = r.run.Stop(t)
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), "signalbox-") })
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestConformance(t *testing.T) {
	var repo *gitrepotest.Repo
	var url string
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Remembers: true,
		Setup: func(t *testing.T, e *sourcetest.Env) string {
			if len(e.Memory.All()) == 0 { // not for the second process
				repo = gitrepotest.New(t, "shop")
				repo.Commit(t, main, "base", map[string]string{"a": "1"})
				url = repo.Serve(t).Repository
				// As if it had been looked at before.
				m := &memory{}
				m.learn(refs("heads/main="+repo.At(t, main)), selection{Branches: []string{"**"}}, false)
				if err := newRecord(e.Memory, url).Save(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			return "url: '" + url + "'\ninterval: 100ms"
		},
		Provoke: func(t *testing.T, _ *sourcetest.Env, n int) error {
			repo.Commit(t, main, fmt.Sprint(n), map[string]string{"a": fmt.Sprint("v", n)})
			return nil
		},
	})
}
