package slack

import (
	"errors"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives the requests of a Slack app: events,
// interactions and slash commands.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where requests are received.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// SigningSecret is the app's signing secret, with which Slack signs every
	// request.
	SigningSecret *corev1.SecretKeySelector `json:"signingSecret"`
	// Token is accepted for compatibility and not used: nothing is asked of Slack.
	// +optional
	Token *corev1.SecretKeySelector `json:"token,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Webhook.Method = http.MethodPost // Slack knows no other
	ingress.Default(&c.Webhook)
	if c.Metadata == nil {
		c.Metadata = c.Webhook.Metadata
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{ingress.Validate("webhook", &c.Webhook)}
	if c.SigningSecret == nil {
		errs = append(errs, v1alpha1.Invalid("signingSecret", "is missing").
			Hinted("the app's Signing Secret, from its page Basic Information at api.slack.com/apps"))
	}
	return errors.Join(errs...)
}
