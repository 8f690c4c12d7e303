package gitlab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pushBody is a push of one commit that touches two files.
const pushBody = `{"object_kind":"push","event_name":"push","before":"aaaa","after":"bbbb","ref":"refs/heads/main","checkout_sha":"bbbb",` +
	`"user_id":7,"user_username":"ann","user_name":"Ann","user_email":"","project_id":3,` +
	`"project":{"id":3,"web_url":"https://GitLab.test/acme/tools/api","path_with_namespace":"acme/tools/api","default_branch":"main",` +
	`"git_http_url":"https://gitlab.test/acme/tools/api.git","git_ssh_url":"git@gitlab.test:acme/tools/api.git"},` +
	`"commits":[{"id":"bbbb","message":"x","timestamp":"2026-03-01T10:00:00Z","author":{"name":"Ann","email":"ann@example.com"},` +
	`"added":["new.go"],"modified":["api/a.go"],"removed":[]}],"total_commits_count":1}`

type answer struct {
	status int
	body   string
}

func post(t testing.TB, url string, body []byte, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, strings.TrimSpace(string(b))}
}

// sent are the headers that the kind's own sender makes.
func sent(t testing.TB, body, secret, id string) http.Header {
	t.Helper()
	h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(body), ID: id, Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("gitlab", "token", testToken)
			return "webhook: {endpoint: /gitlab}\nsecretToken: {name: gitlab, key: token}"
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			a := post(t, e.URL(t, "12000", "/gitlab"), []byte(pushBody), sent(t, pushBody, testToken, fmt.Sprint(n)))
			if a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		},
	})
}

func TestChecks(t *testing.T) {
	const (
		open    = "webhook: {endpoint: /gitlab, insecure: true}"
		token   = "webhook: {endpoint: /gitlab}\nsecretToken: {name: gitlab, key: token}"
		signing = "webhook: {endpoint: /gitlab}\nsigningToken: {name: gitlab, key: signing}"
		rotated = "webhook: {endpoint: /gitlab, acceptedSecrets: [{name: gitlab, key: old}]}\nsecretToken: {name: gitlab, key: token}"
		bearer  = "webhook: {endpoint: /gitlab, authSecret: {name: gitlab, key: token}}"
		unknown = "webhook: {endpoint: /gitlab}\nsecretToken: {name: gitlab, key: nowhere}"
	)
	both := func(t *testing.T) http.Header {
		h := sent(t, pushBody, testSigning, "1")
		h.Set("X-Gitlab-Token", testToken)
		return h
	}
	with := func(secret string) func(t *testing.T) http.Header {
		return func(t *testing.T) http.Header { return sent(t, pushBody, secret, "1") }
	}
	for name, tt := range map[string]struct {
		manifest string
		header   func(t *testing.T) http.Header
		want     int
		verified string
	}{
		"open":                         {open, with(""), 200, "none"},
		"open, with a token":           {open, with("x"), 200, "none"},
		"token":                        {token, with(testToken), 200, "token"},
		"wrong token":                  {token, with("s3cr3"), 401, ""},
		"no token":                     {token, with(""), 401, ""},
		"signature instead of a token": {token, with(testSigning), 401, ""},
		"signature":                    {signing, with(testSigning), 200, "signature"},
		"token instead of a signature": {signing, with(testToken), 401, ""},
		"signed with another":          {signing, with("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), 401, ""},
		"both":                         {bothSecrets, both, 200, "signature"},
		"both, token alone":            {bothSecrets, with(testToken), 401, ""},
		"both, signature alone":        {bothSecrets, with(testSigning), 401, ""},
		"token of before":              {rotated, with("old"), 200, "token"},
		"token of now":                 {rotated, with(testToken), 200, "token"},
		"token of never":               {rotated, with("older"), 401, ""},
		"no bearer":                    {bearer, with(""), 401, ""},
		"bearer": {bearer, func(t *testing.T) http.Header {
			h := sent(t, pushBody, "", "1")
			h.Set("Authorization", "Bearer "+testToken)
			return h
		}, 200, "token"},
		"a secret that is not there": {unknown, with(testToken), 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := sourcetest.NewEnv(t)
			e.Vault.Set("gitlab", "token", testToken)
			e.Vault.Set("gitlab", "signing", testSigning)
			e.Vault.Set("gitlab", "old", "old")
			r := sourcetest.Start(t, Kind, tt.manifest, e)
			a := post(t, e.URL(t, "12000", "/gitlab"), []byte(pushBody), tt.header(t))
			if a.status != tt.want {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if tt.want != http.StatusOK {
				if n := len(r.Stored()); n != 0 {
					t.Errorf("%d events", n)
				}
				return
			}
			if got := read(t, r.Next(t)).Git; got.Verified != tt.verified {
				t.Errorf("verified by %s", got.Verified)
			}
		})
	}
}

func TestData(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: gitlab, method: GET}\nmetadata: {stage: test}", e)
	post(t, e.URL(t, "12000", "/gitlab"), []byte(pushBody), sent(t, pushBody, "", "d1"))
	event := r.Next(t)
	got := read(t, event)
	if event.ID != "d1" || got.Metadata["stage"] != "test" || string(got.Body) != pushBody || got.Headers.Get("X-Gitlab-Event") != "Push Hook" {
		t.Errorf("%s %s", event.ID, event.Data)
	}
	const want = "push updated raw=Push Hook repo=acme/tools/api host=gitlab.test default=main ref=refs/heads/main branch=main aaaa..bbbb " +
		"commits=1/1 files=[api/a.go new.go] sender=7:ann:Ann"
	if s := summary(&got.Git); s != want {
		t.Errorf("\n got %s\nwant %s", s, want)
	}
	if bytes.Contains(event.Data, []byte(`"changedFilesUnknown"`)) || !bytes.Contains(event.Data, []byte(`"commits":[{`)) {
		t.Errorf("%s", event.Data)
	}
}

func TestIDs(t *testing.T) {
	body := []byte(pushBody)
	long := strings.Repeat("x", 500)
	h := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	if got := id(h("Idempotency-Key", "k", "Webhook-Id", "w"), body); got != "w" {
		t.Errorf("both: %s", got)
	}
	if got := id(h("Idempotency-Key", "k", "X-Gitlab-Event-UUID", "u"), body); got != "k" {
		t.Errorf("key: %s", got)
	}
	shared, other := id(h("X-Gitlab-Event-UUID", "u"), body), id(h("X-Gitlab-Event-UUID", "u"), []byte("{}"))
	if !strings.HasPrefix(shared, "u/") || shared == other || shared != id(h("X-Gitlab-Event-UUID", "u"), body) {
		t.Errorf("shared: %s, %s", shared, other)
	}
	for name, header := range map[string]http.Header{
		"nothing": h(), "long key": h("Idempotency-Key", long), "long shared": h("X-Gitlab-Event-UUID", long), "no text": h("Webhook-Id", "\xff"),
	} {
		if got := id(header, body); len(got) != 64 || got != id(header, body) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if id(h("Idempotency-Key", long), body) == id(h("Idempotency-Key", long+"y"), body) {
		t.Error("two long keys have the same id")
	}
}

func TestAnEventIsStoredOnce(t *testing.T) {
	e := sourcetest.NewEnv(t)
	r := sourcetest.Start(t, Kind, "webhook: {endpoint: /}", e)
	for range 3 {
		if a := post(t, e.URL(t, "12000", "/"), []byte(pushBody), sent(t, pushBody, "", "same")); a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
	if n := len(r.Stored()); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestSender(t *testing.T) {
	for name, tt := range map[string]struct{ body, event, want string }{
		"push":               {pushBody, "", "Push Hook"},
		"named":              {pushBody, "Tag Push Hook", "Tag Push Hook"},
		"job":                {`{"object_kind":"build"}`, "", "Job Hook"},
		"confidential note":  {`{"object_kind":"note","event_type":"confidential_note"}`, "", "Confidential Note Hook"},
		"confidential issue": {`{"object_kind":"issue","event_type":"confidential_issue"}`, "", "Confidential Issue Hook"},
		"system":             {`{"event_name":"project_create"}`, "", "System Hook"},
		"unknown":            {`{"a":1}`, "", ""},
		"no object":          {`[]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(tt.body), Event: tt.event, ID: "1", Now: time.Now()})
			if (err == nil) != (tt.want != "") || h.Get("X-Gitlab-Event") != tt.want {
				t.Errorf("%v, %v", h, err)
			}
		})
	}
	if _, err := Kind.Senders[0].Header(eventsource.Sending{Body: []byte(pushBody), ID: "1", Secret: []byte("whsec_?"), Now: time.Now()}); err == nil {
		t.Error("signed with a token that is none")
	}
}

func TestValidate(t *testing.T) {
	const ready = "webhook: {endpoint: /x, url: 'https://hooks.example.com'}\naccessToken: {name: a, key: b}\nsecretToken: {name: a, key: c}\n"
	for name, tt := range map[string]struct{ manifest, want string }{
		"as Argo Events has it": {
			ready + "projectID: '3'\nevents: [PushEvents, EmojiEvents]\ngitlabBaseURL: https://gitlab.com\nenableSSLVerification: true\ndeleteHookOnFinish: true\n" +
				"groups: [g]\nprojects: [a/b]\nmetadata: {a: b}\nfilter: {expression: 'true'}", "",
		},
		"nothing":                {"{}", "error webhook: is missing"},
		"open":                   {"webhook: {endpoint: /x}", "warning webhook: the endpoint takes requests from anybody"},
		"open on purpose":        {"webhook: {endpoint: /x, insecure: true}", ""},
		"signing alone":          {"webhook: {endpoint: /x}\nsigningToken: {name: a, key: b}", ""},
		"no events":              {ready + "projects: ['1']", "error events: is missing"},
		"unknown event":          {ready + "projects: ['1']\nevents: [PushEvents, push]", "error events[1]: GitLab's hooks have no event \"push\""},
		"events of the API":      {ready + "projects: ['1']\nevents: [push_events, tag_push_events]", ""},
		"nowhere to keep it":     {ready + "events: [PushEvents]", "warning projects: is missing"},
		"group event of project": {ready + "projects: ['1']\nevents: [MemberEvents]", "warning events[0]: only hooks of groups have MemberEvents"},
		"empty names":            {ready + "projects: ['']\ngroups: [' / ']\nevents: [PushEvents]", "error projects[0]: is empty|error groups[0]: is empty"},
		"base":                   {ready + "projects: ['1']\nevents: [PushEvents]\ngitlabBaseURL: gitlab.com", "error gitlabBaseURL: is no URL"},
		"delete nothing":         {"webhook: {endpoint: /x}\nsecretToken: {name: a, key: c}\ndeleteHookOnFinish: true", "note deleteHookOnFinish: has no effect"},
		"lookup without a token": {"webhook: {endpoint: /x}\nsecretToken: {name: a, key: c}\nchangedFiles: {lookup: api}", "error changedFiles.lookup: "},
		"metadata at webhook":    {"webhook: {endpoint: /x, metadata: {a: b}}\nsecretToken: {name: a, key: c}", "warning webhook.metadata: has no effect"},
		"tls":                    {"webhook: {endpoint: /x}\nsecretToken: {name: a, key: c}\ntls: {clientCertSecret: {name: a, key: b}}", "error tls"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			problems := v1alpha1.Problems(err)
			var want []string
			if tt.want != "" {
				want = strings.Split(tt.want, "|")
			}
			if len(problems) != len(want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			for i, p := range problems {
				if got := p.Severity.String() + " " + p.Path + ": " + p.Message; !strings.HasPrefix(got, want[i]) {
					t.Errorf("got %q, want %q", got, want[i])
				}
			}
		})
	}
}

func TestEventNames(t *testing.T) {
	for name, hint := range map[string]string{
		"push": "write PushEvents", "Push Hook": "write PushEvents", "pushevents": "write PushEvents", "MergeRequestEvents": "write MergeRequestsEvents",
		"merge_request": "write MergeRequestsEvents", "TagPush": "write TagPushEvents", "release": "write ReleasesEvents", "x": "one of ConfidentialIssuesEvents, ",
	} {
		if got := eventHint(name); !strings.HasPrefix(got, hint) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := fmt.Sprint(apiNames([]string{"TagPushEvents", "push_events", "PushEvents", "x"})); got != "[push_events tag_push_events]" {
		t.Error(got)
	}
}

func TestRoutesAndFinish(t *testing.T) {
	c, err := Kind.Decode([]byte(`{"webhook":{"endpoint":"x","url":"https://a/","method":"GET"},"accessToken":{"name":"a","key":"b"},` +
		`"projects":["1"],"events":["PushEvents"],"deleteHookOnFinish":true,"secretToken":{"name":"a","key":"b"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r := Kind.Routes(c)[0]; r.Path != "/x" || fmt.Sprint(r.Methods) != "[POST]" || r.Port != "12000" {
		t.Errorf("%+v", r)
	}
	if !Kind.NeedsFinish(c) || *c.(*Config).Webhook.MaxPayloadSize != 25<<20 {
		t.Errorf("%+v", c)
	}
	c.(*Config).DeleteHookOnFinish = false
	if Kind.NeedsFinish(c) {
		t.Error("needs to finish what it does not delete")
	}
}
