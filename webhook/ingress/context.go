package ingress

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

const (
	defaultPort  = "12000"
	defaultLimit = 1 << 20
)

var knownMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Default fills in method, port and maxPayloadSize.
func Default(c *v1alpha1.WebhookContext) {
	if c.Method == "" {
		c.Method = "POST"
	}
	if c.Port == "" {
		c.Port = defaultPort
	}
	if c.MaxPayloadSize == nil || *c.MaxPayloadSize == 0 {
		limit := int64(defaultLimit)
		c.MaxPayloadSize = &limit
	}
}

// Limit is the largest body that c takes.
func Limit(c *v1alpha1.WebhookContext) int64 {
	if c.MaxPayloadSize == nil || *c.MaxPayloadSize <= 0 {
		return defaultLimit
	}
	return *c.MaxPayloadSize
}

// Validate reports all that is wrong with c, at paths below path.
func Validate(path string, c *v1alpha1.WebhookContext) error {
	at := func(field string) string { return v1alpha1.Join(path, field) }
	var errs []error
	switch {
	case c.Endpoint == "":
		errs = append(errs, v1alpha1.Invalid(at("endpoint"), "is missing").Hinted("the path to answer, for example /push"))
	case strings.ContainsAny(c.Endpoint, "?# \t\r\n") && !strings.Contains(c.Endpoint, "{"):
		errs = append(errs, v1alpha1.Invalid(at("endpoint"), "is no path: it holds a space, ? or #").Hinted("for example /push"))
	default:
		if _, err := parsePattern(c.Endpoint); err != nil {
			errs = append(errs, v1alpha1.Invalid(at("endpoint"), "%v", err))
		}
	}
	if !slices.Contains(knownMethods, c.Method) {
		p := v1alpha1.Invalid(at("method"), "%q is no HTTP method", c.Method)
		if upper := strings.ToUpper(c.Method); slices.Contains(knownMethods, upper) {
			errs = append(errs, p.Hinted("write %s, in capitals", upper))
		} else {
			errs = append(errs, p.Hinted("one of %s", strings.Join(knownMethods, ", ")))
		}
	}
	if n, err := strconv.Atoi(c.Port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != c.Port {
		errs = append(errs, v1alpha1.Invalid(at("port"), "%q is no port", c.Port).Hinted("a number from 1 to 65535, in quotes"))
	}
	if (c.ServerCertSecret == nil) != (c.ServerKeySecret == nil) {
		errs = append(errs, v1alpha1.Invalid(path, "serverCertSecret and serverKeySecret belong together").Hinted("give both or none"))
	}
	if b := c.BasicAuth; b != nil && (b.Username == nil || b.Password == nil) {
		errs = append(errs, v1alpha1.Invalid(at("basicAuth"), "needs username and password"))
	}
	errs = append(errs, validateOne(at, c), validateOIDC(at("oidc"), c.OIDC), validateRate(at("rateLimit"), c.RateLimit))
	if c.ClientCASecret != nil && c.ServerCertSecret == nil {
		errs = append(errs, v1alpha1.Invalid(at("clientCASecret"), "needs serverCertSecret: only over HTTPS do clients show certificates"))
	}
	for i, s := range c.AcceptedSecrets {
		if s.Name == "" || s.Key == "" {
			errs = append(errs, v1alpha1.Invalid(at("acceptedSecrets")+v1alpha1.Index(i), "needs name and key"))
		}
	}
	if c.Insecure && hasCredentials(c) {
		errs = append(errs, v1alpha1.Warn(at("insecure"), "has no effect: the endpoint asks for credentials"))
	}
	if c.MaxPayloadSize != nil && *c.MaxPayloadSize < 0 {
		errs = append(errs, v1alpha1.Invalid(at("maxPayloadSize"), "is negative"))
	}
	return errors.Join(errs...)
}

// validateOne wants at most one of what is in the Authorization header.
func validateOne(at func(string) string, c *v1alpha1.WebhookContext) error {
	first := ""
	var errs []error
	for _, one := range []struct {
		name  string
		given bool
	}{{"authSecret", c.AuthSecret != nil}, {"basicAuth", c.BasicAuth != nil}, {"oidc", c.OIDC != nil}} {
		switch {
		case !one.given:
		case first == "":
			first = one.name
		default:
			errs = append(errs, v1alpha1.Invalid(at(one.name), "cannot be asked for together with %s: a request has one Authorization header", first))
		}
	}
	return errors.Join(errs...)
}

func validateOIDC(path string, o *v1alpha1.OIDC) error {
	if o == nil {
		return nil
	}
	at := func(field string) string { return v1alpha1.Join(path, field) }
	var errs []error
	u, err := url.Parse(o.Issuer)
	switch {
	case o.Issuer == "":
		errs = append(errs, v1alpha1.Invalid(at("issuer"), "is missing").Hinted("the URL that tokens have as iss, for example https://token.actions.githubusercontent.com"))
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		errs = append(errs, v1alpha1.Invalid(at("issuer"), "%q is no URL of an issuer", o.Issuer).Hinted("https://HOST, and a path if it has one"))
	case u.Scheme == "http":
		errs = append(errs, v1alpha1.Warn(at("issuer"), "is asked for its keys without TLS, so who is between can make tokens").Hinted("use https"))
	}
	if o.Audience == "" {
		errs = append(errs, v1alpha1.Invalid(at("audience"), "is missing: tokens made for others would be accepted").Hinted("what tokens for this endpoint have as aud, for example its URL"))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Claims)) {
		if name == "" || o.Claims[name] == "" {
			errs = append(errs, v1alpha1.Invalid(v1alpha1.Join(at("claims"), v1alpha1.Key(name)), "is empty").Hinted("a text, with * for any characters"))
		}
	}
	if len(o.Claims) == 0 {
		p := v1alpha1.Warn(at("claims"), "every token of the issuer for this audience is accepted, whoever it was made for").Hinted("name claims, for example sub or repository")
		p.Severity = v1alpha1.Note
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

func validateRate(path string, r *v1alpha1.RequestRate) error {
	if r == nil {
		return nil
	}
	at := func(field string) string { return v1alpha1.Join(path, field) }
	var errs []error
	if r.Requests < 1 {
		errs = append(errs, v1alpha1.Invalid(at("requests"), "has to be 1 or more"))
	}
	if _, err := perOf(r); err != nil {
		errs = append(errs, v1alpha1.Invalid(at("per"), "%q is no length of time", r.Per).Hinted("for example 1s or 1m"))
	}
	if r.Burst < 0 {
		errs = append(errs, v1alpha1.Invalid(at("burst"), "is negative"))
	}
	return errors.Join(errs...)
}

// NoteOpen is a warning if c asks for no credentials; nil otherwise, and if c
// says that this is meant.
func NoteOpen(path string, c *v1alpha1.WebhookContext) error { return NoteOpenUnless(path, c, false) }

// NoteOpenUnless is NoteOpen for kinds whose requests may be signed in a way of
// their own.
func NoteOpenUnless(path string, c *v1alpha1.WebhookContext, signed bool) error {
	if signed || c.Insecure || hasCredentials(c) {
		return nil
	}
	return v1alpha1.Warn(path, "the endpoint takes requests from anybody who reaches it").
		Hinted("set the secret that the sender signs with, or authSecret, basicAuth, oidc or clientCASecret; or insecure: true if that is meant")
}

// RouteOf is the place that c describes. Without methods it answers c's own.
func RouteOf(c *v1alpha1.WebhookContext, methods ...string) eventsource.Route {
	if len(methods) == 0 {
		methods = []string{c.Method}
	}
	path := c.Endpoint
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return eventsource.Route{
		Port: c.Port, Methods: methods, Path: path,
		ServerCert: c.ServerCertSecret, ServerKey: c.ServerKeySecret, ClientCA: c.ClientCASecret,
	}
}
