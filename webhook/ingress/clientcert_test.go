package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

func schemesByHeader() []verify.Scheme { return []verify.Scheme{byHeader} }

func keysOf(h *house, key string) *verify.Keys {
	return &verify.Keys{Secrets: h.Secrets, Refs: []*corev1.SecretKeySelector{selector("s", key)}}
}

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (p pair) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}))
}

func (p pair) keyPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(p.key))}))
}

// newPair is signed by above, or by itself.
func newPair(usage x509.ExtKeyUsage, until time.Duration, above *pair) pair {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "x"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until), ExtKeyUsage: []x509.ExtKeyUsage{usage},
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if above == nil {
		c.IsCA, c.ExtKeyUsage, c.KeyUsage = true, nil, x509.KeyUsageCertSign
		above = &pair{c, key}
	}
	der := must(x509.CreateCertificate(rand.Reader, c, above.cert, &key.PublicKey, above.key))
	return pair{must(x509.ParseCertificate(der)), key}
}

func TestClientCertificates(t *testing.T) {
	ca, other := newPair(0, time.Hour, nil), newPair(0, time.Hour, nil)
	server := newPair(x509.ExtKeyUsageServerAuth, time.Hour, &ca)
	h := newHouse(t)
	h.Secrets = vault("crt", server.certPEM(), "key", server.keyPEM(), "ca", ca.certPEM(), "other", other.certPEM(), "bad", "x", "token", "tok")
	serve := func(path string, c v1alpha1.WebhookContext) {
		c.Endpoint, c.ServerCertSecret, c.ServerKeySecret = path, selector("s", "crt"), selector("s", "key")
		Default(&c)
		c.Port = "1"
		e := &Endpoint{Route: RouteOf(&c), Context: c, Secrets: h.Secrets, Log: h.Log, Receive: func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, nil }}
		before := h.routes("1")
		h.serving.Go(func() {
			if err := e.Serve(t.Context(), h.Server, store); err != nil {
				t.Error(err)
			}
		})
		h.until(path, func() bool { return h.routes("1") > before })
	}
	serve("/plain", v1alpha1.WebhookContext{})
	if h.ports["1"].listener.asks.Load() {
		t.Error("certificates are asked for that nobody wants")
	}
	serve("/ca", v1alpha1.WebhookContext{ClientCASecret: selector("s", "ca")})
	serve("/other", v1alpha1.WebhookContext{ClientCASecret: selector("s", "other")})
	serve("/both", v1alpha1.WebhookContext{ClientCASecret: selector("s", "ca"), AuthSecret: selector("s", "token")})
	serve("/bad", v1alpha1.WebhookContext{ClientCASecret: selector("s", "bad")})
	good := newPair(x509.ExtKeyUsageClientAuth, time.Hour, &ca)
	between := newPair(0, time.Hour, &ca)
	for name, tt := range map[string]struct {
		chain  []pair
		path   string
		header string
		want   int
	}{
		"good":                    {[]pair{good}, "/ca", "", 200},
		"of another authority":    {[]pair{good}, "/other", "", 401},
		"where none is asked for": {[]pair{good}, "/plain", "", 200},
		"none":                    {nil, "/ca", "", 401},
		"none is asked for":       {nil, "/plain", "", 200},
		"expired":                 {[]pair{newPair(x509.ExtKeyUsageClientAuth, -time.Minute, &ca)}, "/ca", "", 401},
		"a server's":              {[]pair{newPair(x509.ExtKeyUsageServerAuth, time.Hour, &ca)}, "/ca", "", 401},
		"a stranger's":            {[]pair{newPair(x509.ExtKeyUsageClientAuth, time.Hour, &other)}, "/ca", "", 401},
		"no authority between":    {[]pair{newPair(x509.ExtKeyUsageClientAuth, time.Hour, &between), between}, "/ca", "", 401},
		"with the token":          {[]pair{good}, "/both", "Bearer tok", 200},
		"without the token":       {[]pair{good}, "/both", "", 401},
		"the token alone":         {nil, "/both", "Bearer tok", 401},
		"authority unreadable":    {[]pair{good}, "/bad", "", 500},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if tt.chain != nil {
			shown := tls.Certificate{PrivateKey: tt.chain[0].key}
			for _, p := range tt.chain {
				shown.Certificate = append(shown.Certificate, p.cert.Raw)
			}
			config.Certificates = []tls.Certificate{shown}
		}
		tr := &http.Transport{TLSClientConfig: config}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.Addr("1")+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", tt.header)
		res, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = res.Body.Close()
		tr.CloseIdleConnections()
		if res.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, tt.want)
		}
	}
}

func TestAcceptedSecrets(t *testing.T) {
	h := newHouse(t)
	h.Secrets = vault("token", "new", "old", "old", "empty", "")
	c := v1alpha1.WebhookContext{AuthSecret: selector("s", "token"), AcceptedSecrets: []corev1.SecretKeySelector{*selector("s", "absent"), *selector("s", "empty"), *selector("s", "old")}}
	h.serveEndpoint(c, store, func(*http.Request, []byte, eventsource.Emit) (Answer, error) { return Answer{}, nil })
	for token, want := range map[string]int{"new": 200, "old": 200, "older": 401, "": 401} {
		if res := h.post(nil, "Authorization", "Bearer "+token); res.status != want {
			t.Errorf("%q: %+v", token, res)
		}
	}
}
