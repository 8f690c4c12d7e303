package gitpoll

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
)

// refs makes refs of "name=object name=object:commit".
func refs(text string) *gitrepo.Refs {
	r := &gitrepo.Refs{Tips: map[string]gitrepo.Tip{}, Default: "refs/heads/main"}
	for _, word := range strings.Fields(text) {
		name, object, _ := strings.Cut(word, "=")
		object, commit, ok := strings.Cut(object, ":")
		if !ok {
			commit = object
		}
		r.Tips["refs/"+name] = gitrepo.Tip{Object: object, Commit: commit}
	}
	return r
}

func TestLearn(t *testing.T) {
	all := selection{Branches: []string{"**"}, Tags: []string{"**"}}
	onlyMain := selection{Branches: []string{"main"}}
	type look struct {
		refs     string
		select_  selection
		existing bool
		want     string
	}
	for name, looks := range map[string][]look{
		"the first is silent":           {{"heads/main=1 tags/v1=1", all, false, ""}, {"heads/main=1 tags/v1=1", all, false, ""}},
		"the first is emitted if asked": {{"heads/main=1 pull/1/head=1", all, true, "main:->1"}},
		"new, moved, gone":              {{"heads/a=1 heads/b=1", all, false, ""}, {"heads/b=2 heads/c=3", all, false, "a:1-> b:1->2 c:->3"}},
		"into an empty repository":      {{"", all, false, ""}, {"heads/main=1", all, false, "main:->1"}},
		"annotated tag is made anew":    {{"tags/v=1:9", all, false, ""}, {"tags/v=2:9", all, false, "tags/v:1 9->2 9"}},
		"not selected":                  {{"heads/main=1 heads/b=1", onlyMain, false, ""}, {"heads/main=2 heads/b=2 tags/x=1", onlyMain, false, "main:1->2"}},
		"wider selection":               {{"heads/main=1 heads/b=1", onlyMain, false, ""}, {"heads/main=2 heads/b=2", all, false, "main:1->2"}, {"heads/main=2 heads/b=3", all, false, "b:2->3"}},
		"wider selection, all emitted":  {{"heads/main=1 heads/b=1", onlyMain, true, "main:->1"}, {"heads/main=1 heads/b=2", all, true, "b:->2"}},
		"narrower selection":            {{"heads/main=1 heads/b=1", all, false, ""}, {"heads/main=1 heads/b=1", onlyMain, false, ""}, {"heads/main=1", all, false, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			for i, l := range looks {
				m.Pending = nil
				changed := m.learn(refs(l.refs), l.select_, l.existing)
				var got []string
				for _, c := range m.Pending {
					got = append(got, fmt.Sprintf("%s:%s->%s", strings.TrimPrefix(strings.TrimPrefix(c.Ref, "refs/"), "heads/"), c.Before, c.After))
				}
				if strings.Join(got, " ") != l.want {
					t.Errorf("look %d: got %s, want %s", i, got, l.want)
				}
				if i == 0 && !changed {
					t.Error("the first look is not remembered")
				}
				if m.learn(refs(l.refs), l.select_, l.existing) {
					t.Errorf("look %d once more: something has changed", i)
				}
			}
		})
	}
}

func TestIDs(t *testing.T) {
	c := change{Ref: "refs/heads/main", Before: "1", After: "2", Turn: 1}
	seen := map[string]bool{}
	for _, other := range []change{
		c, {"refs/heads/mai", "1", "2", 1}, {c.Ref, "2", "1", 1}, {c.Ref, "1", "2", 2}, {c.Ref, "", "2", 1}, {c.Ref, "1", "", 1}, {c.Ref, "1 3", "2", 1},
	} {
		seen[other.id("u")] = true
	}
	seen[c.id("v")] = true
	same := c
	if len(seen) != 8 || same.id("u") != c.id("u") {
		t.Errorf("ids are not what they should be: %v", seen)
	}
}

func TestMemoryIsKept(t *testing.T) {
	state := &sourcetest.State{}
	r := newRecord(state, "https://example.com/a")
	if m, err := r.Load(t.Context()); err != nil || m.Refs != nil {
		t.Fatalf("got %+v, %v", m, err)
	}
	m := &memory{}
	m.learn(refs("heads/main=1"), selection{Branches: []string{"**"}}, true)
	if err := r.Save(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Load(t.Context()); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v, want %+v", got, err, m)
	}
	empty := &memory{}
	empty.learn(refs(""), selection{}, false)
	if err := r.Save(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Load(t.Context()); err != nil || got.Refs == nil {
		t.Errorf("an empty repository counts as not seen: %+v, %v", got, err)
	}
	if newRecord(state, "https://example.com/b").Key == r.Key {
		t.Error("two repositories share a memory")
	}
	if err := state.Put(t.Context(), r.Key, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if m, err := r.Load(t.Context()); err == nil {
		t.Errorf("nonsense is %+v", m)
	}
}

// A memory of very many refs stays far below what a bus stores in one message.
func TestMemoryOfManyRefs(t *testing.T) {
	state := &sourcetest.State{}
	r := newRecord(state, "u")
	m := &memory{Refs: map[string]tip{}}
	for i := range 50_000 {
		m.Refs[fmt.Sprintf("refs/heads/feature/ticket-%d", i)] = tip((change{Turn: uint64(i)}).id("x") + "00000000")
	}
	if err := r.Save(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if n := len(state.All()[r.Key]); n > 3<<20 {
		t.Errorf("%d bytes", n)
	}
}
