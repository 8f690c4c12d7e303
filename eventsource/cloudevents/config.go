package cloudevents

import (
	"errors"
	"slices"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives CloudEvents over HTTP. Signalbox.
type Config struct {
	v1alpha1.WebhookContext `json:",inline"`

	// Filter drops events for which it is not true; its names are the keys of
	// the event's data. The request is answered 200 then.
	// +optional
	Filter *v1alpha1.EventSourceFilter `json:"filter,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() { ingress.Default(&c.WebhookContext) }

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var method, metadata error
	if slices.Contains([]string{"GET", "HEAD"}, c.Method) {
		method = v1alpha1.Invalid("method", "a %s request brings no event", c.Method).Hinted("leave it out, or write POST")
	}
	if len(c.Metadata) > 0 {
		metadata = v1alpha1.Warn("metadata", "is not put into CloudEvents, whose data is kept as it is")
	}
	return errors.Join(
		ingress.Validate("", &c.WebhookContext),
		method,
		metadata,
		ingress.NoteOpen("", &c.WebhookContext),
	)
}
