package webhook

import (
	"errors"
	"net/http"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives HTTP requests.
type Config struct {
	v1alpha1.WebhookContext `json:",inline"`

	// Filter drops events for which it is not true; the request is answered 200 then.
	// +optional
	Filter *v1alpha1.EventSourceFilter `json:"filter,omitempty"`
	// IDHeader names a header whose value becomes the event's id, for example
	// Idempotency-Key or X-Request-Id. A request that is sent again with the
	// same value is then stored once. A request without it gets a random id. Signalbox.
	// +optional
	IDHeader string `json:"idHeader,omitempty"`
	// Signature asks for a keyed hash of the body, for senders that sign and have
	// no kind of their own here. Signalbox.
	// +optional
	Signature *Signature `json:"signature,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() { ingress.Default(&c.WebhookContext) }

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var header error
	if c.IDHeader != "" && !isToken(c.IDHeader) {
		header = v1alpha1.Invalid("idHeader", "%q is no name of a header", c.IDHeader).Hinted("for example %s", "Idempotency-Key")
	} else if http.CanonicalHeaderKey(c.IDHeader) == "Authorization" {
		header = v1alpha1.Invalid("idHeader", "an id is not secret, and the Authorization header is")
	}
	return errors.Join(
		ingress.Validate("", &c.WebhookContext),
		header,
		c.Signature.validate(),
		ingress.NoteOpenUnless("", &c.WebhookContext, c.Signature != nil),
	)
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == ':' || c == '"' || c == '(' || c == ')' || c == ',' || c == '/' || c == '=' {
			return false
		}
	}
	return s != ""
}
