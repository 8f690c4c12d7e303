package stripe

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives Stripe's events.
type Config struct {
	// Filter drops events for which it is not true; the request is answered 200
	// then. Signalbox.
	// +optional
	Filter *v1alpha1.EventSourceFilter `json:"filter,omitempty"`
	// Webhook says where events are received. Its url is what Stripe is told with
	// createWebhook.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// SigningSecret is the endpoint's secret at Stripe, whsec_... With it every
	// request has to be signed; without it anybody can send events. Further values
	// are webhook.acceptedSecrets. Signalbox.
	// +optional
	SigningSecret *corev1.SecretKeySelector `json:"signingSecret,omitempty"`
	// CreateWebhook makes the endpoint at Stripe, and keeps it as it is wanted here.
	// +optional
	CreateWebhook bool `json:"createWebhook,omitempty"`
	// APIKey is a secret or restricted key of the account, which may write webhook
	// endpoints. For createWebhook.
	// +optional
	APIKey *corev1.SecretKeySelector `json:"apiKey,omitempty"`
	// EventFilter lists the types of events that are taken, such as
	// invoice.paid; * at the end stands for the rest of a type. Others are
	// answered 200 and dropped. Empty takes all.
	// +optional
	EventFilter []string `json:"eventFilter,omitempty"`
	// Metadata is put into every event's data, under the key metadata.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// DeleteHookOnFinish removes the endpoint at Stripe when the EventSource is
	// deleted. Signalbox.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// APIURL is where Stripe's API is. Defaults to https://api.stripe.com. Signalbox.
	// +optional
	APIURL string `json:"apiURL,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Webhook.Method = http.MethodPost // Stripe knows no other
	ingress.Default(&c.Webhook)
	if c.Metadata == nil {
		c.Metadata = c.Webhook.Metadata
	}
	if c.APIURL == "" {
		c.APIURL = "https://api.stripe.com"
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{ingress.Validate("webhook", &c.Webhook)}
	if c.SigningSecret == nil {
		for _, p := range v1alpha1.Problems(ingress.NoteOpen("webhook", &c.Webhook)) {
			errs = append(errs, p.Hinted("set signingSecret"))
		}
	}
	if c.CreateWebhook && c.APIKey == nil {
		errs = append(errs, v1alpha1.Invalid("apiKey", "is missing").Hinted("createWebhook needs it"))
	}
	if c.CreateWebhook && c.Webhook.URL == "" {
		p := v1alpha1.Invalid("webhook.url", "is missing, so createWebhook makes nothing unless the EventSource has a public address").
			Hinted("the address under which Stripe reaches this, without the endpoint")
		p.Severity = v1alpha1.Note
		errs = append(errs, p)
	}
	for i, t := range c.EventFilter {
		if t == "" {
			errs = append(errs, v1alpha1.Invalid("eventFilter"+v1alpha1.Index(i), "is empty").Hinted("a type such as invoice.paid"))
		}
	}
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		errs = append(errs, v1alpha1.Invalid("apiURL", "%q is no address", c.APIURL).Hinted("leave it out"))
	}
	if c.DeleteHookOnFinish && !c.CreateWebhook {
		errs = append(errs, githost.NoteUnkept("set createWebhook"))
	}
	return errors.Join(errs...)
}

// wanted are the types to ask Stripe for. It knows no patterns but *.
func (c *Config) wanted() []string {
	if len(c.EventFilter) == 0 || slices.ContainsFunc(c.EventFilter, isPattern) {
		return []string{"*"}
	}
	events := slices.Clone(c.EventFilter)
	slices.Sort(events)
	return slices.Compact(events)
}
