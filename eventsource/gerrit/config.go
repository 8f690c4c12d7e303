package gerrit

import (
	"errors"
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// Config is one endpoint that receives what Gerrit's webhooks plugin sends. Gerrit
// signs nothing: reach it over an endpoint that nobody can guess, or with
// credentials that a proxy between the two adds.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. With its url, auth and projects the hook is kept at Gerrit.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// HookName is the hook's name at Gerrit (a remote of the webhooks plugin).
	// Defaults to the names of the EventSource and the event.
	// +optional
	HookName string `json:"hookName,omitempty"`
	// Events of the hook, such as patchset-created, change-merged and ref-updated.
	// +optional
	Events []string `json:"events,omitempty"`
	// Auth is the user, and his HTTP password, for Gerrit's API: to keep the hook,
	// and to look up changed files.
	// +optional
	Auth *v1alpha1.BasicAuth `json:"auth,omitempty"`
	// GerritBaseURL is Gerrit's address.
	// +optional
	GerritBaseURL string `json:"gerritBaseURL,omitempty"`
	// DeleteHookOnFinish removes the hook from Gerrit when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// Projects in which to keep the hook. Those that inherit from one of them send, too.
	// +optional
	Projects []string `json:"projects,omitempty"`
	// SslVerify makes Gerrit check the certificate of webhook.url.
	// +optional
	SslVerify bool `json:"sslVerify,omitempty"`
	// MaxTries is how often Gerrit tries to send an event. Gerrit's own default is 5.
	// +optional
	MaxTries int64 `json:"maxTries,omitempty"`
	// TLS is for a Gerrit whose certificate is none that the system trusts. Signalbox.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// ChangedFiles says what to do about changed files: Gerrit sends none. Signalbox.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
}

// payloadLimit is less than that of other hosts: Gerrit sends little and signs
// nothing, so that anybody could send much.
const payloadLimit = 1 << 20

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Webhook != nil && c.Webhook.MaxPayloadSize == nil {
		limit := int64(payloadLimit)
		c.Webhook.MaxPayloadSize = &limit
	}
	githost.Default(c.Webhook)
	c.ChangedFiles.Default(c.asks())
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{githost.Validate(c.Webhook, false)}
	errs = append(errs, c.validateAPI(), c.validateHook())
	if c.TLS != nil {
		errs = append(errs, v1alpha1.At("tls", c.TLS.Validate()))
	}
	if c.MaxTries < 0 {
		errs = append(errs, v1alpha1.Invalid("maxTries", "is negative"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateAPI() error {
	var errs []error
	if c.Auth != nil && (c.Auth.Username == nil || c.Auth.Password == nil) {
		errs = append(errs, v1alpha1.Invalid("auth", "needs username and password"))
	}
	if c.GerritBaseURL != "" {
		if u, err := url.Parse(c.GerritBaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, v1alpha1.Invalid("gerritBaseURL", "is no URL").Hinted("for example https://review.example.com"))
		}
	} else if c.Auth != nil {
		errs = append(errs, v1alpha1.Invalid("gerritBaseURL", "is missing").Hinted("for example https://review.example.com"))
	}
	needs := ""
	if !c.asks() {
		needs = "set auth and gerritBaseURL"
	}
	return errors.Join(append(errs, c.ChangedFiles.Validate("changedFiles", needs))...)
}

func (c *Config) validateHook() error {
	var errs []error
	asked := c.Webhook != nil && c.Webhook.URL != "" && c.Auth != nil
	switch {
	case asked && len(c.Projects) == 0:
		errs = append(errs, v1alpha1.Warn("projects", "is missing: the hook at Gerrit is not kept from here").Hinted("name where to keep it"))
	case asked && len(c.Events) == 0:
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example patchset-created"))
	case !asked && c.DeleteHookOnFinish:
		errs = append(errs, githost.NoteUnkept("set webhook.url and auth"))
	}
	for _, list := range []struct {
		field string
		names []string
	}{{"events", c.Events}, {"projects", c.Projects}} {
		for i, name := range list.names {
			if strings.TrimSpace(name) == "" {
				errs = append(errs, v1alpha1.Invalid(list.field+v1alpha1.Index(i), "is empty"))
			}
		}
	}
	return errors.Join(errs...)
}

// asks tells whether Gerrit's API can be asked.
func (c *Config) asks() bool {
	return c.GerritBaseURL != "" && c.Auth != nil && c.Auth.Username != nil && c.Auth.Password != nil
}

// kept tells whether the hook at Gerrit is kept from here.
func (c *Config) kept() bool {
	return c.Webhook.URL != "" && c.asks() && len(c.Projects) > 0 && len(c.Events) > 0
}
