package github

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixturesDir has payloads of other people's, which are not part of this tree.
const fixturesDir = "../../../shared/fixtures/webhooks"

// expected of each fixture: see brief, the sender, the repository.
var expected = map[string]string{
	"github/check-run.json":                   "check|rerequested|refs/heads/master|..d6fde92930d4715a2b49857d24b940956b26d2d3|not-sent|octocat|github.com/github/hello-world",
	"github/check-suite.json":                 "check|requested|refs/heads/master|..d6fde92930d4715a2b49857d24b940956b26d2d3|not-sent|octocat|github.com/github/hello-world",
	"github/commit-comment.json":              "comment|created||..9049f1265b7d61be4a8904a9a27120d2064dab3b|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/create.json":                      "tag|created|refs/tags/0.0.1|..|new-ref|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/delete.json":                      "tag|deleted|refs/tags/simple-tag|..|deleted-ref|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/dependabot_alert.json":            "other|dismissed||..|not-sent|github|github.com/github/sample-app-rs",
	"github/deployment-status.json":           "deployment|success||..9049f1265b7d61be4a8904a9a27120d2064dab3b|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/deployment.json":                  "deployment|||..9049f1265b7d61be4a8904a9a27120d2064dab3b|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/fork.json":                        "other|||..|not-sent|baxterandthehackers|github.com/baxterthehacker/public-repo",
	"github/github-app-authorization.json":    "other|revoked||..|not-sent|pansachin|/",
	"github/installation-repositories.json":   "installation|removed||..|not-sent|octocat|/",
	"github/installation.json":                "installation|deleted||..|not-sent|octocat|/",
	"github/issue-comment.json":               "comment|created||..|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/issues.json":                      "issue|opened||..|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/label.json":                       "other|created||..|not-sent|baxterthehacker|github.com/baxterandthehackers/public-repo",
	"github/member.json":                      "other|added||..|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/milestone.json":                   "other|created||..|not-sent|baxterthehacker|github.com/baxterandthehackers/public-repo",
	"github/organization.json":                "other|member_invited||..|not-sent|baxterthehacker|/",
	"github/ping.form":                        "ping|||..|not-sent|/",
	"github/ping.json":                        "ping|||..|not-sent|/",
	"github/pull-request-review-comment.json": "comment|created||..|#1 open baxterthehacker/public-repo:changes->baxterthehacker/public-repo:master|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/pull-request-review.json":         "review|approved||..|#8 open skalnik/public-repo:patch-2->baxterthehacker/public-repo:master|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/pull-request.json":                "pull_request|opened||..|#1 open baxterthehacker/public-repo:changes->baxterthehacker/public-repo:master|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/push.json":                        "push|updated|refs/heads/master|737d38c599c1b2991664dfc6155d6bf516fcce36..fd489864e7642b48eaad6e3f155c10e46810ec72|.razorops.yaml,app/controllers/application_controller.rb||binkkatal|github.com/binkkatal/sample_app",
	"github/release.json":                     "release|published|refs/tags/0.0.1|..|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/repository.json":                  "repository|created||..|not-sent|baxterthehacker|github.com/baxterandthehackers/new-repository",
	"github/status.json":                      "status|success|refs/heads/master|..9049f1265b7d61be4a8904a9a27120d2064dab3b|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/team.json":                        "other|created||..|not-sent|baxterthehacker|/",
	"github/workflow_job.json":                "pipeline|My workflow_job||..d6b80f8411bdc1a44407ff20619a74068b03ea5a|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"github/workflow_run.json":                "pipeline|My workflow_run|refs/heads/master|..d6b80f8411bdc1a44407ff20619a74068b03ea5a|not-sent|baxterthehacker|github.com/baxterthehacker/public-repo",
	"ghcr/package-published-untagged.json":    "other|published||..|not-sent|dana|github.com/Acme/shop",
	"ghcr/package-published.json":             "other|published||..|not-sent|dana|github.com/Acme/shop",
	"ghcr/registry-package-published.json":    "other|published||..|not-sent|dana|github.com/Acme/shop",
	"ghcr/registry-package-updated.json":      "other|updated||..|not-sent|dana|github.com/Acme/shop",
}

// fixture is a request as it would come.
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
	lines := bufio.NewScanner(f)
	for lines.Scan() {
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
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFixtures(t *testing.T) {
	for _, folder := range []string{"github", "ghcr"} {
		all := fixtures(t, folder)
		if all == nil {
			t.Skip("there are no fixtures in ", fixturesDir)
		}
		_, r, url := start(t, signed+"\nforwardPing: true")
		for file, f := range all {
			name := folder + "/" + file
			t.Run(name, func(t *testing.T) {
				want, ok := expected[name]
				if !ok {
					t.Skip("nothing is written down of what is expected") // of files that were added
				}
				before := len(r.Stored())
				wrong := f.header.Clone()
				wrong.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("ab", 32))
				if a := post(t, url, wrong, string(f.body)); a.status != http.StatusUnauthorized {
					t.Errorf("wrong signature: %+v", a)
				}
				if a := post(t, url, f.header, string(f.body)+" "); a.status != http.StatusUnauthorized {
					t.Errorf("another body: %+v", a)
				}
				if len(r.Stored()) != before {
					t.Error("what was refused is stored")
				}
				a := post(t, url, f.header, string(f.body))
				if a.status != http.StatusOK {
					t.Fatalf("%+v", a)
				}
				event := r.Next(t)
				if event.ID != f.header.Get("X-GitHub-Delivery") {
					t.Errorf("id %q", event.ID)
				}
				d := read(t, event)
				if d.Git.Verified != "signature" || d.Git.RawEvent != f.header.Get("X-GitHub-Event") || d.Body["X-GitHub-Event"] != d.Git.RawEvent {
					t.Errorf("%+v", d.Git)
				}
				got := brief(d.Git)
				if s := d.Git.Sender; s != nil {
					got += "|" + s.Login
				}
				if got += "|" + d.Git.Repository.Host + "/" + d.Git.Repository.FullName; got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}
