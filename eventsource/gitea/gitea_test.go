package gitea

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "s3cr3t"
	open   = "webhook: {endpoint: /gitea, insecure: true}"
	signed = "webhook: {endpoint: /gitea}\nwebhookSecret: {name: hook, key: secret}"
	sha1   = "1111111111111111111111111111111111111111"
	sha2   = "2222222222222222222222222222222222222222"
	zero   = "0000000000000000000000000000000000000000"
)

const repository = `"repository":{"id":1,"full_name":"acme/api","html_url":"https://git.example.com:3000/acme/api","clone_url":"https://git.example.com:3000/acme/api.git","ssh_url":"git@git.example.com:acme/api.git","default_branch":"main"}`

const around = `,` + repository + `,"sender":{"id":7,"login":"jane","full_name":"Jane Doe"}}`

// commits of a push, the newest first as Gitea sends them.
const commits = `[{"id":"` + sha2 + `","message":"b","timestamp":"2026-01-02T15:04:05Z","added":["b"],"modified":["a"],"removed":[]},{"id":"x","message":"a","added":["a"],"modified":[],"removed":[]}]`

const pushBody = `{"ref":"refs/heads/main","before":"` + sha1 + `","after":"` + sha2 + `","total_commits":2,"commits":` + commits + around

const pullRequest = `"number":5,"pull_request":{"id":50,"number":5,"state":"open","title":"Faster","merged":false,"html_url":"https://git.example.com:3000/acme/api/pulls/5","user":{"login":"jane"},"head":{"ref":"x","sha":"` + sha2 + `","repo":{"full_name":"jane/api"}},"base":{"ref":"main","sha":"` + sha1 + `","repo":{"full_name":"acme/api"}}}`

type answer struct {
	status int
	body   string
}

func send(t testing.TB, method, url string, h http.Header, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, strings.TrimSpace(string(b))}
}

// headers that a host sends with a payload.
func headers(t testing.TB, f family, event, kind, id, secret, payload string) http.Header {
	t.Helper()
	h, err := f.send(eventsource.Sending{Body: []byte(payload), Event: event, ID: id, Secret: []byte(secret), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		h.Set(f.prefix+"Event-Type", kind)
	}
	return h
}

var gitea = families[1]

func start(t *testing.T, manifest string) (*sourcetest.Env, *sourcetest.Running, string) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("hook", "secret", key)
	e.Vault.Set("api", "token", "t0ken\n")
	r := sourcetest.Start(t, Kind, manifest, e)
	return e, r, e.URL(t, "12000", "/gitea")
}

type data struct {
	Body map[string]any  `json:"body"`
	Git  *gitevent.Event `json:"git"`
}

func read(t testing.TB, e eventsource.Event) data {
	t.Helper()
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatalf("%v: %s", err, e.Data)
	}
	return d
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(_ *testing.T, e *sourcetest.Env) string {
			e.Vault.Set("hook", "secret", key)
			return signed
		},
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			a := send(t, http.MethodPost, e.URL(t, "12000", "/gitea"), headers(t, gitea, "push", "", fmt.Sprint(n), key, pushBody), pushBody)
			if a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		},
	})
}

func TestSignature(t *testing.T) {
	_, r, link := start(t, signed)
	form := url.Values{"payload": {pushBody}}.Encode()
	with := func(f family, secret string, change func(http.Header)) http.Header {
		h := headers(t, f, "push", "", "d", secret, pushBody)
		change(h)
		return h
	}
	same := func(http.Header) {}
	asForm := func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded") }
	for name, tt := range map[string]struct {
		header http.Header
		body   string
		want   int
	}{
		"gitea":                       {with(gitea, key, same), pushBody, 200},
		"forgejo":                     {with(families[0], key, same), pushBody, 200},
		"gogs":                        {with(families[2], key, same), pushBody, 200},
		"a form":                      {with(gitea, key, asForm), form, 200},
		"a form with another payload": {with(gitea, key, asForm), url.Values{"payload": {"{}"}}.Encode(), 401},
		"a form without a payload":    {with(gitea, key, asForm), "a=b", 400},
		"another secret":              {with(gitea, "other", same), pushBody, 401},
		"none":                        {with(gitea, "", same), pushBody, 401},
		"empty, as without a secret":  {with(gitea, "", func(h http.Header) { h.Set("X-Gitea-Signature", "") }), pushBody, 401},
		"one of them is wrong":        {with(gitea, key, func(h http.Header) { h.Set("X-Gogs-Signature", strings.Repeat("ab", 32)) }), pushBody, 401},
		"with a prefix":               {with(gitea, key, func(h http.Header) { h.Set("X-Gitea-Signature", "sha256="+h.Get("X-Gitea-Signature")) }), pushBody, 401},
		"GitHub's alone":              {http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + strings.Repeat("ab", 32)}}, pushBody, 401},
		"another body":                {with(gitea, key, same), pushBody + "\n", 401},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(r.Stored())
			for n, v := range tt.header { // an event of its own
				if strings.HasSuffix(n, "-Delivery") {
					v[0] = name
				}
			}
			if a := send(t, http.MethodPost, link, tt.header, tt.body); a.status != tt.want {
				t.Errorf("%+v", a)
			}
			if stored := len(r.Stored()) > before; stored != (tt.want == 200) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

func TestGET(t *testing.T) {
	_, r, link := start(t, "webhook: {endpoint: /gitea, method: GET}\nwebhookSecret: {name: hook, key: secret}")
	query := "?" + url.Values{"payload": {pushBody}}.Encode()
	if a := send(t, http.MethodGet, link+query, headers(t, gitea, "push", "", "1", key, pushBody), ""); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	if d := read(t, r.Next(t)); d.Git.Branch != "main" || d.Body["ref"] == nil {
		t.Errorf("%+v", d)
	}
	if a := send(t, http.MethodGet, link, headers(t, gitea, "push", "", "1", key, pushBody), ""); a.status != 400 {
		t.Errorf("%+v", a)
	}
}

func TestPing(t *testing.T) {
	for manifest, want := range map[string]int{signed: 0, signed + "\nforwardPing: true": 1} {
		_, r, link := start(t, manifest)
		if a := send(t, http.MethodPost, link, headers(t, families[2], "ping", "", "1", key, "{}"), "{}"); a.status != 200 {
			t.Errorf("%+v", a)
		}
		if n := len(r.Stored()); n != want {
			t.Errorf("%d events", n)
		}
	}
}
