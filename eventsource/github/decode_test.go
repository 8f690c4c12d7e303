package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

const (
	sha1 = "1111111111111111111111111111111111111111"
	sha2 = "2222222222222222222222222222222222222222"
	zero = "0000000000000000000000000000000000000000"
)

const repository = `"repository":{"id":1,"name":"api","full_name":"acme/api","owner":{"login":"acme"},"html_url":"https://github.com/acme/api",
"clone_url":"https://github.com/acme/api.git","ssh_url":"git@github.com:acme/api.git","default_branch":"main","created_at":1700000000}`

const sender1 = `"sender":{"login":"jane","id":7,"type":"User"}`

const pushBody = `{"ref":"refs/heads/main","before":"` + sha1 + `","after":"` + sha2 + `","created":false,"deleted":false,"forced":false,
"commits":[{"id":"` + sha2 + `","message":"m","timestamp":"2026-01-02T15:04:05+01:00","url":"https://github.com/acme/api/commit/2",
"author":{"name":"Jane","email":"jane@example.com","username":"jane"},"added":["services/api/new.go"],"modified":["README.md"],"removed":["old.go"]}],
` + repository + `,` + sender1 + `,"installation":{"id":99}}`

const pullRequest = `"number":5,"pull_request":{"id":500,"number":5,"state":"open","title":"Faster","draft":true,"merged":false,"merge_commit_sha":null,
"html_url":"https://github.com/acme/api/pull/5","user":{"login":"jane"},"head":{"ref":"feature/x","sha":"` + sha2 + `","repo":{"full_name":"jane/api"}},
"base":{"ref":"main","sha":"` + sha1 + `","repo":{"full_name":"acme/api"}}}`

func block(t testing.TB, event, body string) *gitevent.Event {
	t.Helper()
	if !json.Valid([]byte(body)) {
		t.Fatalf("the sample is no JSON: %s", body)
	}
	return decode(http.Header{headerEvent: {event}, headerDelivery: {"d"}, headerHook: {"h"}}, []byte(body))
}

// brief says what is particular of an event.
func brief(e *gitevent.Event) string {
	parts := []string{string(e.Event), e.Action, e.Ref, e.Before + ".." + e.After}
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
	push := func(from, to string) string { return strings.Replace(pushBody, from, to, 1) }
	pull := func(action, more string) string {
		return `{"action":"` + action + `",` + pullRequest + `,` + repository + `,` + sender1 + more + `}`
	}
	const pr = "#5 open jane/api:feature/x->acme/api:main"
	const around = `,` + repository + `,` + sender1 + `}`
	noCommits := pushBody[:strings.Index(pushBody, `"commits"`)] + `"commits":[],` + repository + `}`
	noLists := strings.Replace(pushBody, `,"added":["services/api/new.go"],"modified":["README.md"],"removed":["old.go"]`, "", 1)
	for name, tt := range map[string]struct{ event, body, want string }{
		"push":                          {"push", pushBody, "push|updated|refs/heads/main|A..B|README.md,old.go,services/api/new.go|"},
		"push of a branch with slashes": {"push", push("heads/main", "heads/a/b"), "push|updated|refs/heads/a/b|A..B|README.md,old.go,services/api/new.go|"},
		"push, forced":                  {"push", push(`"forced":false`, `"forced":true`), "push|updated|refs/heads/main|A..B|force-push"},
		"push, new branch":              {"push", push(sha1, zero), "push|created|refs/heads/main|..B|README.md,old.go,services/api/new.go|"},
		"push, new branch, no commits":  {"push", strings.Replace(noCommits, sha1, zero, 1), "push|created|refs/heads/main|..B|new-ref"},
		"push, gone":                    {"push", push(`"after":"`+sha2, `"after":"`+zero), "push|deleted|refs/heads/main|A..|deleted-ref"},
		"push, commits left out":        {"push", noCommits, "push|updated|refs/heads/main|A..B|not-sent"},
		"push, lists left out":          {"push", noLists, "push|updated|refs/heads/main|A..B|not-sent"},
		"push of a tag":                 {"push", strings.Replace(strings.Replace(noCommits, sha1, zero, 1), "heads/main", "tags/v1", 1), "tag|created|refs/tags/v1|..B|new-ref"},
		"push of a tag that moves":      {"push", strings.Replace(noCommits, "heads/main", "tags/v1", 1), "tag|updated|refs/tags/v1|A..B|not-sent"},
		"create branch":                 {"create", `{"ref":"a/b","ref_type":"branch","master_branch":"main"` + around, "branch|created|refs/heads/a/b|..|new-ref"},
		"create tag":                    {"create", `{"ref":"v1","ref_type":"tag","master_branch":"main"` + around, "tag|created|refs/tags/v1|..|new-ref"},
		"delete branch":                 {"delete", `{"ref":"x","ref_type":"branch"` + around, "branch|deleted|refs/heads/x|..|deleted-ref"},
		"delete tag":                    {"delete", `{"ref":"v1","ref_type":"tag"` + around, "tag|deleted|refs/tags/v1|..|deleted-ref"},
		"pull request opened":           {"pull_request", pull("opened", ""), "pull_request|opened||..|" + pr + "|not-sent"},
		"pull request, new commits":     {"pull_request", pull("synchronize", `,"before":"`+sha1+`","after":"`+sha2+`"`), "pull_request|updated||A..B|" + pr + "|not-sent"},
		"pull request closed":           {"pull_request", pull("closed", ""), "pull_request|closed||..|" + pr + "|not-sent"},
		"pull request merged":           {"pull_request", strings.Replace(pull("closed", ""), `"merged":false`, `"merged":true`, 1), "pull_request|merged||..|" + strings.Replace(pr, "open", "merged", 1) + "|not-sent"},
		"pull request reopened":         {"pull_request", pull("reopened", ""), "pull_request|reopened||..|" + pr + "|not-sent"},
		"pull request edited":           {"pull_request", pull("edited", ""), "pull_request|edited||..|" + pr + "|not-sent"},
		"pull request labeled":          {"pull_request", pull("labeled", ""), "pull_request|edited||..|" + pr + "|not-sent"},
		"pull request ready":            {"pull_request", pull("ready_for_review", ""), "pull_request|ready||..|" + pr + "|not-sent"},
		"pull request a draft":          {"pull_request", pull("converted_to_draft", ""), "pull_request|draft||..|" + pr + "|not-sent"},
		"pull request of a fork gone":   {"pull_request", strings.Replace(pull("opened", ""), `{"full_name":"jane/api"}`, "null", 1), "pull_request|opened||..|" + strings.Replace(pr, "jane/api", "", 1) + "|not-sent"},
		"approved":                      {"pull_request_review", pull("submitted", `,"review":{"state":"approved"}`), "review|approved||..|" + pr + "|not-sent"},
		"changes requested":             {"pull_request_review", pull("submitted", `,"review":{"state":"CHANGES_REQUESTED"}`), "review|changes_requested||..|" + pr + "|not-sent"},
		"reviewed with a comment":       {"pull_request_review", pull("submitted", `,"review":{"state":"commented"}`), "review|commented||..|" + pr + "|not-sent"},
		"review dismissed":              {"pull_request_review", pull("dismissed", `,"review":{"state":"dismissed"}`), "review|dismissed||..|" + pr + "|not-sent"},
		"review comment":                {"pull_request_review_comment", pull("created", `,"comment":{"id":1}`), "comment|created||..|" + pr + "|not-sent"},
		"review thread":                 {"pull_request_review_thread", pull("resolved", ""), "review|resolved||..|" + pr + "|not-sent"},
		"comment on a pull request": {
			"issue_comment", `{"action":"created","issue":{"number":5,"title":"Faster","state":"closed","user":{"login":"jane"},"pull_request":{"html_url":"u","merged_at":"2026-01-01T00:00:00Z"}},"comment":{}` + around,
			"comment|created||..|#5 merged :->acme/api:|not-sent",
		},
		"comment on an issue":  {"issue_comment", `{"action":"created","issue":{"number":5},"comment":{}` + around, "comment|created||..|not-sent"},
		"comment on a commit":  {"commit_comment", `{"action":"created","comment":{"commit_id":"` + sha2 + `"}` + around, "comment|created||..B|not-sent"},
		"release":              {"release", `{"action":"published","release":{"tag_name":"v1"}` + around, "release|published|refs/tags/v1|..|not-sent"},
		"status":               {"status", `{"sha":"` + sha2 + `","state":"success","context":"ci","branches":[{"name":"x","commit":{"sha":"` + sha1 + `"}},{"name":"main","commit":{"sha":"` + sha2 + `"}}]` + around, "status|success|refs/heads/main|..B|not-sent"},
		"check run":            {"check_run", `{"action":"completed","check_run":{"head_sha":"` + sha2 + `","check_suite":{"head_branch":"x"},"pull_requests":[{"number":5,"head":{"ref":"x"},"base":{"ref":"main"}}]}` + around, "check|completed|refs/heads/x|..B|#5  :x->acme/api:main|not-sent"},
		"check suite":          {"check_suite", `{"action":"requested","check_suite":{"head_sha":"` + sha2 + `","head_branch":"x","pull_requests":[]}` + around, "check|requested|refs/heads/x|..B|not-sent"},
		"merge group":          {"merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"` + sha2 + `","head_ref":"refs/heads/gh-readonly-queue/main/pr-5","base_sha":"` + sha1 + `","base_ref":"refs/heads/main"}` + around, "check|checks_requested|refs/heads/gh-readonly-queue/main/pr-5|A..B|not-sent"},
		"workflow run":         {"workflow_run", `{"action":"completed","workflow_run":{"head_sha":"` + sha2 + `","head_branch":"main"}` + around, "pipeline|completed|refs/heads/main|..B|not-sent"},
		"workflow job":         {"workflow_job", `{"action":"queued","workflow_job":{"head_sha":"` + sha2 + `","head_branch":"main"}` + around, "pipeline|queued|refs/heads/main|..B|not-sent"},
		"workflow dispatch":    {"workflow_dispatch", `{"ref":"refs/heads/main"` + around, "pipeline||refs/heads/main|..|not-sent"},
		"deployment":           {"deployment", `{"action":"created","deployment":{"sha":"` + sha2 + `","ref":"main"}` + around, "deployment|created||..B|not-sent"},
		"deployment status":    {"deployment_status", `{"action":"created","deployment":{"sha":"` + sha2 + `","ref":"refs/tags/v1"},"deployment_status":{"state":"failure"}` + around, "deployment|failure|refs/tags/v1|..B|not-sent"},
		"repository":           {"repository", `{"action":"renamed"` + around, "repository|renamed||..|not-sent"},
		"public":               {"public", `{` + around[1:], "repository|||..|not-sent"},
		"installation":         {"installation", `{"action":"deleted","installation":{"id":3}}`, "installation|deleted||..|not-sent"},
		"installed elsewhere":  {"installation_repositories", `{"action":"added","installation":{"id":3}}`, "installation|added||..|not-sent"},
		"issues":               {"issues", `{"action":"opened","issue":{"number":1}` + around, "issue|opened||..|not-sent"},
		"ping":                 {"ping", `{"zen":"x"}`, "ping|||..|not-sent"},
		"something new":        {"quantum_leap", `{"action":"leapt"` + around, "other|leapt||..|not-sent"},
		"without an event":     {"", `{}`, "other|||..|not-sent"},
		"ping of a wrong type": {"ping", `[]`, "ping|||..|not-sent"},
	} {
		t.Run(name, func(t *testing.T) {
			e := block(t, tt.event, tt.body)
			if got := brief(e); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if e.RawEvent != tt.event || e.DeliveryID != "d" || e.HookID != "h" || e.Provider != "github" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestPushInFull(t *testing.T) {
	e := block(t, "push", pushBody)
	e.Verified = "signature"
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"provider":"github","event":"push","action":"updated","rawEvent":"push","deliveryId":"d","hookId":"h","installationId":"99","verified":"signature",` +
		`"repository":{"host":"github.com","fullName":"acme/api","url":"https://github.com/acme/api","cloneURLs":["https://github.com/acme/api.git","git@github.com:acme/api.git"],"defaultBranch":"main"},` +
		`"ref":"refs/heads/main","branch":"main","before":"` + sha1 + `","after":"` + sha2 + `","created":false,"deleted":false,"forced":false,` +
		`"commits":[{"id":"` + sha2 + `","message":"m","timestamp":"2026-01-02T15:04:05+01:00","author":{"name":"Jane","email":"jane@example.com","login":"jane"},"url":"https://github.com/acme/api/commit/2",` +
		`"added":["services/api/new.go"],"modified":["README.md"],"removed":["old.go"]}],"commitsTruncated":false,` +
		`"changedFiles":["README.md","old.go","services/api/new.go"],"sender":{"id":"7","login":"jane","kind":"user"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPullRequestInFull(t *testing.T) {
	e := block(t, "pull_request", `{"action":"opened",`+pullRequest+`,`+repository+`,"sender":{"login":"renovate[bot]","type":"Bot"}}`)
	p := gitevent.PullRequest{
		Number: 5, ID: "500", URL: "https://github.com/acme/api/pull/5", Title: "Faster", State: "open", Draft: true, Author: "jane",
		Source: gitevent.PullEnd{Repository: "jane/api", Branch: "feature/x", SHA: sha2},
		Target: gitevent.PullEnd{Repository: "acme/api", Branch: "main", SHA: sha1},
	}
	if *e.PullRequest != p || e.Branch != "main" || e.Ref != "" || e.Sender.Kind != "bot" {
		t.Errorf("%+v, %+v, %+v", e.PullRequest, e.Branch, e.Sender)
	}
}

// GitHub cuts a push without saying so, at these numbers.
func TestWhatGitHubCuts(t *testing.T) {
	commit := `{"id":"` + sha2 + `","added":["a"],"modified":[],"removed":[]}`
	body := func(commits string) string {
		return `{"ref":"refs/heads/x","before":"` + sha1 + `","after":"` + sha2 + `","commits":[` + commits + `],` + repository + `}`
	}
	names := make([]string, mostCommitFiles)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprint(i))
	}
	long := func(n int) string { return `{"id":"x","added":[` + strings.Join(names[:n], ",") + `]}` }
	for name, tt := range map[string]struct {
		body, unknown string
		cut           bool
	}{
		"fewer commits":       {body(strings.Repeat(commit+",", mostCommits-2) + commit), "", false},
		"as many commits":     {body(strings.Repeat(commit+",", mostCommits-1) + commit), "truncated", true},
		"fewer files":         {body(long(mostCommitFiles - 1)), "", false},
		"as many in a commit": {body(long(mostCommitFiles)), "truncated", true},
	} {
		t.Run(name, func(t *testing.T) {
			if e := block(t, "push", tt.body); e.ChangedFilesUnknown != tt.unknown || e.CommitsTruncated != tt.cut {
				t.Errorf("%q, %v", e.ChangedFilesUnknown, e.CommitsTruncated)
			}
		})
	}
}

func TestDataKeysOfArgoEventsAreKept(t *testing.T) {
	if !slices.Equal(Kind.DataKeys, []string{"headers", "body", "git", "metadata"}) {
		t.Error(Kind.DataKeys)
	}
}
