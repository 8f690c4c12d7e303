package gitea

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, want string }{
		"whole":            {"webhook: {endpoint: /g, url: 'https://x'}\nbaseURL: https://git.example.com\naccessToken: {name: a, key: b}\nwebhookSecret: {name: a, key: b}\nevents: [push]\nrepositories: [{owner: a, names: [b]}]\norganizations: [o]\nuser: true\ndeleteHookOnFinish: true\nchangedFiles: {lookup: api}\nforwardPing: true", ""},
		"open":             {"webhook: {endpoint: /g}", "warning webhook: the endpoint takes requests from anybody"},
		"meant to be open": {open, ""},
		"nothing":          {"{}", "error webhook: is missing"},
		"all at once": {
			"webhook: {endpoint: /g, url: x, insecure: true}\nbaseURL: ftp://h\naccessToken: {name: a, key: b}\nrepositories: [{owner: '', names: []}, {owner: a, names: [b/c]}]\norganizations: [a/b]\nevents: ['*']\nchangedFiles: {timeout: -1s}",
			"error baseURL: |error changedFiles.timeout: |error repositories[0].owner: |error repositories[0].names: |error repositories[1].names[0]: |error organizations[0]: |error webhook.url: |error events[0]: ",
		},
		"a token without a host":  {open + "\naccessToken: {name: a, key: b}", "error baseURL: is missing"},
		"a place without a token": {"webhook: {endpoint: /g, url: 'https://x', insecure: true}\nuser: true", "warning accessToken: "},
		"no place, no events":     {"webhook: {endpoint: /g, url: 'https://x', insecure: true}\nbaseURL: https://h\naccessToken: {name: a, key: b}", "error repositories: |error events: "},
		"nothing to delete":       {open + "\ndeleteHookOnFinish: true", "note deleteHookOnFinish: "},
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

func TestSendersPassTheChecks(t *testing.T) {
	_, r, link := start(t, signed)
	for _, s := range Kind.Senders {
		for body, want := range map[string]string{
			pushBody: "push",
			`{"ref":"x","ref_type":"branch","sha":"y"}`:      "create",
			`{"ref":"x","ref_type":"tag","pusher_type":"u"}`: "delete",
			`{"action":"opened",` + pullRequest + `}`:        "pull_request",
			`{"action":"created","comment":{},"issue":{}}`:   "issue_comment",
			`{"action":"published","release":{}}`:            "release",
			`{"action":"created","repository":{"name":"x"}}`: "repository",
		} {
			h, err := s.Header(eventsource.Sending{Body: []byte(body), ID: s.Name + want, Secret: []byte(key), Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if a := send(t, http.MethodPost, link, h, body); a.status != 200 {
				t.Errorf("%s: %+v", s.Name, a)
			}
			if g := read(t, r.Next(t)).Git; g.Provider != s.Name || g.RawEvent != want || g.Verified != verify.BySignature {
				t.Errorf("%s: %+v", s.Name, g)
			}
		}
		if _, err := s.Header(eventsource.Sending{Body: []byte("{}"), ID: "1"}); err == nil {
			t.Error("an event was told from nothing")
		}
	}
}
