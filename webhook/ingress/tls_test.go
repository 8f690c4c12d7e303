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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
)

func selector(name, key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
}

// certificateFor writes a certificate and its key into dir/tls, as a secret.
func certificateFor(t *testing.T, dir, commonName string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls", "crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "tls", "key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificateFor(t, dir, "first")
	h := newHouse(t)
	h.Secrets = secret.Dir(dir)
	route := eventsource.Route{Path: "/", ServerCert: selector("tls", "crt"), ServerKey: selector("tls", "key")}
	h.open(route, says("x"))
	if !h.Secure("1") {
		t.Error("the port does not speak TLS")
	}
	name, proto := h.shake(t)
	if name != "first" || proto != "HTTP/2.0" {
		t.Errorf("certificate of %s, %s", name, proto)
	}
	certificateFor(t, dir, "second")
	if name, _ := h.shake(t); name != "second" {
		t.Errorf("after the renewal: certificate of %s", name)
	}
	write(t, filepath.Join(dir, "tls", "key"), []byte("broken"))
	for range 3 {
		if name, _ := h.shake(t); name != "second" {
			t.Errorf("while it cannot be read: certificate of %s", name)
		}
	}
	if n := strings.Count(h.log.String(), "last good one"); n != 1 {
		t.Errorf("the broken certificate is logged %d times", n)
	}
	certificateFor(t, dir, "third")
	if name, _ := h.shake(t); name != "third" {
		t.Errorf("after the repair: certificate of %s", name)
	}
	if err := h.Serve(t.Context(), eventsource.Route{Port: "1", Path: "/plain"}, says("x")); err == nil || !strings.Contains(err.Error(), "certificates") {
		t.Errorf("a route without TLS on the same port: %v", err)
	}
}

// A changed manifest may turn TLS on for the route that it replaces.
func TestTLSByTakeover(t *testing.T) {
	dir := t.TempDir()
	certificateFor(t, dir, "first")
	h := newHouse(t)
	h.Secrets = secret.Dir(dir)
	end := h.open(eventsource.Route{Path: "/"}, says("plain"))
	if got := h.ask("GET", "/"); got != "200 plain" {
		t.Error(got)
	}
	h.open(eventsource.Route{Path: "/", ServerCert: selector("tls", "crt"), ServerKey: selector("tls", "key")}, says("x"))
	end()
	if name, _ := h.shake(t); name != "first" {
		t.Errorf("certificate of %q", name)
	}
}

// shake makes a new connection and tells whose certificate it has.
func (h *house) shake(t *testing.T) (name, proto string) {
	t.Helper()
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // only names are looked at
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+h.Addr("1")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.TLS.PeerCertificates[0].Subject.CommonName, res.Proto
}
