package gitevent_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

const (
	one = "1111111111111111111111111111111111111111"
	two = "2222222222222222222222222222222222222222"
)

var (
	zeros40 = strings.Repeat("0", 40)
	zeros64 = strings.Repeat("0", 64)
)

func TestSetPush(t *testing.T) {
	for name, tt := range map[string]struct {
		ref, before, after string
		want               gitevent.Event
	}{
		"a branch moves":                  {"refs/heads/main", one, two, gitevent.Event{Event: "push", Action: "updated", Ref: "refs/heads/main", Branch: "main", Before: one, After: two}},
		"a branch with slashes":           {"refs/heads/feature/a/b", one, two, gitevent.Event{Event: "push", Action: "updated", Ref: "refs/heads/feature/a/b", Branch: "feature/a/b", Before: one, After: two}},
		"a branch named as a tag's ref":   {"refs/heads/refs/tags/v1", one, two, gitevent.Event{Event: "push", Action: "updated", Ref: "refs/heads/refs/tags/v1", Branch: "refs/tags/v1", Before: one, After: two}},
		"a new branch":                    {"refs/heads/x", zeros40, two, gitevent.Event{Event: "push", Action: "created", Ref: "refs/heads/x", Branch: "x", After: two, Created: true}},
		"a new branch, SHA-256":           {"refs/heads/x", zeros64, two, gitevent.Event{Event: "push", Action: "created", Ref: "refs/heads/x", Branch: "x", After: two, Created: true}},
		"a new branch, before left out":   {"refs/heads/x", "", two, gitevent.Event{Event: "push", Action: "created", Ref: "refs/heads/x", Branch: "x", After: two, Created: true}},
		"a branch goes":                   {"refs/heads/x", one, zeros40, gitevent.Event{Event: "push", Action: "deleted", Ref: "refs/heads/x", Branch: "x", Before: one, Deleted: true}},
		"a tag":                           {"refs/tags/v1/rc", zeros40, two, gitevent.Event{Event: "tag", Action: "created", Ref: "refs/tags/v1/rc", Tag: "v1/rc", After: two, Created: true}},
		"a tag goes, SHA-256":             {"refs/tags/v1", one, zeros64, gitevent.Event{Event: "tag", Action: "deleted", Ref: "refs/tags/v1", Tag: "v1", Before: one, Deleted: true}},
		"another ref":                     {"refs/notes/x", one, two, gitevent.Event{Event: "push", Action: "updated", Ref: "refs/notes/x", Before: one, After: two}},
		"nothing is known, nothing there": {"", "", "", gitevent.Event{Event: "push", Action: "deleted", Deleted: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var e gitevent.Event
			e.SetPush(tt.ref, tt.before, tt.after)
			if !reflect.DeepEqual(e, tt.want) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestWholeRefs(t *testing.T) {
	for _, tt := range [][3]string{
		{"main", "refs/heads/main", "refs/tags/main"},
		{"a/b", "refs/heads/a/b", "refs/tags/a/b"},
		{"refs/heads/main", "refs/heads/main", "refs/heads/main"},
		{"refs/pull/1/merge", "refs/pull/1/merge", "refs/pull/1/merge"},
		{"refsx", "refs/heads/refsx", "refs/tags/refsx"},
		{"", "", ""},
	} {
		if b, g := gitevent.BranchRef(tt[0]), gitevent.TagRef(tt[0]); b != tt[1] || g != tt[2] {
			t.Errorf("%q: %q and %q", tt[0], b, g)
		}
	}
}

func TestSetFiles(t *testing.T) {
	yes, no := true, false
	commits := []gitevent.Commit{
		{Added: []string{"b", "a"}, Modified: []string{"c"}},
		{Modified: []string{"b"}, Removed: []string{"d/e"}},
	}
	many := gitevent.Commit{}
	for i := range gitevent.MaxFiles + 1 {
		many.Added = append(many.Added, fmt.Sprint(i))
	}
	for name, tt := range map[string]struct {
		e        gitevent.Event
		complete bool
		files    []string
		unknown  string
	}{
		"the union, sorted, once each": {gitevent.Event{Commits: commits}, true, []string{"a", "b", "c", "d/e"}, ""},
		"not forced":                   {gitevent.Event{Commits: commits, Forced: &no}, true, []string{"a", "b", "c", "d/e"}, ""},
		"forced":                       {gitevent.Event{Commits: commits, Forced: &yes}, true, nil, "force-push"},
		"truncated":                    {gitevent.Event{Commits: commits, CommitsTruncated: true}, true, nil, "truncated"},
		"no lists":                     {gitevent.Event{Commits: commits}, false, nil, "not-sent"},
		"gone, which wins":             {gitevent.Event{Deleted: true, Forced: &yes, CommitsTruncated: true}, false, nil, "deleted-ref"},
		"new without commits":          {gitevent.Event{Created: true}, true, nil, "new-ref"},
		"new with commits":             {gitevent.Event{Created: true, Commits: commits[:1]}, true, []string{"a", "b", "c"}, ""},
		"commits that change nothing":  {gitevent.Event{Commits: []gitevent.Commit{{}}}, true, []string{}, ""},
		"as many as may be":            {gitevent.Event{Commits: []gitevent.Commit{{Added: many.Added[1:]}}}, true, slices.Sorted(slices.Values(many.Added[1:])), ""},
		"too many":                     {gitevent.Event{Commits: []gitevent.Commit{many}}, true, nil, "too-many"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.e.SetFiles(tt.complete)
			if !reflect.DeepEqual(tt.e.ChangedFiles, tt.files) || tt.e.ChangedFilesUnknown != tt.unknown {
				t.Errorf("got %v %q", tt.e.ChangedFiles, tt.e.ChangedFilesUnknown)
			}
		})
	}
}

func TestKnownClearsTheReason(t *testing.T) {
	e := gitevent.Event{ChangedFilesUnknown: gitevent.UnknownNotSent}
	e.Known(nil)
	if e.ChangedFiles == nil || e.ChangedFilesUnknown != "" {
		t.Errorf("%+v", e)
	}
}

func TestDecodePassesOverWrongTypes(t *testing.T) {
	type inner struct {
		List []string `json:"list"`
		N    int64    `json:"n"`
	}
	type outer struct {
		A string `json:"a"`
		B inner  `json:"b"`
		C *inner `json:"c"`
		D string `json:"d"`
	}
	for name, tt := range map[string]struct {
		body string
		want outer
		ok   bool
	}{
		"all well":              {`{"a":"x","b":{"list":["y"],"n":3},"d":"z"}`, outer{A: "x", B: inner{List: []string{"y"}, N: 3}, D: "z"}, true},
		"a text is a number":    {`{"a":1,"b":{"n":3},"d":"z"}`, outer{B: inner{N: 3}, D: "z"}, true},
		"an object is a list":   {`{"b":[1],"d":"z"}`, outer{D: "z"}, true},
		"a list is a text":      {`{"b":{"list":"no","n":1},"d":"z"}`, outer{B: inner{N: 1}, D: "z"}, true},
		"a number is too large": {`{"b":{"n":1e400},"d":"z"}`, outer{D: "z"}, true},
		"null":                  {`{"a":null,"b":null,"c":null,"d":"z"}`, outer{D: "z"}, true},
		"not an object":         {`[1]`, outer{}, true},
		"not JSON":              {`{"a"`, outer{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got outer
			if ok := gitevent.Decode([]byte(tt.body), &got); ok != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v, %+v", ok, got)
			}
		})
	}
}

func TestHostOf(t *testing.T) {
	for url, want := range map[string]string{
		"https://GitHub.com/a/b":          "github.com",
		"https://git.example.com:443/a":   "git.example.com",
		"https://git.example.com:8443/a":  "git.example.com:8443",
		"http://localhost:3000/a":         "localhost:3000",
		"http://localhost:80/a":           "localhost",
		"ssh://git@git.example.com:22/a":  "git.example.com",
		"ssh://git@git.example.com:222/a": "git.example.com:222",
		"":                                "",
		"://":                             "",
		"a/b":                             "",
	} {
		if got := gitevent.HostOf(url); got != want {
			t.Errorf("%q: %q", url, got)
		}
	}
}

func TestCloneURLs(t *testing.T) {
	got := gitevent.CloneURLs("git@h:a/b.git", "", "http://h/a/b.git", "https://h/a/b.git", "https://h/a/b.git")
	if want := []string{"https://h/a/b.git", "http://h/a/b.git", "git@h:a/b.git"}; !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestParseTime(t *testing.T) {
	if got := gitevent.ParseTime("2022-03-09T16:23:39+09:00"); got == nil || !got.Equal(time.Date(2022, 3, 9, 7, 23, 39, 0, time.UTC)) {
		t.Error(got)
	}
	for _, bad := range []string{"", "yesterday", "0001-01-01T00:00:00Z"} {
		if got := gitevent.ParseTime(bad); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
