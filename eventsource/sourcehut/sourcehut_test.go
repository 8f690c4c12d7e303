package sourcehut

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/githost/hosttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair makes a seed and its public key from any text.
func pair(text string) (seed, public string) {
	sum := sha256.Sum256([]byte(text))
	key := ed25519.NewKeyFromSeed(sum[:])
	return base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(key[ed25519.SeedSize:])
}

// testKind listens for what is signed with the key made of "s3cr3t".
func testKind(more string) hosttest.Kind {
	_, public := pair(hosttest.Secret)
	return hosttest.Kind{
		Kind: Kind, Config: "webhook: {endpoint: /hook}\npublicKey: " + public + "\n" + more,
		Spoil: func(h http.Header) { h.Set(nonceHeader, h.Get(nonceHeader)+"0") },
	}
}

func sign(t testing.TB, event, id, body string) http.Header {
	t.Helper()
	seed, _ := pair(hosttest.Secret)
	h, err := Kind.Senders[0].Header(eventsource.Sending{
		Body: []byte(body), Event: event, ID: id, Secret: []byte(seed), Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFixtures(t *testing.T) {
	public, err := os.ReadFile("../../../shared/fixtures/webhooks/sourcehut/test-public-key.txt")
	if err != nil {
		t.Skip("the samples are not beside this repository")
	}
	k := testKind("")
	k.Config = "webhook: {endpoint: /hook}\npublicKeyFrom: {configMapKeyRef: {name: sourcehut, key: public}}\nrepository: ~dana/shop"
	k.Secrets = map[string]string{"sourcehut/public": string(public)}
	k.Fixtures(t, "sourcehut", map[string]string{
		"repo-post-update.json":         "push/updated repo:post-update ~dana/shop refs/heads/main 86f7e43..e9d71f5 commit:e9d71f5 by:dana unknown:not-sent signature",
		"graphql-git-post-receive.json": "push/updated GIT_POST_RECEIVE ~dana/shop refs/heads/main 86f7e43..e9d71f5 by:dana unknown:not-sent signature",
	})
}

func old(refs string) string {
	return `{"push":"op","pusher":{"canonical_name":"~dana","name":"dana"},"refs":[` + refs + `]}`
}

func graph(event, updates string) string {
	return `{"data":{"webhook":{"uuid":"u1","event":"` + event + `","repository":{"name":"shop","owner":{"canonicalName":"~dana"}},"pusher":{"canonicalName":"~lee"},"updates":[` + updates + `]}}}`
}

func TestSeveralRefs(t *testing.T) {
	e, r := testKind("").Start(t)
	url := hosttest.URL(t, e)
	for _, body := range []string{
		old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"b1"}}, {"name":"refs/tags/v1","old":null,"new":{"id":"b2"}}`),
		graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"}}, {"ref":{"name":"refs/tags/v1"},"old":null,"new":{"id":"b2"}}`),
	} {
		status, text := hosttest.Send(t, url, sign(t, "", "d", body), []byte(body))
		first, second := r.Next(t), r.Next(t)
		if status != http.StatusOK || text != fmt.Sprintf(`{"ids":[%q,%q]}`, first.ID, second.ID) || second.ID != first.ID+"/1" {
			t.Errorf("%d %s", status, text)
		}
		one, two := hosttest.Read(t, first), hosttest.Read(t, second)
		if one.Git.Branch != "a" || two.Git.Tag != "v1" || two.Git.After != "b2" {
			t.Errorf("%s, %s", first.Data, second.Data)
		}
		if strings.Contains(string(one.Body), "v1") || strings.Contains(string(two.Body), "a1") || !strings.Contains(string(two.Body), "~dana") {
			t.Errorf("%s, %s", one.Body, two.Body)
		}
	}
}

// TestReplay sends deliveries again with other headers, as far as the signature
// does not cover them, and as SourceHut itself does when it tries again.
func TestReplay(t *testing.T) {
	e, r := testKind("").Start(t)
	url := hosttest.URL(t, e)
	const bare = `{"id":1,"name":"shop","owner":{"canonical_name":"~dana"}}`
	send := func(h http.Header, body string) {
		t.Helper()
		if status, text := hosttest.Send(t, url, h, []byte(body)); status != http.StatusOK {
			t.Errorf("%d %s", status, text)
		}
	}
	for _, tt := range []struct{ event, id, body, want string }{
		{"", "d1", old(`{"name":"refs/heads/a"}`), "op"},
		{"", "d2", graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"}}`), "u1"},
		{"repo:create", "d3", bare, ""},
	} {
		h := sign(t, tt.event, tt.id, tt.body)
		if tt.want == "" {
			tt.want = h.Get(nonceHeader)
		}
		send(h, tt.body)
		forged := h.Clone()
		forged.Set(deliveryHeader, "another")
		send(forged, tt.body)
		if ev := r.Next(t); ev.ID != tt.want {
			t.Errorf("%s: %s", tt.body, ev.ID)
		}
	}
	again := graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"}}`)
	send(sign(t, "", "another nonce", again), again)
	if n := len(r.Stored()); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	send(sign(t, "repo:create", "d4", bare), bare) // done once more
	if n := len(r.Stored()); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
}

func TestKeys(t *testing.T) {
	body := old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"b1"}}`)
	_, public := pair(hosttest.Secret)
	_, other := pair("other")
	for name, tt := range map[string]struct {
		config string
		want   int
	}{
		"sr.ht's own":       {"", http.StatusUnauthorized},
		"inline":            {"publicKey: " + public, http.StatusOK},
		"another":           {"publicKey: " + other, http.StatusUnauthorized},
		"secret":            {"publicKeyFrom: {secretKeyRef: {name: keys, key: public}}", http.StatusOK},
		"ConfigMap":         {"publicKeyFrom: {configMapKeyRef: {name: keys, key: public}}", http.StatusOK},
		"another ConfigMap": {"publicKeyFrom: {configMapKeyRef: {name: keys, key: other}}", http.StatusUnauthorized},
		"missing":           {"publicKeyFrom: {configMapKeyRef: {name: keys, key: none}}", http.StatusInternalServerError},
		"no key":            {"publicKeyFrom: {secretKeyRef: {name: keys, key: odd}}", http.StatusInternalServerError},
		"accepted, too":     {"publicKey: " + other + "\nwebhook: {endpoint: /hook, acceptedSecrets: [{name: keys, key: public}]}", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			k := testKind("")
			k.Config = tt.config
			if !strings.Contains(tt.config, "webhook") {
				k.Config += "\nwebhook: {endpoint: /hook}"
			}
			k.Secrets = map[string]string{"keys/public": public + "\n", "keys/other": other, "keys/odd": "odd"}
			e, r := k.Start(t)
			status, text := hosttest.Send(t, hosttest.URL(t, e), sign(t, "", "d", body), []byte(body))
			if status != tt.want || len(r.Stored()) != map[bool]int{true: 1}[tt.want == http.StatusOK] {
				t.Errorf("%d %s, %d events", status, text, len(r.Stored()))
			}
		})
	}
}

func TestKeyChanges(t *testing.T) {
	k := testKind("")
	_, public := pair(hosttest.Secret)
	_, other := pair("other")
	k.Config = "webhook: {endpoint: /hook}\npublicKeyFrom: {configMapKeyRef: {name: keys, key: public}}"
	k.Secrets = map[string]string{"keys/public": public}
	e, r := k.Start(t)
	send := func(push, seedOf string) int {
		body := strings.Replace(old(""), `"op"`, `"`+push+`"`, 1)
		seed, _ := pair(seedOf)
		h := k.Sign(t, eventsource.Sending{Body: []byte(body), Secret: []byte(seed)})
		status, _ := hosttest.Send(t, hosttest.URL(t, e), h, []byte(body))
		return status
	}
	if a, b := send("1", hosttest.Secret), send("2", "other"); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("%d, %d", a, b)
	}
	e.Vault.Set("keys", "public", other)
	if a, b := send("3", "other"), send("4", hosttest.Secret); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("after the change: %d, %d", a, b)
	}
	if n := len(r.Stored()); n != 3 {
		t.Errorf("%d events", n)
	}
}

func TestRefused(t *testing.T) {
	e, r := testKind("").Start(t)
	url := hosttest.URL(t, e)
	body := old("")
	for name, spoil := range map[string]func(http.Header){
		"no signature": func(h http.Header) { h.Del(signatureHeader) },
		"no nonce":     func(h http.Header) { h.Del(nonceHeader) },
		"other nonce":  func(h http.Header) { h.Set(nonceHeader, "0") },
		"not base64":   func(h http.Header) { h.Set(signatureHeader, "?") },
		"too short":    func(h http.Header) { h.Set(signatureHeader, "AAAA") },
	} {
		h := sign(t, "", "d", body)
		spoil(h)
		if status, text := hosttest.Send(t, url, h, []byte(body)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _ := hosttest.Send(t, url, sign(t, "", "d", body), []byte(body+" ")); status != http.StatusUnauthorized {
		t.Errorf("another body: %d", status)
	}
	if n := len(r.Stored()); n > 0 {
		t.Errorf("%d events", n)
	}
}

func TestHostile(t *testing.T) {
	var bodies []string
	for _, b := range blocks {
		bodies = append(bodies, b.body)
	}
	testKind("").Hostile(t, func(body []byte) http.Header { return sign(t, "x", "d", string(body)) }, bodies)
}

func TestSender(t *testing.T) {
	seed, _ := pair(hosttest.Secret)
	raw, err := base64.StdEncoding.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	whole := base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(raw))
	body := []byte(old(""))
	a := testKind("").Sign(t, eventsource.Sending{Body: body, ID: "d", Secret: []byte("whsec_" + seed)})
	b := testKind("").Sign(t, eventsource.Sending{Body: body, ID: "d", Secret: []byte(whole)})
	if a.Get(signatureHeader) == "" || a.Get(signatureHeader) != b.Get(signatureHeader) || a.Get(eventHeader) != postUpdate || a.Get(deliveryHeader) != "d" {
		t.Errorf("%v\n%v", a, b)
	}
	if h := testKind("").Sign(t, eventsource.Sending{Body: body}); h.Get(signatureHeader) != "" {
		t.Errorf("signed without a secret: %v", h)
	}
	if h := testKind("").Sign(t, eventsource.Sending{Body: []byte(graph("REPO_CREATED", ""))}); h.Get(eventHeader) != "REPO_CREATED" {
		t.Error(h)
	}
	for name, s := range map[string]eventsource.Sending{
		"no event":  {Body: []byte(`{}`), ID: "d"},
		"wrong key": {Body: body, ID: "d", Secret: []byte("s3cr3t")},
	} {
		if _, err := Kind.Senders[0].Header(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestOffline sees what a delivery means although nobody has a key for it.
func TestOffline(t *testing.T) {
	k := testKind("")
	k.Config = "webhook: {endpoint: /hook}\nrepository: ~dana/shop"
	e := sourcetest.NewEnv(t)
	e.Offline = true
	r := sourcetest.Start(t, Kind, k.Config, e)
	body := old(`{"name":"refs/heads/a","old":{"id":"a1"},"new":{"id":"b1"}}`)
	if status, text := hosttest.Send(t, hosttest.URL(t, e), sign(t, "", "d", body), []byte(body)); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if d := hosttest.Read(t, r.Next(t)); d.Git.Verified != "signature" || d.Git.Branch != "a" {
		t.Errorf("%+v", d.Git)
	}
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{
		Kind: Kind, Answers: true, Concurrent: true, StableIDs: true,
		Setup: func(*testing.T, *sourcetest.Env) string { return testKind("").Config },
		Provoke: func(t *testing.T, e *sourcetest.Env, n int) error {
			body := strings.Replace(graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"}}`), "u1", fmt.Sprint("u", n), 1)
			if status, text := hosttest.Send(t, hosttest.URL(t, e), sign(t, "", fmt.Sprint(n), body), []byte(body)); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, text)
			}
			return nil
		},
	})
}

func TestValidate(t *testing.T) {
	_, public := pair("other")
	const hook = "webhook: {endpoint: /x}\n"
	for name, tt := range map[string]struct{ manifest, want string }{
		"least":               {hook, ""},
		"all":                 {hook + "publicKey: " + public + "\nrepository: ~dana/shop\nsourcehutBaseURL: https://git.example.com\nmetadata: {a: b}\nfilter: {expression: 'true'}", ""},
		"nothing":             {"{}", "error webhook: is missing"},
		"odd key":             {hook + "publicKey: abc", "error publicKey: is not base64"},
		"two keys":            {hook + "publicKey: " + public + "\npublicKeyFrom: {secretKeyRef: {name: a, key: b}}", "error publicKeyFrom: cannot be given"},
		"empty from":          {hook + "publicKeyFrom: {}", "error publicKeyFrom: needs"},
		"two froms":           {hook + "publicKeyFrom: {secretKeyRef: {name: a, key: b}, configMapKeyRef: {name: a, key: b}}", "error publicKeyFrom: needs"},
		"odd URL":             {hook + "sourcehutBaseURL: git.sr.ht", "error sourcehutBaseURL: is no URL"},
		"key of another":      {hook + "sourcehutBaseURL: https://git.example.com", "warning publicKey: is that of sr.ht"},
		"no owner":            {hook + "repository: shop", "error repository: "},
		"no tilde":            {hook + "repository: dana/shop", "error repository: "},
		"no name":             {hook + "repository: ~dana/", "error repository: "},
		"metadata at webhook": {"webhook: {endpoint: /x, metadata: {a: b}}", "warning webhook.metadata: has no effect"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			var got []string
			for _, p := range v1alpha1.Problems(err) {
				got = append(got, p.Severity.String()+" "+p.Path+": "+p.Message)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// handlers is an eventsource.Hooks without a network.
type handlers chan http.Handler

// Serve implements eventsource.Hooks.
func (h handlers) Serve(ctx context.Context, _ eventsource.Route, handler http.Handler) error {
	h <- handler
	<-ctx.Done()
	return nil
}

// BenchmarkPush is all that happens to a push but the network and the bus.
func BenchmarkPush(b *testing.B) {
	e := sourcetest.NewEnv(b)
	got := make(handlers, 1)
	e.Hooks = got
	s := sourcetest.Build(b, Kind, testKind("").Config, e)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func(context.Context, eventsource.Event) error { return nil }) }()
	handler := <-got
	body := graph("GIT_POST_RECEIVE", `{"ref":{"name":"refs/heads/a"},"old":{"id":"a1"},"new":{"id":"b1"}}`)
	h := sign(b, "", "d", body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		req.Header = h
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
