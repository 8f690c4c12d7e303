package registrypoll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

const (
	requestTimeout = 30 * time.Second
	// pageSize is how many tags are asked for at once; registries may send fewer.
	pageSize = 1000
	// catalogSize is the same for repositories. Registries refuse more than they are set to.
	catalogSize = 100
)

// errSpent says that the requests of a look are used up.
var errSpent = errors.New("the requests of this look are used up")

// client asks registries. Its connections and tokens are kept while the secrets
// stay what they are.
type client struct {
	config  *Config
	secrets secret.Reader
	meter   *meter

	known   string // the secrets that puller was made with
	options []remote.Option
	puller  *remote.Puller
	base    *http.Transport
}

// refresh reads the secrets again. It is called before each look.
func (c *client) refresh(ctx context.Context) error {
	var credentials, ca []byte
	var err error
	if c.config.Credentials != nil {
		if credentials, err = c.secrets.Secret(ctx, c.config.Credentials); err != nil {
			return err
		}
	}
	if c.config.CASecret != nil {
		if ca, err = c.secrets.Secret(ctx, c.config.CASecret); err != nil {
			return err
		}
	}
	if known := hashOf(string(credentials), string(ca)); c.puller == nil || known != c.known {
		c.close()
		return c.open(ctx, known, credentials, ca)
	}
	return nil
}

func (c *client) open(ctx context.Context, known string, credentials, ca []byte) error {
	keys := authn.NewMultiKeychain()
	if credentials != nil {
		own, err := imageevent.ParseCredentials(credentials)
		if err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		keys = authn.NewMultiKeychain(own)
	}
	if c.config.Cloud != "" {
		of, err := cloud(ctx, c.config.Cloud)
		if err != nil {
			return fmt.Errorf("credentials of the cloud %s: %w", c.config.Cloud, err)
		}
		keys = authn.NewMultiKeychain(keys, of)
	}
	base := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: requestTimeout,
		ResponseHeaderTimeout: requestTimeout, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2,
	}
	if ca != nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(ca) {
			return errors.New("caSecret holds no certificate")
		}
		base.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c.meter.next = base
	options := []remote.Option{
		remote.WithAuthFromKeychain(keys), remote.WithTransport(&hooks.Cache{Base: c.meter}), remote.WithUserAgent("signalbox"),
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false }),
	}
	puller, err := remote.NewPuller(append(options, remote.WithPageSize(pageSize))...)
	if err != nil {
		return err
	}
	c.known, c.options, c.puller, c.base = known, options, puller, base
	return nil
}

func (c *client) close() {
	if c.base != nil {
		c.base.CloseIdleConnections()
	}
	c.puller, c.base = nil, nil
}

// repositories of a place.
func (c *client) repositories(ctx context.Context, p place) ([]name.Repository, error) {
	if p.pattern == "" {
		return []name.Repository{p.repository}, nil
	}
	all, err := remote.Catalog(ctx, p.registry, append(slices.Clone(c.options), remote.WithPageSize(catalogSize))...)
	if err != nil {
		return nil, fmt.Errorf("list the repositories of %s: %w", p.registry, told(err))
	}
	var out []name.Repository
	for _, r := range all {
		if ok, _ := path.Match(p.pattern, r); ok {
			out = append(out, p.registry.Repo(r))
		}
	}
	return out, nil
}

// tags of a repository, all pages.
func (c *client) tags(ctx context.Context, r name.Repository) ([]string, error) {
	tags, err := c.puller.List(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("list the tags of %s: %w", r, told(err))
	}
	return tags, nil
}

// digest of a tag, with its media type. gone tells that the tag is not there.
func (c *client) digest(ctx context.Context, t name.Tag) (digest, mediaType string, gone bool, err error) {
	if !c.meter.spend(1) {
		return "", "", false, errSpent
	}
	d, err := c.puller.Head(ctx, t)
	if missing(err) {
		return "", "", true, nil
	}
	if err != nil && status(err) == 0 && ctx.Err() == nil {
		// Some do not tell the digest without the manifest.
		if !c.meter.spend(1) {
			return "", "", false, errSpent
		}
		full, again := c.puller.Get(ctx, t)
		if again == nil {
			return full.Digest.String(), string(full.MediaType), false, nil
		}
		err = again
	}
	if err != nil {
		return "", "", false, fmt.Errorf("ask for %s: %w", t, told(err))
	}
	return d.Digest.String(), string(d.MediaType), false, nil
}

// created is when an image was made, or zero if that is not known. Of an index,
// the newest of its images counts.
func (c *client) created(ctx context.Context, r name.Repository, digest string) (time.Time, error) {
	const most = 3 // requests: the manifest, one of an index, the configuration
	if !c.meter.spend(most) {
		return time.Time{}, errSpent
	}
	full, err := c.puller.Get(ctx, r.Digest(digest))
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for %s@%s: %w", r, digest, told(err))
	}
	image, err := full.Image()
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // no image; it has no time
	}
	config, err := image.ConfigFile()
	if err != nil || config == nil {
		return time.Time{}, nil //nolint:nilerr // a chart, say
	}
	return config.Created.Time, nil
}

func status(err error) int {
	var t *transport.Error
	if errors.As(err, &t) {
		return t.StatusCode
	}
	return 0
}

func missing(err error) bool { return status(err) == http.StatusNotFound }

// told explains what registries say alike of the missing and the forbidden.
func told(err error) error {
	switch status(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return fmt.Errorf("it is not there, or the credentials do not allow it: %w", err)
	}
	return err
}

// meter counts requests, and notes which hosts want to be left alone.
type meter struct {
	next http.RoundTripper

	mu     sync.Mutex
	left   int
	limits map[string]time.Time // by host
}

// fill begins a look.
func (m *meter) fill(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = n
}

func (m *meter) spend(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < n {
		return false
	}
	m.left -= n
	return true
}

// until is when a host may be asked again.
func (m *meter) until(host string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limits[host]
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(req *http.Request) (*http.Response, error) {
	if until := m.until(req.URL.Host); time.Now().Before(until) {
		return nil, &hooks.Limited{Until: until, Cause: errors.New("too many requests before")}
	}
	res, err := m.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if limited := hooks.RateLimits(res); limited != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.limits == nil {
			m.limits = map[string]time.Time{}
		}
		m.limits[req.URL.Host] = limited.Until
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
		_ = res.Body.Close()
		return nil, limited
	}
	return res, nil
}
