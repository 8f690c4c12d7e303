package storagegrid

import (
	"errors"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives the bucket notifications of a NetApp StorageGRID.
type Config struct {
	// Webhook says where notifications are received. Its url is what StorageGRID
	// is told, its basicAuth what StorageGRID has to show.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// Events to be notified of, such as s3:ObjectCreated:*. Needed with apiURL.
	// +optional
	Events []string `json:"events,omitempty"`
	// Filter drops what happens to other objects; the request is answered 200 then.
	// +optional
	Filter *Filter `json:"filter,omitempty"`
	// TopicArn is the URN of the endpoint at StorageGRID, such as
	// urn:sgws:sns:us-east::events. Needed with apiURL.
	// +optional
	TopicArn string `json:"topicArn,omitempty"`
	// Bucket to be notified about. Needed with apiURL.
	// +optional
	Bucket string `json:"bucket,omitempty"`
	// Region is accepted for compatibility and not used.
	// +optional
	Region string `json:"region,omitempty"`
	// AuthToken is a bearer token for StorageGRID's API.
	// +optional
	AuthToken *corev1.SecretKeySelector `json:"authToken,omitempty"`
	// APIURL is StorageGRID's tenant management API, such as
	// https://grid.example.com/api/v4. The endpoint and the bucket's
	// notifications are kept there as wanted; empty leaves both to you.
	// +optional
	APIURL string `json:"apiURL,omitempty"`
	// Metadata is put into every event's data, under the key metadata.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// TLS for StorageGRID's API.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// DeleteHookOnFinish removes the notifications and the endpoint at StorageGRID
	// when the EventSource is deleted. Signalbox.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
}

// Filter selects objects by their names.
type Filter struct {
	// Prefix that names have.
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// Suffix that names have.
	// +optional
	Suffix string `json:"suffix,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Webhook.Method = http.MethodPost // StorageGRID knows no other, but HEAD
	ingress.Default(&c.Webhook)
	if c.Metadata == nil {
		c.Metadata = c.Webhook.Metadata
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{
		ingress.Validate("webhook", &c.Webhook),
		v1alpha1.At("tls", c.TLS.Validate()),
	}
	for _, p := range v1alpha1.Problems(ingress.NoteOpen("webhook", &c.Webhook)) {
		errs = append(errs, p.Hinted("set basicAuth, and the same at StorageGRID's endpoint"))
	}
	if c.Webhook.AuthSecret != nil {
		errs = append(errs, v1alpha1.Warn("webhook.authSecret", "is a bearer token, which StorageGRID cannot send").Hinted("use basicAuth"))
	}
	if c.APIURL == "" {
		if c.DeleteHookOnFinish {
			errs = append(errs, githost.NoteUnkept("set apiURL"))
		}
		return errors.Join(errs...)
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"authToken", c.AuthToken != nil},
		{"bucket", c.Bucket != ""},
		{"events", len(c.Events) > 0},
		{"topicArn", c.TopicArn != ""},
	} {
		if !f.given {
			errs = append(errs, v1alpha1.Invalid(f.name, "is missing").Hinted("apiURL needs it"))
		}
	}
	if _, err := url.Parse(c.APIURL); err != nil {
		errs = append(errs, v1alpha1.Invalid("apiURL", "%q is no address", c.APIURL).Hinted("for example https://grid.example.com/api/v4"))
	}
	return errors.Join(errs...)
}

// passes tells whether an object is of interest. Notifications have names as in
// a URL; either form is understood.
func (f *Filter) passes(key string) bool {
	if f == nil {
		return true
	}
	plain, err := url.QueryUnescape(key)
	return f.matches(key) || err == nil && f.matches(plain)
}
