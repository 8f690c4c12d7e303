package verify

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	certTimeout = 5 * time.Second
	certSize    = 64 << 10
	certsKept   = 16
	certDay     = 24 * time.Hour
	certsPerMin = 30
)

// NewSNSClient is a client as SNS wants it. The caller closes its idle connections.
func NewSNSClient() *http.Client {
	return &http.Client{
		Timeout: certTimeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: certTimeout, ForceAttemptHTTP2: true,
			ResponseHeaderTimeout: certTimeout, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// certCache keeps the keys of certificates for a day. Whoever reaches the
// endpoint can name a certificate, so there are limits to how many are kept and
// how many are asked for. The zero value is ready for use.
type certCache struct {
	mu    sync.Mutex
	known map[string]certEntry

	fetching sync.Mutex // held while one is fetched; taken before mu
	asked    int        // how many since
	since    time.Time
}

type certEntry struct {
	keys  []*rsa.PublicKey
	until time.Time
}

var errManyCerts = errors.New("too many certificates were asked for within a minute")

// get fetches one certificate at a time, so that many messages at once make one
// request; those whose certificate is known do not wait for it.
func (c *certCache) get(ctx context.Context, client *http.Client, url string) ([]*rsa.PublicKey, error) {
	if keys := c.have(url); keys != nil {
		return keys, nil
	}
	c.fetching.Lock()
	defer c.fetching.Unlock()
	if keys := c.have(url); keys != nil {
		return keys, nil
	}
	if now := time.Now(); now.Sub(c.since) > time.Minute {
		c.asked, c.since = 0, now
	}
	if c.asked++; c.asked > certsPerMin {
		return nil, errManyCerts
	}
	text, err := get(ctx, client, url)
	if err != nil {
		return nil, fmt.Errorf("fetch the certificate: %w", err)
	}
	keys, err := publicKeys(text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= certsKept {
		c.known = map[string]certEntry{}
	}
	c.known[url] = certEntry{keys, time.Now().Add(certDay)}
	return keys, nil
}

func (c *certCache) have(url string) []*rsa.PublicKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known[url]; ok && time.Now().Before(e.until) {
		return e.keys
	}
	return nil
}

// publicKeys reads the RSA keys of the certificates in a PEM text that are valid now.
func publicKeys(text []byte) ([]*rsa.PublicKey, error) {
	var keys []*rsa.PublicKey
	now := time.Now()
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of Amazon SNS: %w", err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && now.After(cert.NotBefore) && now.Before(cert.NotAfter) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no valid certificate of Amazon SNS with an RSA key")
	}
	return keys, nil
}

// get asks an address that has been checked.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, certTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", req.URL.Host, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, certSize))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	return text, nil
}
