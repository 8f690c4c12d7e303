package gitpoll

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const main = "refs/heads/main"

// rig is a repository, its server, and a source that polls it.
type rig struct {
	repo   *gitrepotest.Repo
	server *gitrepotest.HTTP
	env    *sourcetest.Env
	run    *sourcetest.Running
	base   string // the first commit of main
}

// newRig starts a source that has seen main once.
func newRig(t *testing.T, more string) *rig {
	t.Helper()
	r := &rig{repo: gitrepotest.New(t, "shop"), env: sourcetest.NewEnv(t)}
	r.repo.Configure("uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true")
	r.base = r.repo.Commit(t, main, "base", map[string]string{"a": "1", "dir/b": "1"})
	r.server = r.repo.Serve(t)
	r.run = sourcetest.Start(t, Kind, r.manifest(more), r.env)
	r.seen(t)
	return r
}

func (r *rig) manifest(more string) string {
	return "url: '" + r.server.Repository + "'\ninterval: 100ms\nmetadata: {team: shop}\n" + more
}

// seen waits until the source has looked at the repository as it is now.
func (r *rig) seen(t *testing.T) {
	t.Helper()
	n := r.server.Lists.Load()
	sourcetest.Eventually(t, "two looks", func() bool { return r.server.Lists.Load() >= n+2 && len(r.env.Memory.All()) > 0 })
}

// atOnce changes the repository between two looks.
func (r *rig) atOnce(t *testing.T, change func()) {
	t.Helper()
	asked, gate := make(chan struct{}, 1), make(chan struct{})
	r.server.Before(func(_ http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet {
			select {
			case asked <- struct{}{}:
			default:
			}
			<-gate
		}
	})
	<-asked
	change()
	r.server.Before(nil)
	close(gate)
}

// next is the block of the next event.
func (r *rig) next(t *testing.T) gitevent.Event {
	t.Helper()
	return block(t, r.run.Next(t))
}

func block(t *testing.T, e eventsource.Event) gitevent.Event {
	t.Helper()
	var data struct {
		Git      gitevent.Event
		Metadata map[string]string
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	if e.ID == "" || data.Git.DeliveryID != e.ID || data.Metadata["team"] != "shop" || data.Git.Provider != "git" || data.Git.Repository.FullName != "shop" {
		t.Errorf("event %s has %s", e.ID, e.Data)
	}
	if data.Git.Commits == nil || (data.Git.ChangedFiles == nil) == (data.Git.ChangedFilesUnknown == "") {
		t.Errorf("event %s has %s", e.ID, e.Data)
	}
	return data.Git
}

// told is what a filter would look at, as text.
func told(e gitevent.Event) string {
	name := e.Branch
	if e.Tag != "" {
		name = "tag " + e.Tag
	}
	forced := "?"
	if e.Forced != nil {
		forced = fmt.Sprint(*e.Forced)
	}
	var commits []string
	for _, c := range e.Commits {
		commits = append(commits, fmt.Sprintf("%s+%v~%v-%v", c.Message, c.Added, c.Modified, c.Removed))
	}
	files := fmt.Sprint(e.ChangedFiles)
	if e.ChangedFiles == nil {
		files = e.ChangedFilesUnknown
	}
	return fmt.Sprintf("%s %s %s forced=%s commits=%v files=%s", e.Event, e.Action, name, forced, commits, files)
}

func want(t *testing.T, e gitevent.Event, want string) {
	t.Helper()
	if got := told(e); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// second makes a second source of the rig's entry.
func (r *rig) second(t *testing.T) *source {
	t.Helper()
	return sourcetest.Build(t, Kind, r.manifest(""), r.env).(*source)
}
