package pki_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/internal/controller/pki"
)

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"bus.ns.svc", "*.bus.ns.svc", "localhost", "127.0.0.1"}
)

const day = 24 * time.Hour

func authority(t *testing.T, now time.Time) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("test", now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func server(t *testing.T, a *pki.Authority, have pki.Pair, names []string, now time.Time) *pki.Server {
	t.Helper()
	s, err := a.Server(have, names, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake connects to each other those that show certificates of s and trust ca.
func handshake(t *testing.T, ca []byte, s *pki.Server, name string, now time.Time) error {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate")
	}
	pair, err := tls.X509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: name, Time: func() time.Time { return now },
	}
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(a, conf).HandshakeContext(t.Context())
		_ = a.Close()
	}()
	err = tls.Client(b, conf).HandshakeContext(t.Context())
	_ = b.Close()
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return err
}

func TestServersAndClientsTrustEachOther(t *testing.T) {
	a := authority(t, start)
	s := server(t, a, pki.Pair{}, names, start)
	for name, good := range map[string]bool{
		"bus.ns.svc": true, "bus-0.bus.ns.svc": true, "127.0.0.1": true, "other.ns.svc": false, "a.bus-0.bus.ns.svc": false,
	} {
		if err := handshake(t, a.Cert, s, name, start); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := handshake(t, authority(t, start).Cert, s, "bus.ns.svc", start); err == nil {
		t.Error("another authority is trusted")
	}
	if err := handshake(t, a.Cert, s, "bus.ns.svc", start.Add(366*day)); err == nil {
		t.Error("trusted after its time")
	}
}

func TestServerIsRenewedAtTwoThirds(t *testing.T) {
	a := authority(t, start)
	s := server(t, a, pki.Pair{}, names, start)
	for _, test := range []struct {
		name  string
		after time.Duration
		names []string
		kept  bool
	}{
		{"at once", 0, names, true},
		{"before two thirds", 243 * day, names, true},
		{"after two thirds", 244 * day, names, false},
		{"for other names", 0, append([]string{"new"}, names...), false},
		{"for fewer names", 0, names[:2], false},
	} {
		got := server(t, a, s.Pair, test.names, start.Add(test.after))
		if bytes.Equal(got.Cert, s.Cert) != test.kept {
			t.Errorf("%s: kept is %v", test.name, !test.kept)
		}
	}
	if got := server(t, authority(t, start), s.Pair, names, start); bytes.Equal(got.Cert, s.Cert) {
		t.Error("the certificate of another authority is kept")
	}
	if due := s.Due(); due.Before(start.Add(243*day)) || due.After(start.Add(244*day)) {
		t.Errorf("due at %s", due)
	}
}

func TestAuthorityIsRenewedWithoutALossOfTrust(t *testing.T) {
	a := authority(t, start)
	s := server(t, a, pki.Pair{}, names, start.Add(6*365*day))
	same, err := a.Renewed(start.Add(6 * 365 * day))
	if err != nil || same != a {
		t.Fatalf("renewed after six years: %v", err)
	}
	now := start.Add(7 * 365 * day)
	b, err := a.Renewed(now)
	if err != nil || bytes.Equal(a.Cert, b.Cert) {
		t.Fatalf("not renewed after seven years: %v", err)
	}
	fresh := server(t, b, pki.Pair{}, names, now)
	if err := handshake(t, a.Cert, fresh, "bus.ns.svc", now); err != nil {
		t.Errorf("who has the old certificate does not trust a new server: %v", err)
	}
	if kept := server(t, b, s.Pair, names, start.Add(6*365*day+day)); !bytes.Equal(kept.Cert, s.Cert) {
		t.Error("a server's certificate is made anew for the renewal of the authority")
	}
	if err := handshake(t, b.Cert, fresh, "bus.ns.svc", start.Add(11*365*day)); err == nil {
		t.Error("a server's certificate outlives its year")
	}
}

func TestReadAuthority(t *testing.T) {
	a, b := authority(t, start), authority(t, start)
	if got, err := pki.ReadAuthority(a.Pair); err != nil || !got.Due().Equal(a.Due()) {
		t.Errorf("got %v", err)
	}
	s := server(t, a, pki.Pair{}, names, start)
	garbage := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	for name, pair := range map[string]pki.Pair{
		"nothing":                     {},
		"no certificate":              {Cert: garbage, Key: a.Key},
		"no key":                      {Cert: a.Cert, Key: garbage},
		"another authority's key":     {Cert: a.Cert, Key: b.Key},
		"a server's certificate":      s.Pair,
		"a certificate without a key": {Cert: a.Cert},
	} {
		if _, err := pki.ReadAuthority(pair); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPassword(t *testing.T) {
	a, b := pki.Password(), pki.Password()
	if a == b || len(a) != 43 {
		t.Errorf("%d characters", len(a))
	}
}
