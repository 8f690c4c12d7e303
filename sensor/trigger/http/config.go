package http

import (
	"errors"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what request to send.
type Config struct {
	// URL to send the request to, http or https.
	URL string `json:"url"`
	// Payload makes the body. Without it the body is empty. An item with an
	// empty dest is the whole body.
	// +optional
	Payload []v1alpha1.TriggerParameter `json:"payload,omitempty"`
	// TLS for https. Without it the system's certificate authorities are trusted.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// Method is GET, DELETE, PATCH, POST or PUT. Defaults to POST.
	// +optional
	Method string `json:"method,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example url or headers.X-Team.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Timeout in seconds for the whole request. Defaults to 60.
	// +optional
	Timeout int64 `json:"timeout,omitempty"`
	// BasicAuth is the Authorization header; it replaces any other.
	// +optional
	BasicAuth *v1alpha1.BasicAuth `json:"basicAuth,omitempty"`
	// Headers of the request, sent with the spelling they have here. No
	// Content-Type is added.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
	// SecureHeaders are headers whose values are in secrets or ConfigMaps. They
	// replace dynamicHeaders and headers of the same spelling.
	// +optional
	SecureHeaders []v1alpha1.SecureHeader `json:"secureHeaders,omitempty"`
	// DynamicHeaders are headers whose values come from events; dest is the
	// header's name. They replace headers of the same spelling.
	// +optional
	DynamicHeaders []v1alpha1.TriggerParameter `json:"dynamicHeaders,omitempty"`
	// Host header, where it is not that of the URL.
	// +optional
	Host string `json:"host,omitempty"`
	// Follow tells the outcome, which is the answer: details.status is its status
	// code, details.body its body, JSON or text, up to 16 KiB. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

const defaultTimeout = 60

var methods = []string{nethttp.MethodGet, nethttp.MethodDelete, nethttp.MethodPatch, nethttp.MethodPost, nethttp.MethodPut}

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Method == "" {
		c.Method = nethttp.MethodPost
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{c.validateURL()}
	add := func(path string, err error) { errs = append(errs, v1alpha1.At(path, err)) }
	if !slices.Contains(methods, c.Method) {
		bad := v1alpha1.Invalid("method", "%q is not allowed", c.Method)
		if near := kind.Nearest(c.Method, methods); near != "" {
			bad.Hinted("did you mean %s?", near)
		} else {
			bad.Hinted("use one of %s", strings.Join(methods, ", "))
		}
		errs = append(errs, bad)
	}
	if c.Timeout < 0 {
		errs = append(errs, v1alpha1.Invalid("timeout", "is negative").Hinted("it is a number of seconds"))
	}
	if !httpguts.ValidHostHeader(c.Host) {
		errs = append(errs, v1alpha1.Invalid("host", "is no host name"))
	}
	_, err := param.CompilePayload(c.Payload)
	add("payload", err)
	_, err = param.Compile(c.Parameters)
	add("parameters", err)
	errs = append(errs, trigger.CheckFollow(c.Follow))
	add("tls", c.TLS.Validate())
	if c.TLS != nil && !c.TLS.InsecureSkipVerify {
		add("tls.caCertSecret", validSelector(c.TLS.CACertSecret))
		add("tls.clientCertSecret", validSelector(c.TLS.ClientCertSecret))
		add("tls.clientKeySecret", validSelector(c.TLS.ClientKeySecret))
	}
	if c.BasicAuth != nil {
		if c.BasicAuth.Username == nil && c.BasicAuth.Password == nil {
			errs = append(errs, v1alpha1.Warn("basicAuth", "says nothing").Hinted("give username and password"))
		}
		add("basicAuth.username", validSelector(c.BasicAuth.Username))
		add("basicAuth.password", validSelector(c.BasicAuth.Password))
	}
	return errors.Join(append(errs, c.validateHeaders())...)
}

func (c *Config) validateURL() error {
	switch {
	case c.URL == "":
		return v1alpha1.Invalid("url", "is required")
	case slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool { return p.Dest == "url" }):
		return nil // what stands here is a placeholder, or a part
	}
	u, err := parseURL(c.URL)
	if err != nil {
		return v1alpha1.Invalid("url", "%v", err)
	}
	if c.TLS != nil && u.Scheme == "http" {
		return v1alpha1.Warn("tls", "has no effect on an http URL").Hinted("write https")
	}
	return nil
}

// parseURL reads a URL that a request can be sent to. Its errors do not quote
// the URL, which may hold a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("does not begin with http:// or https://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	return u, nil
}

func (c *Config) validateHeaders() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		path := v1alpha1.Join("headers", v1alpha1.Key(name))
		errs = append(errs, v1alpha1.At(path, validName(name)))
		if !httpguts.ValidHeaderFieldValue(c.Headers[name]) {
			errs = append(errs, v1alpha1.Invalid(path, "holds a line break or another control character"))
		}
	}
	_, err := param.Compile(c.DynamicHeaders)
	errs = append(errs, v1alpha1.At("dynamicHeaders", err))
	for i, p := range c.DynamicHeaders {
		if p.Dest != "" {
			errs = append(errs, v1alpha1.At("dynamicHeaders"+v1alpha1.Index(i)+".dest", validName(p.Dest)))
		}
	}
	for i, h := range c.SecureHeaders {
		path := "secureHeaders" + v1alpha1.Index(i)
		if h.Name == "" {
			errs = append(errs, v1alpha1.Invalid(path+".name", "is required"))
		} else {
			errs = append(errs, v1alpha1.At(path+".name", validName(h.Name)))
		}
		errs = append(errs, v1alpha1.At(path+".valueFrom", validValueFrom(h.ValueFrom)))
	}
	return errors.Join(errs...)
}

func validName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return v1alpha1.Invalid("", "%q is no name of a header", name)
	}
	if isFraming(name) {
		return v1alpha1.Warn("", "%s is not sent: it follows from the body", name)
	}
	return nil
}

func validValueFrom(v *v1alpha1.ValueFromSource) error {
	switch {
	case v == nil || v.SecretKeyRef == nil && v.ConfigMapKeyRef == nil:
		return v1alpha1.Invalid("", "is required").Hinted("give secretKeyRef or configMapKeyRef")
	case v.SecretKeyRef != nil && v.ConfigMapKeyRef != nil:
		return v1alpha1.Warn("", "has two values, and secretKeyRef is used").Hinted("remove one")
	case v.SecretKeyRef != nil:
		return v1alpha1.At("secretKeyRef", validSelector(v.SecretKeyRef))
	default:
		return v1alpha1.At("configMapKeyRef", validNameAndKey(v.ConfigMapKeyRef.Name, v.ConfigMapKeyRef.Key))
	}
}

func validSelector(s *corev1.SecretKeySelector) error {
	if s == nil {
		return nil
	}
	return validNameAndKey(s.Name, s.Key)
}

func validNameAndKey(name, key string) error {
	var errs []error
	if name == "" {
		errs = append(errs, v1alpha1.Invalid("name", "is required"))
	}
	if key == "" {
		errs = append(errs, v1alpha1.Invalid("key", "is required"))
	}
	return errors.Join(errs...)
}
