package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// maxDrain and maxDrainTime bound what is read of an answer so that its
	// connection can be used again.
	maxDrain     = 256 << 10
	maxDrainTime = time.Second
	// maxQuote is how much of a refusing answer's body an error quotes; maxRead
	// is read for it, so that a secret in it is found whole.
	maxQuote = 200
	maxRead  = 16 << 10
)

// answer is what came of a request.
type answer struct {
	status string
	code   int
	body   []byte // if it is of interest, its beginning
}

// send returns the answer once its status is known.
func (r *request) send(parent context.Context, client *nethttp.Client, allow []int32) (answer, error) {
	ctx, cancel := context.WithTimeout(parent, r.timeout)
	defer cancel()
	resp, err := r.do(client, r.outgoing(ctx))
	if err != nil {
		return answer{}, r.explain(parent, ctx, err)
	}
	defer resp.Body.Close()
	if resp.ContentLength != 0 {
		defer time.AfterFunc(maxDrainTime, cancel).Stop()
	}
	// Errors in the rest of the answer do not change what has been done.
	if len(allow) > 0 && !slices.Contains(allow, int32(resp.StatusCode)) { //nolint:gosec // three digits
		quote, _ := io.ReadAll(io.LimitReader(resp.Body, maxRead))
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		return answer{}, r.refused(resp, quote)
	}
	a := answer{status: resp.Status, code: resp.StatusCode}
	if r.conf.Follow != nil {
		a.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxRead))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	return a, nil
}

// do sends without the client's preparations for redirects, which cost a copy of
// the headers; if there is a redirect after all, the client follows it.
func (r *request) do(client *nethttp.Client, out *nethttp.Request) (*nethttp.Response, error) {
	if client.Transport == nil || client.Jar != nil {
		return r.follow(*client, out)
	}
	resp, err := client.Transport.RoundTrip(out)
	if err != nil || resp.Header["Location"] == nil {
		return resp, err
	}
	own := *client
	own.Transport = &begun{RoundTripper: client.Transport, first: resp}
	return r.follow(own, out)
}

func (r *request) follow(client nethttp.Client, out *nethttp.Request) (*nethttp.Response, error) {
	client.CheckRedirect = r.redirect
	return client.Do(out)
}

// begun has the answer to the first request already. It is for one call of a
// client, which makes its round trips one after the other.
type begun struct {
	nethttp.RoundTripper
	first *nethttp.Response
}

// RoundTrip implements http.RoundTripper.
func (b *begun) RoundTrip(r *nethttp.Request) (*nethttp.Response, error) {
	if first := b.first; first != nil {
		b.first = nil
		return first, nil
	}
	return b.RoundTripper.RoundTrip(r)
}

// outgoing is the request as net/http wants it.
func (r *request) outgoing(ctx context.Context) *nethttp.Request {
	all := r.headers
	if r.agent != "" && !r.has("User-Agent") {
		all = append(all, header{name: "User-Agent", value: r.agent})
	}
	head := make(nethttp.Header, len(all))
	values := make([]string, len(all))
	for i, h := range all {
		values[i] = h.value
		head[h.name] = values[i : i+1 : i+1]
		if h.name != "User-Agent" && strings.EqualFold(h.name, "User-Agent") {
			head["User-Agent"] = []string{""} // none beside the user's
		}
	}
	out := &nethttp.Request{
		Method: r.conf.Method, URL: r.url, Host: r.host, Header: head,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(r.body) > 0 {
		out.ContentLength = int64(len(r.body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.body)), nil }
		out.Body, _ = out.GetBody()
	}
	return out.WithContext(ctx)
}

// redirect lets redirects pass, but secrets only to the same host and not from
// https to http.
func (r *request) redirect(next *nethttp.Request, via []*nethttp.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	next.Header.Del("Referer")
	first := via[0].URL
	if next.URL.Hostname() == first.Hostname() && (first.Scheme != "https" || next.URL.Scheme == "https") {
		return nil
	}
	for _, h := range r.headers {
		if h.secret {
			delete(next.Header, h.name)
		}
	}
	return nil
}

// explain takes the URL out of an error of net/http, and what is secret.
func (r *request) explain(parent, ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if ctx.Err() != nil && parent.Err() == nil {
		return fmt.Errorf("no answer within %v: %w", r.timeout, context.DeadlineExceeded)
	}
	if s := r.mask(err.Error()); s != err.Error() {
		return maskedError{s, err}
	}
	return err
}

// maskedError shows another text than the error that it wraps.
type maskedError struct {
	text string
	error
}

func (m maskedError) Error() string { return m.text }
func (m maskedError) Unwrap() error { return m.error }

// mask hides the secrets of the request in s. What is shorter than four bytes
// hides nothing.
func (r *request) mask(s string) string {
	for _, hidden := range r.secrets {
		if len(hidden) >= 4 {
			s = strings.ReplaceAll(s, hidden, masked)
		}
	}
	return s
}

// details are for whoever is told the outcome; nil if nobody is.
func (r *request) details(a answer) map[string]any {
	if r.conf.Follow == nil {
		return nil
	}
	text := r.mask(strings.ToValidUTF8(string(a.body), "?"))
	var body any = text
	if json.Valid([]byte(text)) {
		body = json.RawMessage(text)
	}
	return map[string]any{"status": a.code, "body": body}
}

// refused is the error for a status that the policy does not allow.
func (r *request) refused(resp *nethttp.Response, body []byte) error {
	text := resp.Status + " is not in policy.status.allow"
	if quote := r.quote(body); quote != "" {
		text += ": " + quote
	}
	err := errors.New(text)
	if resp.StatusCode == nethttp.StatusTooManyRequests || resp.StatusCode == nethttp.StatusServiceUnavailable {
		if wait := retryAfter(resp.Header.Get("Retry-After"), time.Now()); wait > 0 {
			return trigger.After(err, wait)
		}
	}
	return err
}

// quote makes one line of the beginning of a body.
func (r *request) quote(body []byte) string {
	s := strings.Join(strings.Fields(r.mask(strings.ToValidUTF8(string(body), "?"))), " ")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, s)
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "..."
	}
	return s
}

// retryAfter reads seconds or a date; at most v1alpha1.MaxWait, 0 if it is neither.
func retryAfter(s string, now time.Time) time.Duration {
	var wait time.Duration
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(v1alpha1.MaxWait/time.Second))) * time.Second
	} else if at, err := nethttp.ParseTime(s); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), v1alpha1.MaxWait)
}
