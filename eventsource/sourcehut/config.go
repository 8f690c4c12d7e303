package sourcehut

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const (
	// defaultKey is the public key that sr.ht signs with.
	defaultKey = "uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4="
	defaultURL = "https://git.sr.ht"
)

// Config is one endpoint that receives the webhooks of SourceHut's Git service.
// Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. Deliveries have to be signed with the key that
	// belongs to publicKey. That proves that the instance has sent them, for whichever of
	// its users, so the endpoint should be one that nobody can guess.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// PublicKey is the instance's public key for webhooks: base64 of 32 bytes.
	// Defaults to that of sr.ht. Further ones are accepted by webhook.acceptedSecrets.
	// +optional
	PublicKey string `json:"publicKey,omitempty"`
	// PublicKeyFrom is a secret or a ConfigMap that has the public key.
	// +optional
	PublicKeyFrom *v1alpha1.ValueFromSource `json:"publicKeyFrom,omitempty"`
	// Repository is the repository's name, ~owner/name, for deliveries that do not
	// tell it: those of the event repo:post-update.
	// +optional
	Repository string `json:"repository,omitempty"`
	// SourcehutBaseURL is the address of the instance's Git service. Defaults to
	// https://git.sr.ht.
	// +optional
	SourcehutBaseURL string `json:"sourcehutBaseURL,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.PublicKey == "" && c.PublicKeyFrom == nil {
		c.PublicKey = defaultKey
	}
	if c.SourcehutBaseURL == "" {
		c.SourcehutBaseURL = defaultURL
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{githost.Validate(c.Webhook, true), c.validateKey()}
	if u, err := url.Parse(c.SourcehutBaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, v1alpha1.Invalid("sourcehutBaseURL", "is no URL").Hinted("for example https://git.example.com"))
	} else if githost.HostOf(c.SourcehutBaseURL) != githost.HostOf(defaultURL) && c.PublicKey == defaultKey {
		errs = append(errs, v1alpha1.Warn("publicKey", "is that of sr.ht, but sourcehutBaseURL is another instance").
			Hinted("the instance's administrator knows its public key for webhooks"))
	}
	if owner, name, ok := strings.Cut(c.Repository, "/"); c.Repository != "" &&
		(!ok || len(owner) < 2 || owner[0] != '~' || name == "" || strings.ContainsAny(name, "/ ")) {
		errs = append(errs, v1alpha1.Invalid("repository", "%q is no repository", c.Repository).Hinted("for example ~dana/shop"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateKey() error {
	from := c.PublicKeyFrom
	switch {
	case from == nil:
		if b, err := base64.StdEncoding.DecodeString(c.PublicKey); err != nil || len(b) != ed25519.PublicKeySize {
			return v1alpha1.Invalid("publicKey", "is not base64 of %d bytes", ed25519.PublicKeySize)
		}
	case c.PublicKey != "":
		return v1alpha1.Invalid("publicKeyFrom", "cannot be given together with publicKey").Hinted("give one of them")
	case (from.SecretKeyRef == nil) == (from.ConfigMapKeyRef == nil):
		return v1alpha1.Invalid("publicKeyFrom", "needs secretKeyRef or configMapKeyRef").Hinted("give one of them")
	}
	return nil
}
