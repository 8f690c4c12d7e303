package gitlab

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const defaultBaseURL = "https://gitlab.com"

// Config is one endpoint that receives GitLab's webhooks, of projects, groups or
// the whole instance.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. With its url and accessToken the hook is kept at GitLab.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// ProjectID is one project. Deprecated: use projects. It counts only where projects is empty.
	// +optional
	ProjectID string `json:"projectID,omitempty"`
	// Projects in which to keep the hook: ids, or paths such as group/name.
	// +optional
	Projects []string `json:"projects,omitempty"`
	// Groups in which to keep the hook: ids, or paths. GitLab has hooks of groups
	// in its paid tiers only.
	// +optional
	Groups []string `json:"groups,omitempty"`
	// Events of the hook, named as in Argo Events (PushEvents, TagPushEvents,
	// MergeRequestsEvents) or as in GitLab's API (push_events).
	// +optional
	Events []string `json:"events,omitempty"`
	// AccessToken for GitLab's API, with the scope api: to keep the hook, and to
	// look up changed files.
	// +optional
	AccessToken *corev1.SecretKeySelector `json:"accessToken,omitempty"`
	// EnableSSLVerification makes GitLab check the certificate of webhook.url.
	// +optional
	EnableSSLVerification bool `json:"enableSSLVerification,omitempty"`
	// GitlabBaseURL is GitLab's address. Defaults to https://gitlab.com.
	// +optional
	GitlabBaseURL string `json:"gitlabBaseURL,omitempty"`
	// DeleteHookOnFinish removes the hook from GitLab when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// SecretToken is what GitLab has to send in the header X-Gitlab-Token.
	// +optional
	SecretToken *corev1.SecretKeySelector `json:"secretToken,omitempty"`
	// SigningToken, whsec_..., is what GitLab has to sign its requests with (the
	// header webhook-signature). Given together with secretToken, both have to be right. Signalbox.
	// +optional
	SigningToken *corev1.SecretKeySelector `json:"signingToken,omitempty"`
	// TLS is for a GitLab whose certificate is none that the system trusts. Signalbox.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// ChangedFiles says what to do about changed files that GitLab does not send. Signalbox.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.GitlabBaseURL == "" {
		c.GitlabBaseURL = defaultBaseURL
	}
	c.ChangedFiles.Default(c.AccessToken != nil)
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{githost.Validate(c.Webhook, c.signed())}
	errs = append(errs, c.validateHook(), c.validateEvents())
	if u, err := url.Parse(c.GitlabBaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, v1alpha1.Invalid("gitlabBaseURL", "is no URL").Hinted("for example https://gitlab.example.com"))
	}
	if c.TLS != nil {
		errs = append(errs, v1alpha1.At("tls", c.TLS.Validate()))
	}
	needs := ""
	if c.AccessToken == nil {
		needs = "set accessToken"
	}
	errs = append(errs, c.ChangedFiles.Validate("changedFiles", needs))
	return errors.Join(errs...)
}

func (c *Config) validateHook() error {
	var errs []error
	asked := c.Webhook != nil && c.Webhook.URL != "" && c.AccessToken != nil
	switch {
	case asked && len(c.projects())+len(c.Groups) == 0:
		errs = append(errs, v1alpha1.Warn("projects", "is missing, and so is groups: the hook at GitLab is not kept from here").Hinted("name where to keep it"))
	case asked && len(c.Events) == 0:
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example PushEvents"))
	case !asked && c.DeleteHookOnFinish:
		errs = append(errs, githost.NoteUnkept("set webhook.url and accessToken"))
	}
	for _, list := range []struct {
		field string
		names []string
	}{{"projects", c.Projects}, {"groups", c.Groups}} {
		for i, name := range list.names {
			if strings.Trim(name, "/ ") == "" {
				errs = append(errs, v1alpha1.Invalid(list.field+v1alpha1.Index(i), "is empty"))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateEvents() error {
	var errs []error
	for i, name := range c.Events {
		path := "events" + v1alpha1.Index(i)
		e, ok := hookEventNamed(name)
		switch {
		case !ok:
			errs = append(errs, v1alpha1.Invalid(path, "GitLab's hooks have no event %s", strconv.Quote(name)).Hinted("%s", eventHint(name)))
		case e.groups && len(c.Groups) == 0:
			errs = append(errs, v1alpha1.Warn(path, "only hooks of groups have %s", name))
		}
	}
	return errors.Join(errs...)
}

// signed tells whether deliveries have to prove anything of GitLab's own.
func (c *Config) signed() bool { return c.SecretToken != nil || c.SigningToken != nil }

// kept tells whether the hook at GitLab is kept from here.
func (c *Config) kept() bool {
	return c.Webhook.URL != "" && c.AccessToken != nil && len(c.targets()) > 0 && len(c.Events) > 0
}

func (c *Config) projects() []string {
	if len(c.Projects) == 0 && c.ProjectID != "" {
		return []string{c.ProjectID}
	}
	return c.Projects
}

// targets are the API's paths of the projects and groups.
func (c *Config) targets() []string {
	var targets []string
	for _, p := range c.projects() {
		targets = append(targets, githost.Escape("projects", strings.Trim(p, "/ ")))
	}
	for _, g := range c.Groups {
		targets = append(targets, githost.Escape("groups", strings.Trim(g, "/ ")))
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

// apiURL is where the API's paths begin.
func (c *Config) apiURL() string {
	base := strings.TrimRight(c.GitlabBaseURL, "/")
	return strings.TrimSuffix(base, "/api/v4") + "/api/v4"
}
