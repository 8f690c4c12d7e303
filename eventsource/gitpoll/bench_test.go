package gitpoll

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

// BenchmarkEvent is the event of a push of three commits, from the fetched history to the data.
func BenchmarkEvent(b *testing.B) {
	repo, env := gitrepotest.New(b, "shop"), sourcetest.NewEnv(b)
	before := repo.Commit(b, main, "base", map[string]string{"a": "1"})
	after := before
	for i := range 3 {
		after = repo.Commit(b, main, fmt.Sprint(i), map[string]string{fmt.Sprint("dir/", i): "x"})
	}
	s := sourcetest.Build(b, Kind, "url: "+repo.Serve(b).Repository, env).(*source)
	defer s.remote.Close()
	m := &memory{Default: main, DefaultCommit: after}
	c := change{Ref: main, Before: tip(before), After: tip(after), Turn: 1}
	d := s.describe(b.Context(), m, []change{c})
	defer d.close()
	b.ReportAllocs()
	for b.Loop() {
		e := s.event(d, c)
		if len(e.Commits) != 3 {
			b.Fatal(told(*e))
		}
		if _, err := json.Marshal(payload{e, nil}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLearn is a look at 2,000 branches of which nothing has changed.
func BenchmarkLearn(b *testing.B) {
	r := &gitrepo.Refs{Tips: map[string]gitrepo.Tip{}}
	for i := range 2000 {
		id := (change{Turn: uint64(i)}).id("x")
		r.Tips[fmt.Sprint("refs/heads/feature/", i)] = gitrepo.Tip{Object: id, Commit: id}
	}
	m, all := &memory{}, selection{Branches: []string{"**"}, Ignore: []string{"dependabot/**"}}
	m.learn(r, all, false)
	b.ReportAllocs()
	for b.Loop() {
		if m.learn(r, all, false) {
			b.Fatal("something has changed")
		}
	}
}
