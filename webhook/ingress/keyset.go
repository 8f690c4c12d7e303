package ingress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/secret"
)

const (
	// keysAgain is how long the issuer is left alone after it was asked.
	keysAgain = 15 * time.Second
	// keysFresh is how old keys may be before they are asked for again, so that
	// one that the issuer has taken back is not accepted much longer.
	keysFresh = time.Hour
	// keysOld is how old they may become while the issuer does not answer.
	keysOld = 24 * time.Hour
	// mostKeyBytes is the largest answer of an issuer that is read.
	mostKeyBytes = 1 << 20
)

// keySet holds an issuer's public keys. It asks for them when the first token
// comes, when one names a key that is not known, and each hour.
type keySet struct {
	issuer  string
	ca      *corev1.SecretKeySelector
	secrets secret.Reader
	// transport is for tests.
	transport http.RoundTripper

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were had
	asked   time.Time // when the issuer was asked last
	err     error     // what came of that
	asking  chan struct{}
}

// named returns the keys of that id, all if it is empty. None is no error: the
// issuer has said that there are none. An error means that it cannot be asked.
func (k *keySet) named(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	for {
		k.mu.Lock()
		now := time.Now()
		found := k.find(id, now)
		due := len(found) == 0 || now.Sub(k.fetched) > keysFresh
		switch {
		case !due, len(found) > 0 && k.asking != nil: // somebody else sees to it
			k.mu.Unlock()
			return found, nil
		case k.asking != nil:
			wait := k.asking
			k.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case !k.asked.IsZero() && now.Sub(k.asked) < keysAgain:
			err := k.err
			k.mu.Unlock()
			if len(found) > 0 || err == nil {
				return found, nil
			}
			return nil, err
		}
		done := make(chan struct{})
		k.asking, k.asked = done, now
		k.mu.Unlock()
		k.ask(ctx, done)
	}
}

// find is called with the lock held.
func (k *keySet) find(id string, now time.Time) []jose.JSONWebKey {
	if now.Sub(k.fetched) > keysOld {
		return nil
	}
	if id == "" {
		return k.keys
	}
	var found []jose.JSONWebKey
	for _, key := range k.keys {
		if key.KeyID == id {
			found = append(found, key)
		}
	}
	return found
}

func (k *keySet) ask(ctx context.Context, done chan struct{}) {
	ctx, cancel := fetchContext(ctx)
	defer cancel()
	err := errors.New("asking for the keys of the issuer has failed")
	var keys []jose.JSONWebKey
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.err = err; err == nil {
			k.keys, k.fetched = keys, time.Now()
		}
		k.asking = nil
		close(done)
	}()
	keys, err = k.fetch(ctx)
}

func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	client, end, err := k.client(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := get(ctx, client, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != k.issuer {
		return nil, fmt.Errorf("issuer %s says that it is %q", k.issuer, about.Issuer)
	}
	if strings.HasPrefix(k.issuer, "https://") && !strings.HasPrefix(about.Keys, "https://") {
		return nil, fmt.Errorf("issuer %s has its keys at %q, which is no https URL", k.issuer, about.Keys)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := get(ctx, client, about.Keys, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Those that are of a kind unknown here, or for something else, may be among them.
		if json.Unmarshal(raw, &key) == nil && key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("issuer %s has no keys to check signatures with", k.issuer)
	}
	return keys, nil
}

func (k *keySet) client(ctx context.Context) (*http.Client, func(), error) {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if k.transport != nil {
		return &http.Client{Transport: k.transport, CheckRedirect: noRedirect}, func() {}, nil
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if k.ca != nil {
		pem, err := k.secrets.Secret(ctx, k.ca)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate authority of the issuer: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, noCertificate(k.ca)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: noRedirect}, t.CloseIdleConnections, nil
}

func noCertificate(ref *corev1.SecretKeySelector) error {
	return fmt.Errorf("secret %q, key %q holds no certificate in PEM", ref.Name, ref.Key)
}

func get(ctx context.Context, client *http.Client, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, mostKeyBytes))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
