package ingress

import (
	"errors"
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
	if b := c.BasicAuth; b != nil {
		if b.Username == nil || b.Password == nil {
			errs = append(errs, v1alpha1.Invalid(at("basicAuth"), "needs username and password"))
		}
		if c.AuthSecret != nil {
			errs = append(errs, v1alpha1.Invalid(at("basicAuth"), "cannot be asked for together with authSecret: a request has one Authorization header"))
		}
	}
	if c.MaxPayloadSize != nil && *c.MaxPayloadSize < 0 {
		errs = append(errs, v1alpha1.Invalid(at("maxPayloadSize"), "is negative"))
	}
	return errors.Join(errs...)
}

// NoteOpen is a note if c asks for no credentials; nil otherwise.
func NoteOpen(path string, c *v1alpha1.WebhookContext) error {
	if c.AuthSecret != nil || c.BasicAuth != nil {
		return nil
	}
	p := v1alpha1.Invalid(path, "the endpoint takes requests from anybody who reaches it").Hinted("set authSecret or basicAuth")
	p.Severity = v1alpha1.Note
	return p
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
		ServerCert: c.ServerCertSecret, ServerKey: c.ServerKeySecret,
	}
}
