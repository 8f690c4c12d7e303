package bustest

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// secured is a server with TLS and one user.
func secured(t *testing.T, files server.TLSFiles) *server.Server {
	t.Helper()
	return Server(t, func(c *server.Config) {
		c.Embedded, c.Private, c.TLS = false, true, &files
		c.Users = []server.User{{Name: "u", Password: "old"}}
	})
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordsAndCertificatesAreReplaced(t *testing.T) {
	first, second := NewAuthority(t, "first"), NewAuthority(t, "second")
	certs, dir := t.TempDir(), t.TempDir()
	s := secured(t, first.Sign(t, certs))
	caFile, passwordFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "password")
	trust := func(a *Authority) {
		t.Helper()
		b, err := os.ReadFile(a.File)
		if err != nil {
			t.Fatal(err)
		}
		put(t, caFile, string(b))
	}
	trust(first)
	put(t, passwordFile, "old\n")
	l := Dial(t, eventbus.LinkConfig{URL: s.URL(), User: "u", PasswordFile: passwordFile, CAFile: caFile})
	eventually(t, "connected", l.Connected)

	s.SetUsers([]server.User{{Name: "u", Password: "new"}})
	if !l.Connected() {
		t.Fatal("a new password closes connections")
	}
	late := Dial(t, eventbus.LinkConfig{URL: s.URL(), User: "u", Password: "old", CAFile: caFile})
	eventually(t, "the old password is good for a while", late.Connected)

	second.Sign(t, certs)
	refused := Dial(t, eventbus.LinkConfig{URL: s.URL(), User: "u", Password: "new", CAFile: caFile})
	if refused.Connected() {
		t.Fatal("the server's new certificate is not in use")
	}
	trust(second)
	// The one that the link began with is now two passwords ago, and good no more.
	s.SetUsers([]server.User{{Name: "u", Password: "newest"}})
	put(t, passwordFile, "newest")
	eventually(t, "the new authority is read", refused.Connected)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new password and authority are read", l.Connected)
}

func TestUnreadableFilesAreToldAtTheStart(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	put(t, empty, "")
	for name, c := range map[string]eventbus.LinkConfig{
		"password": {User: "u", PasswordFile: filepath.Join(dir, "none")},
		"token":    {TokenFile: filepath.Join(dir, "none")},
		"ca":       {CAFile: filepath.Join(dir, "none")},
		"no ca":    {CAFile: empty},
	} {
		t.Run(name, func(t *testing.T) {
			c.URL = "nats://127.0.0.1:1"
			if l, err := eventbus.Dial(t.Context(), c); err == nil {
				t.Error(l.Close())
				t.Fatal("no error")
			}
		})
	}
}

// tunnel leads every address to the server.
type tunnel struct {
	to    string
	asked atomic.Pointer[string]
}

func (d *tunnel) Dial(network, address string) (net.Conn, error) {
	d.asked.Store(&address)
	return net.Dial(network, d.to) //nolint:noctx // the client's interface has none
}

func TestThroughATunnel(t *testing.T) {
	ca := NewAuthority(t, "ca")
	s := secured(t, ca.Sign(t, t.TempDir(), "pod.bus.ns.svc"))
	address := s.URL()[len("tls://"):]
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = s.URL()[len("nats://"):]
	}
	d := &tunnel{to: address}
	l := Dial(t, eventbus.LinkConfig{
		URL: "tls://nowhere.invalid:4222", User: "u", Password: "old", CAFile: ca.File, Dialer: d,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "pod.bus.ns.svc"},
	})
	eventually(t, "connected", l.Connected)
	want(t, "address", *d.asked.Load(), "nowhere.invalid:4222")
	wrong := Dial(t, eventbus.LinkConfig{
		URL: "tls://nowhere.invalid:4222", User: "u", Password: "old", CAFile: ca.File, Dialer: d,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "other.bus.ns.svc"},
	})
	if wrong.Connected() {
		t.Fatal("the certificate of another server will do")
	}
}
