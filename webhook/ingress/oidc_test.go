package ingress

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

// idp plays an OpenID Connect issuer.
type idp struct {
	url string

	mu    sync.Mutex
	keys  map[string]any // private keys by id
	asked int            // for keys
	down  bool
	about map[string]string // instead of what is right
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.down:
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Path == "/.well-known/openid-configuration":
		about := map[string]string{"issuer": p.url, "jwks_uri": p.url + "/keys"}
		maps.Copy(about, p.about)
		_ = json.NewEncoder(w).Encode(about)
	case r.URL.Path == "/keys":
		p.asked++
		set := map[string][]any{"keys": {
			map[string]string{"kty": "new", "kid": "x"}, map[string]string{"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
		}}
		for id, key := range p.keys {
			set["keys"] = append(set["keys"], jose.JSONWebKey{Key: key.(crypto.Signer).Public(), KeyID: id, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (p *idp) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// RoundTrip lets an idp be asked without a network.
func (p *idp) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

func token(t *testing.T, alg jose.SignatureAlgorithm, id string, key any, claims map[string]any) string {
	t.Helper()
	var options *jose.SignerOptions
	if id != "" {
		options = (&jose.SignerOptions{}).WithHeader("kid", id)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claims(issuer string, changes ...any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": []string{"other", "hooks"}, "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Hour).Unix(),
		"sub": "repo:acme/shop:ref:refs/heads/main", "admin": true, "level": 3, "groups": []string{"dev", "ops"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == nil {
			delete(c, changes[i].(string))
		} else {
			c[changes[i].(string)] = changes[i+1]
		}
	}
	return c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOIDC(t *testing.T) {
	keyRSA, keyEC := must(rsa.GenerateKey(rand.Reader, 2048)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, keyEd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := must(rsa.GenerateKey(rand.Reader, 2048))
	p := &idp{keys: map[string]any{"rsa": keyRSA, "ec": keyEC, "ed": keyEd}}
	server := httptest.NewTLSServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	h := newHouse(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	h.Secrets = vault("ca", string(ca))
	h.serveEndpoint(v1alpha1.WebhookContext{OIDC: &v1alpha1.OIDC{
		Issuer: p.url, Audience: "hooks", CASecret: selector("s", "ca"),
		Claims: map[string]string{"sub": "repo:acme/*:ref:refs/heads/main", "admin": "true", "level": "3", "groups": "op*"},
	}}, store, func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, nil })
	good := claims(p.url)
	part := strings.Split(token(t, jose.RS256, "rsa", keyRSA, good), ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + part[1] + "."
	public, err := json.Marshal(jose.JSONWebKey{Key: keyRSA.Public()})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"RS256":                {token(t, jose.RS256, "rsa", keyRSA, good), 200},
		"PS512":                {token(t, jose.PS512, "rsa", keyRSA, good), 200},
		"ES256":                {token(t, jose.ES256, "ec", keyEC, good), 200},
		"EdDSA":                {token(t, jose.EdDSA, "ed", keyEd, good), 200},
		"without a key's id":   {token(t, jose.ES256, "", keyEC, good), 200},
		"one audience":         {token(t, jose.ES256, "ec", keyEC, claims(p.url, "aud", "hooks")), 200},
		"another audience":     {token(t, jose.ES256, "ec", keyEC, claims(p.url, "aud", "other")), 401},
		"no audience":          {token(t, jose.ES256, "ec", keyEC, claims(p.url, "aud", nil)), 401},
		"another issuer":       {token(t, jose.ES256, "ec", keyEC, claims("https://evil.example")), 401},
		"no issuer":            {token(t, jose.ES256, "ec", keyEC, claims(p.url, "iss", nil)), 401},
		"expired":              {token(t, jose.ES256, "ec", keyEC, claims(p.url, "exp", time.Now().Add(-2*time.Minute).Unix())), 401},
		"never expires":        {token(t, jose.ES256, "ec", keyEC, claims(p.url, "exp", nil)), 401},
		"not valid yet":        {token(t, jose.ES256, "ec", keyEC, claims(p.url, "nbf", time.Now().Add(time.Hour).Unix())), 401},
		"another branch":       {token(t, jose.ES256, "ec", keyEC, claims(p.url, "sub", "repo:acme/shop:ref:refs/heads/x")), 401},
		"more behind":          {token(t, jose.ES256, "ec", keyEC, claims(p.url, "sub", good["sub"].(string)+"2")), 401},
		"a claim is absent":    {token(t, jose.ES256, "ec", keyEC, claims(p.url, "groups", nil)), 401},
		"a claim is an object": {token(t, jose.ES256, "ec", keyEC, claims(p.url, "sub", map[string]any{})), 401},
		"not admin":            {token(t, jose.ES256, "ec", keyEC, claims(p.url, "admin", false)), 401},
		"a stranger's key":     {token(t, jose.RS256, "rsa", stranger, good), 401},
		"an unknown key":       {token(t, jose.RS256, "none", stranger, good), 401},
		"HS256":                {token(t, jose.HS256, "oct", []byte("0123456789abcdef0123456789abcdef"), good), 401},
		"public key as HMAC":   {token(t, jose.HS256, "rsa", public, good), 401},
		"no algorithm":         {none, 401},
		"changed":              {part[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "." + part[2], 401},
		"no token":             {"", 401},
		"garbage":              {"a.b.c", 401},
		"JSON":                 {`{"payload":"","signatures":[]}`, 401},
	} {
		res := h.post(nil, "Authorization", "Bearer "+tt.token)
		if res.status != tt.want {
			t.Errorf("%s: %d %s, want %d", name, res.status, res.body, tt.want)
		}
		if (res.header.Get("WWW-Authenticate") != "") != (tt.want == 401) {
			t.Errorf("%s: %v", name, res.header)
		}
	}
	if res := h.post(nil, "Authorization", "Basic x"); res.status != 401 {
		t.Errorf("basic: %d", res.status)
	}
	if p.set(func() { p.down = true }); h.post(nil, "Authorization", "Bearer "+token(t, jose.ES256, "ec", keyEC, good)).status != 200 {
		t.Error("with the keys at hand, the issuer is needed")
	}
	if p.asked > 2 {
		t.Errorf("the issuer was asked %d times", p.asked)
	}
}

func TestOIDCKeys(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	const url = "https://issuer.example/realm"
	setUp := func() (*idp, *issuer, func(id string) int) {
		p := &idp{url: url, keys: map[string]any{"a": key}}
		i := newIssuer(v1alpha1.OIDC{Issuer: url, Audience: "hooks"}, nil)
		i.keys.transport = realm{p}
		return p, i, func(id string) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.Header.Set("Authorization", "bearer "+token(t, jose.ES256, id, key, claims(url)))
			err := i.check(r)
			if err == nil {
				return 200
			}
			own := err.(*Error) //nolint:errorlint,forcetypeassert // check says so
			if (own.RetryAfter > 0) != (own.Status == 503) {
				t.Errorf("%+v", own)
			}
			return own.Status
		}
	}
	expect := func(t *testing.T, what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	t.Run("rotation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _, check := setUp()
			expect(t, "first", check("a"), 200)
			p.set(func() { p.keys["b"] = key })
			expect(t, "new key, asked just now", check("b"), 401)
			time.Sleep(keysAgain)
			expect(t, "new key", check("b"), 200)
			for range 100 {
				expect(t, "made up", check("c"), 401)
			}
			expect(t, "asked", p.asked, 2)
			p.set(func() { delete(p.keys, "a") })
			time.Sleep(keysFresh + time.Second)
			expect(t, "taken back", check("b"), 200)
			expect(t, "taken back", check("a"), 401)
		})
	})
	t.Run("issuer away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _, check := setUp()
			p.set(func() { p.down = true })
			expect(t, "never had keys", check("a"), 503)
			expect(t, "again", check("a"), 503)
			p.set(func() { p.down = false })
			expect(t, "not asked again so soon", check("a"), 503)
			time.Sleep(keysAgain)
			expect(t, "back", check("a"), 200)
			p.set(func() { p.down = true })
			time.Sleep(2 * time.Hour)
			expect(t, "with old keys", check("a"), 200)
			expect(t, "unknown key", check("b"), 503)
			time.Sleep(keysOld)
			expect(t, "keys too old", check("a"), 503)
		})
	})
	t.Run("another says it is the issuer", func(t *testing.T) {
		p, _, check := setUp()
		p.set(func() { p.about = map[string]string{"issuer": "https://evil.example"} })
		expect(t, "issuer", check("a"), 503)
		p, _, check = setUp()
		p.set(func() { p.about = map[string]string{"jwks_uri": "http://evil.example/keys"} })
		expect(t, "keys without TLS", check("a"), 503)
		p, _, check = setUp()
		p.set(func() { p.keys = nil })
		expect(t, "no keys", check("a"), 503)
	})
	t.Run("at the same time", func(t *testing.T) {
		p, _, check := setUp()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { expect(t, "first", check("a"), 200) })
		}
		wg.Wait()
		expect(t, "asked", p.asked, 1)
	})
}

// realm strips the path of an issuer that has one.
type realm struct{ *idp }

func (r realm) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Path = strings.TrimPrefix(req.URL.Path, "/realm")
	return r.idp.RoundTrip(req)
}
