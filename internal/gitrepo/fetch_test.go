package gitrepo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

// servers are what a repository is fetched from; each knows to do something else.
var servers = map[string][]string{
	"full":                   nil,
	"partial":                {"uploadpack.allowFilter=true"},
	"partial and any commit": {"uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"},
}

// everywhere runs a test with all servers, over HTTP and ssh.
func everywhere(t *testing.T, run func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, server string)) {
	for name, config := range servers {
		t.Run(name, func(t *testing.T) {
			tempDir(t)
			r := gitrepotest.New(t, "shop")
			r.Configure(config...)
			run(t, r, remote(t, nil, "url: "+r.Serve(t).Repository), name)
		})
		t.Run(name+" over ssh", func(t *testing.T) {
			tempDir(t)
			r := gitrepotest.New(t, "shop")
			r.Configure(config...)
			s := r.ServeSSH(t)
			a := remote(t, vault{"git/key": s.Key}, "{url: '"+s.Repository+"', sshKeySecret: {name: git, key: key}, insecureIgnoreHostKey: true}")
			run(t, r, a, name+" over ssh")
		})
	}
}

// compared is what a test expects of a pair, as text.
func compared(t *testing.T, c *gitrepo.Copy, p gitrepo.Pair, max int) string {
	t.Helper()
	h, err := c.History(p, max)
	if err != nil {
		return "unknown: " + err.Error()
	}
	var b strings.Builder
	switch {
	case h.Contained == nil:
		b.WriteString("?")
	case *h.Contained:
		b.WriteString("forward")
	default:
		b.WriteString("forced")
	}
	total := "?"
	if h.Total != nil {
		total = fmt.Sprint(*h.Total)
	}
	fmt.Fprintf(&b, " %s:", total)
	for _, c := range h.Commits {
		b.WriteString(" " + strings.TrimSpace(c.Message))
	}
	return b.String()
}

func diff(c *gitrepo.Copy, from, to string, max int) string {
	f, err := c.Diff(from, to, max)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("+%v ~%v -%v", f.Added, f.Modified, f.Removed)
}

func fetched(t *testing.T, a *gitrepo.Remote, files bool, pairs ...gitrepo.Pair) *gitrepo.Copy {
	t.Helper()
	c, err := a.Fetch(t.Context(), pairs, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestForward(t *testing.T) {
	everywhere(t, func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, _ string) {
		one := r.Commit(t, main, "one", map[string]string{"a": "1", "dir/b": "1", "dir/sub/c": "1", "dir/sub/d": "1", "x": "1"})
		two := r.Commit(t, main, "two", map[string]string{"dir/sub/c": "2", "new/file": "2"})
		side := r.Commit(t, "refs/heads/side", "side", map[string]string{"side": "s"}, one)
		merged := r.Commit(t, main, "merged", map[string]string{"a": "", "side": "s", "x/y": "a folder now", "x": ""}, two, side)
		p := gitrepo.Pair{Before: one, After: merged}
		c := fetched(t, a, true, p)
		want(t, compared(t, c, p, 10), "forward 3: two side merged")
		want(t, compared(t, c, p, 2), "forward 3: side merged")
		want(t, compared(t, c, p, 0), "forward 3:")
		want(t, diff(c, one, merged, 10), "+[new/file side x/y] ~[dir/sub/c] -[a x]")
		want(t, diff(c, one, merged, 6), "+[new/file side x/y] ~[dir/sub/c] -[a x]")
		want(t, diff(c, one, merged, 5), "more than 5: too many files")
		want(t, diff(c, "", one, 10), "+[a dir/b dir/sub/c dir/sub/d x] ~[] -[]")
		want(t, diff(c, two, two, 10), "+[] ~[] -[]")
		want(t, compared(t, c, gitrepo.Pair{Before: merged, After: one}, 10), "forced 0:")
		want(t, compared(t, c, gitrepo.Pair{After: merged}, 10), "? 4: one two side merged")
	})
}

func TestForced(t *testing.T) {
	everywhere(t, func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, server string) {
		one := r.Commit(t, main, "one", map[string]string{"a": "1"})
		old := r.Commit(t, main, "old", map[string]string{"b": "1"})
		now := r.Commit(t, main, "now", map[string]string{"c": "1"}, one)
		p := gitrepo.Pair{Before: old, After: now}
		c := fetched(t, a, true, p)
		if strings.HasPrefix(server, "partial and any commit") {
			want(t, compared(t, c, p, 10), "forced 1: now")
			want(t, diff(c, old, now, 10), "+[c] ~[] -[b]")
			return
		}
		// What was pushed away cannot be had; that it is gone shows all the same.
		want(t, compared(t, c, p, 10), "forced 2: one now")
		if _, err := c.Diff(old, now, 10); !errors.Is(err, gitrepo.ErrUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBranchIsComparedWithWhereItLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, _ string) {
		one := r.Commit(t, main, "one", map[string]string{"a": "1"})
		base := r.Commit(t, main, "base", map[string]string{"b": "1"})
		branch := r.Commit(t, "refs/heads/topic", "topic", map[string]string{"c": "1"}, base)
		tip := r.Commit(t, main, "tip", map[string]string{"d": "1"}, base)
		alone := r.Commit(t, "refs/heads/alone", "alone", map[string]string{"e": "1"}, "-")
		pairs := []gitrepo.Pair{{Before: tip, After: branch}, {Before: tip, After: alone}, {Before: tip, After: one}}
		c := fetched(t, a, true, pairs...)
		h, err := c.History(pairs[0], 10)
		if err != nil || h.Base != base {
			t.Errorf("base is %v, %v, want %s", h, err, base)
		}
		want(t, compared(t, c, pairs[0], 10), "forced 1: topic")
		want(t, diff(c, base, branch, 10), "+[c] ~[] -[]")
		if h, err := c.History(pairs[1], 10); err != nil || h.Base != "" || *h.Total != 1 {
			t.Errorf("got %+v, %v", h, err)
		}
		if h, err := c.History(pairs[2], 10); err != nil || h.Base != one || *h.Total != 0 {
			t.Errorf("got %+v, %v", h, err)
		}
	})
}

func TestLongHistory(t *testing.T) {
	everywhere(t, func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, server string) {
		var stream strings.Builder
		for i := range 700 {
			text := fmt.Sprintf("%d", i)
			fmt.Fprintf(&stream, "commit %s\ncommitter ann <a@example.com> %d +0000\ndata %d\n%s\nM 100644 inline f%s\ndata %d\n%s\n\n",
				main, 1_700_000_000+i, len(text), text, text, len(text), text)
		}
		r.Git(t, stream.String(), "fast-import", "--quiet")
		ids := strings.Fields(r.Git(t, "", "rev-list", "--reverse", main))
		for _, back := range []int{1, 49, 120, 240, 600} {
			p := gitrepo.Pair{Before: ids[699-back], After: ids[699]}
			c := fetched(t, a, true, p)
			text, files := compared(t, c, p, 3), diff(c, p.Before, p.After, 1000)
			if back > 250 && !strings.HasPrefix(server, "partial") {
				// Such a server cannot leave out files, so no more history is asked for
				// than is cheap.
				want(t, text, "? ?: 697 698 699")
				continue
			}
			want(t, text, fmt.Sprintf("forward %d: ", back)+strings.Join([]string{"697", "698", "699"}[max(0, 3-back):], " "))
			if back > 250 && strings.HasSuffix(server, "ssh") && !strings.Contains(server, "any") {
				continue // folders of what is no tip are not handed out
			}
			if n := strings.Count(files, " "); !strings.HasPrefix(files, "+[f") || n != back+1 {
				t.Errorf("%d back: %.100s", back, files)
			}
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure(servers["partial"]...)
	base := r.Commit(t, main, "base", map[string]string{"a": "1"})
	var stream strings.Builder
	var pairs []gitrepo.Pair
	for i := range 500 {
		fmt.Fprintf(&stream, "commit refs/heads/b%d\ncommitter ann <a@example.com> %d +0000\ndata 1\nx\nfrom %s\nM 100644 inline f%d\ndata 1\nx\n\n", i, 1_800_000_000+i, base, i)
	}
	r.Git(t, stream.String(), "fast-import", "--quiet")
	for i := range 500 {
		pairs = append(pairs, gitrepo.Pair{Before: base, After: r.Git(t, "", "rev-parse", fmt.Sprintf("refs/heads/b%d", i))})
	}
	s := r.Serve(t)
	c := fetched(t, remote(t, nil, "url: "+s.Repository), true, pairs...)
	for i, p := range pairs {
		want(t, compared(t, c, p, 10), "forward 1: x")
		want(t, diff(c, p.Before, p.After, 10), fmt.Sprintf("+[f%d] ~[] -[]", i))
	}
	if n := s.Packs.Load(); n != 1 {
		t.Errorf("%d requests for objects", n)
	}
}

func TestCommitsThatAreGone(t *testing.T) {
	everywhere(t, func(t *testing.T, r *gitrepotest.Repo, a *gitrepo.Remote, _ string) {
		one := r.Commit(t, main, "one", map[string]string{"a": "1"})
		var pairs []gitrepo.Pair
		for i := range 12 { // more than there are tries
			gone := r.Commit(t, "refs/heads/gone", fmt.Sprint(i), map[string]string{"b": "1"}, one)
			pairs = append(pairs, gitrepo.Pair{Before: gone, After: one})
		}
		r.Delete(t, "refs/heads/gone")
		r.Forget(t)
		c := fetched(t, a, true, pairs...)
		want(t, compared(t, c, pairs[7], 10), "forced 1: one")
		if got := compared(t, c, gitrepo.Pair{Before: one, After: pairs[0].Before}, 10); !strings.Contains(got, "could not be fetched") {
			t.Errorf("got %s", got)
		}
		if _, err := a.Fetch(t.Context(), []gitrepo.Pair{{After: pairs[0].Before}}, true); err == nil {
			t.Error("nothing could be fetched, and there is no error")
		}
	})
}

func TestWithoutFiles(t *testing.T) {
	r := gitrepotest.New(t, "shop")
	r.Configure(servers["partial"]...)
	one := r.Commit(t, main, "one", map[string]string{"a": "1"})
	two := r.Commit(t, main, "two", map[string]string{"b": "1"})
	p := gitrepo.Pair{Before: one, After: two}
	c := fetched(t, remote(t, nil, "url: "+r.Serve(t).Repository), false, p)
	want(t, compared(t, c, p, 10), "forward 1: two")
	if _, err := c.Diff(one, two, 10); !errors.Is(err, gitrepo.ErrUnknown) {
		t.Errorf("folders were fetched: %v", err)
	}
}

// From servers that know partial clones no contents are fetched, however large.
func TestContentsStayThere(t *testing.T) {
	const limit = 100 << 10
	for name, wanted := range map[string]string{"full": "", "partial": "+[b] ~[] -[]"} {
		t.Run(name, func(t *testing.T) {
			tempDir(t)
			r := gitrepotest.New(t, "shop")
			r.Configure(append(slices.Clone(servers[name]), "core.compression=0")...)
			one := r.Commit(t, main, "one", map[string]string{"large": strings.Repeat("0123456789abcdef", 2*limit/16)})
			two := r.Commit(t, main, "two", map[string]string{"b": "1"})
			a := remote(t, nil, "url: "+r.Serve(t).Repository)
			a.SetLimit(limit)
			if wanted == "" {
				if _, err := a.Fetch(t.Context(), []gitrepo.Pair{{Before: one, After: two}}, true); !errors.Is(err, gitrepo.ErrTooLarge) {
					t.Errorf("got %v", err)
				}
				return
			}
			want(t, diff(fetched(t, a, true, gitrepo.Pair{Before: one, After: two}), one, two, 10), wanted)
		})
	}
}

// If folders are too large, there are commits at least.
func TestCommitsWithoutLargeFolders(t *testing.T) {
	tempDir(t)
	r := gitrepotest.New(t, "shop")
	r.Configure(append(slices.Clone(servers["partial"]), "core.compression=0")...)
	files := map[string]string{}
	for i := range 3000 {
		files[fmt.Sprintf("a-file-with-quite-a-long-name-%d", i)] = fmt.Sprint(i)
	}
	one := r.Commit(t, main, "one", files)
	two := r.Commit(t, main, "two", map[string]string{"b": "1"})
	a := remote(t, nil, "url: "+r.Serve(t).Repository)
	a.SetLimit(50 << 10)
	p := gitrepo.Pair{Before: one, After: two}
	c := fetched(t, a, true, p)
	want(t, compared(t, c, p, 10), "forward 1: two")
	if _, err := c.Diff(one, two, 10); !errors.Is(err, gitrepo.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestServerInTrouble(t *testing.T) {
	tempDir(t)
	r := gitrepotest.New(t, "shop")
	one := r.Commit(t, main, "one", map[string]string{"a": "1"})
	s := r.Serve(t)
	a := remote(t, nil, "url: "+s.Repository)
	for name, answer := range map[string]http.HandlerFunc{
		"500":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", 500) },
		"empty":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) },
		"nonsense":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("nonsense", 1000))) },
		"error line": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("000cERR no!")) },
		"no pack":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("00000008NAK\n0006\x02x0000")) },
		"half a pack": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("00000008NAK\n0011\x01PACK\x00\x00\x00\x02\x00\x00\x00\x02"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.Before(func(w http.ResponseWriter, q *http.Request) {
				if q.Method == http.MethodPost {
					answer(w, q)
				}
			})
			if c, err := a.Fetch(t.Context(), []gitrepo.Pair{{After: one}}, true); err == nil {
				t.Errorf("there is no error, but %s", compared(t, c, gitrepo.Pair{After: one}, 1))
				_ = c.Close()
			}
		})
	}
}

func TestEndsWithContext(t *testing.T) {
	tempDir(t)
	r := gitrepotest.New(t, "shop")
	one := r.Commit(t, main, "one", map[string]string{"a": "1"})
	s := r.Serve(t)
	a := remote(t, nil, "url: "+s.Repository)
	ctx, cancel := context.WithCancel(t.Context())
	s.Before(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			w.WriteHeader(200)
			w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Flusher).Flush()
			cancel()
			<-q.Context().Done()
		}
	})
	if _, err := a.Fetch(ctx, []gitrepo.Pair{{After: one}}, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
