package registry

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const snsConfig = "webhook: {endpoint: /r}\nsns: {topicArns: ['arn:aws:sns:eu-central-1:123456789012:events'], certificate: {name: reg, key: cert}}\n"

func TestSNSFixtures(t *testing.T) {
	cert, err := os.ReadFile(filepath.Join(fixtures(t), "aws-sns", "signing-cert-test.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		file, config string
		status       int
		want         string
	}{
		{"notification-ecr-v1.json", snsConfig, 200, "ecr push unknown 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/api:1.4.2@" + dig + " raw=PUSH id=b9533306-619b-54bc-b639-45f4ef2c0107 at=2025-10-09T08:53:20Z"},
		{"notification-codecommit-v2.json", snsConfig, 200, ""},
		{"unsubscribe-confirmation.json", snsConfig, 200, ""},
		{"notification-ecr-v1.json", strings.Replace(snsConfig, ":events", ":others", 1), 401, ""},
		{"notification-ecr-v1.json", open, 401, ""},
		{"notification-ecr-v1.json", locked, 401, ""},
		{"raw-delivery-ecr.json", snsConfig + "secret: {name: reg, key: token}\n", 401, ""},
	} {
		p := newPlace(t, tc.config+everything)
		p.env.Vault.Set("reg", "cert", string(cert))
		h, body := recorded(t, "aws-sns", tc.file)
		if a := p.post(t, h, body); a.status != tc.status {
			t.Errorf("%s: answered %d %s, want %d", tc.file, a.status, a.text, tc.status)
		}
		got, _ := p.blocks(t)
		if strings.Join(got, "\n") != tc.want {
			t.Errorf("%s: got %s, want %s", tc.file, got, tc.want)
		}
		if a := p.post(t, h, strings.Replace(body, "123456789012", "123456789013", 1)); tc.status == 200 && a.status != 401 {
			t.Errorf("%s, changed: answered %d %s, want 401", tc.file, a.status, a.text)
		}
	}
}

// cloud plays what Amazon is asked.
type cloud struct {
	mu    sync.Mutex
	cert  []byte
	asked []string
}

// RoundTrip implements http.RoundTripper.
func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Method+" "+r.URL.String())
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.cert)), Request: r}, nil
}

// A subscription is confirmed, then messages come; what our sender makes of one passes.
func TestSNSSubscription(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	amazon := &cloud{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	e := sourcetest.NewEnv(t)
	s := sourcetest.Build(t, Kind, "webhook: {endpoint: /r}\nprovider: ecr\nsns: {topicArns: ['arn:aws:sns:*']}\n", e)
	s.(*source).sns.Client.Transport = amazon
	p := &place{env: e, Running: sourcetest.Go(t, s), path: "/r"}
	const at = "https://sns.eu-central-1.amazonaws.com/"
	for _, m := range []verify.SNSMessage{
		{Type: verify.SNSSubscribe, SubscribeURL: at + "?Action=ConfirmSubscription&Token=x", Token: "x", SignatureVersion: "1"},
		{Type: verify.SNSNotification, Message: ecrBody("ECR Image Action", `"result":"SUCCESS","repository-name":"a","action-type":"PUSH","image-tag":"1"`), SignatureVersion: "2"},
		{Type: verify.SNSNotification, Message: "plain text", SignatureVersion: "2"},
	} {
		m.TopicARN, m.SigningCertURL = "arn:aws:sns:eu-central-1:1:t", at+"c.pem"
		if err := m.Sign(key); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ecr.header(eventsource.Sending{Body: body, ID: "x", Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if a := p.post(t, h, string(body)); a.status != 200 {
			t.Fatalf("%s: answered %d %s", m.Type, a.status, a.text)
		}
	}
	if got := strings.Join(amazon.asked, "\n"); got != "GET "+at+"c.pem\nGET "+at+"?Action=ConfirmSubscription&Token=x" {
		t.Errorf("asked %s", got)
	}
	if e := p.Next(t); !strings.Contains(string(e.Data), `"verified":"signature"`) || e.ID != "b-1" {
		t.Errorf("got %s %s", e.ID, e.Data)
	}
	if n := len(p.Stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestEventGridValidation(t *testing.T) {
	const body = `[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"c\"1"}}]`
	p := newPlace(t, lockedPath)
	h := http.Header{"Aeg-Event-Type": {"SubscriptionValidation"}, "Content-Type": {"application/json"}}
	if a := p.post(t, h, body); a.status != 200 || a.text != `{"validationResponse":"c\"1"}` {
		t.Errorf("answered %d %s", a.status, a.text)
	}
	p.path = "/r/wrong"
	if a := p.post(t, h, body); a.status != 401 {
		t.Errorf("with a wrong secret: answered %d %s", a.status, a.text)
	}
}

// Google's push subscriptions have a token of OpenID Connect.
func TestPubSubToken(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	google := httptest.NewServer(mux)
	defer google.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": google.URL, "jwks_uri": google.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, "webhook: {endpoint: /r, oidc: {issuer: '"+google.URL+"', audience: a, claims: {email: push@p.iam.gserviceaccount.com}}}\nprovider: gar\n")
	body := pubsubBody("7", `{"action":"INSERT","digest":"gcr.io/p/api@`+dig+`","tag":"gcr.io/p/api:1"}`)
	for _, tc := range []struct {
		audience, email string
		status          int
	}{
		{"b", "push@p.iam.gserviceaccount.com", 401},
		{"a", "else@p.iam.gserviceaccount.com", 401},
		{"a", "push@p.iam.gserviceaccount.com", 200},
	} {
		token, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: google.URL, Audience: jwt.Audience{tc.audience}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)), IssuedAt: jwt.NewNumericDate(time.Now()),
		}).Claims(map[string]any{"email": tc.email}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if a := p.post(t, http.Header{"Authorization": {"Bearer " + token}}, body); a.status != tc.status {
			t.Errorf("for %s, %s: answered %d %s, want %d", tc.audience, tc.email, a.status, a.text, tc.status)
		}
	}
	if e := p.Next(t); e.ID != "7" || !strings.Contains(string(e.Data), `"verified":"token"`) || !strings.Contains(string(e.Data), `"reference":"gcr.io/p/api:1@`+dig) {
		t.Errorf("got %s %s", e.ID, e.Data)
	}
}

// What Google's fixtures mean; their tokens are checked by the server's own tests.
func TestPubSubFixtures(t *testing.T) {
	const at = " at=2025-10-09T08:53:20Z"
	for file, want := range map[string]string{
		"gar-insert-tag.json":         "gar push unknown europe-docker.pkg.dev/acme-prod/shop/api:1.4.2@" + dig + " raw=INSERT id=8899001" + at,
		"gar-insert-digest-only.json": "gar push unknown europe-docker.pkg.dev/acme-prod/shop/api@sha256:48e6aed16ede5afb3855adb6aeb7c33ab69aeb08edf580c6fe28ab0b6278fc05 raw=INSERT id=8899002" + at,
		"gar-delete-tag.json":         "gar delete unknown europe-docker.pkg.dev/acme-prod/shop/api:1.4.1 raw=DELETE id=8899003" + at,
		"gcr-insert-tag.json":         "gar push unknown gcr.io/acme-prod/shop-api:1.4.2@" + dig + " raw=INSERT id=8899004" + at,
	} {
		p := newPlace(t, lockedPath+everything)
		h, body := recorded(t, "gcp-pubsub", file)
		h.Del("Authorization")
		if a := p.post(t, h, body); a.status != 200 {
			t.Fatalf("%s: answered %d %s", file, a.status, a.text)
		}
		if got, _ := p.blocks(t); strings.Join(got, "\n") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
		}
	}
}
