package github

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestValidate(t *testing.T) {
	const whole = `
webhook: {endpoint: /push, port: "12000", method: POST, url: "http://my-host.example.com"}
repositories: [{owner: argoproj, names: [argo-events, argo-workflows]}]
events: ["*"]
apiToken: {name: github-access, key: token}
webhookSecret: {name: github-access, key: secret}
insecure: true
active: true
contentType: json
githubBaseURL: https://github.example.com
githubUploadURL: https://github.example.com
deleteHookOnFinish: true
metadata: {a: b}
filter: {expression: "true"}
id: 1
`
	for name, tt := range map[string]struct{ manifest, want string }{
		"as Argo Events has it": {whole, ""},
		"owner and repository":  {"webhook: {endpoint: /p}\nowner: a\nrepository: b\nevents: ['*']\nwebhookSecret: {name: a, key: b}", ""},
		"an App":                {"webhook: {endpoint: /p, url: 'https://x'}\nwebhookSecret: {name: a, key: b}\ngithubApp: {appID: 1, privateKey: {name: a, key: b}, installationID: 2}", ""},
		"open":                  {"webhook: {endpoint: /p}", "warning webhook: the endpoint takes requests from anybody"},
		"meant to be open":      {open, ""},
		"nothing":               {"{}", "error webhook: is missing"},
		"all at once": {
			"webhook: {endpoint: /p, url: 'ftp://x', insecure: true}\nrepositories: [{owner: a/b, names: [c/d]}, {names: []}]\norganizations: ['']\ncontentType: xml\ngithubBaseURL: 'https://u:p@h'\ngithubApp: {}\nowner: x\nchangedFiles: {lookup: git}",
			"error contentType: |error githubBaseURL: must not hold a password|error githubApp.privateKey: |error githubApp.appID: |error changedFiles.lookup: |error repositories[0].owner: |error repositories[0].names[0]: |error repositories[1].owner: |error repositories[1].names: |error organizations[0]: |error organizations: |error repository: |error webhook.url: |error events: |warning active: ",
		},
		"a token without a place":     {"webhook: {endpoint: /p, url: 'https://x', insecure: true}\napiToken: {name: a, key: b}\nevents: ['']\nactive: false", "error repositories: is missing|error events[0]: "},
		"nothing to delete":           {open + "\ndeleteHookOnFinish: true", "note deleteHookOnFinish: "},
		"an App's hook stays":         {"webhook: {endpoint: /p, url: 'https://x', insecure: true}\ngithubApp: {appID: 1, privateKey: {name: a, key: b}}\ndeleteHookOnFinish: true", "warning deleteHookOnFinish: "},
		"a lookup without a token":    {open + "\nchangedFiles: {lookup: api}", "error changedFiles.lookup: "},
		"a lookup with a bad timeout": {open + "\nchangedFiles: {timeout: 0s}", "error changedFiles.timeout: "},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			var want []string
			if tt.want != "" {
				want = strings.Split(tt.want, "|")
			}
			problems := v1alpha1.Problems(err)
			if len(problems) != len(want) {
				t.Fatalf("got %v", err)
			}
			for i, p := range problems {
				if got := p.Severity.String() + " " + p.Path + ": " + p.Message; !strings.HasPrefix(got, want[i]) {
					t.Errorf("got %q, want %q", got, want[i])
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	c, err := Kind.Decode([]byte(`{"webhook":{"endpoint":"push","insecure":true}}`))
	if v1alpha1.Fatal(err) != nil {
		t.Fatal(err)
	}
	own := c.(*Config)
	if *own.Webhook.MaxPayloadSize != 25<<20 || own.ContentType != "json" || own.Webhook.Port != "12000" {
		t.Errorf("%+v", own)
	}
	if got := fmt.Sprint(Kind.Routes(c)[0].Path, Kind.Routes(c)[0].Methods); got != "/push[POST]" {
		t.Error(got)
	}
}

func TestSameEvents(t *testing.T) {
	for _, tt := range []struct {
		have, want []string
		same       bool
	}{
		{[]string{"push", "create"}, []string{"create", "push"}, true},
		{[]string{"push", "push"}, []string{"push"}, true},
		{[]string{"push"}, []string{"create", "push"}, false},
		{[]string{"*"}, []string{"*", "push"}, true},
		{[]string{"*"}, []string{"push"}, false},
		{nil, nil, true},
	} {
		if got := sameEvents(tt.have, tt.want); got != tt.same {
			t.Errorf("%+v", tt)
		}
	}
}

func TestSenderPassesTheChecks(t *testing.T) {
	_, r, url := start(t, signed)
	for body, want := range map[string]string{
		pushBody: "push",
		`{"action":"opened",` + pullRequest + `}`:              "pull_request",
		`{"ref":"v1","ref_type":"tag","master_branch":"m"}`:    "create",
		`{"ref":"v1","ref_type":"tag"}`:                        "delete",
		`{"action":"created","comment":{},"issue":{}}`:         "issue_comment",
		`{"action":"submitted","review":{},"pull_request":{}}`: "pull_request_review",
		`{"action":"published","release":{}}`:                  "release",
		`{"sha":"x","state":"success","context":"ci"}`:         "status",
		`{"action":"x","workflow_run":{},"workflow":{}}`:       "workflow_run",
	} {
		for _, event := range []string{"", "custom"} {
			h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), Event: event, ID: want + event, Secret: []byte(key), Now: time.Now()})
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if a := post(t, url, h, body); a.status != 200 {
				t.Errorf("%+v", a)
			}
			g := read(t, r.Next(t)).Git
			if event != "" {
				want = event
			}
			if g.RawEvent != want || g.Verified != verify.BySignature {
				t.Errorf("%s: %+v", body, g)
			}
		}
	}
	for _, body := range []string{"{}", "[]", "x"} {
		if h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), ID: "1"}); err == nil {
			t.Errorf("%s: %v", body, h)
		}
	}
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(pushBody), ID: "1"})
	if err != nil || h.Get("X-Hub-Signature-256") != "" {
		t.Errorf("without a secret: %v, %v", h, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("push", []byte(pushBody))
	f.Add("pull_request", []byte(`{"action":"opened",`+pullRequest+`}`))
	f.Add("check_run", []byte(`{"check_run":{"pull_requests":[{}]}}`))
	for _, x := range fixtures(f, "github") {
		f.Add(x.header.Get("X-GitHub-Event"), x.body)
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		e := decode(http.Header{headerEvent: {event}}, body)
		if e.Provider != "github" || e.Event == "" || e.Commits == nil || (e.ChangedFiles == nil) != (e.ChangedFilesUnknown != "") {
			t.Errorf("%+v", e)
		}
		_ = guess(body)
		if len(body) > 0 && ingress.ValidJSON(body) && body[0] == '{' && body[len(body)-1] == '}' {
			out, err := withKeys(body, event, "1")
			if err != nil || !ingress.ValidJSON(out) {
				t.Errorf("%s, %v", out, err)
			}
		}
	})
}

func BenchmarkPush(b *testing.B) {
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(headerEvent, "push")
	h.Set(headerDelivery, "d")
	if err := signature.Sign(h, []byte(pushBody), []byte(key), time.Now()); err != nil {
		b.Fatal(err)
	}
	s := &source{}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		proved, err := ingress.CheckSchemes([]verify.Scheme{signature}, h, []byte(pushBody), [][]byte{[]byte(key)}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		made, err := s.events(b.Context(), &ingress.Delivery{Request: r, Header: h, Body: []byte(pushBody), Verified: proved})
		if err != nil || len(made) != 1 {
			b.Fatal(err)
		}
	}
}
