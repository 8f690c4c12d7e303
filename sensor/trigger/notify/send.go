package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// outgoing is a message on its way to one destination.
type outgoing struct {
	message
	Kind sort
	// id is the same each time the same message is tried.
	id string
	// group is a short name of the group; empty if there is none.
	group string
	// body replaces the message, for destinations with json.
	body string
}

// sender sends; the zero sender does not.
type sender struct {
	env trigger.Env
	out sync.WaitGroup

	mu sync.Mutex
	// ways are the messages on their way, by the id of the destination: a service
	// that ignores its context holds a place until it comes back.
	ways map[string]*way
}

// way has a place for each message to a destination.
type way struct {
	places chan struct{}
	users  int
}

// mostStuck bounds the messages on their way to one destination.
const mostStuck = 16

func newSender(env trigger.Env) *sender {
	return &sender{env: env, ways: map[string]*way{}}
}

// enter waits for a place on the way to a destination, until ctx is done.
func (s *sender) enter(ctx context.Context, id string) (leave func(), err error) {
	s.mu.Lock()
	w := s.ways[id]
	if w == nil {
		w = &way{places: make(chan struct{}, mostStuck)}
		s.ways[id] = w
	}
	w.users++
	s.mu.Unlock()
	gone := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.users--; w.users == 0 {
			delete(s.ways, id)
		}
	}
	select {
	case w.places <- struct{}{}:
		return func() { <-w.places; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, fmt.Errorf("%d earlier messages have had no answer: %w", mostStuck, ctx.Err())
	}
}

// close waits a little for services that do not know when to stop. What is
// left ends by the time-outs of shoutrrr.
func (s *sender) close() {
	done := make(chan struct{})
	go func() { s.out.Wait(); close(done) }()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// send delivers one message. Errors name the service and its host, never the URL.
func (s *sender) send(ctx context.Context, d *dest, o outgoing) error {
	raw := d.URL
	if d.URLSecret != nil {
		b, err := s.env.Secrets.Secret(ctx, d.URLSecret)
		if err != nil {
			return err
		}
		raw = strings.TrimSpace(string(b))
	}
	if d.JSON != "" {
		return s.post(ctx, raw, d.TLS, o)
	}
	service, err := open(raw)
	if err != nil {
		return fmt.Errorf("%s: %s", d.label(), oneLine(err))
	}
	for name := range d.Params {
		if !service.knows(name) {
			return fmt.Errorf("%s: there is no parameter %s, but %s", label(raw), name, strings.Join(service.keys, ", "))
		}
	}
	leave, err := s.enter(ctx, d.id)
	if err != nil {
		return fmt.Errorf("%s: %w", label(raw), err)
	}
	result := make(chan error, 1)
	s.out.Go(func() {
		defer leave()
		result <- service.send(o, func(inner types.Service) error { return s.adapt(ctx, inner) })
	})
	select {
	case err = <-result:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", label(raw), ctx.Err())
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", label(raw), ctx.Err())
	}
	return fmt.Errorf("%s: %s", label(raw), mask(err, raw))
}

// adapt gives a service our HTTP client and the context, where it can take one.
// The others use net/http's default transport, which knows the proxy variables
// too, and end by time-outs of their own.
func (s *sender) adapt(ctx context.Context, inner types.Service) error {
	client := func(insecure bool) (*http.Client, error) {
		var conf *v1alpha1.TLSConfig
		if insecure {
			conf = &v1alpha1.TLSConfig{InsecureSkipVerify: true}
		}
		c, err := s.env.HTTP.Client(ctx, conf)
		if err != nil {
			return nil, err
		}
		return &http.Client{Transport: bound{ctx, c.Transport}, CheckRedirect: c.CheckRedirect}, nil
	}
	var err error
	var c *http.Client
	switch v := inner.(type) {
	case *ntfy.Service:
		if c, err = client(v.Config.DisableTLSVerification); err == nil {
			v.SetHTTPClient(c)
		}
	case *pagerduty.Service:
		if c, err = client(false); err == nil {
			v.SetHTTPClient(c)
		}
	case *discord.Service:
		c, err = client(false)
		v.HTTPClient, v.Sleeper = c, sleeper{ctx}
	case *rocketchat.Service:
		v.Client, err = client(false)
	case *pushover.Service:
		v.Client, err = client(false)
	case *mattermost.Service:
		if c, err = client(false); err == nil {
			*v.GetHTTPClient() = *c
		}
	case *gotify.Service:
		if c, err = client(v.Config.InsecureSkipVerify); err == nil {
			*v.GetHTTPClient() = *c
		}
	}
	return err
}

// bound ends requests when ctx is done.
type bound struct {
	ctx  context.Context // of one message, whose requests it ends
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(b.ctx, cancel)
	res, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	res.Body = &body{ReadCloser: res.Body, Reader: io.LimitReader(res.Body, mostAnswer), end: func() { stop(); cancel() }}
	return res, nil
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 256 << 10

type body struct {
	io.ReadCloser
	io.Reader
	end func()
}

func (b *body) Read(p []byte) (int, error) { return b.Reader.Read(p) }

func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// sleeper is how discord waits between its attempts.
type sleeper struct {
	ctx context.Context // of one message
}

// Sleep implements discord.Sleeper.
func (s sleeper) Sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
	case <-timer.C:
	}
}

// webhookURL reads the URL of a destination with json. Errors do not quote it.
func webhookURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, v1alpha1.Invalid("", "does not begin with https://").Hinted("json is posted to a webhook as it is")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	}
	return u, nil
}

// post sends JSON as it is.
func (s *sender) post(ctx context.Context, raw string, conf *v1alpha1.TLSConfig, o outgoing) error {
	if _, err := webhookURL(raw); err != nil {
		return fmt.Errorf("the URL of a webhook %s", oneLine(err))
	}
	client, err := s.env.HTTP.Client(ctx, conf)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, raw, bytes.NewReader([]byte(o.body)))
	if err != nil {
		return fmt.Errorf("%s: %s", label(raw), mask(err, raw))
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", o.id)
	res, err := client.Do(r)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%s: %w", label(raw), ctx.Err())
	case err != nil:
		return fmt.Errorf("%s: %s", label(raw), mask(cause(err), raw))
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		err := fmt.Errorf("%s: %s", label(raw), mask(fmt.Errorf("%s: %s", res.Status, cut(string(answer), 200)), raw))
		if seconds, bad := strconv.Atoi(res.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			return trigger.After(err, time.Duration(min(seconds, 3600))*time.Second)
		}
		return err
	}
	return nil
}

// cause is what is behind the error of an HTTP client, which quotes the URL.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// compact is JSON without blanks, so that what is shown and what is sent are one.
func compact(s string) (json.RawMessage, error) {
	var b bytes.Buffer
	err := json.Compact(&b, []byte(s))
	return b.Bytes(), err
}
