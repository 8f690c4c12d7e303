package gitlab

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const acme = `"project":{"path_with_namespace":"acme/api","web_url":"https://gitlab.test:443/acme/api","default_branch":"main"}`

const zeros = "0000000000000000000000000000000000000000"

func pushOf(ref, before, after, more string) string {
	return fmt.Sprintf(`{"object_kind":"push",%s,"ref":%q,"before":%q,"after":%q%s}`, acme, ref, before, after, more)
}

func mergeOf(attributes, more string) string {
	return fmt.Sprintf(`{"object_kind":"merge_request",%s,"object_attributes":{"iid":4,"source_branch":"f","target_branch":"main",%s}%s}`, acme, attributes, more)
}

const (
	pushTo  = "repo=acme/api host=gitlab.test default=main "
	mergeTo = "repo=acme/api host=gitlab.test default=main branch=main files=not-sent pr=4:"
)

var blocks = map[string]struct{ body, want string }{
	"branch that is new": {
		pushOf("refs/heads/a/b", zeros, "b1", `,"commits":[],"total_commits_count":0`),
		"push created raw=push " + pushTo + "ref=refs/heads/a/b branch=a/b ..b1 created commits=0/0 files=new-ref",
	},
	"branch that is new, with commits": {
		pushOf("refs/heads/x", zeros, "b1", `,"commits":[{"id":"b1","added":["a"],"modified":[],"removed":["c","a"]}],"total_commits_count":1`),
		"push created raw=push " + pushTo + "ref=refs/heads/x branch=x ..b1 created commits=1/1 files=[a c]",
	},
	"branch that is gone": {
		pushOf("refs/heads/x", "a1", zeros, `,"checkout_sha":null,"commits":[],"total_commits_count":0`),
		"push deleted raw=push " + pushTo + "ref=refs/heads/x branch=x a1.. deleted commits=0/0 files=deleted-ref",
	},
	"branch that was set back": {
		pushOf("refs/heads/x", "a1", "b1", `,"commits":[],"total_commits_count":0`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 forced commits=0/0 files=force-push",
	},
	"more commits than are sent": {
		pushOf("refs/heads/x", "a1", "b1", `,"commits":[{"id":"b1","added":["a"],"modified":[],"removed":[]}],"total_commits_count":21`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 commits=1/21+ files=truncated",
	},
	"a file that is no text": {
		pushOf("refs/heads/x", "a1", "b1", `,"commits":[{"id":"b1","added":["a",7],"modified":[],"removed":[]}],"total_commits_count":1`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 commits=1/1 files=not-sent",
	},
	"a commit without an id": {
		pushOf("refs/heads/x", "a1", "b1", `,"commits":[{"added":["a"],"modified":[],"removed":[]}],"total_commits_count":1`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 commits=0/1 files=not-sent",
	},
	"commits without a total": {
		pushOf("refs/heads/x", "a1", "b1", `,"commits":[{"id":"b1","added":[],"modified":["m"],"removed":[]}]`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 files=[m]",
	},
	"tag that is annotated": {
		strings.Replace(pushOf("refs/tags/v1", zeros, "0b1ec7", `,"checkout_sha":"c1","total_commits_count":0`), `"push"`, `"tag_push"`, 1),
		"tag created raw=tag_push " + pushTo + "ref=refs/tags/v1 tag=v1 ..c1 created commits=0/0 files=new-ref",
	},
	"tag that moved": {
		strings.Replace(pushOf("refs/tags/v1", "a1", "b1", `,"checkout_sha":"b1","commits":[],"total_commits_count":0`), `"push"`, `"tag_push"`, 1),
		"tag updated raw=tag_push " + pushTo + "ref=refs/tags/v1 tag=v1 a1..b1 commits=0/0 files=not-sent",
	},
	"tag that is gone": {
		strings.Replace(pushOf("refs/tags/v1", "a1", zeros, `,"checkout_sha":null,"total_commits_count":0`), `"push"`, `"tag_push"`, 1),
		"tag deleted raw=tag_push " + pushTo + "ref=refs/tags/v1 tag=v1 a1.. deleted commits=0/0 files=deleted-ref",
	},
	"push without before and after": {
		`{"object_kind":"push",` + acme + `,"ref":"refs/heads/x"}`,
		"push raw=push " + pushTo + "ref=refs/heads/x branch=x files=not-sent",
	},
	"push by a bot": {
		pushOf("refs/heads/x", "a1", "b1", `,"user_id":9,"user_username":"project_3_bot_a1","user_email":"[REDACTED]"`),
		"push updated raw=push " + pushTo + "ref=refs/heads/x branch=x a1..b1 files=not-sent sender=9:project_3_bot_a1:",
	},
	"merge request open":       {mergeOf(`"action":"open","state":"opened"`, ""), "pull_request opened raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request close":      {mergeOf(`"action":"close","state":"closed"`, ""), "pull_request closed raw=merge_request " + mergeTo + "closed @f()->@main"},
	"merge request reopen":     {mergeOf(`"action":"reopen","state":"opened"`, ""), "pull_request reopened raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request merge":      {mergeOf(`"action":"merge","state":"merged"`, ""), "pull_request merged raw=merge_request " + mergeTo + "merged @f()->@main merged"},
	"merge request approved":   {mergeOf(`"action":"approved","state":"opened"`, ""), "pull_request approved raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request approval":   {mergeOf(`"action":"approval","state":"opened"`, ""), "pull_request approved raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request unapproved": {mergeOf(`"action":"unapproved","state":"opened"`, ""), "pull_request unapproved raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request unapproval": {mergeOf(`"action":"unapproval","state":"opened"`, ""), "pull_request unapproved raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request locked":     {mergeOf(`"action":"update","state":"locked"`, ""), "pull_request edited raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request with new commits": {
		mergeOf(`"action":"update","state":"opened","oldrev":"a1","last_commit":{"id":"b1"}`, ""),
		"pull_request updated raw=merge_request " + mergeTo + "open @f(b1)->@main",
	},
	"merge request that is a draft now": {
		mergeOf(`"action":"update","state":"opened","draft":true`, `,"changes":{"draft":{"previous":false,"current":true}}`),
		"pull_request draft raw=merge_request " + mergeTo + "open @f()->@main draft",
	},
	"merge request that is ready": {
		mergeOf(`"action":"update","state":"opened","work_in_progress":false`, `,"changes":{"work_in_progress":{"previous":true,"current":false}}`),
		"pull_request ready raw=merge_request " + mergeTo + "open @f()->@main",
	},
	"merge request with another title": {
		mergeOf(`"action":"update","state":"opened"`, `,"changes":{"title":{"previous":"a","current":"b"}}`),
		"pull_request edited raw=merge_request " + mergeTo + "open @f()->@main",
	},
	"merge request with an action of tomorrow": {mergeOf(`"action":"mystify","state":"opened"`, ""), "pull_request mystify raw=merge_request " + mergeTo + "open @f()->@main"},
	"merge request without a number": {
		`{"object_kind":"merge_request",` + acme + `,"object_attributes":{"action":"open"}}`,
		"pull_request opened raw=merge_request repo=acme/api host=gitlab.test default=main files=not-sent",
	},
	"pipeline of a tag": {
		`{"object_kind":"pipeline",` + acme + `,"object_attributes":{"ref":"v1","tag":true,"sha":"c1","status":"failed","source":"push"}}`,
		"pipeline failed raw=pipeline " + pushTo + "ref=refs/tags/v1 tag=v1 ..c1 files=not-sent",
	},
	"pipeline of a merge request": {
		`{"object_kind":"pipeline",` + acme + `,"object_attributes":{"ref":"refs/merge-requests/4/head","sha":"c1","status":"running"}}`,
		"pipeline running raw=pipeline " + pushTo + "ref=refs/merge-requests/4/head ..c1 files=not-sent",
	},
	"job of a tag": {
		`{"object_kind":"build","ref":"v1","tag":true,"sha":"c1","build_status":"success","project_name":"Acme / API","repository":{"homepage":"https://gitlab.test/sub/acme/api"}}`,
		"check success raw=build repo=acme/api host=gitlab.test ref=refs/tags/v1 tag=v1 ..c1 files=not-sent",
	},
	"job with nothing but a name": {
		`{"object_kind":"build","ref":"main","build_status":"failed","project_name":"acme/api"}`,
		"check failed raw=build repo=acme/api host=gitlab.test ref=refs/heads/main branch=main files=not-sent",
	},
	"deployment with a ref": {
		`{"object_kind":"deployment","status":"running",` + acme + `,"ref":"refs/heads/main","commit_url":"https://x/-/commit/notanid"}`,
		"deployment running raw=deployment " + pushTo + "ref=refs/heads/main branch=main files=not-sent",
	},
	"work item":    {`{"object_kind":"work_item",` + acme + `,"object_attributes":{"action":"close"}}`, "issue close raw=work_item " + pushTo + "files=not-sent"},
	"feature flag": {`{"object_kind":"feature_flag",` + acme + `,"object_attributes":{"name":"x"}}`, "other raw=feature_flag " + pushTo + "files=not-sent"},
	"emoji on a merge request": {
		`{"object_kind":"emoji","event_type":"award",` + acme + `,"object_attributes":{"action":"award"},"merge_request":{"iid":4,"state":"opened","source_branch":"f","target_branch":"main"}}`,
		"other award raw=emoji " + pushTo + "files=not-sent pr=4:open @f()->@main",
	},
	"member of a group":  {`{"event_name":"user_add_to_group","group_path":"acme","user_username":"ann"}`, "other raw=user_add_to_group repo= host=gitlab.test files=not-sent"},
	"token that expires": {`{"object_kind":"access_token",` + acme + `,"event_name":"expiring_access_token"}`, "other raw=access_token " + pushTo + "files=not-sent"},
	"repository update, one ref": {
		`{"event_name":"repository_update",` + acme + `,"user_id":1,"user_name":"Ann","changes":[{"before":"a1","after":"b1","ref":"refs/heads/x"}],"refs":["refs/heads/x"]}`,
		"other raw=repository_update " + pushTo + "ref=refs/heads/x branch=x a1..b1 files=not-sent sender=1::Ann",
	},
	"repository update, two refs": {
		`{"event_name":"repository_update",` + acme + `,"changes":[{"before":"a1","after":"b1","ref":"refs/heads/x"},{"before":"a1","after":"b1","ref":"refs/heads/y"}]}`,
		"other raw=repository_update " + pushTo + "files=not-sent",
	},
	"made by a template": {`{"text":"a push","ref":"refs/heads/main","project":{"path_with_namespace":"a/b"}}`, "other raw= repo= files=not-sent"},
}

func TestBlocks(t *testing.T) {
	for name, tt := range blocks {
		t.Run(name, func(t *testing.T) {
			e := decode(http.Header{"X-Gitlab-Instance": {"https://gitlab.test/sub/"}}, []byte(tt.body))
			if got := summary(&e); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPeople(t *testing.T) {
	h := http.Header{}
	e := decode(h, []byte(blocks["push by a bot"].body))
	if e.Sender.Kind != "bot" || e.Sender.Email != "" {
		t.Errorf("%+v", e.Sender)
	}
	e = decode(h, []byte(mergeOf(`"action":"open","author_id":5,"merge_commit_sha":"c9","title":"T","url":"u","id":77`, `,"user":{"id":5,"username":"ann","email":"ann@example.com"}`)))
	if p := e.PullRequest; p.Author != "ann" || p.MergeCommit != "c9" || p.Title != "T" || p.URL != "u" || p.ID != "77" || e.Sender.Kind != "user" || e.Sender.Email != "ann@example.com" {
		t.Errorf("%+v %+v", p, e.Sender)
	}
	e = decode(h, []byte(mergeOf(`"action":"open","author_id":6`, `,"user":{"id":5,"username":"ann"}`)))
	if e.PullRequest.Author != "" {
		t.Errorf("%+v", e.PullRequest)
	}
}

func TestRawEvent(t *testing.T) {
	for header, want := range map[string]string{"": "push", "Push Hook": "Push Hook", "System Hook": "push"} {
		if got := decode(http.Header{"X-Gitlab-Event": {header}}, []byte(pushBody)).RawEvent; got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}
