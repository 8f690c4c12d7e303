package email

import (
	"errors"
	"maps"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what mail to send, to whom, and through which server.
type Config struct {
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example subject or to.-1.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Username to log in with. Without it, or without smtpPassword, nobody logs in.
	// +optional
	Username string `json:"username,omitempty"`
	// SMTPPassword to log in with. Over an unencrypted line it is sent to this
	// machine only.
	// +optional
	SMTPPassword *corev1.SecretKeySelector `json:"smtpPassword,omitempty"`
	// Host is the name or address of the SMTP server.
	Host string `json:"host"`
	// Port of the SMTP server. Defaults to 587, or 465 if tls is ssl.
	// +optional
	Port int32 `json:"port,omitempty"`
	// To are the recipients: addresses, with or without a name. Each gets a mail
	// of its own.
	// +optional
	To []string `json:"to,omitempty"`
	// From is the sender's address, with or without a name. Defaults to username,
	// if that is an address.
	// +optional
	From string `json:"from,omitempty"`
	// Subject of the mail. Line breaks in it become spaces.
	// +optional
	Subject string `json:"subject,omitempty"`
	// Body is the text of the mail.
	// +optional
	Body string `json:"body,omitempty"`
	// HTMLBody is the text as HTML. With body, readers choose. Signalbox.
	// +optional
	HTMLBody string `json:"htmlBody,omitempty"`
	// Cc are recipients whom all others see; each gets one mail. Signalbox.
	// +optional
	Cc []string `json:"cc,omitempty"`
	// ReplyTo is the address that answers go to. Signalbox.
	// +optional
	ReplyTo string `json:"replyTo,omitempty"`
	// Headers are put on each mail. Signalbox.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
	// TLS is starttls (encryption is a must), ssl (encryption from the first
	// byte), opportunistic (STARTTLS if the server offers it) or none. Defaults to
	// ssl on port 465 and to opportunistic on others. Signalbox.
	// +optional
	TLS string `json:"tls,omitempty"`
	// TLSConfig says whom to trust. Without it these are the system's certificate
	// authorities. Signalbox.
	// +optional
	TLSConfig *v1alpha1.TLSConfig `json:"tlsConfig,omitempty"`
	// Follow tells the outcome on the event bus; it is known at once. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

// The values of tls.
const (
	tlsStart         = "starttls"
	tlsSSL           = "ssl"
	tlsOpportunistic = "opportunistic"
	tlsNone          = "none"
)

const (
	portSSL    = 465
	portSubmit = 587
	maxPort    = 65535
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.filled("port") || c.filled("tls") {
		return // once the parameters have been put in
	}
	if c.Port == 0 {
		c.Port = portSubmit
		if c.TLS == tlsSSL {
			c.Port = portSSL
		}
	}
	if c.TLS == "" {
		c.TLS = tlsOpportunistic
		if c.Port == portSSL {
			c.TLS = tlsSSL
		}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	_, err := param.Compile(c.Parameters)
	errs := []error{v1alpha1.At("parameters", err), c.validateServer(), c.validateAddresses(), c.validateHeaders(), trigger.CheckFollow(c.Follow)}
	if c.Subject == "" && !c.filled("subject") {
		errs = append(errs, v1alpha1.Invalid("subject", "is required"))
	}
	if c.Body == "" && c.HTMLBody == "" && !c.filled("body") && !c.filled("htmlBody") {
		errs = append(errs, v1alpha1.Invalid("body", "is required").Hinted("give body, htmlBody or both"))
	}
	return errors.Join(errs...)
}

// filled tells whether a parameter writes into a field. What stands there before
// is a placeholder, or a part.
func (c *Config) filled(field string) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == field || strings.HasPrefix(p.Dest, field+".")
	})
}

// replaced tells whether a parameter writes over an item of a list; one that adds
// an item does not.
func (c *Config) replaced(field string, i int) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == field || p.Dest == field+"."+strconv.Itoa(i)
	})
}

func (c *Config) validateServer() error {
	var errs []error
	switch {
	case c.filled("host"):
	case c.Host == "":
		errs = append(errs, v1alpha1.Invalid("host", "is required"))
	case !validHost(c.Host):
		errs = append(errs, v1alpha1.Invalid("host", "is no host name").Hinted("the port goes into port"))
	}
	if c.Port < 0 || c.Port > maxPort {
		errs = append(errs, v1alpha1.Invalid("port", "is not between 1 and 65535"))
	}
	if modes := []string{tlsStart, tlsSSL, tlsOpportunistic, tlsNone}; !c.filled("tls") && c.TLS != "" && !slices.Contains(modes, c.TLS) {
		bad := v1alpha1.Invalid("tls", "%q is not known", c.TLS)
		if near := kind.Nearest(c.TLS, modes); near != "" {
			bad.Hinted("did you mean %s?", near)
		} else {
			bad.Hinted("use one of %s", strings.Join(modes, ", "))
		}
		errs = append(errs, bad)
	}
	errs = append(errs, v1alpha1.At("tlsConfig", c.TLSConfig.Validate()))
	if t := c.TLSConfig; t != nil && !t.InsecureSkipVerify {
		errs = append(errs, validSelector("tlsConfig.caCertSecret", t.CACertSecret),
			validSelector("tlsConfig.clientCertSecret", t.ClientCertSecret), validSelector("tlsConfig.clientKeySecret", t.ClientKeySecret))
	}
	if c.TLSConfig != nil && c.TLS == tlsNone {
		errs = append(errs, v1alpha1.Warn("tlsConfig", "has no effect with tls: none"))
	}
	errs = append(errs, validSelector("smtpPassword", c.SMTPPassword))
	switch {
	case c.Username != "" && c.SMTPPassword == nil && !c.filled("smtpPassword"):
		errs = append(errs, v1alpha1.Warn("username", "has no effect without smtpPassword"))
	case c.Username == "" && c.SMTPPassword != nil && !c.filled("username"):
		errs = append(errs, v1alpha1.Warn("smtpPassword", "has no effect without username"))
	}
	return errors.Join(errs...)
}

// validHost takes names and addresses; the server has the last word.
func validHost(host string) bool {
	return net.ParseIP(host) != nil || httpguts.ValidHostHeader(host) && !strings.ContainsAny(host, ":/[]")
}

func validSelector(path string, s *corev1.SecretKeySelector) error {
	var errs []error
	if s != nil && s.Name == "" {
		errs = append(errs, v1alpha1.Invalid(path+".name", "is required"))
	}
	if s != nil && s.Key == "" {
		errs = append(errs, v1alpha1.Invalid(path+".key", "is required"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateAddresses() error {
	var errs []error
	add := func(path, text string) {
		if _, err := address(text); err != nil {
			errs = append(errs, v1alpha1.At(path, err))
		}
	}
	if len(c.To) == 0 && !c.filled("to") {
		errs = append(errs, v1alpha1.Invalid("to", "is required").Hinted("give at least one address"))
	}
	list := func(field string, all []string) {
		for i, text := range all {
			if !c.replaced(field, i) {
				add(field+v1alpha1.Index(i), text)
			}
		}
	}
	list("to", c.To)
	list("cc", c.Cc)
	if c.ReplyTo != "" && !c.filled("replyTo") {
		add("replyTo", c.ReplyTo)
	}
	switch {
	case c.filled("from"):
	case c.From != "":
		add("from", c.From)
	case !c.filled("username"):
		if _, err := address(c.Username); err != nil {
			errs = append(errs, v1alpha1.Invalid("from", "is required").Hinted("username would do, if it were an address"))
		}
	}
	return errors.Join(errs...)
}

// address reads one address, with or without a name.
func address(text string) (*mail.Address, error) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return nil, v1alpha1.Invalid("", "holds a line break or another control character")
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		bad := v1alpha1.Invalid("", "%q is no mail address", text)
		if list, err := mail.ParseAddressList(text); err == nil && len(list) > 1 {
			bad.Hinted("make an item of the list of each address")
		} else {
			bad.Hinted("write anna@shop.example or Anna <anna@shop.example>")
		}
		return nil, bad
	}
	return a, nil
}

// ownHeaders are those that other fields, or the library, make.
var ownHeaders = []string{
	"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version",
	"Content-Type", "Content-Transfer-Encoding", "Return-Path", "Received", "Dkim-Signature",
}

func (c *Config) validateHeaders() error {
	var errs []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		path := v1alpha1.Join("headers", v1alpha1.Key(name))
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, v1alpha1.Invalid(path, "is no name of a header"))
		case slices.Contains(ownHeaders, canonical):
			errs = append(errs, v1alpha1.Invalid(path, "is made by the trigger itself").Hinted("there are fields for from, to, cc, replyTo and subject"))
		case seen[canonical] != "":
			errs = append(errs, v1alpha1.Invalid(path, "stands there twice, as %s too", seen[canonical]))
		case !httpguts.ValidHeaderFieldValue(c.Headers[name]):
			errs = append(errs, v1alpha1.Invalid(path, "holds a line break or another control character"))
		}
		seen[canonical] = name
	}
	return errors.Join(errs...)
}
