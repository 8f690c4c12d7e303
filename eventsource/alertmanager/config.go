package alertmanager

import (
	"errors"
	"net/http"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives the notifications of a Prometheus
// Alertmanager. Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where notifications are received, and with which credentials.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// PerAlert makes an event of each alert of a notification, instead of one of
	// the whole group. Signalbox.
	// +optional
	PerAlert bool `json:"perAlert,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Webhook.Method = http.MethodPost // it knows no other
	ingress.Default(&c.Webhook)
	if c.Metadata == nil {
		c.Metadata = c.Webhook.Metadata
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	return errors.Join(
		ingress.Validate("webhook", &c.Webhook),
		ingress.NoteOpen("webhook", &c.Webhook),
	)
}
