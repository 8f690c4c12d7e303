package gitrepo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

// pushable lets everybody push.
const pushable = "http.receivepack=true"

var bot = object.Signature{Name: "bot", Email: "bot@example.com", When: time.Unix(1_767_400_000, 0)}

// draft makes a draft that is closed with the test.
func draft(t *testing.T, r *gitrepo.Remote, branch, base string) *gitrepo.Draft {
	t.Helper()
	d, err := r.Draft(t.Context(), branch, base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t *testing.T, d *gitrepo.Draft, path, text string) {
	t.Helper()
	if err := d.Files(t.Context()).Write(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// push commits and pushes.
func push(t *testing.T, d *gitrepo.Draft) (string, error) {
	t.Helper()
	id, err := d.Commit(gitrepo.Commit{Message: "change\n", Author: bot, Committer: bot})
	if err != nil {
		t.Fatal(err)
	}
	return id, d.Push(t.Context())
}

// way is one way to a repository.
type way struct {
	name   string
	config []string
	access func(t *testing.T, r *gitrepotest.Repo) (vault, string)
}

func overHTTP(t *testing.T, r *gitrepotest.Repo) (vault, string) {
	s := r.Serve(t)
	s.Only("x-access-token", "token-of-bot")
	return vault{"git/token": "token-of-bot"}, "url: " + s.Repository + "\ntokenSecret: {name: git, key: token}"
}

func overSSH(t *testing.T, r *gitrepotest.Repo) (vault, string) {
	s := r.ServeSSH(t)
	return vault{"git/key": s.Key, "git/hosts": s.KnownHosts},
		"url: " + s.Repository + "\nsshKeySecret: {name: git, key: key}\nknownHosts: {secret: {name: git, key: hosts}}"
}

var ways = []way{
	{"http, whole files", nil, overHTTP},
	{"http, files one by one", []string{"uploadpack.allowFilter=true"}, overHTTP},
	{"ssh, whole files", nil, overSSH},
	{"ssh, filter that does not help", []string{"uploadpack.allowFilter=true"}, overSSH},
	{"ssh, files one by one", []string{"uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"}, overSSH},
}

func TestDraft(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			tempDir(t)
			r := gitrepotest.New(t, "shop")
			r.Configure(append(w.config, pushable)...)
			for n := range 3 {
				r.Commit(t, main, fmt.Sprintf("number %d", n), map[string]string{
					"a.txt": fmt.Sprintf("a %d\n", n), "deploy/x/values.yaml": "x: 1\n", "deploy/y/values.yaml": "y: 1\n",
					"gone/only.txt": "gone\n", "a/b": "b\n", "a.d": "d\n",
				})
			}
			before := r.At(t, main)
			v, text := w.access(t, r)
			remote := remote(t, v, text)
			d := draft(t, remote, "", "")
			if d.Branch != "main" || d.Tip != before || d.From() != before {
				t.Errorf("draft of %s at %s from %s", d.Branch, d.Tip, d.From())
			}
			history, err := d.History()
			if err != nil || len(history) != 3 || history[2].Hash.String() != before {
				t.Errorf("history %v, %v", history, err)
			}
			files := d.Files(t.Context())
			list, err := files.List("deploy/**/*.yaml")
			if err != nil || !slices.Equal(list, []string{"deploy/x/values.yaml", "deploy/y/values.yaml"}) {
				t.Errorf("list %q, %v", list, err)
			}
			if b, err := files.Read("deploy/y/values.yaml"); err != nil || string(b) != "y: 1\n" {
				t.Errorf("read %q, %v", b, err)
			}
			if _, err := files.Read("deploy/z"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file that is not there: %v", err)
			}
			write(t, d, "a.txt", "a 2\n")
			if d.Changed() {
				t.Error("what is written as it was counts as a change")
			}
			write(t, d, "deploy/y/values.yaml", "y: 2\n")
			write(t, d, "new/deep/file", "")
			if err := files.Remove("gone/only.txt"); err != nil {
				t.Error(err)
			}
			if err := files.Remove("gone/only.txt"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removed twice: %v", err)
			}
			if list, err := files.List("**"); err != nil || !slices.Equal(list, []string{
				"a.d", "a.txt", "a/b", "deploy/x/values.yaml", "deploy/y/values.yaml", "new/deep/file",
			}) {
				t.Errorf("list of all %q, %v", list, err)
			}
			id, err := push(t, d)
			if err != nil {
				t.Fatal(err)
			}
			if at := r.At(t, main); at != id {
				t.Fatalf("the branch is at %s, want %s", at, id)
			}
			r.Git(t, "", "fsck", "--strict")
			if got := r.Git(t, "", "show", "--format=%an %ae %P", "--name-status", id); got != "bot bot@example.com "+before+
				"\n\nM\tdeploy/y/values.yaml\nD\tgone/only.txt\nA\tnew/deep/file" {
				t.Errorf("commit: %s", got)
			}
			// What is behind the tip now does not count.
			write(t, d, "a.txt", "late\n")
			if _, err := push(t, d); !errors.Is(err, gitrepo.ErrMoved) {
				t.Errorf("a push onto an old tip: %v", err)
			}
			if at := r.At(t, main); at != id {
				t.Errorf("the branch moved to %s", at)
			}
		})
	}
}

func TestDraftReadsOnlyWhatIsNeeded(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure("uploadpack.allowFilter=true", pushable)
	files := map[string]string{}
	for n := range 300 {
		files[fmt.Sprintf("f/%03d.txt", n)] = strings.Repeat(fmt.Sprintf("%d ", n), 20)
	}
	r.Commit(t, main, "many", files)
	s := r.Serve(t)
	d := draft(t, remote(t, nil, "url: "+s.Repository), "main", "")
	if _, err := d.Files(t.Context()).Read("f/007.txt"); err != nil {
		t.Fatal(err)
	}
	if n := s.Packs.Load(); n != 2 {
		t.Errorf("%d packs for one file", n)
	}
	if _, err := d.Files(t.Context()).List("f/1*.txt"); err != nil {
		t.Fatal(err)
	}
	for n := 100; n < 200; n++ {
		b, err := d.Files(t.Context()).Read(fmt.Sprintf("f/%03d.txt", n))
		if err != nil || string(b) != files[fmt.Sprintf("f/%03d.txt", n)] {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if n := s.Packs.Load(); n != 3 {
		t.Errorf("%d packs after 100 files of a list", n)
	}
}

// A server may say that it leaves out files, and then not hand them out.
func TestDraftOfServerThatKeepsFiles(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure("uploadpack.allowFilter=true", pushable)
	r.Commit(t, main, "one", map[string]string{"f": "1"})
	s := r.Serve(t)
	posts := 0
	s.Before(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost {
			return
		}
		if posts++; posts == 2 {
			text := "ERR upload-pack: not our ref 0123\n"
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = fmt.Fprintf(w, "%04x%s", len(text)+4, text)
		}
	})
	d := draft(t, remote(t, nil, "url: "+s.Repository), "main", "")
	if b, err := d.Files(t.Context()).Read("f"); err != nil || string(b) != "1" || posts != 3 {
		t.Errorf("%q, %v after %d requests", b, err, posts)
	}
}

func TestDraftOfNothing(t *testing.T) {
	for _, w := range ways[1:3] {
		t.Run(w.name, func(t *testing.T) {
			r := gitrepotest.New(t, "empty")
			r.Configure(pushable)
			v, text := w.access(t, r)
			d := draft(t, remote(t, v, text), "main", "")
			write(t, d, "first", "1")
			id, err := push(t, d)
			if err != nil || r.At(t, main) != id {
				t.Fatalf("%v; at %s", err, r.At(t, main))
			}
		})
	}
}

func TestDraftOfBranches(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure("uploadpack.allowFilter=true", pushable)
	first := r.Commit(t, main, "one", map[string]string{"f": "1"})
	s := r.Serve(t)
	a := remote(t, nil, "url: "+s.Repository)
	if _, err := a.Draft(t.Context(), "nope", ""); !errors.Is(err, gitrepo.ErrNoBranch) {
		t.Errorf("a branch that is not there: %v", err)
	}
	if _, err := a.Draft(t.Context(), "topic", "nope"); !errors.Is(err, gitrepo.ErrNoBranch) {
		t.Errorf("a base that is not there: %v", err)
	}
	topic := func() *gitrepo.Draft { return draft(t, a, "topic", "HEAD") }
	d := topic()
	if d.Tip != "" || d.Base != first || d.BaseBranch != "main" {
		t.Errorf("tip %q, base %q of %s", d.Tip, d.Base, d.BaseBranch)
	}
	write(t, d, "f", "2")
	second, err := push(t, d)
	if err != nil {
		t.Fatal(err)
	}
	d = topic()
	if own, err := d.Own(); err != nil || len(own) != 1 || own[0].Hash.String() != second || d.From() != second {
		t.Errorf("own %v, %v, from %s", own, err, d.From())
	}
	// Merged: the next one begins at the base.
	merged := r.Commit(t, main, "merge", map[string]string{"f": "2", "g": "1"}, first, second)
	if d = topic(); d.From() != merged {
		t.Errorf("after the merge from %s", d.From())
	}
	// Squashed: the branch's commit is in nobody's history, and is kept all the same.
	r.Set(t, main, first)
	squashed := r.Commit(t, main, "squash", map[string]string{"f": "2", "h": "1"})
	d = topic()
	d.Restart()
	if d.From() != squashed {
		t.Errorf("after the squash from %s", d.From())
	}
	write(t, d, "f", "3")
	third, err := push(t, d)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Git(t, "", "log", "-1", "--format=%P", third); got != second+" "+squashed {
		t.Errorf("parents %s", got)
	}
	if got := r.Git(t, "", "diff", "--name-only", "main...topic"); got != "f" {
		t.Errorf("the pull request would change %q", got)
	}
}

func TestDraftKeepsModes(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure(pushable)
	r.Git(t, `commit refs/heads/main
committer a <a@b> 1767322985 +0000
data 1
x
M 100755 inline run.sh
data 5
echo 
M 120000 inline link
data 4
/etc
M 120000 inline file
data 6
run.sh
`, "fast-import", "--quiet")
	d := draft(t, remote(t, nil, "url: "+r.Serve(t).Repository), "main", "")
	write(t, d, "run.sh", "echo 2")
	if _, err := push(t, d); err != nil {
		t.Fatal(err)
	}
	if got := r.Git(t, "", "ls-tree", "main", "run.sh"); !strings.HasPrefix(got, "100755 ") {
		t.Error(got)
	}
	files := d.Files(t.Context())
	if list, err := files.List("**"); err != nil || !slices.Equal(list, []string{"run.sh"}) {
		t.Errorf("links are listed: %q, %v", list, err)
	}
	for _, path := range []string{"link/passwd", "file", "link", "run.sh/x", "../x", "/etc/x", "a/../b", ".git/config", "a/.GIT/hooks/x", "git~1/x", ".", "", "a\\b", "a//b", ".git./x", ".g\u200cit/x", ".git::$INDEX_ALLOCATION/x"} {
		if err := files.Write(path, []byte("x")); err == nil {
			t.Errorf("%q can be written", path)
		}
		if _, err := files.Read(path); err == nil {
			t.Errorf("%q can be read", path)
		}
	}
	if err := files.Write("large", make([]byte, gitrepo.MaxFile+1)); err == nil {
		t.Error("a file that is too large can be written")
	}
}

func TestPushRefused(t *testing.T) {
	for _, w := range ways[1:3] {
		t.Run(w.name, func(t *testing.T) {
			r := gitrepotest.New(t, "shop")
			r.Configure(append(w.config, pushable)...)
			first := r.Commit(t, main, "one", map[string]string{"f": "1"})
			hook := filepath.Join(r.Dir, "hooks", "pre-receive")
			if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			v, text := w.access(t, r)
			d := draft(t, remote(t, v, text), "main", "")
			write(t, d, "f", "2")
			_, err := push(t, d)
			if !errors.Is(err, gitrepo.ErrRefused) || errors.Is(err, gitrepo.ErrMoved) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "pre-receive hook declined") {
				t.Errorf("error %v", err)
			}
			if r.At(t, main) != first {
				t.Error("the branch has moved")
			}
		})
	}
}

func TestPushNotAllowed(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure("http.receivepack=false")
	r.Commit(t, main, "one", map[string]string{"f": "1"})
	s := r.Serve(t)
	d := draft(t, remote(t, nil, "url: "+s.Repository), "main", "")
	write(t, d, "f", "2")
	if _, err := push(t, d); !errors.Is(err, gitrepo.ErrNoAccess) || !strings.Contains(err.Error(), "write") {
		t.Errorf("error %v", err)
	}
	s.Before(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", http.StatusInternalServerError) })
	if err := d.Push(t.Context()); err == nil || errors.Is(err, gitrepo.ErrRefused) || errors.Is(err, gitrepo.ErrMoved) {
		t.Errorf("a server that is broken: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Push(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a push that is cancelled: %v", err)
	}
}

func TestDraftTooLarge(t *testing.T) {
	tempDir(t)
	r := gitrepotest.New(t, "shop")
	r.Configure(pushable)
	for n := range 20 {
		r.Commit(t, main, "one", map[string]string{"f": fmt.Sprint(n, make([]int, 2000))})
	}
	a := remote(t, nil, "url: "+r.Serve(t).Repository)
	a.SetLimit(600)
	d := draft(t, a, "main", "")
	if _, err := d.Files(t.Context()).Read("f"); err != nil {
		t.Error(err)
	}
	history, err := d.History()
	if err != nil || len(history) != 1 {
		t.Errorf("history %d, %v", len(history), err)
	}
}
