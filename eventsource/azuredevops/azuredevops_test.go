package azuredevops

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

var (
	secrets = map[string]string{"az/user": "hooks", "az/secret": hosttest.Secret, "az/pat": "p4t"}
	basic   = hosttest.Kind{
		Kind:    Kind,
		Config:  `webhook: {endpoint: /hook, port: "12000", basicAuth: {username: {name: az, key: user}, password: {name: az, key: secret}}}`,
		Secrets: secrets,
		Spoil:   func(h http.Header) { h.Set("Authorization", "Basic aG9va3M6d3Jvbmc=") },
	}
	headed = hosttest.Kind{
		Kind: Kind,
		Config: `
webhook: {endpoint: /hook, port: "12000"}
secretHeader: {secret: {name: az, key: secret}}
`,
		Secrets: secrets,
		Spoil:   func(h http.Header) { h.Set(defaultHeader, "guessed") },
	}
)

func TestFixtures(t *testing.T) {
	basic.Fixtures(t, "azuredevops", map[string]string{
		"git.push.json":                `push/updated git.push fabrikam-fiber-inc/Fabrikam-Fiber-Git/Fabrikam-Fiber-Git refs/heads/main aad331d..33b55f7 commit:33b55f7 by:Windows Live ID\fabrikamfiber4@hotmail.com unknown:not-sent token`,
		"git.pullrequest.created.json": "pull_request/opened git.pullrequest.created fabrikam/Fabrikam/Fabrikam to:master #1 open mytopic@53d54ac>master@a511f53 by:fabrikamfiber4@hotmail.com unknown:not-sent token",
		"build.complete.json":          "pipeline/complete build.complete  refs/heads/master ..600c52d by:fabrikamfiber16@hotmail.com unknown:not-sent token",
	})
}

const (
	a40    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	b40    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	zeros  = "0000000000000000000000000000000000000000"
	repo   = `"repository":{"name":"api","remoteUrl":"https://acme@dev.azure.com/acme/My%20Project/_git/api","defaultBranch":"refs/heads/main","project":{"name":"My Project"}}`
	pushOf = `{"id":"n1","eventType":"git.push","subscriptionId":"s1","resource":{"x":[],"refUpdates":[UPDATES],"commits":[{"commitId":"` + b40 + `"},{"commitId":"c"}],"pushedBy":{"uniqueName":"ada@example.com"},` + repo + `}}`
)

func push(updates ...string) string {
	return strings.Replace(pushOf, "UPDATES", strings.Join(updates, ","), 1)
}

func update(ref, from, to string) string {
	return `{"name":"` + ref + `","oldObjectId":"` + from + `","newObjectId":"` + to + `"}`
}

func send(t testing.TB, e *sourcetest.Env, body string) (int, string) {
	t.Helper()
	h := headed.Sign(t, eventsource.Sending{Body: []byte(body), Secret: []byte(hosttest.Secret)})
	return hosttest.Send(t, hosttest.URL(t, e), h, []byte(body))
}

func TestPush(t *testing.T) {
	const of = " git.push acme/My Project/api "
	const rest = " by:ada@example.com unknown:"
	tests := []struct {
		name    string
		updates []string
		want    []string
	}{
		{"one", []string{update("refs/heads/main", a40, b40)}, []string{"push/updated" + of + "refs/heads/main aaaaaaa..bbbbbbb commit:c commit:bbbbbbb" + rest + "not-sent token"}},
		{"several", []string{update("refs/heads/x/y", zeros, b40), update("refs/heads/z", a40, zeros), update("refs/tags/v1", zeros, b40), update("refs/heads/main", a40, b40)}, []string{
			"push/created" + of + "refs/heads/x/y ..bbbbbbb" + rest + "new-ref token",
			"push/deleted" + of + "refs/heads/z aaaaaaa.." + rest + "deleted-ref token",
			"tag/created" + of + "refs/tags/v1 ..bbbbbbb" + rest + "new-ref token",
			"push/updated" + of + "refs/heads/main aaaaaaa..bbbbbbb" + rest + "not-sent token",
		}},
		{"empty, which crashed others", nil, []string{"push/ git.push acme/My Project/api" + rest + "minimal-payload token"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, r := headed.Start(t)
			if status, text := send(t, e, push(tt.updates...)); status != 200 {
				t.Fatal(status, text)
			}
			stored := r.Stored()
			if len(stored) != len(tt.want) {
				t.Fatalf("%d events, want %d", len(stored), len(tt.want))
			}
			for i, ev := range stored {
				d := hosttest.Read(t, ev)
				if got := hosttest.Summary(d.Git); got != tt.want[i] || ev.ID != ingress.Numbered("n1.s1", i) {
					t.Errorf("%s\ngot  %s\nwant %s", ev.ID, got, tt.want[i])
				}
				if len(tt.updates) > 0 && string(d.Body) != push(tt.updates[i]) {
					t.Errorf("body %s", d.Body)
				}
				if strings.Contains(fmt.Sprint(d.Headers), hosttest.Secret) {
					t.Error("the secret is in the event")
				}
				b := d.Git.Repository
				if b.URL != "https://dev.azure.com/acme/My%20Project/_git/api" || b.CloneURLs[1] != "git@ssh.dev.azure.com:v3/acme/My%20Project/api" || b.DefaultBranch != "main" {
					t.Errorf("%+v", b)
				}
			}
		})
	}
}

func TestOthers(t *testing.T) {
	pr := func(event, status, merge string) string {
		return `{"id":"1","eventType":"` + event + `","resource":{"pullRequestId":3,"status":"` + status + `","mergeStatus":"` + merge + `","createdBy":{"uniqueName":"ada@example.com"},"sourceRefName":"refs/heads/a/b","targetRefName":"refs/heads/main","lastMergeSourceCommit":{"commitId":"1111111"},"lastMergeTargetCommit":{"commitId":"2222222"},"lastMergeCommit":{"commitId":"3333333"},` + repo + `}}`
	}
	const pull, by = " acme/My Project/api to:main #3 ", " a/b@1111111>main@2222222"
	const rest = " by:ada@example.com unknown:not-sent token"
	tests := []struct{ name, body, want string }{
		{"created", pr("git.pullrequest.created", "active", "queued"), "pull_request/opened git.pullrequest.created" + pull + "open" + by + rest},
		{"updated", pr("git.pullrequest.updated", "active", "succeeded"), "pull_request/updated git.pullrequest.updated" + pull + "open" + by + rest},
		{"abandoned", pr("git.pullrequest.updated", "abandoned", "succeeded"), "pull_request/closed git.pullrequest.updated" + pull + "closed" + by + rest},
		{"merged", pr("git.pullrequest.merged", "completed", "succeeded"), "pull_request/merged git.pullrequest.merged" + pull + "merged" + by + " merged:3333333" + rest},
		{"only tried to merge", pr("git.pullrequest.merged", "active", "succeeded"), "pull_request/updated git.pullrequest.merged" + pull + "open" + by + rest},
		{"conflicts", pr("git.pullrequest.merged", "active", "conflicts"), "pull_request/updated git.pullrequest.merged" + pull + "open" + by + rest},
		{"minimal", `{"id":"1","eventType":"git.pullrequest.created","resource":{"url":"x"}}`, "pull_request/opened git.pullrequest.created  unknown:minimal-payload token"},
		{"minimal push", `{"id":"1","eventType":"git.push","resource":null}`, "push/ git.push  unknown:minimal-payload token"},
		{
			"comment", `{"id":"1","eventType":"ms.vss-code.git-pullrequest-comment-event","resource":{"comment":{"author":{"uniqueName":"bob@example.com"}},"pullRequest":{"pullRequestId":3,"status":"active","targetRefName":"refs/heads/main",` + repo + `}}}`,
			"comment/created ms.vss-code.git-pullrequest-comment-event acme/My Project/api to:main #3 open @>main@ by:bob@example.com unknown:not-sent token",
		},
		{"comment removed", `{"id":"1","eventType":"ms.vss-code.git-pullrequest-comment-event","resource":{"comment":{"isDeleted":true}}}`, "comment/deleted ms.vss-code.git-pullrequest-comment-event  unknown:not-sent token"},
		{"build", `{"id":"1","eventType":"build.complete","resource":{"sourceBranch":"refs/heads/main","sourceVersion":"` + b40 + `","requestedFor":{"uniqueName":"Build\\1","displayName":"B"}}}`, `pipeline/complete build.complete  refs/heads/main ..bbbbbbb by:Build\1 unknown:not-sent token`},
		{"run", `{"id":"1","eventType":"ms.vss-pipelines.run-state-changed-event"}`, "pipeline/changed ms.vss-pipelines.run-state-changed-event  unknown:not-sent token"},
		{"release", `{"id":"1","eventType":"ms.vss-release.deployment-completed-event"}`, "deployment/completed ms.vss-release.deployment-completed-event  unknown:not-sent token"},
		{"repository", `{"id":"1","eventType":"git.repo.created","resource":{` + repo + `}}`, "repository/created git.repo.created acme/My Project/api unknown:not-sent token"},
		{"work item", `{"id":"1","eventType":"workitem.updated"}`, "issue/updated workitem.updated  unknown:not-sent token"},
		{"work item's comment", `{"id":"1","eventType":"workitem.commented"}`, "comment/created workitem.commented  unknown:not-sent token"},
		{"other", `{"id":"1","eventType":"tfvc.checkin"}`, "other/checkin tfvc.checkin  unknown:not-sent token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, r := headed.Start(t)
			if status, text := send(t, e, tt.body); status != 200 {
				t.Fatal(status, text)
			}
			if got := hosttest.Summary(hosttest.Read(t, r.Next(t)).Git); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ url, project, want, host string }{
		{"https://dev.azure.com/acme/web/_git/api", "", "acme/web/api", "dev.azure.com"},
		{"https://acme@dev.azure.com/acme/My%20Web/_git/a%2Bb", "My Web", "acme/My Web/a+b", "dev.azure.com"},
		{"https://dev.azure.com/acme/_git/api", "", "acme/api/api", "dev.azure.com"},
		{"https://Acme.visualstudio.com/web/_git/api", "", "acme/web/api", "acme.visualstudio.com"},
		{"https://acme.visualstudio.com/DefaultCollection/web/_git/api", "web", "acme/web/api", "acme.visualstudio.com"},
		{"https://acme.visualstudio.com/_git/api", "", "acme/api/api", "acme.visualstudio.com"},
		{"https://tfs.example.com:8443/tfs/DefaultCollection/web/_git/api", "web", "DefaultCollection/web/api", "tfs.example.com:8443"},
		{"https://tfs.example.com/tfs/Main/_git/api", "api", "Main/api/api", "tfs.example.com"},
		{"http://tfs.example.com:80/Main/web/_git/api", "", "Main/web/api", "tfs.example.com"},
		{"https://dev.azure.com/acme", "", "", "dev.azure.com"},
		{"https://dev.azure.com/_git/x", "", "", "dev.azure.com"},
		{"nonsense", "", "", ""},
		{"://", "", "", ""},
		{"", "web", "", ""},
	} {
		r := repository{RemoteURL: tt.url}
		r.Project.Name = tt.project
		if b := r.block(); b.FullName != tt.want || b.Host != tt.host || strings.Contains(b.URL, "@") {
			t.Errorf("%s: %+v", tt.url, b)
		}
	}
	for url, want := range map[string]string{
		"https://dev.azure.com/acme": "acme", "https://dev.azure.com/acme/": "acme", "https://acme.visualstudio.com": "acme",
		"https://acme.visualstudio.com/DefaultCollection": "acme", "https://tfs.example.com/tfs/Main": "Main", "https://dev.azure.com": "", "://": "",
	} {
		if got := organizationOf(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}

func TestCredentials(t *testing.T) {
	body := push()
	e, r := headed.Start(t)
	for _, secret := range []string{"", "guessed", "hooks:s3cr3t"} {
		h := headed.Sign(t, eventsource.Sending{Body: []byte(body), Secret: []byte(secret)})
		if status, _ := hosttest.Send(t, hosttest.URL(t, e), h, []byte(body)); status != http.StatusUnauthorized || len(r.Stored()) > 0 {
			t.Errorf("%q: %d", secret, status)
		}
	}
	e, r = basic.Start(t)
	h := basic.Sign(t, eventsource.Sending{Body: []byte(body), Secret: []byte("hooks:s3cr3t")})
	if status, text := hosttest.Send(t, hosttest.URL(t, e), h, []byte(body)); status != http.StatusOK || len(r.Stored()) != 1 {
		t.Errorf("%d %s", status, text)
	}
	if _, err := header(eventsource.Sending{Body: []byte(`{}`), ID: "1"}); err == nil {
		t.Error("an event was guessed from nothing")
	}
}

func TestHostile(t *testing.T) {
	headed.Hostile(t, func([]byte) http.Header { return http.Header{defaultHeader: {hosttest.Secret}} }, []string{
		`{"eventType":"git.push"}`, `{"eventType":"git.push","resource":null}`, `{"eventType":"git.push","resource":[]}`,
		`{"eventType":"git.push","resource":{"refUpdates":{}}}`, `{"eventType":"git.push","resource":{"refUpdates":[]}}`,
		`{"eventType":"git.push","resource":{"refUpdates":[null,5,"x",[],{},{"name":7}],"commits":5,"repository":[],"pushedBy":5}}`,
		`{"eventType":"git.push","resource":{"refUpdates":[{"name":"refs/heads/m","oldObjectId":5}],"commits":[null,{"commitId":{},"author":[]}],"repository":{"remoteUrl":5,"project":null}}}`,
		`{"eventType":"git.pullrequest.merged","resource":{"pullRequestId":1e999,"forkSource":[],"_links":5,"createdBy":[],"lastMergeCommit":"x"}}`,
		`{"eventType":"build.complete","resource":{"requests":[null,5],"sourceGetVersion":"::","repository":5}}`,
		`{"eventType":5,"id":{},"resource":5}`, `{"eventType":"-event"}`, `{"eventType":"...-"}`,
	})
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			headed.Fill(e)
			return headed.Config
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := strings.Replace(push(update("refs/heads/main", a40, b40)), `"n1"`, fmt.Sprintf(`"n%d"`, n), 1)
			if status, text := send(t, e, body); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func FuzzEvents(f *testing.F) {
	f.Add(push(update("refs/heads/main", a40, b40), update("refs/tags/v", zeros, b40)))
	for _, b := range hosttest.Hostile() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !ingress.ValidJSON([]byte(body)) {
			return
		}
		made, err := decoder{}.events(t.Context(), &ingress.Delivery{Header: http.Header{}, Body: []byte(body)})
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
	body := []byte(push(update("refs/heads/main", a40, b40)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	h := http.Header{defaultHeader: {hosttest.Secret}}
	for b.Loop() {
		if _, err := ingress.CheckSchemes(schemes(defaultHeader), h, body, [][]byte{[]byte(hosttest.Secret)}, time.Time{}); err != nil {
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
