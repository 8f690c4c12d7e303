package githost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

const (
	answerTime  = 30 * time.Second
	answerSize  = 16 << 20
	longestText = 300
)

// API is a host's API that speaks JSON. Set the fields before the first use.
// Safe for concurrent use.
type API struct {
	// Base is its address, without a slash at the end.
	Base    string
	Clients *httpclient.Clients
	// TLS may be nil.
	TLS *v1alpha1.TLSConfig
	// Authorize puts credentials into a request. Nil asks without.
	Authorize func(ctx context.Context, r *http.Request) error
	// Guard is what the host writes before its JSON so that no browser runs it;
	// it may be missing from an answer.
	Guard string

	once   sync.Once
	client *http.Client
}

// StatusError is an answer that is no success.
type StatusError struct {
	Method, URL string
	Status      int
	// Text is what the host says about it; may be empty.
	Text string
}

// Error implements error.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// IsGone tells whether err is the answer that a thing is not there.
func IsGone(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Status == http.StatusNotFound || s.Status == http.StatusGone)
}

// Call asks for path, which is below Base or, as lists have it in their links,
// a URL of the same host. in is sent as JSON unless it is nil, and the answer
// read into out unless that is nil. An error may be a *StatusError, or a
// *hooks.Limited around one.
func (a *API) Call(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	target, err := a.target(path)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, target, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.Authorize != nil {
		if err := a.Authorize(ctx, req); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
	}
	a.once.Do(func() {
		a.client = &http.Client{Transport: &hooks.Cache{Base: (*transport)(a)}, CheckRedirect: follow}
	})
	res, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, answerSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, target, err)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, failed(res, method, target, b)
	case out == nil:
		return res.Header, nil
	case len(b) > answerSize:
		return nil, fmt.Errorf("%s %s: the answer is larger than %d bytes", method, target, answerSize)
	}
	if a.Guard != "" {
		b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte(a.Guard))
	}
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("%s %s: the answer, %d %s, is not the JSON that was asked for: %w",
			method, target, res.StatusCode, res.Header.Get("Content-Type"), err)
	}
	return res.Header, nil
}

// follow goes where a question is sent, but does not make a question of anything else.
func follow(_ *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet || len(via) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

// transport sends below the cache, with the TLS material of the moment.
type transport API

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	client, err := t.Clients.Client(r.Context(), t.TLS)
	if err != nil {
		return nil, err
	}
	return client.Transport.RoundTrip(r)
}

func (a *API) target(path string) (string, error) {
	if strings.HasPrefix(path, "/") {
		return a.Base + path, nil
	}
	base, err := url.Parse(a.Base)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(path)
	if err != nil {
		return "", err
	}
	// The credentials are for this host alone.
	if u.Scheme != base.Scheme || u.Host != base.Host {
		return "", fmt.Errorf("the API of %s refers to another host, %s", base.Host, u.Host)
	}
	return u.String(), nil
}

func failed(res *http.Response, method, target string, body []byte) error {
	err := &StatusError{Method: method, URL: target, Status: res.StatusCode, Text: said(body)}
	if l := hooks.RateLimits(res); l != nil {
		l.Cause = err
		return l
	}
	return err
}

// said is the message in one of the shapes that hosts give their errors.
func said(body []byte) string {
	var text string
	var one struct{ Message string }
	Read(body, &one)
	var inner struct{ Error struct{ Message string } }
	Read(body, &inner)
	var many struct{ Errors []struct{ Message string } }
	Read(body, &many)
	text = First(one.Message, inner.Error.Message)
	if text == "" && len(many.Errors) > 0 {
		text = many.Errors[0].Message
	}
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "") + "..."
	}
	return text
}

// Bearer authorizes with a token. A nil ref gives none.
func Bearer(secrets secret.Reader, ref *corev1.SecretKeySelector) func(context.Context, *http.Request) error {
	return func(ctx context.Context, r *http.Request) error {
		token, err := Value(ctx, secrets, ref)
		if err == nil && token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return err
	}
}

// Basic authorizes with a user name and a password.
func Basic(secrets secret.Reader, user, password *corev1.SecretKeySelector) func(context.Context, *http.Request) error {
	return func(ctx context.Context, r *http.Request) error {
		u, err := Value(ctx, secrets, user)
		if err != nil {
			return err
		}
		p, err := Value(ctx, secrets, password)
		if err == nil && u+p != "" {
			r.SetBasicAuth(u, p)
		}
		return err
	}
}

// Value is a secret without space around it; a nil ref has none.
func Value(ctx context.Context, secrets secret.Reader, ref *corev1.SecretKeySelector) (string, error) {
	if ref == nil {
		return "", nil
	}
	b, err := secrets.Secret(ctx, ref)
	return strings.TrimSpace(string(b)), err
}

// Escape puts the segments of a path together, each of them escaped.
func Escape(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		switch s {
		case ".", "..": // a URL's path may not hold them
			b.WriteString(strings.ReplaceAll(s, ".", "%2E"))
		default:
			b.WriteString(url.PathEscape(s))
		}
	}
	return b.String()
}
