package notify

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what to tell whom, and how often. Texts are Go templates with
// .Input, the events by dependency, and .Event, the one that counts. Signalbox.
type Config struct {
	// To are the destinations. Each is tried by itself: one that does not answer
	// keeps nothing from the others.
	To []Destination `json:"to"`
	// Title of the message, a Go template.
	// +optional
	Title string `json:"title,omitempty"`
	// Message is the text, a Go template.
	Message string `json:"message"`
	// Severity is info, warning, error or critical, a Go template. It becomes what
	// the service has for it: a priority, a severity or a color.
	// +optional
	Severity string `json:"severity,omitempty"`
	// Params are shoutrrr's parameters, such as priority or tags; values are Go
	// templates. A destination whose service does not know one goes without it.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// Group makes one message of many firings. Without it every firing is a message.
	// +optional
	Group *Group `json:"group,omitempty"`
	// Timeout of one attempt to send to one destination. Defaults to 30s.
	// +optional
	Timeout *v1alpha1.Duration `json:"timeout,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example title.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Follow puts the outcome on the sensor's bus. With group it is that of the
	// whole group, told by the firing that opened it. It has no timeout here: a
	// group ends by itself.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
}

// Destination is where messages go. Signalbox.
type Destination struct {
	// URLSecret has the destination's URL: one of shoutrrr, such as
	// discord://TOKEN@ID, or with json the https URL of a webhook.
	// +optional
	URLSecret *corev1.SecretKeySelector `json:"urlSecret,omitempty"`
	// URL stands here in clear, for destinations without a password or token.
	// +optional
	URL string `json:"url,omitempty"`
	// Params of this destination, over those of all.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// JSON is posted to the URL as it is, a Go template that also has .Message
	// (title, text, severity, kind) and, with group, .Group.
	// +optional
	JSON string `json:"json,omitempty"`
	// TLS of the connection, for destinations with json. Without it the system's
	// certificate authorities are trusted.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
}

// Group says how firings become fewer messages. Signalbox.
type Group struct {
	// Key is a Go template; firings with the same text are one group. Without it
	// all firings of the trigger are.
	// +optional
	Key string `json:"key,omitempty"`
	// Wait is how long to collect before the first message. Defaults to 0: the
	// first is sent at once.
	// +optional
	Wait *v1alpha1.Duration `json:"wait,omitempty"`
	// Interval is how long to collect after a message before the next one, a
	// summary. Defaults to 5m.
	// +optional
	Interval *v1alpha1.Duration `json:"interval,omitempty"`
	// Repeat reminds this long after the last message if nothing new has come and
	// the group is not resolved. It needs resolvedBy or resolveAfter.
	// +optional
	Repeat *v1alpha1.Duration `json:"repeat,omitempty"`
	// Threshold is a number and a time, such as "5 in 10m": nothing is sent before
	// that many have come within that time.
	// +optional
	Threshold string `json:"threshold,omitempty"`
	// ResolvedBy are dependencies whose events resolve the group.
	// +optional
	ResolvedBy []string `json:"resolvedBy,omitempty"`
	// ResolveAfter is how long it has to be quiet for the group to be resolved.
	// +optional
	ResolveAfter *v1alpha1.Duration `json:"resolveAfter,omitempty"`
	// Summary is the text of a message over several firings and of reminders, a
	// Go template that also has .Group.
	// +optional
	Summary string `json:"summary,omitempty"`
	// Resolved is the text of the message that it is over, a Go template that also
	// has .Group.
	// +optional
	Resolved string `json:"resolved,omitempty"`
	// MaxSamples is how many texts a summary quotes at most. Defaults to 5.
	// +optional
	MaxSamples int32 `json:"maxSamples,omitempty"`
}

const (
	defaultTimeout  = 30 * time.Second
	defaultInterval = 5 * time.Minute
	defaultSamples  = 5
	mostSamples     = 50
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Timeout == nil {
		c.Timeout = v1alpha1.DurationOf(defaultTimeout)
	}
	if g := c.Group; g != nil {
		if g.Interval == nil {
			g.Interval = v1alpha1.DurationOf(defaultInterval)
		}
		if g.MaxSamples == 0 {
			g.MaxSamples = defaultSamples
		}
	}
}

// filled tells whether a parameter goes into the field, so that what stands
// there is a placeholder.
func (c *Config) filled(field string) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == field || strings.HasPrefix(p.Dest, field+".")
	})
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	text := func(path, s string) {
		_, err := param.CompileText(s)
		errs = append(errs, v1alpha1.At(path, err))
	}
	if len(c.To) == 0 && !c.filled("to") {
		errs = append(errs, v1alpha1.Invalid("to", "is required"))
	}
	for i := range c.To {
		if !c.filled("to") {
			errs = append(errs, v1alpha1.At("to"+v1alpha1.Index(i), c.To[i].validate()))
		}
	}
	if c.Message == "" && !c.filled("message") && slices.ContainsFunc(c.To, func(d Destination) bool { return d.JSON == "" }) {
		errs = append(errs, v1alpha1.Invalid("message", "is required"))
	}
	text("title", c.Title)
	text("message", c.Message)
	text("severity", c.Severity)
	if c.Severity != "" && !strings.Contains(c.Severity, "{{") && !c.filled("severity") {
		errs = append(errs, v1alpha1.At("severity", checkSeverity(c.Severity)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Params)) {
		text(v1alpha1.Join("params", v1alpha1.Key(name)), c.Params[name])
	}
	if c.Timeout != nil && c.Timeout.Duration <= 0 {
		errs = append(errs, v1alpha1.Invalid("timeout", "has to be longer than 0"))
	}
	_, err := param.Compile(c.Parameters)
	errs = append(errs, v1alpha1.At("parameters", err), v1alpha1.At("group", c.Group.validate()), trigger.CheckFollow(c.Follow))
	if c.Follow != nil && c.Follow.Timeout != nil {
		errs = append(errs, v1alpha1.Warn("follow.timeout", "has no effect").Hinted("a group ends by itself; see group.resolveAfter"))
	}
	return errors.Join(errs...)
}

func (d *Destination) validate() error {
	var errs []error
	switch {
	case d.URL == "" && d.URLSecret == nil:
		errs = append(errs, v1alpha1.Invalid("urlSecret", "is required").Hinted("or url, if it holds no token"))
	case d.URL != "" && d.URLSecret != nil:
		errs = append(errs, v1alpha1.Invalid("url", "stands beside urlSecret").Hinted("remove one"))
	case d.URLSecret != nil:
		if d.URLSecret.Name == "" {
			errs = append(errs, v1alpha1.Invalid("urlSecret.name", "is required"))
		}
		if d.URLSecret.Key == "" {
			errs = append(errs, v1alpha1.Invalid("urlSecret.key", "is required"))
		}
	default:
		errs = append(errs, v1alpha1.At("url", d.validateURL()))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Params)) {
		_, err := param.CompileText(d.Params[name])
		errs = append(errs, v1alpha1.At(v1alpha1.Join("params", v1alpha1.Key(name)), err))
	}
	_, err := param.CompileText(d.JSON)
	errs = append(errs, v1alpha1.At("json", err), v1alpha1.At("tls", d.TLS.Validate()))
	if d.JSON == "" && d.TLS != nil {
		errs = append(errs, v1alpha1.Warn("tls", "has no effect without json").Hinted("see the service's URL for what it offers"))
	}
	if d.JSON != "" && len(d.Params) > 0 {
		errs = append(errs, v1alpha1.Warn("params", "have no effect beside json"))
	}
	return errors.Join(errs...)
}

func (d *Destination) validateURL() error {
	if d.JSON != "" {
		u, err := webhookURL(d.URL)
		if err != nil {
			return err
		}
		if u.User != nil || u.RawQuery != "" {
			return credential()
		}
		return nil
	}
	s, err := open(d.URL)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Params)) {
		if !s.knows(name) {
			return v1alpha1.Invalid("", "%s has no parameter %s", s.name, name).Hinted("it has %s", strings.Join(s.keys, ", "))
		}
	}
	u, err := url.Parse(d.URL)
	if err == nil && holdsCredential(s.name, u) {
		return credential()
	}
	return nil
}

func credential() error {
	return v1alpha1.Warn("", "holds a password or token, for all to read who may read the manifest").Hinted("put it into a secret and name it in urlSecret")
}
