// Package http is the trigger that sends an HTTP request.
package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.http.
var Kind = trigger.Kind{
	Kind:         kind.Of("http", newSender),
	StatusPolicy: true,
	Follow:       trigger.FollowAtOnce(func(c *Config) *v1alpha1.Follow { return c.Follow }),
}

// sender implements trigger.Trigger.
type sender struct {
	env    trigger.Env
	conf   Config
	params *param.List
	// fixed is the plan of a configuration without parameters.
	fixed  *plan
	closed atomic.Bool
}

func newSender(c Config, env trigger.Env) (trigger.Trigger, error) {
	s := &sender{env: env, conf: c}
	var err error
	if s.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	if s.params.Empty() {
		if s.fixed, err = newPlan(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// request makes the one request that Render shows and Fire sends.
func (s *sender) request(ctx context.Context, in trigger.Input) (*request, error) {
	if s.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := s.fixed
	if p == nil {
		c, err := trigger.Override(s.conf, s.params, in.Events)
		if err != nil {
			return nil, err
		}
		if p, err = newPlan(c); err != nil {
			return nil, trigger.Permanent(fmt.Errorf("after its parameters were applied: %w", err))
		}
	}
	return p.request(ctx, in, s.env.Secrets)
}

// Render implements trigger.Trigger. The Spec has method, url, host (if it is
// not the URL's), headers and body: the JSON value, or a string if the body is
// no JSON; absent if there is none.
func (s *sender) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	r, err := s.request(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	spec, err := r.spec()
	return trigger.Action{Kind: "http", Spec: spec}, err
}

// Fire implements trigger.Trigger.
func (s *sender) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	r, err := s.request(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	client, err := s.env.HTTP.Client(ctx, r.conf.TLS)
	if err != nil {
		return trigger.Result{}, r.failed(err)
	}
	r.agent = s.env.HTTP.UserAgent()
	var allow []int32
	if in.Policy != nil && in.Policy.Status != nil {
		allow = in.Policy.Status.Allow
	}
	a, err := r.send(ctx, client, allow)
	if err != nil {
		return trigger.Result{}, r.failed(err)
	}
	return trigger.Result{Summary: a.status, Details: r.details(a)}, nil
}

// Close implements trigger.Trigger. Connections belong to the process.
func (s *sender) Close() error {
	s.closed.Store(true)
	return nil
}

const masked = "***"

func (r *request) spec() (json.RawMessage, error) {
	out := struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Host    string            `json:"host,omitempty"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}{Method: r.conf.Method, URL: r.url.String(), Host: r.host, Headers: make(map[string]string, len(r.headers))}
	for _, h := range r.headers {
		if h.secret {
			h.value = masked
		}
		out.Headers[h.name] = h.value
	}
	switch {
	case len(r.body) == 0:
	case json.Valid(r.body):
		out.Body = r.body
	default:
		b, err := encode(string(r.body))
		if err != nil {
			return nil, err
		}
		out.Body = b
	}
	return encode(out)
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
