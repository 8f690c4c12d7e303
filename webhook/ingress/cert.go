package ingress

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/seldom"
)

// listener makes TLS connections while it has a certificate, plain ones otherwise.
type listener struct {
	net.Listener
	log    *slog.Logger
	guests *guests
	cert   atomic.Pointer[certificate]
	// asks says that a route wants to see clients' certificates.
	asks   atomic.Bool
	config *tls.Config
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return c, err
		}
		g := l.guests.admit(c)
		switch {
		case g == nil:
		case l.cert.Load() == nil:
			return g, nil
		default:
			return tls.Server(g, l.config), nil
		}
	}
}

func (l *listener) tlsConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := l.cert.Load()
			if c == nil {
				return nil, fmt.Errorf("the port does not speak TLS any more")
			}
			return c.current(hello.Context(), l.log), nil
		},
	}
	asking := c.Clone()
	asking.ClientAuth = tls.RequestClientCert // see authority
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if l.asks.Load() {
			return asking, nil
		}
		return nil, nil //nolint:nilnil // as crypto/tls wants it
	}
	return c
}

// certificate reads its secrets at each handshake, so that a renewed one is
// used at once. While it cannot be read, the last good one is used.
type certificate struct {
	secrets   secret.Reader
	cert, key *corev1.SecretKeySelector

	mu              sync.Mutex
	certPEM, keyPEM []byte
	parsed          *tls.Certificate
	unreadable      seldom.Complaint
}

// loadCertificate returns nil without an error for a route without TLS.
func loadCertificate(ctx context.Context, secrets secret.Reader, r eventsource.Route) (*certificate, error) {
	if r.ServerCert == nil && r.ServerKey == nil {
		return nil, nil
	}
	if r.ServerCert == nil || r.ServerKey == nil {
		return nil, fmt.Errorf("certificate and key belong together")
	}
	c := &certificate{secrets: secrets, cert: r.ServerCert, key: r.ServerKey}
	if err := c.read(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) read(ctx context.Context) error {
	certPEM, err := c.secrets.Secret(ctx, c.cert)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := c.secrets.Secret(ctx, c.key)
	if err != nil {
		return fmt.Errorf("key of the certificate: %w", err)
	}
	if c.parsed != nil && bytes.Equal(certPEM, c.certPEM) && bytes.Equal(keyPEM, c.keyPEM) {
		return nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("certificate of secret %q: %w", c.cert.Name, err)
	}
	c.certPEM, c.keyPEM, c.parsed = bytes.Clone(certPEM), bytes.Clone(keyPEM), &pair
	return nil
}

func (c *certificate) current(ctx context.Context, log *slog.Logger) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(ctx); err != nil {
		if due, _ := c.unreadable.Due(err.Error()); due {
			log.Warn("the certificate cannot be read; the last good one is used", "error", err)
		}
	}
	return c.parsed
}

func sameCertificate(a, b eventsource.Route) bool {
	return sameRef(a.ServerCert, b.ServerCert) && sameRef(a.ServerKey, b.ServerKey)
}

func sameRef(a, b *corev1.SecretKeySelector) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.Key == b.Key
}
