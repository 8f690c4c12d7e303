package github

import (
	"bytes"
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
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "s3cr3t"

// open and signed are the shortest configurations.
const (
	open   = "webhook: {endpoint: /github, insecure: true}"
	signed = "webhook: {endpoint: /github}\nwebhookSecret: {name: hook, key: secret}"
)

type answer struct {
	status int
	body   string
}

// deliver sends a request as GitHub does; an empty secret leaves it unsigned.
func deliver(t testing.TB, url, event, id, secret, body string, header ...string) answer {
	t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(headerEvent, event)
	h.Set(headerDelivery, id)
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	if secret != "" {
		if err := signature.Sign(h, []byte(body), []byte(secret), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return post(t, url, h, body)
}

func post(t testing.TB, url string, h http.Header, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
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

// start runs an entry and returns where it receives.
func start(t *testing.T, manifest string) (*sourcetest.Env, *sourcetest.Running, string) {
	t.Helper()
	e := sourcetest.NewEnv(t)
	e.Vault.Set("hook", "secret", key)
	e.Vault.Set("api", "token", "t0ken")
	r := sourcetest.Start(t, Kind, manifest, e)
	return e, r, e.URL(t, "12000", "/github")
}

type data struct {
	Headers  map[string][]string `json:"headers"`
	Body     map[string]any      `json:"body"`
	Git      *gitevent.Event     `json:"git"`
	Metadata map[string]string   `json:"metadata"`
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
			if a := deliver(t, e.URL(t, "12000", "/github"), "push", fmt.Sprint("d", n), key, pushBody); a.status != http.StatusOK {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		},
	})
}

func TestSignature(t *testing.T) {
	e, r, url := start(t, signed)
	sha1 := verify.HMAC{Header: "X-Hub-Signature", Algorithm: "sha1", Prefix: "sha1="}
	bySHA1 := http.Header{}
	if err := sha1.Sign(bySHA1, []byte(pushBody), []byte(key), time.Now()); err != nil {
		t.Fatal(err)
	}
	good := http.Header{}
	if err := signature.Sign(good, []byte(pushBody), []byte(key), time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		secret, body string
		header       []string
		want         int
	}{
		"good":                         {key, pushBody, nil, 200},
		"good, in capitals":            {"", pushBody, []string{"X-Hub-Signature-256", "sha256=" + strings.ToUpper(good.Get("X-Hub-Signature-256")[7:])}, 200},
		"another secret":               {"other", pushBody, nil, 401},
		"missing":                      {"", pushBody, nil, 401},
		"empty":                        {"", pushBody, []string{"X-Hub-Signature-256", "sha256="}, 401},
		"of another body":              {"", pushBody + " ", []string{"X-Hub-Signature-256", good.Get("X-Hub-Signature-256")}, 401},
		"short":                        {"", pushBody, []string{"X-Hub-Signature-256", "sha2"}, 401},
		"no hex":                       {"", pushBody, []string{"X-Hub-Signature-256", "sha256=zz"}, 401},
		"the old one alone":            {"", pushBody, []string{"X-Hub-Signature", bySHA1.Get("X-Hub-Signature")}, 401},
		"the old one where the new is": {"", pushBody, []string{"X-Hub-Signature-256", bySHA1.Get("X-Hub-Signature")}, 401},
		"wrong and not JSON":           {"other", "{", nil, 401},
		"good and not JSON":            {key, "{", nil, 400},
		"good and not an object":       {key, "[1]", nil, 400},
		"good and empty":               {key, "", nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(r.Stored())
			a := deliver(t, url, "push", "d-"+name, tt.secret, tt.body, tt.header...)
			if a.status != tt.want {
				t.Errorf("%d %s", a.status, a.body)
			}
			if stored := len(r.Stored()) > before; stored != (tt.want == 200) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
	// The sample that GitHub's documentation gives.
	e.Vault.Set("hook", "secret", "It's a Secret to Everybody")
	a := deliver(t, url, "push", "vector", "", "Hello, World!", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	if a.status != 400 { // authentic, and no JSON
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestARotatedSecret(t *testing.T) {
	e, _, url := start(t, "webhook: {endpoint: /github, acceptedSecrets: [{name: next, key: secret}]}\nwebhookSecret: {name: hook, key: secret}")
	e.Vault.Set("next", "secret", "n3xt")
	for i, tt := range []struct {
		current, used string
		want          int
	}{{key, key, 200}, {key, "n3xt", 200}, {"new", key, 200}, {"new", "new", 200}, {"new", "wrong", 401}} {
		e.Vault.Set("hook", "secret", tt.current)
		if a := deliver(t, url, "push", fmt.Sprint(i), tt.used, pushBody); a.status != tt.want {
			t.Errorf("%+v: %d %s", tt, a.status, a.body)
		}
	}
}

func TestDataIsThatOfArgoEventsAndTheBlock(t *testing.T) {
	_, r, url := start(t, signed+"\nmetadata: {team: blue}")
	deliver(t, url, "push", "guid-1", key, pushBody, headerHook, "42")
	event := r.Next(t)
	if event.ID != "guid-1" {
		t.Errorf("id %q", event.ID)
	}
	d := read(t, event)
	if d.Body["X-GitHub-Event"] != "push" || d.Body["X-GitHub-Delivery"] != "guid-1" || d.Body["ref"] != "refs/heads/main" {
		t.Errorf("body %v", d.Body)
	}
	if d.Headers["X-Github-Event"][0] != "push" || d.Metadata["team"] != "blue" {
		t.Errorf("%v, %v", d.Headers, d.Metadata)
	}
	if g := d.Git; g.Provider != "github" || g.Verified != "signature" || g.HookID != "42" || g.DeliveryID != "guid-1" || g.Branch != "main" {
		t.Errorf("%+v", g)
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(event.Data, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range Kind.DataKeys {
		delete(keys, k)
	}
	if len(keys) > 0 {
		t.Errorf("keys that Kind.DataKeys does not have: %v", keys)
	}
}

func TestTheSameDeliveryIsOneEvent(t *testing.T) {
	_, r, url := start(t, signed)
	for range 2 {
		if a := deliver(t, url, "push", "same", key, pushBody); a.status != 200 || a.body != `{"id":"same"}` {
			t.Errorf("%+v", a)
		}
	}
	// An organization's hook sends the event of the repository's hook again.
	deliver(t, url, "push", "same", key, pushBody, headerHook, "2", "X-Github-Hook-Installation-Target-Type", "organization")
	if n := len(r.Stored()); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestIDsWhereGitHubsIsNoGood(t *testing.T) {
	_, r, url := start(t, open)
	seen := map[string]bool{}
	for _, id := range []string{"", strings.Repeat("x", 256), "\xff"} {
		for range 2 {
			deliver(t, url, "push", id, "", pushBody)
		}
		seen[id] = true
	}
	deliver(t, url, "push", "", "", pushBody+" ")
	deliver(t, url, "push", "", "", `{"another":1}`)
	got := r.Stored()
	if len(got) != 2 || len(got[0].ID) != 64 || got[0].ID == got[1].ID {
		t.Errorf("%d events, %q", len(got), got[0].ID)
	}
}

func TestPing(t *testing.T) {
	const ping = `{"zen":"Keep it simple.","hook_id":7,"hook":{"type":"Repository"},"repository":{"full_name":"acme/api"}}`
	_, r, link := start(t, signed)
	if a := deliver(t, link, "ping", "p1", key, ping); a.status != 200 || a.body != `{"ids":[]}` {
		t.Errorf("%+v", a)
	}
	if a := deliver(t, link, "ping", "p2", "wrong", ping); a.status != 401 {
		t.Errorf("%+v", a)
	}
	if len(r.Stored()) != 0 {
		t.Error("a ping was forwarded")
	}
	_, r, link = start(t, signed+"\nforwardPing: true")
	form := url.Values{"payload": {ping}}.Encode()
	if a := deliver(t, link, "ping", "p3", key, form, "Content-Type", "application/x-www-form-urlencoded"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if g := read(t, r.Next(t)).Git; g.Event != gitevent.Ping || g.HookID != "7" || g.Repository.FullName != "acme/api" {
		t.Errorf("%+v", g)
	}
}

func TestForms(t *testing.T) {
	_, r, link := start(t, signed)
	form := func(v url.Values) string { return v.Encode() }
	for name, tt := range map[string]struct {
		contentType, body string
		want              int
	}{
		"form":           {"application/x-www-form-urlencoded", form(url.Values{"payload": {pushBody}}), 200},
		"with a charset": {"Application/X-WWW-Form-Urlencoded; charset=utf-8", form(url.Values{"payload": {pushBody}}), 200},
		"no payload":     {"application/x-www-form-urlencoded", "a=b", 400},
		"no form":        {"application/x-www-form-urlencoded", "payload=%zz", 400},
		"empty payload":  {"application/x-www-form-urlencoded", "payload=", 400},
		"JSON":           {"application/json; charset=utf-8", pushBody, 200},
		"without a type": {"", pushBody, 200},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			if a := deliver(t, link, "push", id, key, tt.body, "Content-Type", tt.contentType); a.status != tt.want {
				t.Fatalf("%+v", a)
			}
			if tt.want != 200 {
				return
			}
			if d := read(t, r.Next(t)); d.Git.Branch != "main" || d.Body["X-GitHub-Delivery"] != id || d.Body["after"] == nil {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestWithKeys(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                         `{"X-GitHub-Event":"push","X-GitHub-Delivery":"d\"1"}`,
		`{ }`:                        `{ "X-GitHub-Event":"push","X-GitHub-Delivery":"d\"1"}`,
		`{"a":12345678901234567890}`: `{"a":12345678901234567890,"X-GitHub-Event":"push","X-GitHub-Delivery":"d\"1"}`,
	} {
		got, err := withKeys([]byte(in), "push", `d"1`)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	// The header's value wins over what a payload says.
	got, err := withKeys([]byte(`{"X-GitHub-Event":"forged"}`), "push", "1")
	var v map[string]string
	if err != nil || json.Unmarshal(got, &v) != nil || v["X-GitHub-Event"] != "push" {
		t.Errorf("%s %v", got, err)
	}
	for _, bad := range []string{`[]`, `"x"`, `null`, `1`} {
		if _, err := withKeys([]byte(bad), "", ""); err == nil {
			t.Errorf("%s passed", bad)
		}
	}
}

// What is of a wrong type loses no event.
func TestOddPayloadsAreForwarded(t *testing.T) {
	_, r, url := start(t, open)
	odd := []string{
		`{"ref":1,"before":[],"after":{},"commits":"x","repository":[],"sender":7,"pusher":"p","forced":"no"}`,
		`{"ref":null,"commits":null,"repository":null,"sender":null,"pull_request":null,"installation":null}`,
		`{"commits":[null,1,"x",{"added":[1,null,"a"],"timestamp":5,"author":null}],"after":"` + sha2 + `","before":"` + sha1 + `","ref":"refs/heads/x"}`,
		`{"pull_request":[],"number":"1","action":["x"],"review":0,"issue":"i","check_run":{"pull_requests":[null,{}]}}`,
		`{"number":1e300,"installation":{"id":99999999999999999999},"hook_id":-1.5,"deployment":[[[]]],"branches":{"a":1}}`,
		`{"deep":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
		`{}`,
	}
	n := 0
	for event := range readers {
		for i, body := range odd {
			if event == "ping" {
				continue
			}
			n++
			if a := deliver(t, url, event, fmt.Sprint(event, i), "", body); a.status != 200 {
				t.Errorf("%s %s: %+v", event, body, a)
			}
		}
	}
	stored := r.Stored()
	if len(stored) != n {
		t.Fatalf("%d events of %d", len(stored), n)
	}
	for _, e := range stored {
		d := read(t, e)
		if d.Git == nil || d.Git.RawEvent != d.Body["X-GitHub-Event"] || d.Git.Commits == nil || !bytes.Contains(e.Data, []byte(`"changedFiles"`)) {
			t.Errorf("%s", e.Data)
		}
		if (d.Git.ChangedFiles == nil) != (d.Git.ChangedFilesUnknown != "") {
			t.Errorf("files: %s", e.Data)
		}
	}
}
