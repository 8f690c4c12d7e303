package registry

import (
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that takes the notifications of container registries. Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook is where to listen, with the credentials and limits that hold for
	// every sender. If the endpoint has the variable {token}, as in /registry/{token},
	// its place in the path has to hold secret: for registries that can send no header.
	Webhook v1alpha1.WebhookContext `json:"webhook"`
	// Provider is the registry's kind: distribution, gitlab, dockerhub, ghcr, quay,
	// harbor, acr, gar (and gcr.io), ecr, artifactory, nexus, gitea, zot, aliyun, cdevents or
	// generic; auto tells it from each delivery. Defaults to auto.
	// +optional
	Provider string `json:"provider,omitempty"`
	// Secret is what deliveries have to prove that they know: the HMAC key of ghcr,
	// nexus, gitea and artifactory; for others a token in secretHeader, and for all
	// the {token} of the endpoint. Further values may be in webhook.acceptedSecrets.
	// +optional
	Secret *corev1.SecretKeySelector `json:"secret,omitempty"`
	// SecretHeader is the header that has the secret where a delivery is not
	// signed. Defaults to Authorization (SECRET, Bearer SECRET, or basic authentication with
	// the secret as the password or as USER:PASSWORD), and X-Api-Key for ecr.
	// +optional
	SecretHeader string `json:"secretHeader,omitempty"`
	// Registry is the host of the registry, with its port, where a delivery does not
	// tell it (nexus, zot, charts of acr; generic) or where it is another one than what images
	// are pulled from. If provider is not auto, it takes the place of what deliveries tell.
	// +optional
	Registry string `json:"registry,omitempty"`
	// Actions of which events are made: push, delete, pull, scan, promote,
	// quarantine, other. Defaults to push.
	// +optional
	Actions []string `json:"actions,omitempty"`
	// Kinds of things of which events are made: image, index, chart, signature,
	// other, unknown (where the registry does not tell). Defaults to image, index, chart and
	// unknown.
	// +optional
	Kinds []string `json:"kinds,omitempty"`
	// Untagged also makes events of pushes without a tag, such as those of each
	// platform's image of an index.
	// +optional
	Untagged bool `json:"untagged,omitempty"`
	// VerifyDigest asks the registry for the digest before an event of a push is stored.
	// +optional
	VerifyDigest *VerifyDigest `json:"verifyDigest,omitempty"`
	// SNS is needed for events of ecr that come through Amazon SNS.
	// +optional
	SNS *SNS `json:"sns,omitempty"`
	// Artifactory says how images are named there.
	// +optional
	Artifactory *Artifactory `json:"artifactory,omitempty"`
	// Nexus says how images are named there.
	// +optional
	Nexus *Nexus `json:"nexus,omitempty"`
	// Mapping says what to take from deliveries of provider generic; required there.
	// +optional
	Mapping *Mapping `json:"mapping,omitempty"`
}

// VerifyDigest says how a registry is asked.
type VerifyDigest struct {
	// Credentials is a secret of type kubernetes.io/dockerconfigjson, key
	// .dockerconfigjson. Without it the registry is asked anonymously.
	// +optional
	Credentials *corev1.SecretKeySelector `json:"credentials,omitempty"`
	// Hosts that may be asked, * being any characters, beside registry, the hosts of
	// credentials and the well-known public ones. A host that a delivery names is not asked otherwise.
	// +optional
	Hosts []string `json:"hosts,omitempty"`
	// Timeout for one question. Defaults to 3s.
	// +optional
	Timeout string `json:"timeout,omitempty"`
	// OnFailure says what happens when the registry cannot be asked: refuse answers 503, so
	// that the sender tries again, if it is one that does; emit stores the event
	// without digestChecked. Defaults to refuse.
	// +optional
	OnFailure string `json:"onFailure,omitempty"`
	// PlainHTTP allows to ask a registry without TLS.
	// +optional
	PlainHTTP bool `json:"plainHTTP,omitempty"`
	// CASecret is the certificate authority of the registry, PEM, where it is none
	// that the system knows.
	// +optional
	CASecret *corev1.SecretKeySelector `json:"caSecret,omitempty"`
}

// SNS says which messages of Amazon SNS are taken.
type SNS struct {
	// TopicARNs are the topics, * being any characters. A subscription to one of
	// them is confirmed when Amazon asks.
	TopicARNs []string `json:"topicArns"`
	// Certificate is the certificate that messages are signed with, PEM, where
	// Amazon's cannot be fetched.
	// +optional
	Certificate *corev1.SecretKeySelector `json:"certificate,omitempty"`
}

// Artifactory says how the images of a JFrog Artifactory are pulled.
type Artifactory struct {
	// Access is path (HOST/KEY/IMAGE), subdomain (KEY.HOST/IMAGE) or port
	// (HOST/IMAGE, with registry as the host). Defaults to path.
	// +optional
	Access string `json:"access,omitempty"`
	// RepositoryKey takes the place of the one that was pushed to: the virtual
	// repository that images are pulled from.
	// +optional
	RepositoryKey string `json:"repositoryKey,omitempty"`
	// Signed refuses deliveries that have the secret itself instead of a signature.
	// +optional
	Signed bool `json:"signed,omitempty"`
}

// Nexus says how the images of a Sonatype Nexus are pulled.
type Nexus struct {
	// Access is port (HOST:PORT/IMAGE, with registry as the host) or path
	// (HOST/REPOSITORY/IMAGE). Defaults to port.
	// +optional
	Access string `json:"access,omitempty"`
}

// Mapping has expressions in CEL over body (the delivery) and headers (a map of lists
// by canonical name). What a delivery lacks is left out, except the repository.
type Mapping struct {
	// Each is a list in the delivery, of whose elements an event each is made; the
	// other expressions have the element as item.
	// +optional
	Each string `json:"each,omitempty"`
	// Repository such as body.image.name; it may have the host in front of it, and a tag
	// or digest behind.
	Repository string `json:"repository"`
	// Registry is the host, if repository does not have it.
	// +optional
	Registry string `json:"registry,omitempty"`
	// Tag such as body.image.tag.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest with its algorithm, sha256:...
	// +optional
	Digest string `json:"digest,omitempty"`
	// MediaType of the manifest.
	// +optional
	MediaType string `json:"mediaType,omitempty"`
	// Kind yields one of those of kinds.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Action yields one of those of actions; anything else is other. Without it
	// every delivery is a push.
	// +optional
	Action string `json:"action,omitempty"`
	// URL for people.
	// +optional
	URL string `json:"url,omitempty"`
	// SourceRepository is the repository of the code, as OWNER/NAME.
	// +optional
	SourceRepository string `json:"sourceRepository,omitempty"`
	// Actor is who has pushed.
	// +optional
	Actor string `json:"actor,omitempty"`
	// Time in RFC 3339 or as Unix seconds.
	// +optional
	Time string `json:"time,omitempty"`
	// ID of the delivery, the same when it is sent again. Without it the id is a hash of the
	// delivery if there is a digest, and random otherwise.
	// +optional
	ID string `json:"id,omitempty"`
}

const (
	auto          = "auto"
	onRefuse      = "refuse"
	onEmit        = "emit"
	byPath        = "path"
	bySubdomain   = "subdomain"
	byPort        = "port"
	checkPatience = 3 * time.Second
)

var (
	allActions = []string{
		imageevent.Push, imageevent.Delete, imageevent.Pull, imageevent.Scan,
		imageevent.Promote, imageevent.Quarantine, imageevent.Other,
	}
	allKinds = []string{
		imageevent.KindImage, imageevent.KindIndex, imageevent.KindChart,
		imageevent.KindSignature, imageevent.KindOther, imageevent.KindUnknown,
	}
)

// Default implements kind.Config.
func (c *Config) Default() {
	ingress.Default(&c.Webhook)
	or(&c.Provider, auto)
	if len(c.Actions) == 0 {
		c.Actions = []string{imageevent.Push}
	}
	if len(c.Kinds) == 0 {
		c.Kinds = []string{imageevent.KindImage, imageevent.KindIndex, imageevent.KindChart, imageevent.KindUnknown}
	}
	if v := c.VerifyDigest; v != nil {
		or(&v.OnFailure, onRefuse)
		or(&v.Timeout, checkPatience.String())
	}
	if c.Artifactory != nil {
		or(&c.Artifactory.Access, byPath)
	}
	if c.Nexus != nil {
		or(&c.Nexus.Access, byPort)
	}
}

func or(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{ingress.Validate("webhook", &c.Webhook)}
	add := func(p *v1alpha1.Problem) { errs = append(errs, p) }
	oneOf := func(path, value string, known ...string) {
		if !slices.Contains(known, value) {
			add(v1alpha1.Invalid(path, "there is no %q", value).Hinted("one of %s", strings.Join(known, ", ")))
		}
	}
	oneOf("provider", c.Provider, providerNames()...)
	for i, a := range c.Actions {
		oneOf("actions"+v1alpha1.Index(i), a, allActions...)
	}
	for i, k := range c.Kinds {
		oneOf("kinds"+v1alpha1.Index(i), k, allKinds...)
	}
	if c.Registry != "" && (strings.Contains(c.Registry, "/") || strings.ContainsAny(c.Registry, " @")) {
		add(v1alpha1.Invalid("registry", "%q is no host", c.Registry).Hinted("the host alone, with the port if it has one, such as registry.example.com:5000"))
	}
	if slices.Contains(hostless, c.Provider) && c.Registry == "" {
		add(v1alpha1.Warn("registry", "is missing, and a delivery of %s does not tell the host", c.Provider))
	}
	if c.Artifactory != nil {
		oneOf("artifactory.access", c.Artifactory.Access, byPath, bySubdomain, byPort)
	}
	if c.Nexus != nil {
		oneOf("nexus.access", c.Nexus.Access, byPort, byPath)
	}
	if c.SNS != nil && len(c.SNS.TopicARNs) == 0 {
		add(v1alpha1.Invalid("sns.topicArns", "is missing").Hinted("anybody can have messages signed by Amazon, so say of which topics they are taken"))
	}
	errs = append(errs, c.validateSecret(), c.validateCheck(), c.validateMapping())
	return errors.Join(errs...)
}

// hostless are the providers whose deliveries never tell the registry's host.
var hostless = []string{"nexus", "zot"}

// mute are the providers that can be told to send no secret in a header.
var mute = []string{"dockerhub", "quay", "aliyun"}

func (c *Config) validateSecret() error {
	var errs []error
	token := hasToken(c.Webhook.Endpoint)
	switch {
	case c.Secret == nil && token:
		errs = append(errs, v1alpha1.Invalid("secret", "is missing, which the {token} of the endpoint is compared with"))
	case c.Secret != nil && !token && slices.Contains(mute, c.Provider):
		errs = append(errs, v1alpha1.Invalid("secret", "%s sends no secret in a header", c.Provider).
			Hinted("put {token} into the path, as in endpoint: /registry/{token}, and the secret in its place in the URL"))
	case c.Secret == nil && c.SecretHeader != "":
		errs = append(errs, v1alpha1.Invalid("secret", "is missing, which secretHeader has to hold"))
	}
	if c.Secret == nil && (c.SNS == nil || c.Provider != "ecr") {
		errs = append(errs, ingress.NoteOpen("webhook", &c.Webhook))
	}
	return errors.Join(errs...)
}

func (c *Config) validateCheck() error {
	v := c.VerifyDigest
	if v == nil {
		return nil
	}
	var errs []error
	if v.OnFailure != onRefuse && v.OnFailure != onEmit {
		errs = append(errs, v1alpha1.Invalid("verifyDigest.onFailure", "there is no %q", v.OnFailure).Hinted("refuse or emit"))
	}
	if d, err := time.ParseDuration(v.Timeout); err != nil || d <= 0 || d > time.Minute {
		errs = append(errs, v1alpha1.Invalid("verifyDigest.timeout", "%q is no time from 1ms to 1m", v.Timeout).Hinted("for example 3s"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateMapping() error {
	switch {
	case c.Mapping == nil && c.Provider == "generic":
		return v1alpha1.Invalid("mapping", "is missing").Hinted("provider generic needs at least mapping.repository")
	case c.Mapping == nil:
		return nil
	case c.Provider != "generic":
		return v1alpha1.Warn("mapping", "is not used, as provider is %s", c.Provider).Hinted("write provider: generic")
	}
	_, err := compileMapping(c.Mapping)
	return err
}

func hasToken(endpoint string) bool {
	return strings.Contains(endpoint, "{token}") || strings.Contains(endpoint, "{token:")
}
