package gitrepo_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
)

// unmarshal reads what a user writes, and judges it.
func unmarshal(t *testing.T, text string, to *gitrepo.Access) error {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), to); err != nil {
		t.Fatal(err)
	}
	return to.Validate()
}

// appKey is a key of a GitHub App.
func appKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestGithubAppToken(t *testing.T) {
	for text, want := range map[string]string{
		"{}": "privateKey: is required",
		"{privateKey: {name: a, key: b}, installationID: 1}": "appID: is required",
		"{api: 'https://a:b@example.com'}":                   "api: is no address",
	} {
		a := gitrepo.Access{}
		if err := unmarshal(t, "url: https://github.com/a/b\ngithubApp: "+text, &a); err == nil || !strings.Contains(err.Error(), "githubApp."+want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := gitrepotest.New(t, "shop")
	r.Configure(pushable)
	r.Commit(t, main, "one", map[string]string{"f": "1"})
	s := r.Serve(t)
	asked := 0
	s.Only("x-access-token", "token-of-app")
	s.Before(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/api/v3/app/installations/7/access_tokens" {
			return
		}
		asked++
		if q.Method != http.MethodPost || strings.Count(q.Header.Get("Authorization"), ".") != 2 {
			t.Errorf("%s with %q", q.Method, q.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token":"token-of-app"}`))
	})
	a := remote(t, vault{"app/key": appKey(t)}, "url: "+s.Repository+"\ngithubApp: {appID: 3, installationID: 7, privateKey: {name: app, key: key}}")
	d := draft(t, a, "main", "")
	write(t, d, "f", "2")
	if _, err := push(t, d); err != nil {
		t.Error(err)
	}
	if asked != 1 {
		t.Errorf("asked for a token %d times", asked)
	}
	s.Only("x-access-token", "another") // it was revoked
	for range 2 {
		if _, err := a.List(t.Context()); !errors.Is(err, gitrepo.ErrNoAccess) {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked for a token %d times", asked)
	}
}
