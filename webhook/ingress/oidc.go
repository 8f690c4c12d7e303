package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// tokenAlgorithms are those that a token may be signed with: asymmetric ones,
// since whoever can check a token must not be able to make one.
func tokenAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// leeway is by how much clocks may differ.
const leeway = time.Minute

// issuer checks the bearer tokens of an OpenID Connect issuer.
type issuer struct {
	config     v1alpha1.OIDC
	algorithms []jose.SignatureAlgorithm
	claims     map[string]*regexp.Regexp
	keys       *keySet
}

func newIssuer(c v1alpha1.OIDC, secrets secret.Reader) *issuer {
	i := &issuer{config: c, algorithms: tokenAlgorithms(), claims: map[string]*regexp.Regexp{}, keys: &keySet{issuer: c.Issuer, ca: c.CASecret, secrets: secrets}}
	for name, glob := range c.Claims {
		parts := strings.Split(glob, "*")
		for n := range parts {
			parts[n] = regexp.QuoteMeta(parts[n])
		}
		i.claims[name] = regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$")
	}
	return i
}

// check wants a bearer token of the issuer. The error is an *Error: 401, or 503
// if the issuer's keys cannot be had. What is wrong with a token is told only
// to those who have one of the issuer's.
func (i *issuer) check(r *http.Request) error {
	scheme, raw, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return &Error{Status: http.StatusUnauthorized, Text: "want the header Authorization: Bearer TOKEN", Challenge: "Bearer"}
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(raw), i.algorithms)
	if err != nil || len(token.Headers) != 1 {
		return badToken("the token is wrong", err)
	}
	claims, all, err := i.verified(r.Context(), token)
	if err != nil {
		return err
	}
	switch err := claims.ValidateWithLeeway(jwt.Expected{Issuer: i.config.Issuer, AnyAudience: jwt.Audience{i.config.Audience}, Time: time.Now()}, leeway); {
	case err != nil:
		return badToken("the token is expired, not valid yet, or not for this audience", err)
	case claims.Expiry == nil:
		return badToken("the token never expires", nil)
	}
	for name, want := range i.claims {
		if !holds(all[name], want) {
			return badToken("the token's claims are not those that are wanted", fmt.Errorf("claim %q", name))
		}
	}
	return nil
}

// verified returns the claims of a token that one of the issuer's keys has signed.
func (i *issuer) verified(ctx context.Context, token *jwt.JSONWebToken) (jwt.Claims, map[string]json.RawMessage, error) {
	id, algorithm := token.Headers[0].KeyID, token.Headers[0].Algorithm
	keys, err := i.keys.named(ctx, id)
	if err != nil {
		return jwt.Claims{}, nil, &Error{
			Status: http.StatusServiceUnavailable, Text: "tokens cannot be checked at the moment; try again", Cause: err, RetryAfter: keysAgain,
		}
	}
	for _, key := range keys {
		if key.Algorithm != "" && key.Algorithm != algorithm {
			continue
		}
		var claims jwt.Claims
		var all map[string]json.RawMessage
		if token.Claims(key.Key, &claims, &all) == nil {
			return claims, all, nil
		}
	}
	return jwt.Claims{}, nil, badToken("the token is wrong", fmt.Errorf("no key of the issuer fits (kid %q)", id))
}

func badToken(text string, cause error) *Error {
	return &Error{Status: http.StatusUnauthorized, Text: text, Cause: cause, Challenge: `Bearer error="invalid_token"`}
}

// holds tells whether a claim is what is wanted, or one of its elements is.
func holds(claim json.RawMessage, want *regexp.Regexp) bool {
	var list []json.RawMessage
	if json.Unmarshal(claim, &list) == nil && list != nil {
		return slices.ContainsFunc(list, func(e json.RawMessage) bool { return is(e, want) })
	}
	return is(claim, want)
}

func is(claim json.RawMessage, want *regexp.Regexp) bool {
	var v any
	if len(claim) == 0 || json.Unmarshal(claim, &v) != nil {
		return false
	}
	switch v := v.(type) {
	case string:
		return want.MatchString(v)
	case bool, float64: // as it is written
		return want.MatchString(string(claim))
	}
	return false
}
