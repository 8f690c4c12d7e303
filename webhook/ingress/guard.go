package ingress

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// guard checks the general credentials of an endpoint, and counts its requests.
type guard struct {
	context *v1alpha1.WebhookContext
	secrets secret.Reader
	issuer  *issuer       // nil without oidc
	ca      *authority    // nil without clientCASecret
	limit   *rate.Limiter // nil without rateLimit
}

func newGuard(c *v1alpha1.WebhookContext, secrets secret.Reader) *guard {
	g := &guard{context: c, secrets: secrets, limit: limiterOf(c.RateLimit)}
	if c.OIDC != nil {
		g.issuer = newIssuer(*c.OIDC, secrets)
	}
	if c.ClientCASecret != nil {
		g.ca = &authority{ref: c.ClientCASecret, secrets: secrets}
	}
	return g
}

// hasCredentials tells whether c asks for any.
func hasCredentials(c *v1alpha1.WebhookContext) bool {
	return c.AuthSecret != nil || c.BasicAuth != nil || c.OIDC != nil || c.ClientCASecret != nil
}

// authorize checks all credentials that are asked for. The error is an *Error.
func (g *guard) authorize(r *http.Request) error {
	c := g.context
	if g.ca != nil {
		if err := g.ca.check(r); err != nil {
			return err
		}
	}
	switch {
	case c.AuthSecret != nil:
		return checkBearer(r, c.AuthSecret, c.AcceptedSecrets, g.secrets)
	case c.BasicAuth != nil:
		return CheckBasic(r, c.BasicAuth, g.secrets)
	case g.issuer != nil:
		return g.issuer.check(r)
	}
	return nil
}

// count takes one of the requests that the limit allows, or returns an *Error:
// 429. It is called once the sender is known, where the endpoint asks for
// anything, so that others cannot use up what is his.
func (g *guard) count() error {
	if g.limit == nil || g.limit.Allow() {
		return nil
	}
	wait := (1 - g.limit.Tokens()) / float64(g.limit.Limit())
	return &Error{
		Status: http.StatusTooManyRequests, Text: "too many requests; try again",
		RetryAfter: time.Duration(max(1, math.Ceil(wait))) * time.Second,
	}
}

func limiterOf(r *v1alpha1.RequestRate) *rate.Limiter {
	if r == nil {
		return nil
	}
	per, err := perOf(r)
	if err != nil {
		return nil // Validate has said so
	}
	burst := r.Burst
	if burst <= 0 {
		burst = r.Requests
	}
	return rate.NewLimiter(rate.Limit(float64(r.Requests)/per.Seconds()), int(burst))
}

func perOf(r *v1alpha1.RequestRate) (time.Duration, error) {
	if r.Per == "" {
		return time.Second, nil
	}
	d, err := time.ParseDuration(r.Per)
	if err == nil && d <= 0 {
		err = fmt.Errorf("is not positive")
	}
	return d, err
}

// fetchContext outlives the request that happens to need something from
// elsewhere, which others wait for too.
func fetchContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
