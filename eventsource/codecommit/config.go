package codecommit

import (
	"errors"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// defaultHeader is the secret header's name.
const defaultHeader = "X-Api-Key"

// Config is one endpoint that receives the events of AWS CodeCommit, from an API
// destination of EventBridge or from a topic of Amazon SNS. Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. Its credentials, or secretHeader, are how
	// requests of an API destination are checked, which are not signed.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// SecretHeader is an HTTP header that every request of an API destination has
	// to carry. Messages of SNS need not: they are signed.
	// +optional
	SecretHeader *SecretHeader `json:"secretHeader,omitempty"`
	// SNS says which messages of Amazon SNS are taken. Without it none are.
	// +optional
	SNS *SNS `json:"sns,omitempty"`
}

// SecretHeader is an HTTP header with a secret value.
type SecretHeader struct {
	// Name of the header. Defaults to X-Api-Key.
	// +optional
	Name string `json:"name,omitempty"`
	// Secret is its value. Further ones are accepted by webhook.acceptedSecrets.
	Secret *corev1.SecretKeySelector `json:"secret"`
}

// SNS says which messages of Amazon SNS are taken. Their signatures are checked,
// and a subscription is confirmed when Amazon asks.
type SNS struct {
	// TopicARNs are the topics, * being any characters. Anybody can make a topic
	// of their own, so the account should be named.
	TopicARNs []string `json:"topicArns"`
	// Certificate is the certificate that messages are signed with, PEM, where
	// Amazon's cannot be fetched.
	// +optional
	Certificate *corev1.SecretKeySelector `json:"certificate,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.SecretHeader != nil && c.SecretHeader.Name == "" {
		c.SecretHeader.Name = defaultHeader
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	return errors.Join(githost.Validate(c.Webhook, c.SecretHeader != nil || c.SNS != nil), c.validateHeader(), c.validateSNS())
}

func (c *Config) validateHeader() error {
	h := c.SecretHeader
	if h == nil {
		return nil
	}
	var errs []error
	switch name := http.CanonicalHeaderKey(h.Name); {
	case !httpguts.ValidHeaderFieldName(h.Name):
		errs = append(errs, v1alpha1.Invalid("secretHeader.name", "%q is no name of a header", h.Name))
	case name == "Content-Type" || name == "Content-Length" || name == "Host" || name == "User-Agent":
		errs = append(errs, v1alpha1.Invalid("secretHeader.name", "%s is the sender's own", name))
	}
	if h.Secret == nil {
		errs = append(errs, v1alpha1.Invalid("secretHeader.secret", "is missing"))
	}
	return errors.Join(errs...)
}

// validateSNS knows that a topic is arn:PARTITION:sns:REGION:ACCOUNT:NAME.
func (c *Config) validateSNS() error {
	const example = "for example arn:aws:sns:eu-central-1:123456789012:codecommit"
	if c.SNS == nil {
		return nil
	}
	if len(c.SNS.TopicARNs) == 0 {
		return v1alpha1.Invalid("sns.topicArns", "is missing").Hinted(example)
	}
	var errs []error
	for i, topic := range c.SNS.TopicARNs {
		part := strings.Split(topic, ":")
		switch at := "sns.topicArns" + v1alpha1.Index(i); {
		case topic == "":
			errs = append(errs, v1alpha1.Invalid(at, "is empty").Hinted(example))
		case len(part) < 6 && !strings.Contains(topic, "*"), !strings.HasPrefix(topic, "arn:") && topic[0] != '*':
			errs = append(errs, v1alpha1.Invalid(at, "%q is no topic", topic).Hinted(example))
		case len(part) < 6, part[4] == "", strings.Contains(part[4], "*"):
			errs = append(errs, v1alpha1.Warn(at, "topics of any account fit, and anybody can make one").Hinted("write the account: "+example))
		}
	}
	return errors.Join(errs...)
}
