package sns

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives the messages of a topic of Amazon SNS.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where messages are received. Its url is what is subscribed.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// TopicArn is the topic; messages of others are refused.
	TopicArn string `json:"topicArn"`
	// AccessKey and SecretKey are credentials to subscribe with. Without them
	// those of the environment are used: AWS_ACCESS_KEY_ID and its like, or the
	// role of the pod's service account (AWS_WEB_IDENTITY_TOKEN_FILE).
	// +optional
	AccessKey *corev1.SecretKeySelector `json:"accessKey,omitempty"`
	// SecretKey belongs to accessKey.
	// +optional
	SecretKey *corev1.SecretKeySelector `json:"secretKey,omitempty"`
	// Region of the topic. Defaults to the one in topicArn.
	// +optional
	Region string `json:"region,omitempty"`
	// RoleARN is a role to take on before subscribing.
	// +optional
	RoleARN string `json:"roleARN,omitempty"`
	// Endpoint is where Amazon's API is, if it is a stand-in for it.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// ValidateSignature takes only messages that Amazon SNS has signed. Without
	// it whoever reaches the endpoint can send messages in the topic's name.
	// +optional
	ValidateSignature bool `json:"validateSignature,omitempty"`
	// AllowRawDelivery takes messages of subscriptions with raw message delivery,
	// too. They have no signature. Signalbox.
	// +optional
	AllowRawDelivery bool `json:"allowRawDelivery,omitempty"`
	// Subscribe subscribes the endpoint to the topic by API, and keeps it so.
	// Defaults to true where webhook.url is given; false leaves it to you.
	// Signalbox.
	// +optional
	Subscribe *bool `json:"subscribe,omitempty"`
	// DeleteSubscriptionOnFinish removes the subscription when the EventSource is
	// deleted. Signalbox.
	// +optional
	DeleteSubscriptionOnFinish bool `json:"deleteSubscriptionOnFinish,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Webhook.Method = http.MethodPost // Amazon SNS knows no other
	ingress.Default(&c.Webhook)
	if c.Metadata == nil {
		c.Metadata = c.Webhook.Metadata
	}
	// arn:PARTITION:sns:REGION:ACCOUNT:NAME
	if part := strings.Split(c.TopicArn, ":"); c.Region == "" && len(part) > 4 {
		c.Region = part[3]
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{ingress.Validate("webhook", &c.Webhook)}
	if c.TopicArn == "" {
		errs = append(errs, v1alpha1.Invalid("topicArn", "is missing").Hinted("for example arn:aws:sns:eu-central-1:123456789012:events"))
	}
	if strings.Contains(c.TopicArn, "*") {
		errs = append(errs, v1alpha1.Invalid("topicArn", "is one topic, not a pattern"))
	}
	if c.Region == "" && c.TopicArn != "" {
		errs = append(errs, v1alpha1.Invalid("region", "is missing, and topicArn does not tell it"))
	}
	if (c.AccessKey == nil) != (c.SecretKey == nil) {
		errs = append(errs, v1alpha1.Invalid("", "accessKey and secretKey belong together").Hinted("give both or none"))
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "") {
		errs = append(errs, v1alpha1.Invalid("endpoint", "%q is no address", c.Endpoint).Hinted("for example http://localstack:4566"))
	}
	if !c.ValidateSignature || c.AllowRawDelivery {
		hint := "set validateSignature: true"
		if c.ValidateSignature {
			hint = "allowRawDelivery takes what nobody has signed"
		}
		for _, p := range v1alpha1.Problems(ingress.NoteOpen("webhook", &c.Webhook)) {
			errs = append(errs, p.Hinted("%s", hint))
		}
	}
	if c.DeleteSubscriptionOnFinish && c.Subscribe != nil && !*c.Subscribe {
		for _, p := range v1alpha1.Problems(githost.NoteUnkept("subscribe is false")) {
			p.Path, p.Message = "deleteSubscriptionOnFinish", "has no effect, because no subscription is made from here"
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// subscribes tells whether the subscription is kept from here, at the address target.
func (c *Config) subscribes(target string) bool {
	return target != "" && (c.Subscribe == nil || *c.Subscribe)
}
