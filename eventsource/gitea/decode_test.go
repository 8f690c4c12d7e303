package gitea

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// brief says what is particular of an event.
func brief(e *gitevent.Event) string {
	parts := []string{e.Provider, string(e.Event), e.Action, e.Ref, e.Before + ".." + e.After}
	if e.PullRequest != nil {
		p := e.PullRequest
		parts = append(parts, fmt.Sprintf("#%d %s %s:%s->%s:%s", p.Number, p.State, p.Source.Repository, p.Source.Branch, p.Target.Repository, p.Target.Branch))
	}
	if e.ChangedFiles != nil {
		parts = append(parts, strings.Join(e.ChangedFiles, ","))
	}
	s := strings.Join(append(parts, e.ChangedFilesUnknown), "|")
	return strings.NewReplacer(sha1, "A", sha2, "B").Replace(s)
}

func TestEvents(t *testing.T) {
	pull := func(action, more string) string {
		return `{"action":"` + action + `",` + pullRequest + more + around
	}
	five := `[` + strings.TrimSuffix(strings.Repeat(`{"id":"x","added":["a"],"modified":[],"removed":[]},`, 5), ",") + `]`
	const pr = "#5 open jane/api:x->acme/api:main"
	for name, tt := range map[string]struct {
		f                       family
		event, kind, body, want string
	}{
		"push":                     {gitea, "push", "push", pushBody, "gitea|push|updated|refs/heads/main|A..B|a,b|"},
		"push, cut":                {gitea, "push", "push", strings.Replace(pushBody, `"total_commits":2`, `"total_commits":9`, 1), "gitea|push|updated|refs/heads/main|A..B|truncated"},
		"push, maybe cut":          {gitea, "push", "push", strings.NewReplacer(`"total_commits":2,`, "", commits, five).Replace(pushBody), "gitea|push|updated|refs/heads/main|A..B|truncated"},
		"push, five and not cut":   {gitea, "push", "push", strings.NewReplacer(`"total_commits":2`, `"total_commits":5`, commits, five).Replace(pushBody), "gitea|push|updated|refs/heads/main|A..B|a|"},
		"push, a total of nothing": {gitea, "push", "push", strings.Replace(pushBody, `"total_commits":2`, `"total_commits":0`, 1), "gitea|push|updated|refs/heads/main|A..B|a,b|"},
		"push, no lists":           {families[2], "push", "", strings.NewReplacer(`"total_commits":2,`, "", commits, `[{"id":"x"}]`).Replace(pushBody), "gogs|push|updated|refs/heads/main|A..B|not-sent"},
		"push of a tag":            {gitea, "push", "push", strings.NewReplacer(`"total_commits":2`, `"total_commits":0`, "heads/main", "tags/v1", sha1, zero, commits, "[]").Replace(pushBody), "gitea|tag|created|refs/tags/v1|..B|new-ref"},
		"create":                   {gitea, "create", "create", `{"ref":"a/b","ref_type":"branch","sha":"` + sha2 + `"` + around, "gitea|branch|created|refs/heads/a/b|..B|new-ref"},
		"create, whole ref":        {families[2], "create", "", `{"ref":"refs/heads/x","ref_type":"branch"` + around, "gogs|branch|created|refs/heads/x|..|new-ref"},
		"delete a tag":             {gitea, "delete", "delete", `{"ref":"v1","ref_type":"tag","pusher_type":"user"` + around, "gitea|tag|deleted|refs/tags/v1|..|deleted-ref"},
		"pull request":             {gitea, "pull_request", "pull_request", pull("opened", ""), "gitea|pull_request|opened||..|" + pr + "|not-sent"},
		"pull request, forgejo":    {families[0], "pull_request", "pull_request_sync", pull("synchronized", ""), "forgejo|pull_request|updated||..|" + pr + "|not-sent"},
		"merged":                   {gitea, "pull_request", "", strings.Replace(pull("closed", ""), `"merged":false`, `"merged":true`, 1), "gitea|pull_request|merged||..|" + strings.Replace(pr, "open", "merged", 1) + "|not-sent"},
		"labeled":                  {gitea, "pull_request", "pull_request_label", pull("label_updated", ""), "gitea|pull_request|edited||..|" + pr + "|not-sent"},
		"approved":                 {gitea, "pull_request_approved", "pull_request_review_approved", pull("reviewed", `,"review":{"type":"pull_request_review_approved"}`), "gitea|review|approved||..|" + pr + "|not-sent"},
		"rejected":                 {gitea, "pull_request_rejected", "", pull("reviewed", ""), "gitea|review|changes_requested||..|" + pr + "|not-sent"},
		"reviewed with a comment":  {gitea, "pull_request_comment", "pull_request_review_comment", pull("reviewed", `,"review":{"type":"pull_request_review_comment"}`), "gitea|review|commented||..|" + pr + "|not-sent"},
		"the same, coarse":         {gitea, "pull_request_comment", "", pull("reviewed", `,"review":{"type":"pull_request_comment"}`), "gitea|review|commented||..|" + pr + "|not-sent"},
		"comment on a pull request": {
			gitea, "issue_comment", "pull_request_comment", `{"action":"created","is_pull":true,"issue":{"number":5,"state":"open","html_url":"u","pull_request":{"merged":false}},"comment":{}` + around,
			"gitea|comment|created||..|#5 open :->acme/api:|not-sent",
		},
		"comment on an issue": {gitea, "issue_comment", "issue_comment", `{"action":"created","issue":{"number":5,"pull_request":null},"comment":{}` + around, "gitea|comment|created||..|not-sent"},
		"issue":               {gitea, "issues", "issue_assign", `{"action":"assigned","issue":{}` + around, "gitea|issue|assigned||..|not-sent"},
		"release":             {gitea, "release", "release", `{"action":"published","release":{"tag_name":"v1"}` + around, "gitea|release|published|refs/tags/v1|..|not-sent"},
		"repository":          {gitea, "repository", "repository", `{"action":"created"` + around, "gitea|repository|created||..|not-sent"},
		"status":              {gitea, "status", "status", `{"sha":"` + sha2 + `","state":"success"` + around, "gitea|status|success||..B|not-sent"},
		"workflow":            {gitea, "workflow_run", "workflow_run", `{"action":"completed","workflow_run":{"head_sha":"` + sha2 + `","head_branch":"x"}` + around, "gitea|pipeline|completed|refs/heads/x|..B|not-sent"},
		"fork":                {gitea, "fork", "fork", `{"forkee":{}` + around, "gitea|other|||..|not-sent"},
		"as GitHub alone":     {families[3], "push", "", pushBody, "gitea|push|updated|refs/heads/main|A..B|a,b|"},
		"wrong types":         {gitea, "push", "push", `{"ref":1,"commits":{},"repository":[],"total_commits":"x"}`, "gitea|push|deleted||..|deleted-ref"},
		"no object":           {gitea, "issues", "issues", `[1]`, "gitea|issue|||..|not-sent"},
	} {
		t.Run(name, func(t *testing.T) {
			if !json.Valid([]byte(tt.body)) {
				t.Fatalf("the sample is no JSON: %s", tt.body)
			}
			h := headers(t, tt.f, tt.event, tt.kind, "d", "", tt.body)
			if tt.kind == "" {
				for _, f := range families {
					h.Del(f.prefix + "Event-Type")
				}
			}
			e := decode(h, []byte(tt.body))
			if got := brief(e); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if e.RawEvent != tt.event || e.DeliveryID != "d" {
				t.Errorf("%+v", e)
			}
		})
	}
	e := decode(headers(t, gitea, "push", "", "d", "", pushBody), []byte(pushBody))
	if len(e.Commits) != 2 || e.Commits[1].ID != sha2 || *e.CommitsTotal != 2 || e.Repository.Host != "git.example.com:3000" || e.Sender.Name != "Jane Doe" {
		t.Errorf("%+v", e)
	}
}

const fixturesDir = "../../../shared/fixtures/webhooks"

type fixture struct {
	header http.Header
	body   []byte
}

// fixtures of a folder, by file; none where they are absent.
func fixtures(t testing.TB, folder string) map[string]*fixture {
	t.Helper()
	dir := filepath.Join(fixturesDir, folder)
	f, err := os.Open(filepath.Join(dir, "headers.tsv"))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	all := map[string]*fixture{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		col := strings.SplitN(lines.Text(), "\t", 3)
		if len(col) != 3 || col[0] == "file" {
			continue
		}
		if all[col[0]] == nil {
			body, err := os.ReadFile(filepath.Join(dir, col[0]))
			if err != nil {
				t.Fatal(err)
			}
			all[col[0]] = &fixture{http.Header{}, body}
		}
		all[col[0]].header.Add(col[1], col[2])
	}
	return all
}

// expected of each fixture: see brief, the sender, the repository.
var expected = map[string]string{
	"gitea/create-event.form":               "gitea|branch|created|refs/heads/master|..67b56589a45103f891bdee7c0546e5d40bc02001|new-ref|example|localhost:3000/example/example",
	"gitea/create-event.json":               "gitea|branch|created|refs/heads/master|..67b56589a45103f891bdee7c0546e5d40bc02001|new-ref|example|localhost:3000/example/example",
	"gitea/delete-event.json":               "gitea|branch|deleted|refs/heads/example3|..|deleted-ref|example|localhost:3000/example/example",
	"gitea/issue-comment-event.json":        "gitea|comment|created||..|not-sent|example|localhost:3000/example/example",
	"gitea/issues-event.json":               "gitea|issue|opened||..|not-sent|example|localhost:3000/example/example",
	"gitea/package-created-container.json":  "gitea|other|created||..|not-sent|ci-bot|/",
	"gitea/pull-request-comment-event.json": "gitea|comment|created||..|#2 open :->example/example:|not-sent|example|localhost:3000/example/example",
	"gitea/pull-request-event.json":         "gitea|pull_request|opened||..|#2 open example2/example:master->example/example:master|not-sent|example2|localhost:3000/example/example",
	"gitea/pull-request-review-event.json":  "gitea|review|commented||..|#2 open example2/example:master->example/example:master|not-sent|example|localhost:3000/example/example",
	"gitea/push-event.json":                 "gitea|push|created|refs/heads/master|..67b56589a45103f891bdee7c0546e5d40bc02001|example||example|localhost:3000/example/example",
	"gitea/release-event.json":              "forgejo|release|published|refs/tags/example|..|not-sent|example|localhost:3000/example/example",
	"gitea/repository-event.json":           "gitea|repository|created||..|not-sent|example|localhost:3000/example3/example5",
	"gogs/create-event.json":                "gogs|branch|created|refs/heads/feature-branch|..|new-ref|gogs.example.com/user/repo",
	"gogs/issues-event.json":                "gogs|issue|opened||..|not-sent|gogs.example.com/user/repo",
	"gogs/pull-request-event.json":          "gogs|pull_request|opened||..|#1  :->user/repo:|not-sent|gogs.example.com/user/repo",
	"gogs/push-event.json":                  "gogs|push|updated|refs/heads/develop|28e1879d029cb852e4844d9c718537df08844e03..bffeb74224043ba2feb48d137756c8a9331c449a|not-sent|unknwon|localhost:3000/unknwon/webhooks", //nolint:misspell // a name
	"gogs/release-event.json":               "gogs|release|published|refs/tags/v1.0.0|..|not-sent|gogs.example.com/user/repo",
}

func TestFixtures(t *testing.T) {
	for _, folder := range []string{"gitea", "gogs"} {
		all := fixtures(t, folder)
		if all == nil {
			t.Skip("there are no fixtures in ", fixturesDir)
		}
		_, r, link := start(t, signed)
		for file, f := range all {
			name := folder + "/" + file
			t.Run(name, func(t *testing.T) {
				want, ok := expected[name]
				if !ok {
					t.Skip("nothing is written down of what is expected") // of files that were added
				}
				wrong := f.header.Clone()
				for _, s := range schemes {
					if h := s.(verify.HMAC).Header; wrong.Get(h) != "" {
						wrong.Set(h, strings.Repeat("ab", 32))
					}
				}
				if a := send(t, http.MethodPost, link, wrong, string(f.body)); a.status != http.StatusUnauthorized {
					t.Errorf("wrong signature: %+v", a)
				}
				if a := send(t, http.MethodPost, link, f.header, string(f.body)); a.status != http.StatusOK {
					t.Fatalf("%+v", a)
				}
				d := read(t, r.Next(t))
				got := brief(d.Git)
				if s := d.Git.Sender; s != nil {
					got += "|" + s.Login
				}
				if got += "|" + d.Git.Repository.Host + "/" + d.Git.Repository.FullName; got != want || d.Git.Verified != verify.BySignature {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("push", []byte(pushBody))
	f.Add("pull_request_comment", []byte(`{"action":"opened",`+pullRequest+`}`))
	for _, folder := range []string{"gitea", "gogs"} {
		for _, x := range fixtures(f, folder) {
			f.Add(x.header.Get("X-Gogs-Event"), x.body)
		}
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		e := decode(http.Header{"X-Gitea-Event": {event}, "X-Gitea-Event-Type": {event}}, body)
		if e.Event == "" || e.Commits == nil || (e.ChangedFiles == nil) != (e.ChangedFilesUnknown != "") {
			t.Errorf("%+v", e)
		}
		_ = guess(body)
	})
}

func BenchmarkPush(b *testing.B) {
	h := headers(b, gitea, "push", "", "d", key, pushBody)
	s := &source{}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		proved, err := ingress.CheckSchemes(schemes, h, []byte(pushBody), [][]byte{[]byte(key)}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		made, err := s.events(b.Context(), &ingress.Delivery{Request: r, Header: h, Body: []byte(pushBody), Verified: proved})
		if err != nil || len(made) != 1 {
			b.Fatal(err)
		}
	}
}
