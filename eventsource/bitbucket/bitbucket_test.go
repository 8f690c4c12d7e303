package bitbucket

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var entry = hosttest.Kind{
	Kind: Kind,
	Config: `
webhook: {endpoint: /hook, port: "12000", acceptedSecrets: [{name: bb, key: old}]}
webhookSecret: {name: bb, key: secret}
metadata: {team: blue}
`,
	Secrets: map[string]string{"bb/secret": hosttest.Secret, "bb/old": "0ld", "bb/token": "t0ken"},
	Spoil:   func(h http.Header) { h.Set("X-Hub-Signature", "sha256="+strings.Repeat("0", 64)) },
}

func TestFixtures(t *testing.T) {
	const pull = "team_name/repo_name to:master #1"
	const ends = "branch2@d3022fc>master@ce5965d"
	const rest = "by:emmap1 unknown:not-sent signature"
	entry.Fixtures(t, "bitbucket", map[string]string{
		"repo-push.json":                    "push/updated repo:push team_name/repo_name refs/heads/name-of-branch 1e65c05..709d658 commit:03f4a72 " + rest,
		"repo-fork.json":                    "repository/fork repo:fork team_name/repo_name " + rest,
		"repo-updated.json":                 "repository/updated repo:updated team_name/repo_name " + rest,
		"repo-commit-status-created.json":   "status/created repo:commit_status_created team_name/repo_name ..9fec847 " + rest,
		"pull-request-created.json":         "pull_request/opened pullrequest:created " + pull + " open " + ends + " " + rest,
		"pull-request-updated.json":         "pull_request/updated pullrequest:updated " + pull + "  " + ends + " " + rest,
		"pull-request-merged.json":          "pull_request/merged pullrequest:fulfilled " + pull + " merged " + ends + " merged:764413d " + rest,
		"pull-request-approved.json":        "review/approved pullrequest:approved " + pull + "  " + ends + " " + rest,
		"pull-request-comment-created.json": "comment/created pullrequest:comment_created " + pull + "  " + ends + " " + rest,
		"issue-created.json":                "issue/created issue:created team_name/repo_name " + rest,
		"commit-comment-created.json":       "comment/created repo:commit_comment_created team_name/repo_name " + rest,
	})
}

const (
	a40 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	b40 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	c40 = "cccccccccccccccccccccccccccccccccccccccc"
	// pushOf has the changes of a push.
	pushOf = `{"actor":{"type":"user","account_id":"5:1","nickname":"ada","display_name":"Ada"},"repository":{"full_name":"acme/api","links":{"html":{"href":"https://bitbucket.org/acme/api"}}},"extra":[1,2],"push":{ "x":{"changes":[]}, "changes":[%s]}}`
)

func target(hash string) string { return `"target":{"hash":"` + hash + `"}` }

var changes = map[string]string{
	"update": `{"new":{"type":"branch","name":"main",` + target(b40) + `},"old":{"type":"branch","name":"main",` + target(a40) + `},"created":false,"forced":false,"truncated":true,
		"commits":[{"hash":"` + b40 + `","message":"two","date":"2026-01-02T03:04:05+00:00","author":{"raw":"Ada L <ada@example.com>","user":{"nickname":"ada","display_name":"Ada"}}},{"hash":"` + c40 + `"}]}`,
	"new branch": `{"new":{"type":"branch","name":"feature/x",` + target(b40) + `},"old":null,"created":true}`,
	"gone":       `{"new":null,"old":{"type":"branch","name":"old",` + target(a40) + `},"closed":true}`,
	"tag":        `{"new":{"type":"tag","name":"v1.0",` + target(b40) + `},"old":null}`,
	"forced":     `{"new":{"type":"branch","name":"main",` + target(b40) + `},"old":{"type":"branch","name":"main",` + target(a40) + `},"forced":true}`,
}

func send(t testing.TB, e *sourcetest.Env, s eventsource.Sending) (int, string) {
	t.Helper()
	s.Secret, s.Now = []byte(hosttest.Secret), time.Now()
	return hosttest.Send(t, hosttest.URL(t, e), entry.Sign(t, s), s.Body)
}

func TestPush(t *testing.T) {
	tests := []struct {
		name    string
		changes []string
		want    []string
	}{
		{"one branch", []string{"update"}, []string{"push/updated repo:push acme/api refs/heads/main aaaaaaa..bbbbbbb commit:ccccccc commit:bbbbbbb by:ada unknown:truncated signature"}},
		{"forced", []string{"forced"}, []string{"push/updated repo:push acme/api refs/heads/main aaaaaaa..bbbbbbb by:ada unknown:force-push signature"}},
		{"several", []string{"new branch", "gone", "tag"}, []string{
			"push/created repo:push acme/api refs/heads/feature/x ..bbbbbbb by:ada unknown:new-ref signature",
			"push/deleted repo:push acme/api refs/heads/old aaaaaaa.. by:ada unknown:deleted-ref signature",
			"tag/created repo:push acme/api refs/tags/v1.0 ..bbbbbbb by:ada unknown:new-ref signature",
		}},
		{"none", nil, []string{"push/ repo:push acme/api by:ada unknown:not-sent signature"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, r := entry.Start(t)
			var list []string
			for _, c := range tt.changes {
				list = append(list, changes[c])
			}
			body := fmt.Sprintf(pushOf, strings.Join(list, ", "))
			if status, text := send(t, e, eventsource.Sending{Body: []byte(body), ID: "d1"}); status != 200 {
				t.Fatal(status, text)
			}
			stored := r.Stored()
			if len(stored) != len(tt.want) {
				t.Fatalf("%d events, want %d", len(stored), len(tt.want))
			}
			for i, ev := range stored {
				d := hosttest.Read(t, ev)
				if got := hosttest.Summary(d.Git); got != tt.want[i] {
					t.Errorf("got  %s\nwant %s", got, tt.want[i])
				}
				if ev.ID != ingress.Numbered("d1", i) {
					t.Errorf("id %s", ev.ID)
				}
				if d.Metadata["team"] != "blue" {
					t.Errorf("metadata %v", d.Metadata)
				}
				if len(list) == 0 {
					continue
				}
				if want := fmt.Sprintf(pushOf, list[i]); string(d.Body) != want {
					t.Errorf("body\ngot  %s\nwant %s", d.Body, want)
				}
			}
		})
	}
}

func TestCommit(t *testing.T) {
	e, r := entry.Start(t)
	send(t, e, eventsource.Sending{Body: []byte(fmt.Sprintf(pushOf, changes["update"]))})
	c := hosttest.Read(t, r.Next(t)).Git.Commits[1]
	if c.Author == nil || c.Author.Name != "Ada L" || c.Author.Email != "ada@example.com" || c.Author.Login != "ada" || c.Timestamp == nil || c.Message != "two" {
		t.Errorf("%+v %+v", c, c.Author)
	}
}

func TestOthers(t *testing.T) {
	pr := func(state string) string {
		return `{"repository":{"full_name":"acme/api"},"pullrequest":{"id":7,"title":"T","state":"` + state + `","draft":true,"merge_commit":{"hash":"abcdefabcdef"},"source":{"branch":{"name":"x"},"commit":{"hash":"111111111111"},"repository":null},"destination":{"branch":{"name":"main"},"commit":{"hash":"222222222222"},"repository":{"full_name":"acme/api"}}}}`
	}
	tests := []struct{ key, body, want string }{
		{"pullrequest:created", pr("OPEN"), "pull_request/opened pullrequest:created acme/api to:main #7 open x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:rejected", pr("DECLINED"), "pull_request/closed pullrequest:rejected acme/api to:main #7 closed x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:fulfilled", pr("MERGED"), "pull_request/merged pullrequest:fulfilled acme/api to:main #7 merged x@1111111>main@2222222 merged:abcdefa unknown:not-sent signature"},
		{"pullrequest:updated", pr("SUPERSEDED"), "pull_request/updated pullrequest:updated acme/api to:main #7 closed x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:unapproved", pr("OPEN"), "review/unapproved pullrequest:unapproved acme/api to:main #7 open x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:changes_request_created", pr("OPEN"), "review/changes_requested pullrequest:changes_request_created acme/api to:main #7 open x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:comment_deleted", pr("OPEN"), "comment/deleted pullrequest:comment_deleted acme/api to:main #7 open x@1111111>main@2222222 unknown:not-sent signature"},
		{"pullrequest:new_thing", pr("OPEN"), "pull_request/new_thing pullrequest:new_thing acme/api to:main #7 open x@1111111>main@2222222 unknown:not-sent signature"},
		{"repo:commit_status_updated", `{"repository":{"full_name":"acme/api"},"commit_status":{"refname":"main","commit":{"hash":"` + a40 + `"}}}`, "status/updated repo:commit_status_updated acme/api refs/heads/main ..aaaaaaa unknown:not-sent signature"},
		{"repo:transfer", `{}`, "repository/transfer repo:transfer  unknown:not-sent signature"},
		{"issue:comment_created", `{}`, "comment/created issue:comment_created  unknown:not-sent signature"},
		{"issue:updated", `{}`, "issue/updated issue:updated  unknown:not-sent signature"},
		{"something:else", `{}`, "other/else something:else  unknown:not-sent signature"},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			e, r := entry.Start(t)
			if status, text := send(t, e, eventsource.Sending{Event: tt.key, Body: []byte(tt.body)}); status != 200 {
				t.Fatal(status, text)
			}
			if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSignature(t *testing.T) {
	e, r := entry.Start(t)
	body := []byte(fmt.Sprintf(pushOf, changes["update"]))
	for name, secret := range map[string]string{"none": "", "wrong": "guessed"} {
		h := entry.Sign(t, eventsource.Sending{Body: body, Secret: []byte(secret)})
		h.Set("X-Hook-UUID", "fc8696a5-deab-5116-9950-e73cb4f07dc0")
		if status, _ := hosttest.Send(t, hosttest.URL(t, e), h, body); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	for _, short := range []string{"sha", "sha256=", "sha1=00", "sha256=zz"} {
		h := entry.Sign(t, eventsource.Sending{Body: body})
		h.Set("X-Hub-Signature", short)
		if status, _ := hosttest.Send(t, hosttest.URL(t, e), h, body); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", short, status)
		}
	}
	h := entry.Sign(t, eventsource.Sending{Body: body, Secret: []byte("0ld")})
	if status, _ := hosttest.Send(t, hosttest.URL(t, e), h, body); status != http.StatusOK || len(r.Stored()) != 1 {
		t.Errorf("an accepted secret: %d", status)
	}
}

func TestHostile(t *testing.T) {
	for _, key := range []string{"repo:push", "pullrequest:created", "repo:commit_status_created", ""} {
		entry.Hostile(t, func(body []byte) http.Header {
			h := http.Header{"X-Event-Key": {key}}
			if err := signature.Sign(h, body, []byte(hosttest.Secret), time.Now()); err != nil {
				t.Fatal(err)
			}
			return h
		}, []string{
			`{"push":null}`, `{"push":[]}`, `{"push":{"changes":{}}}`, `{"push":{"changes":[null,5,"x",[],{},{"new":5,"old":[]}]}}`,
			`{"push":{"changes":[{"new":{"name":7,"type":null,"target":[]},"commits":{"a":1}}]}}`,
			`{"push":{"changes":[{"new":{"name":"m","type":"branch"},"commits":[null,1,{"hash":[],"author":"x"}]}]}}`,
			`{"repository":null,"actor":[],"pullrequest":{"id":1e999,"source":null,"destination":5,"author":[]}}`,
			`{"pullrequest":"x","commit_status":{"links":{"commit":{"href":""}}}}`,
			`{"push":{"changes":[` + strings.Repeat("{},", 6000) + `{}]}}`,
		})
	}
}

func TestTooManyRefs(t *testing.T) {
	e, r := entry.Start(t)
	status, _ := send(t, e, eventsource.Sending{Body: []byte(`{"push":{"changes":[` + strings.Repeat("{},", 6000) + `{}]}}`)})
	if status != http.StatusRequestEntityTooLarge || len(r.Stored()) != 0 {
		t.Errorf("%d, %d events", status, len(r.Stored()))
	}
}

func TestSender(t *testing.T) {
	for body, want := range map[string]string{
		`{"push":{}}`: "repo:push", `{"pullrequest":{"state":"MERGED"}}`: "pullrequest:fulfilled", `{"pullrequest":{"state":"DECLINED"}}`: "pullrequest:rejected",
		`{"pullrequest":{}}`: "pullrequest:created", `{"pullrequest":{},"comment":{}}`: "pullrequest:comment_created", `{"pullrequest":{},"approval":{}}`: "pullrequest:approved",
		`{"commit_status":{}}`: "repo:commit_status_created", `{"issue":{}}`: "issue:created", `{"issue":{},"changes":{}}`: "issue:updated",
		`{"issue":{},"comment":{}}`: "issue:comment_created", `{"commit":{},"comment":{}}`: "repo:commit_comment_created", `{"fork":{}}`: "repo:fork", `{"changes":{}}`: "repo:updated",
	} {
		if got := guess([]byte(body)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if _, err := header(eventsource.Sending{Body: []byte(`{}`), ID: "1"}); err == nil {
		t.Error("an event was guessed from nothing")
	}
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			entry.Fill(e)
			return entry.Config
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			status, text := send(t, e, eventsource.Sending{Body: []byte(fmt.Sprintf(pushOf, changes["update"])), ID: fmt.Sprint("d", n)})
			if status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func FuzzEvents(f *testing.F) {
	for _, c := range changes {
		f.Add("repo:push", fmt.Sprintf(pushOf, c+","+c))
	}
	for _, b := range append(hosttest.Hostile(), `{"pullrequest":{"id":1}}`, `{"commit_status":{"refname":1}}`) {
		f.Add("pullrequest:created", b)
	}
	f.Fuzz(func(t *testing.T, key, body string) {
		if !ingress.ValidJSON([]byte(body)) {
			return
		}
		made, err := decoder{}.events(t.Context(), &ingress.Delivery{Header: http.Header{"X-Event-Key": {key}}, Body: []byte(body)})
		if err == nil && len(made) == 0 {
			t.Error("an authentic delivery is lost")
		}
		for _, m := range made {
			if m.Body != nil && !json.Valid(m.Body) {
				t.Errorf("no JSON: %s", m.Body)
			}
			if _, err := json.Marshal(m.Blocks[0].Value); err != nil || m.ID == "" {
				t.Error(err, m.ID)
			}
		}
	})
}

func BenchmarkPush(b *testing.B) {
	body := []byte(fmt.Sprintf(pushOf, changes["update"]))
	h := entry.Sign(b, eventsource.Sending{Body: body, Secret: []byte(hosttest.Secret)})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := signature.Check(h, body, []byte(hosttest.Secret), time.Time{}); err != nil {
			b.Fatal(err)
		}
		made, err := decoder{}.events(b.Context(), &ingress.Delivery{Header: h, Body: body})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(made[0].Blocks[0].Value); err != nil {
			b.Fatal(err)
		}
	}
}
