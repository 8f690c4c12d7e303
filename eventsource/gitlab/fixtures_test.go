package gitlab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// fixtures lie beside this repository.
const fixtures = "../../../shared/fixtures/webhooks/gitlab"

const (
	testToken   = "s3cr3t"
	testSigning = "whsec_TnOMpVY8Bs/QAYKZkz1Y2x3Yv5f2lz3Jm/bNxktVUL0="
)

// signedAt is when the fixtures were signed.
func signedAt() time.Time { return time.Unix(1760000000, 0) }

// kindAt is Kind with a clock that stands still.
func kindAt(now func() time.Time) eventsource.Kind {
	k := Kind
	k.Kind = kind.Of("gitlab", func(c Config, env eventsource.Env) (eventsource.Source, error) { return newSource(c, env, now), nil })
	return k
}

// fixtureHeaders are the headers of all files.
func fixtureHeaders(t testing.TB) map[string]http.Header {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(fixtures, "headers.tsv"))
	if err != nil {
		t.Skip("the fixtures are not beside this repository")
	}
	all := map[string]http.Header{}
	for line := range strings.Lines(string(text)) {
		col := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(col) != 3 || col[0] == "file" {
			continue
		}
		if all[col[0]] == nil {
			all[col[0]] = http.Header{}
		}
		all[col[0]].Add(col[1], col[2])
	}
	return all
}

func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const bothSecrets = "webhook: {endpoint: /gitlab}\nsecretToken: {name: gitlab, key: token}\nsigningToken: {name: gitlab, key: signing}"

// wantFixtures tells what each file's block has, as summary writes it.
var wantFixtures = map[string]string{
	"push-event.json": "push updated raw=Push Hook repo=mike/diaspora host=example.com default=master ref=refs/heads/master branch=master " +
		"95790bf8..da156088 commits=2/4+ files=truncated sender=4::John Smith",
	"tag-event.json": "tag created raw=Tag Push Hook repo=jsmith/example host=example.com default=master ref=refs/tags/v1.0.0 tag=v1.0.0 " +
		"..82b3d5ae created commits=0/0 files=new-ref sender=1::John Smith",
	"merge-request-event.json": "pull_request opened raw=Merge Request Hook repo=gitlabhq/gitlab-test host=example.com default=master branch=master " +
		"files=not-sent pr=1:open awesome_space/awesome_project@ms-viewport(da156088)->awesome_space/awesome_project@master sender=1:root:Administrator",
	"issue-event.json":              "issue open raw=Issue Hook repo=gitlabhq/gitlab-test host=example.com default=master files=not-sent sender=:root:Administrator",
	"confidential-issue-event.json": "issue open raw=Confidential Issue Hook repo=gitlabhq/gitlab-test host=example.com default=master files=not-sent sender=:root:Administrator",
	"comment-commit-event.json":     "comment raw=Note Hook repo=gitlabhq/gitlab-test host=example.com default=master ..cfe32cf6 files=not-sent sender=:root:Administrator",
	"comment-merge-request-event.json": "comment raw=Note Hook repo=gitlab-org/gitlab-test host=example.com default=master branch=markdown " +
		"files=not-sent pr=1:open gitlab-org/gitlab-test@master(562e173b)->gitlab-org/gitlab-test@markdown sender=:root:Administrator",
	"pipeline-event.json": "pipeline success raw=Pipeline Hook repo=gitlab-org/gitlab-test host=192.168.64.1:3005 default=master ref=refs/heads/master branch=master " +
		"..bcbb5ec3 files=not-sent pr=1:open @test()->@master sender=:root:Administrator",
	"job-event.json": "check created raw=Job Hook repo=gitlab-org/gitlab-test host=192.168.64.1:3005 ref=refs/heads/gitlab-script-trigger branch=gitlab-script-trigger " +
		"..2293ada6 files=not-sent sender=3::User",
	"build-event.json": "check created raw=Build Hook repo=gitlab-org/gitlab-test host=192.168.64.1:3005 ref=refs/heads/gitlab-script-trigger branch=gitlab-script-trigger " +
		"..2293ada6 files=not-sent sender=3::User",
	"deployment-event.json": "deployment success raw=Deployment Hook repo=root/test-deployment-webhooks host=10.126.0.2:3000 default=master " +
		"..279484c0 files=not-sent sender=1:root:Administrator",
	"release-event.json": "release create raw=Release Hook repo=gitlab-org/release-webhook-example host=example.com default=master ref=refs/tags/v1.1 tag=v1.1 " +
		"..ee0a3fb3 files=not-sent",
	"wikipage-event.json": "other create raw=Wiki Page Hook repo=root/awesome-project host=example.com default=master files=not-sent sender=:root:Administrator",
	"system-push-event.json": "push updated raw=push repo=mike/diaspora host=example.com default=master ref=refs/heads/master branch=master " +
		"95790bf8..da156088 commits=1/1 files=not-sent sender=4::John Smith",
	"system-tag-event.json": "tag created raw=tag_push repo=jsmith/example host=example.com default=master ref=refs/tags/v1.0.0 tag=v1.0.0 " +
		"..5937ac0a created commits=0/0 files=new-ref sender=1::John Smith",
	"system-merge-request-event.json": "pull_request raw=merge_request repo=jsmith/example host=example.com default=master branch=master " +
		"files=not-sent pr=1:open awesome_space/awesome_project@ms-viewport(ba3e0d8f)->awesome_space/awesome_project@master sender=:root:Administrator",
	"system-project-created.json":    "repository create raw=project_create repo=jsmith/storecloud host=gitlab.example.com files=not-sent",
	"system-project-renamed.json":    "repository rename raw=project_rename repo=jsmith/underscore host=gitlab.example.com files=not-sent",
	"system-project-destroyed.json":  "repository destroy raw=project_destroy repo=jsmith/underscore host=gitlab.example.com files=not-sent",
	"system-group-created.json":      "other raw=group_create repo= host=gitlab.example.com files=not-sent",
	"system-group-member-added.json": "other raw=user_add_to_group repo= host=gitlab.example.com files=not-sent",
	"system-user-created.json":       "other raw=user_create repo= host=gitlab.example.com files=not-sent",
	"system-team-member-added.json":  "other raw=user_add_to_team repo=jsmith/storecloud host=gitlab.example.com files=not-sent",
	"system-key-added.json":          "other raw=key_create repo= host=gitlab.example.com files=not-sent",
}

// summary is what a person looks at first in a block.
func summary(e *gitevent.Event) string {
	var s []string
	add := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	add("%s", e.Event)
	if e.Action != "" {
		add("%s", e.Action)
	}
	add("raw=%s", e.RawEvent)
	add("repo=%s", e.Repository.FullName)
	for _, one := range []struct{ name, value string }{
		{"host", e.Repository.Host}, {"default", e.Repository.DefaultBranch}, {"ref", e.Ref}, {"branch", e.Branch}, {"tag", e.Tag},
	} {
		if one.value != "" {
			add("%s=%s", one.name, one.value)
		}
	}
	if e.Before+e.After != "" {
		add("%.8s..%.8s", e.Before, e.After)
	}
	for _, one := range []struct {
		name string
		on   bool
	}{{"created", e.Created}, {"deleted", e.Deleted}, {"forced", e.Forced != nil && *e.Forced}} {
		if one.on {
			add("%s", one.name)
		}
	}
	if e.CommitsTotal != nil {
		more := ""
		if e.CommitsTruncated {
			more = "+"
		}
		add("commits=%d/%d%s", len(e.Commits), *e.CommitsTotal, more)
	}
	if e.ChangedFiles != nil {
		add("files=%v", e.ChangedFiles)
	} else {
		add("files=%s", e.ChangedFilesUnknown)
	}
	if p := e.PullRequest; p != nil {
		add("pr=%d:%s %s@%s(%.8s)->%s@%s", p.Number, p.State, p.Source.Repository, p.Source.Branch, p.Source.SHA, p.Target.Repository, p.Target.Branch)
		if p.Draft {
			add("draft")
		}
		if p.Merged {
			add("merged")
		}
	}
	if e.Sender != nil {
		add("sender=%s:%s:%s", e.Sender.ID, e.Sender.Login, e.Sender.Name)
	}
	return strings.Join(s, " ")
}

// data is what the tests read of an event's data.
type data struct {
	Headers  http.Header       `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	Git      gitevent.Event    `json:"git"`
	Metadata map[string]string `json:"metadata"`
}

func read(t testing.TB, e eventsource.Event) data {
	t.Helper()
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatalf("%v in %s", err, e.Data)
	}
	return d
}

func TestFixtures(t *testing.T) {
	headers := fixtureHeaders(t)
	for name := range wantFixtures {
		if headers[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	e := sourcetest.NewEnv(t)
	e.Vault.Set("gitlab", "token", testToken)
	e.Vault.Set("gitlab", "signing", testSigning)
	r := sourcetest.Start(t, kindAt(signedAt), bothSecrets, e)
	url := e.URL(t, "12000", "/gitlab")
	for name, h := range headers {
		t.Run(name, func(t *testing.T) {
			body := readFixture(t, name)
			for what, spoil := range map[string]func(http.Header){
				"wrong token":       func(h http.Header) { h.Set("X-Gitlab-Token", "s3cr3T") },
				"no token":          func(h http.Header) { h.Del("X-Gitlab-Token") },
				"wrong signature":   func(h http.Header) { h.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"=") },
				"no signature":      func(h http.Header) { h.Del("Webhook-Signature") },
				"signed other time": func(h http.Header) { h.Set("Webhook-Timestamp", "1760000001") },
				"signed other id":   func(h http.Header) { h.Set("Webhook-Id", "another") },
			} {
				bad := h.Clone()
				spoil(bad)
				if a := post(t, url, body, bad); a.status != http.StatusUnauthorized {
					t.Errorf("%s: %d %s", what, a.status, a.body)
				}
			}
			if a := post(t, url, append([]byte(" "), body...), h); a.status != http.StatusUnauthorized {
				t.Errorf("another body: %d %s", a.status, a.body)
			}
			a := post(t, url, body, h)
			event := r.Next(t)
			if id := h.Get("Idempotency-Key"); a.status != http.StatusOK || a.body != `{"id":"`+id+`"}` || event.ID != id {
				t.Errorf("%d %s, event %s", a.status, a.body, event.ID)
			}
			got := read(t, event)
			if string(got.Body) != strings.TrimSpace(string(body)) {
				t.Error("the body is not what was sent")
			}
			if got.Headers.Get("X-Gitlab-Token") != "*** Masked Auth Secret ***" {
				t.Error("the token is in the event")
			}
			if g := got.Git; g.Provider != "gitlab" || g.Verified != "signature" || g.DeliveryID != event.ID {
				t.Errorf("provider %s, verified %s, delivery %s", g.Provider, g.Verified, g.DeliveryID)
			}
			if want, ok := wantFixtures[name]; !ok {
				t.Log(summary(&got.Git))
			} else if s := summary(&got.Git); s != want {
				t.Errorf("\n got %s\nwant %s", s, want)
			}
		})
	}
}

func TestFixtureInFull(t *testing.T) {
	h := fixtureHeaders(t)["push-event.json"]
	got := decode(h, readFixture(t, "push-event.json"))
	r := got.Repository
	if fmt.Sprint(r.CloneURLs) != "[http://example.com/mike/diaspora.git git@example.com:mike/diaspora.git]" || r.URL != "http://example.com/mike/diaspora" {
		t.Errorf("%+v", r)
	}
	if got.Sender.Email != "john@example.com" || got.Sender.Kind != "unknown" {
		t.Errorf("%+v", got.Sender)
	}
	c := got.Commits[1]
	if c.ID != "da1560886d4f094c3e6c9ef40349f7d38b5d27d7" || c.Message != "fixed readme" || c.Author.Name != "GitLab dev user" ||
		c.Timestamp.Format(time.RFC3339) != "2012-01-03T23:36:29+02:00" || fmt.Sprint(c.Added, c.Modified, c.Removed) != "[CHANGELOG] [app/controller/application.rb] []" {
		t.Errorf("%+v", c)
	}
}
