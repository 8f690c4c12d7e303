package http

import (
	"context"
	"fmt"
	nethttp "net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// request is one request, complete: Fire sends it and Render writes it down.
type request struct {
	*plan
	host    string
	headers []header
	body    []byte
	// agent is the User-Agent, where the user has set none; may be empty.
	agent string
	// secrets are the texts that nobody may see.
	secrets []string
}

func (p *plan) request(ctx context.Context, in trigger.Input, secrets secret.Reader) (*request, error) {
	r := &request{plan: p, host: p.conf.Host, headers: make([]header, 0, len(p.headers)+16)}
	r.headers = append(r.headers, p.headers...)
	var err error
	if r.body, err = p.payload.Payload(in.Events); err != nil {
		return nil, r.failed(trigger.Permanent(fmt.Errorf("payload: %w", err)))
	}
	dynamic, err := p.dynamic.Header(in.Events)
	if err != nil {
		return nil, r.failed(trigger.Permanent(fmt.Errorf("dynamicHeaders: %w", err)))
	}
	for _, h := range dynamic {
		if !httpguts.ValidHeaderFieldValue(h.Value) {
			return nil, r.failed(trigger.Permanent(fmt.Errorf("dynamicHeaders: the value for %s holds a line break or another control character", h.Name)))
		}
		r.set(header{name: h.Name, value: h.Value})
	}
	if err := r.addSecrets(ctx, secrets); err != nil {
		return nil, r.failed(err)
	}
	r.takeHost()
	r.addOwn(in)
	return r, nil
}

func (r *request) failed(err error) error {
	return fmt.Errorf("%s %s: %w", r.conf.Method, r.shown, err)
}

// set puts h in the place of a header of the same spelling.
func (r *request) set(h header) {
	for i := range r.headers {
		if r.headers[i].name == h.name {
			r.headers[i] = h
			return
		}
	}
	r.headers = append(r.headers, h)
}

// has tells whether there is a header of that name in any spelling.
func (r *request) has(name string) bool {
	for i := range r.headers {
		if strings.EqualFold(r.headers[i].name, name) {
			return true
		}
	}
	return false
}

func (r *request) addSecrets(ctx context.Context, secrets secret.Reader) error {
	for i, h := range r.conf.SecureHeaders {
		var value []byte
		var err error
		if ref := h.ValueFrom.SecretKeyRef; ref != nil {
			value, err = secrets.Secret(ctx, ref)
		} else {
			value, err = secrets.ConfigMap(ctx, h.ValueFrom.ConfigMapKeyRef)
		}
		if err != nil {
			return fmt.Errorf("secureHeaders[%d]: %w", i, err)
		}
		if value == nil { // optional, and not there
			continue
		}
		if !httpguts.ValidHeaderFieldValue(string(value)) {
			return fmt.Errorf("secureHeaders[%d]: the value holds a line break or another control character", i)
		}
		r.set(header{name: h.Name, value: string(value), secret: true})
		r.secrets = append(r.secrets, string(value))
	}
	authorization := ""
	if b := r.conf.BasicAuth; b != nil {
		user, password, err := readBasic(ctx, b, secrets)
		if err != nil {
			return fmt.Errorf("basicAuth.%w", err)
		}
		authorization = basic(user, password)
		r.secrets = append(r.secrets, user, password)
		r.headers = slices.DeleteFunc(r.headers, func(h header) bool { return strings.EqualFold(h.name, "Authorization") })
	} else if !r.has("Authorization") {
		authorization = r.userinfo
	}
	if authorization != "" {
		r.headers = append(r.headers, header{"Authorization", authorization, true})
		r.secrets = append(r.secrets, strings.TrimPrefix(authorization, "Basic "))
	}
	return nil
}

func readBasic(ctx context.Context, b *v1alpha1.BasicAuth, secrets secret.Reader) (user, password string, err error) {
	if b.Username != nil {
		v, err := secrets.Secret(ctx, b.Username)
		if err != nil {
			return "", "", fmt.Errorf("username: %w", err)
		}
		user = string(v)
	}
	if b.Password != nil {
		v, err := secrets.Secret(ctx, b.Password)
		if err != nil {
			return "", "", fmt.Errorf("password: %w", err)
		}
		password = string(v)
	}
	return user, password, nil
}

// addOwn adds the headers that we send by ourselves, where the user has not set them.
func (r *request) addOwn(in trigger.Input) {
	users := *r
	own := func(name, value string) {
		if value != "" && !users.has(name) {
			r.headers = append(r.headers, header{name: name, value: value})
		}
	}
	own("Idempotency-Key", in.ID)
	if len(in.Events) == 1 {
		for _, e := range in.Events {
			if e != nil {
				eventHeaders(e, own)
			}
		}
	}
}

// takeHost moves a Host header to where it belongs, and drops what follows
// from the body.
func (r *request) takeHost() {
	r.headers = slices.DeleteFunc(r.headers, func(h header) bool {
		if !strings.EqualFold(h.name, "Host") {
			return isFraming(h.name)
		}
		if r.host == "" && httpguts.ValidHostHeader(h.value) {
			r.host = h.value
		}
		return true
	})
}

// isFraming tells whether a header says how the body is sent, which is net/http's business.
func isFraming(name string) bool {
	switch nethttp.CanonicalHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	default:
		return false
	}
}
