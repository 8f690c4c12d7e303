package bitbucketserver

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

const config = `
webhook: {endpoint: /hook, port: "12000"}
webhookSecret: {name: bb, key: secret}
metadata: {team: blue}
`

var entry = with("")

func with(more string) hosttest.Kind {
	return hosttest.Kind{
		Kind: Kind, Config: config + more,
		Secrets: map[string]string{"bb/secret": hosttest.Secret, "bb/token": "t0ken"},
		Spoil:   func(h http.Header) { h.Set("X-Hub-Signature", "sha256="+strings.Repeat("0", 64)) },
	}
}

func TestFixtures(t *testing.T) {
	const rest = "by:gopher unknown:not-sent signature"
	const repo = "~gopher/webhook-test"
	const two, three, five = "feature/wip@50a8ee1>master@038e7b6", "feature/wip@591f702>master@038e7b6", "feature/wip@32a0b8a>master@cde6c45"
	entry.Fixtures(t, "bitbucket-server", map[string]string{
		"repo-refs-changed.json":    "push/deleted repo:refs_changed " + repo + " refs/heads/feature/wip 32a0b8a.. by:gopher unknown:deleted-ref signature",
		"repo-modified.json":        "repository/modified repo:modified gopher/webhook-test " + rest,
		"repo-comment-added.json":   "comment/created repo:comment:added " + repo + " " + rest,
		"pr-opened.json":            "pull_request/opened pr:opened " + repo + " to:master #5 open " + five + " " + rest,
		"pr-merged.json":            "pull_request/merged pr:merged " + repo + " to:master #5 merged " + five + " merged:cbf26be " + rest,
		"pr-modified.json":          "pull_request/edited pr:modified " + repo + " to:master #3 open " + three + " " + rest,
		"pr-declined.json":          "pull_request/closed pr:declined " + repo + " to:master #2 closed " + two + " " + rest,
		"pr-deleted.json":           "pull_request/deleted pr:deleted " + repo + " to:master #2 closed " + two + " " + rest,
		"pr-reviewer-approved.json": "review/approved pr:reviewer:approved " + repo + " to:master #5 open " + five + " by:tux unknown:not-sent signature",
		"pr-reviewer-updated.json":  "pull_request/edited pr:reviewer:updated " + repo + " to:master #3 open " + three + " " + rest,
		"pr-comment-added.json":     "comment/created pr:comment:added " + repo + " to:master #2 open " + two + " " + rest,
		"diagnostics-ping.json":     "",
	})
}

const (
	a40 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	b40 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	// pushOf has the changes of a push and its commits.
	pushOf = `{"eventKey":"repo:refs_changed","actor":{"name":"ada","id":1,"type":"SERVICE"},"repository":{"slug":"api","project":{"key":"ACME"},"links":{"self":[{"href":"https://git.example.com/projects/ACME/repos/api/browse"}]}},"new key":[7],"changes":[%s],"commits":%s}`
)

var changes = map[string]string{
	"update": `{"ref":{"id":"refs/heads/main","displayId":"main","type":"BRANCH"},"refId":"refs/heads/main","fromHash":"` + a40 + `","toHash":"` + b40 + `","type":"UPDATE"}`,
	"new":    `{"ref":{"id":"refs/heads/feature/x","type":"BRANCH"},"fromHash":"` + zeros + `","toHash":"` + b40 + `","type":"ADD"}`,
	"tag":    `{"ref":{"id":"refs/tags/v1","type":"TAG"},"fromHash":"` + zeros + `","toHash":"` + b40 + `","type":"ADD"}`,
}

func push(names ...string) string {
	var list []string
	for _, n := range names {
		list = append(list, changes[n])
	}
	return fmt.Sprintf(pushOf, strings.Join(list, ","), "null")
}

func send(t testing.TB, e *sourcetest.Env, s eventsource.Sending) (int, string) {
	t.Helper()
	s.Secret, s.Now = []byte(hosttest.Secret), time.Now()
	return hosttest.Send(t, hosttest.URL(t, e), entry.Sign(t, s), s.Body)
}

const (
	main = "push/updated repo:refs_changed ACME/api refs/heads/main aaaaaaa..bbbbbbb by:ada unknown:not-sent signature"
	made = "push/created repo:refs_changed ACME/api refs/heads/feature/x ..bbbbbbb by:ada unknown:new-ref signature"
	tag  = "tag/created repo:refs_changed ACME/api refs/tags/v1 ..bbbbbbb by:ada unknown:new-ref signature"
)

func TestPush(t *testing.T) {
	tests := []struct {
		name, config string
		body         string
		want, bodies []string
	}{
		{"one", "", push("update"), []string{main}, []string{push("update")}},
		{"several", "", push("update", "new", "tag"), []string{main, made, tag}, []string{push("update"), push("new"), push("tag")}},
		{"several, asked for", "oneEventPerChange: true", push("update", "tag"), []string{main, tag}, []string{push("update"), push("tag")}},
		{"several in one event", "oneEventPerChange: false", push("new", "update"), []string{made}, []string{push("new", "update")}},
		{"none", "", push(), []string{"push/ repo:refs_changed ACME/api by:ada unknown:not-sent signature"}, []string{push()}},
		{
			"with commits", "",
			fmt.Sprintf(pushOf, changes["update"], `[{"id":"`+b40+`","message":"m","author":{"name":"Ada","emailAddress":"a@b.c"},"authorTimestamp":1700000000000},{"id":"c"}]`),
			[]string{strings.Replace(main, " by:", " commit:c commit:bbbbbbb by:", 1)},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, r := with(tt.config).Start(t)
			if status, text := send(t, e, eventsource.Sending{Body: []byte(tt.body), ID: "d"}); status != 200 {
				t.Fatal(status, text)
			}
			stored := r.Stored()
			if len(stored) != len(tt.want) {
				t.Fatalf("%d events, want %d", len(stored), len(tt.want))
			}
			for i, ev := range stored {
				d := hosttest.Read(t, ev)
				if got := hosttest.Summary(d.Git); got != tt.want[i] || ev.ID != ingress.Numbered("d", i) {
					t.Errorf("%s\ngot  %s\nwant %s", ev.ID, got, tt.want[i])
				}
				if tt.bodies != nil && string(d.Body) != tt.bodies[i] {
					t.Errorf("body\ngot  %s\nwant %s", d.Body, tt.bodies[i])
				}
				if d.Git.Sender.Kind != "bot" || d.Git.Repository.Host != "git.example.com" {
					t.Errorf("%+v", d.Git)
				}
			}
		})
	}
}

func TestOthers(t *testing.T) {
	const pr = `"pullRequest":{"id":7,"title":"T","state":"OPEN","fromRef":{"id":"refs/heads/x","latestCommit":"` + b40 + `"},"toRef":{"id":"refs/heads/main","latestCommit":"` + a40 + `","repository":{"slug":"api","project":{"key":"ACME"}}}}`
	const of = "ACME/api to:main"
	const ends = " #7 open x@bbbbbbb>main@aaaaaaa unknown:not-sent signature"
	for key, want := range map[string]string{
		"pr:from_ref_updated":      "pull_request/updated pr:from_ref_updated " + of + " ccccccc..bbbbbbb" + ends,
		"pr:reviewer:needs_work":   "review/changes_requested pr:reviewer:needs_work " + of + ends,
		"pr:reviewer:unapproved":   "review/unapproved pr:reviewer:unapproved " + of + ends,
		"pr:comment:edited":        "comment/edited pr:comment:edited " + of + ends,
		"pr:comment:deleted":       "comment/deleted pr:comment:deleted " + of + ends,
		"pr:something":             "pull_request/something pr:something " + of + ends,
		"repo:forked":              "repository/forked repo:forked ACME/api unknown:not-sent signature",
		"mirror:repo_synchronized": "repository/repo_synchronized mirror:repo_synchronized ACME/api unknown:not-sent signature",
		"repo:comment:deleted":     "comment/deleted repo:comment:deleted ACME/api unknown:not-sent signature",
		"whatever":                 "other/whatever whatever ACME/api unknown:not-sent signature",
	} {
		t.Run(key, func(t *testing.T) {
			body := `{"eventKey":"` + key + `","repository":{"slug":"api","project":{"key":"ACME"}}}`
			if strings.HasPrefix(key, "pr:") {
				body = `{"eventKey":"` + key + `",` + pr + `}`
				if key == "pr:from_ref_updated" {
					body = body[:len(body)-1] + `,"previousFromHash":"cccccccc"}`
				}
			}
			e, r := entry.Start(t)
			if status, text := send(t, e, eventsource.Sending{Body: []byte(body)}); status != 200 {
				t.Fatal(status, text)
			}
			if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestPing(t *testing.T) {
	body := []byte(`{"test":true}`)
	h := http.Header{"X-Event-Key": {pingKey}}
	signed := h.Clone()
	if err := signature.Sign(signed, body, []byte(hosttest.Secret), time.Now()); err != nil {
		t.Fatal(err)
	}
	wrong := h.Clone()
	wrong.Set("X-Hub-Signature", "sha256=00")
	for _, tt := range []struct {
		name, config string
		header       http.Header
		status, n    int
	}{
		{"unsigned", "", h, 200, 0},
		{"signed", "", signed, 200, 0},
		{"wrong", "", wrong, 401, 0},
		{"forwarded", "forwardPing: true", signed, 200, 1},
		{"unsigned, not forwarded", "forwardPing: true", h, 200, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, r := with(tt.config).Start(t)
			status, text := hosttest.Send(t, hosttest.URL(t, e), tt.header, body)
			if status != tt.status || len(r.Stored()) != tt.n {
				t.Errorf("%d %s, %d events", status, text, len(r.Stored()))
			}
			if tt.n > 0 && hosttest.Read(t, r.Next(t)).Git.Event != "ping" {
				t.Error("no ping")
			}
		})
	}
}

func TestSignature(t *testing.T) {
	e, r := entry.Start(t)
	for _, value := range []string{"", "sha", "sha256=", "sha256=00", "sha1=" + strings.Repeat("0", 40)} {
		h := http.Header{"X-Event-Key": {"repo:refs_changed"}}
		if value != "" {
			h.Set("X-Hub-Signature", value)
		}
		if status, _ := hosttest.Send(t, hosttest.URL(t, e), h, []byte(push("update"))); status != http.StatusUnauthorized {
			t.Errorf("%q: %d", value, status)
		}
	}
	if len(r.Stored()) > 0 {
		t.Error("events")
	}
}

func TestHostile(t *testing.T) {
	for _, key := range []string{"repo:refs_changed", "pr:opened", pingKey, ""} {
		with("forwardPing: true").Hostile(t, func(body []byte) http.Header {
			h := http.Header{"X-Event-Key": {key}}
			if err := signature.Sign(h, body, []byte(hosttest.Secret), time.Now()); err != nil {
				t.Fatal(err)
			}
			return h
		}, []string{
			`{"changes":null}`, `{"changes":{}}`, `{"changes":[null,1,"x",[],{},{"ref":5,"refId":[]},{"ref":{"id":7}}],"commits":5}`,
			`{"changes":[{"refId":"refs/heads/m","fromHash":1,"toHash":null,"type":[]}],"commits":[null,5,{"id":1,"author":[],"authorTimestamp":9e99}]}`,
			`{"actor":5,"repository":{"project":null,"links":{"self":{},"clone":[null,5]}}}`,
			`{"pullRequest":{"id":"x","links":{"self":5},"fromRef":null,"toRef":[],"author":{"user":5},"properties":[]}}`,
			`{"new":5,"pullRequest":[]}`,
		})
	}
}

func TestSender(t *testing.T) {
	if _, err := header(eventsource.Sending{Body: []byte(`{}`), ID: "1"}); err == nil {
		t.Error("an event was guessed from nothing")
	}
	h, err := header(eventsource.Sending{Body: []byte(`{"test":true}`), ID: "1"})
	if err != nil || h.Get("X-Event-Key") != pingKey {
		t.Error(h, err)
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
			if status, text := send(t, e, eventsource.Sending{Body: []byte(push("update")), ID: fmt.Sprint("d", n)}); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func FuzzEvents(f *testing.F) {
	f.Add("repo:refs_changed", push("update", "new", "tag"))
	for _, b := range hosttest.Hostile() {
		f.Add("pr:opened", b)
	}
	f.Fuzz(func(t *testing.T, key, body string) {
		if !ingress.ValidJSON([]byte(body)) || key == pingKey {
			return
		}
		for _, d := range []decoder{{}, {whole: true}} {
			made, err := d.events(t.Context(), &ingress.Delivery{Header: http.Header{"X-Event-Key": {key}}, Body: []byte(body)})
			if err == nil && len(made) == 0 && !strings.Contains(body, pingKey) {
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
		}
	})
}

func BenchmarkPush(b *testing.B) {
	body := []byte(push("update"))
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
