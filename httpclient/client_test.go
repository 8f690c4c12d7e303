package httpclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

var _ trigger.HTTP = (*httpclient.Clients)(nil)

// proxied gets the targets that the proxy was asked for.
var proxied = make(chan string, 10)

// TestMain puts a proxy that refuses everything into the environment, which
// net/http reads once in a process. Loopback addresses do not use it.
func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if err := os.Setenv(name, proxy.URL); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		proxy.Close()
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

func TestProxy(t *testing.T) {
	clients := httpclient.New(secret.Objects{}, "1")
	defer clients.Close()
	for name, conf := range map[string]*v1alpha1.TLSConfig{"plain": nil, "with tls": {InsecureSkipVerify: true}} {
		c, err := clients.Client(t.Context(), conf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, c, "https://somewhere.invalid/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s: %v", name, err)
		}
		if got := <-proxied; got != "CONNECT somewhere.invalid:443" {
			t.Errorf("%s: the proxy was asked for %q", name, got)
		}
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for name and the loopback address.
func (a authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// serve starts an HTTPS server that asks for client certificates of a and
// answers with the client's name and the protocol.
func serve(t *testing.T, a authority) *httptest.Server {
	t.Helper()
	cert, key := a.issue(t, "server")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, name+" "+r.Proto)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// vault is a secret.Reader whose content can be changed.
type vault struct {
	mu sync.Mutex
	secret.Objects
}

func (v *vault) Secret(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.Objects.Secret(ctx, ref)
}

func (v *vault) put(key string, value []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Secrets == nil {
		v.Secrets = map[string]map[string][]byte{"s": {}}
	}
	v.Secrets["s"][key] = value
}

func ref(key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: key}
}

func TestTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	server := serve(t, a)
	v := &vault{}
	cert, key := a.issue(t, "alice")
	_, wrongKey := a.issue(t, "bob")
	for k, b := range map[string][]byte{"ca": a.pem, "other": other.pem, "cert": cert, "key": key, "wrongkey": wrongKey, "junk": []byte("junk")} {
		v.put(k, b)
	}
	for name, tc := range map[string]struct {
		tls       *v1alpha1.TLSConfig
		body, err string
	}{
		"system's authorities":      {nil, "", "certificate"},
		"enabled":                   {&v1alpha1.TLSConfig{Enabled: true}, "", "certificate"},
		"no verification":           {&v1alpha1.TLSConfig{InsecureSkipVerify: true, CACertSecret: ref("missing")}, "nobody HTTP/2.0", ""},
		"authority":                 {&v1alpha1.TLSConfig{CACertSecret: ref("ca")}, "nobody HTTP/2.0", ""},
		"other authority":           {&v1alpha1.TLSConfig{CACertSecret: ref("other")}, "", "certificate"},
		"client certificate":        {&v1alpha1.TLSConfig{CACertSecret: ref("ca"), ClientCertSecret: ref("cert"), ClientKeySecret: ref("key")}, "alice HTTP/2.0", ""},
		"key of another":            {&v1alpha1.TLSConfig{CACertSecret: ref("ca"), ClientCertSecret: ref("cert"), ClientKeySecret: ref("wrongkey")}, "", "tls: clientCertSecret and clientKeySecret: "},
		"no certificate in the PEM": {&v1alpha1.TLSConfig{CACertSecret: ref("junk")}, "", "tls: caCertSecret holds no PEM certificate"},
		"missing secret":            {&v1alpha1.TLSConfig{CACertSecret: ref("missing")}, "", `tls.caCertSecret: secret "s", key "missing": not found`},
	} {
		t.Run(name, func(t *testing.T) {
			clients := httpclient.New(v, "1")
			defer clients.Close()
			var body string
			c, err := clients.Client(t.Context(), tc.tls)
			if err == nil {
				body, err = get(t, c, server.URL)
			}
			if body != tc.body || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
}

func TestSharingAndRotation(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	server := serve(t, a)
	v := &vault{}
	v.put("one", b.pem)
	v.put("two", b.pem)
	clients := httpclient.New(v, "1")
	defer clients.Close()
	client := func(key string) *http.Client {
		t.Helper()
		c, err := clients.Client(t.Context(), &v1alpha1.TLSConfig{CACertSecret: ref(key)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := client("one")
	if client("two") != before || client("one") != before {
		t.Error("equal secrets do not share a client")
	}
	if _, err := get(t, before, server.URL); err == nil {
		t.Fatal("the server is trusted before the rotation")
	}
	v.put("one", a.pem)
	after := client("one")
	if body, err := get(t, after, server.URL); err != nil || body != "nobody HTTP/2.0" {
		t.Errorf("after the rotation: %q, %v", body, err)
	}
	if client("two") != before {
		t.Error("the other reference lost its client")
	}
	v.put("two", a.pem)
	if client("two") != after {
		t.Error("equal secrets do not share a client after the rotation")
	}
	v.put("one", b.pem)
	if client("one") == before {
		t.Error("a client that nobody used any more was kept")
	}
}

func TestUserAgent(t *testing.T) {
	agents := make(chan []string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agents <- r.Header["User-Agent"] }))
	defer server.Close()
	clients := httpclient.New(secret.Objects{}, "1.2.3")
	defer clients.Close()
	c, err := clients.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{"": "signalbox/1.2.3", "mine": "mine"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if given != "" {
			req.Header.Set("User-Agent", given)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := <-agents; len(got) != 1 || got[0] != want {
			t.Errorf("with %q: %q", given, got)
		}
		if given == "" && req.Header.Get("User-Agent") != "" {
			t.Error("the caller's request was changed")
		}
	}
}

// TestConnectionsAreKept has many requests in flight twice and counts the
// connections.
func TestConnectionsAreKept(t *testing.T) {
	const parallel = 128
	var conns, waiting atomic.Int32
	release := make(chan struct{}, parallel)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if waiting.Add(1)%parallel == 0 {
			for range parallel {
				release <- struct{}{}
			}
		}
		<-release
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	clients := httpclient.New(secret.Objects{}, "1")
	defer clients.Close()
	c, err := clients.Client(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var wg sync.WaitGroup
		for range parallel {
			wg.Go(func() {
				if _, err := get(t, c, server.URL); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	// A few more may have been dialled and not needed.
	if n := conns.Load(); n > parallel*3/2 {
		t.Errorf("%d connections for %d requests at a time", n, parallel)
	}
}
