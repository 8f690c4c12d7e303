package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// checker asks registries what a tag is.
type checker struct {
	config  *VerifyDigest
	hosts   []string
	timeout time.Duration
	secrets secret.Reader
	log     *slog.Logger

	mu     sync.Mutex
	client *http.Transport
	ca     string // that client trusts
}

func newChecker(c *Config, env eventsource.Env) (*checker, error) {
	timeout, err := time.ParseDuration(c.VerifyDigest.Timeout)
	if err != nil {
		return nil, err
	}
	k := &checker{config: c.VerifyDigest, timeout: timeout, secrets: env.Secrets, log: env.Log}
	k.hosts = append(slices.Clone(publicHosts), c.VerifyDigest.Hosts...)
	if c.Registry != "" {
		k.hosts = append(k.hosts, imageevent.Host(c.Registry))
	}
	return k, nil
}

// publicHosts may be asked whoever names them.
var publicHosts = []string{
	imageevent.DockerHub, "ghcr.io", "quay.io", "gcr.io", "*.gcr.io", "*.pkg.dev", "*.azurecr.io",
	"*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "public.ecr.aws",
	"registry.gitlab.com", "*.jfrog.io", "registry.*.aliyuncs.com",
}

// digest asks for what f tells of, and puts in it what the registry says, whose
// word counts. It is false if the registry says that there is no such thing. An
// error is an *ingress.Error.
func (k *checker) digest(ctx context.Context, f *found) (bool, error) {
	if f.Repository == "" || f.Tag == "" && f.Digest == "" {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	d, err := k.ask(ctx, f)
	var answer *transport.Error
	switch {
	case err == nil:
		f.Digest, f.MediaType, f.DigestChecked = d.Digest.String(), string(d.MediaType), true
		f.Complete()
		return true, nil
	case k.config.OnFailure == onEmit:
		k.log.Warn("a digest could not be checked; the event is stored as it came", "image", f.Reference, "error", err)
		return true, nil
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		k.log.Warn("an image that was pushed is not in the registry; no event is made", "image", f.Reference, "error", err)
		return false, nil
	default:
		k.log.Warn("a digest could not be checked; the sender is asked to try again", "image", f.Reference, "error", err)
		return false, &ingress.Error{Status: http.StatusServiceUnavailable, Text: "the registry could not be asked for the digest; try again", Cause: err}
	}
}

func (k *checker) ask(ctx context.Context, f *found) (*v1.Descriptor, error) {
	credentials, err := k.credentials(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(append(credentials.Hosts(), k.hosts...), func(h string) bool { return matches(h, f.Registry) }) {
		return nil, errors.New("the registry is none that may be asked; see verifyDigest.hosts")
	}
	var options []name.Option
	if k.config.PlainHTTP {
		options = append(options, name.Insecure)
	}
	text := f.Registry + "/" + f.Repository
	if f.Tag != "" {
		text += ":" + f.Tag
	} else {
		text += "@" + f.Digest
	}
	ref, err := name.ParseReference(text, options...)
	if err != nil {
		return nil, err
	}
	client, err := k.transport(ctx)
	if err != nil {
		return nil, err
	}
	asking := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(credentials), remote.WithTransport(client), remote.WithUserAgent("signalbox"),
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false }),
	}
	d, err := remote.Head(ref, asking...)
	var answer *transport.Error
	if err == nil || errors.As(err, &answer) || ctx.Err() != nil {
		return d, err
	}
	// Some do not tell the digest without the manifest.
	full, err := remote.Get(ref, asking...)
	if err != nil {
		return nil, err
	}
	return &full.Descriptor, nil
}

func (k *checker) credentials(ctx context.Context) (*imageevent.Credentials, error) {
	if k.config.Credentials == nil {
		return &imageevent.Credentials{}, nil
	}
	text, err := k.secrets.Secret(ctx, k.config.Credentials)
	if err != nil {
		return nil, err
	}
	return imageevent.ParseCredentials(text)
}

// transport trusts what the configuration says, even if that has changed.
func (k *checker) transport(ctx context.Context) (http.RoundTripper, error) {
	var pem []byte
	if ref := k.config.CASecret; ref != nil {
		var err error
		if pem, err = ingress.ReadKey(ctx, k.secrets, ref); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil && k.ca == string(pem) {
		return k.client, nil
	}
	client := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: k.timeout, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
	}
	if pem != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("verifyDigest.caSecret holds no certificate")
		}
		client.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if k.client != nil {
		k.client.CloseIdleConnections()
	}
	k.client, k.ca = client, string(pem)
	return client, nil
}

func (k *checker) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		k.client.CloseIdleConnections()
	}
}

// matches tells whether a host fits a pattern in which * is any characters.
func matches(pattern, host string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == host
	}
	if !strings.HasPrefix(host, first) {
		return false
	}
	for i := len(first); i <= len(host); i++ {
		if matches(rest, host[i:]) {
			return true
		}
	}
	return false
}

var _ authn.Keychain = (*imageevent.Credentials)(nil)
