// Package httpclient makes the clients for all outgoing HTTP of the process.
package httpclient

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// Clients hands out one client per TLS configuration; equal configurations
// share one, and with it its connections. Safe for concurrent use.
//
// Clients take the proxy from the environment (HTTPS_PROXY and its like), use
// HTTP/2 where the server offers it, follow up to ten redirects, and name
// themselves signalbox/VERSION unless the request has a User-Agent. They bound
// the time to connect, not the time to answer: that is for the request's context.
type Clients struct {
	secrets   secret.Reader
	userAgent string
	plain     *http.Client

	mu sync.Mutex
	// byContent are the clients by what their secrets hold.
	byContent map[content]*http.Client
	// current is the content that each configuration had when last asked for.
	current map[reference]content
}

type (
	content   [sha256.Size]byte
	reference string
)

// New makes Clients that read secrets from there.
func New(secrets secret.Reader, version string) *Clients {
	c := &Clients{
		secrets:   secrets,
		userAgent: "signalbox/" + version,
		byContent: map[content]*http.Client{},
		current:   map[reference]content{},
	}
	c.plain = c.client(nil)
	return c
}

// Client implements trigger.HTTP.
func (c *Clients) Client(ctx context.Context, t *v1alpha1.TLSConfig) (*http.Client, error) {
	if t == nil {
		return c.plain, nil
	}
	m, err := c.read(ctx, t)
	if err != nil {
		return nil, err
	}
	ref, sum := refer(t), m.sum()
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.byContent[sum]
	if !ok {
		conf, err := m.config()
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		client = c.client(conf)
		c.byContent[sum] = client
	}
	old, had := c.current[ref]
	c.current[ref] = sum
	if had && old != sum {
		c.drop(old)
	}
	return client, nil
}

// UserAgent implements trigger.HTTP.
func (c *Clients) UserAgent() string { return c.userAgent }

// drop forgets the client of a content that no configuration has any more.
func (c *Clients) drop(old content) {
	for _, used := range c.current {
		if used == old {
			return
		}
	}
	c.byContent[old].CloseIdleConnections()
	delete(c.byContent, old)
}

// Close lets go of all idle connections.
func (c *Clients) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plain.CloseIdleConnections()
	for _, client := range c.byContent {
		client.CloseIdleConnections()
	}
}

func (c *Clients) client(conf *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: &agent{c.userAgent, &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		// A trigger has 64 actions in flight, and several may share a host.
		MaxIdleConnsPerHost:    256,
		MaxIdleConns:           2048,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		// Pings find HTTP/2 connections that died without a word.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}}}
}

// agent names the program in requests that name none.
type agent struct {
	name string
	next *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (a *agent) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Header["User-Agent"]; !ok {
		own := *r
		own.Header = r.Header.Clone()
		if own.Header == nil {
			own.Header = http.Header{}
		}
		own.Header["User-Agent"] = []string{a.name}
		r = &own
	}
	return a.next.RoundTrip(r)
}

// CloseIdleConnections is what http.Client looks for.
func (a *agent) CloseIdleConnections() { a.next.CloseIdleConnections() }

// material is a TLS configuration with its secrets read.
type material struct {
	insecure      bool
	ca, cert, key []byte
}

func (c *Clients) read(ctx context.Context, t *v1alpha1.TLSConfig) (material, error) {
	if t.InsecureSkipVerify {
		return material{insecure: true}, nil
	}
	var m material
	var errs []error
	for _, s := range []struct {
		name string
		ref  *corev1.SecretKeySelector
		to   *[]byte
	}{
		{"caCertSecret", t.CACertSecret, &m.ca},
		{"clientCertSecret", t.ClientCertSecret, &m.cert},
		{"clientKeySecret", t.ClientKeySecret, &m.key},
	} {
		if s.ref == nil {
			continue
		}
		b, err := c.secrets.Secret(ctx, s.ref)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.%s: %w", s.name, err))
		}
		*s.to = b
	}
	return m, errors.Join(errs...)
}

func (m material) sum() content {
	h := sha256.New()
	for _, b := range [][]byte{m.ca, m.cert, m.key} {
		part := sha256.Sum256(b)
		h.Write(part[:])
	}
	if m.insecure {
		h.Write([]byte("insecure"))
	}
	return content(h.Sum(nil))
}

func (m material) config() (*tls.Config, error) {
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: m.insecure, //nolint:gosec // what the user asked for by name
	}
	if len(m.ca) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(m.ca) {
			return nil, errors.New("caCertSecret holds no PEM certificate")
		}
	}
	if len(m.cert) > 0 || len(m.key) > 0 {
		pair, err := tls.X509KeyPair(m.cert, m.key)
		if err != nil {
			return nil, fmt.Errorf("clientCertSecret and clientKeySecret: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// refer writes down what a configuration refers to.
func refer(t *v1alpha1.TLSConfig) reference {
	if t.InsecureSkipVerify {
		return "insecure"
	}
	var b strings.Builder
	for _, s := range []*corev1.SecretKeySelector{t.CACertSecret, t.ClientCertSecret, t.ClientKeySecret} {
		if s != nil {
			fmt.Fprintf(&b, "%q/%q", s.Name, s.Key)
		}
		b.WriteByte(' ')
	}
	return reference(b.String())
}
