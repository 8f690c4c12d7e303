package bitbucket

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const defaultAPI = "https://api.bitbucket.org/2.0"

// Config is one endpoint that receives the webhooks of Bitbucket Cloud, of
// repositories or whole workspaces.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. With its url and auth the hook is kept at Bitbucket.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// WebhookSecret is what Bitbucket signs its requests with (the header
	// X-Hub-Signature, HMAC with SHA-256). Signalbox.
	// +optional
	WebhookSecret *corev1.SecretKeySelector `json:"webhookSecret,omitempty"`
	// Auth has the credentials for Bitbucket's API: to keep the hook, and to look
	// up changed files. Without it neither is done.
	// +optional
	Auth *Auth `json:"auth,omitempty"`
	// Events of the hook in Bitbucket's words, for example repo:push and pullrequest:created.
	// +optional
	Events []string `json:"events,omitempty"`
	// Repositories in which to keep the hook.
	// +optional
	Repositories []Repository `json:"repositories,omitempty"`
	// Workspaces in which to keep the hook; one there tells of all repositories. Signalbox.
	// +optional
	Workspaces []string `json:"workspaces,omitempty"`
	// Owner of one repository. Deprecated: use repositories.
	// +optional
	Owner string `json:"owner,omitempty"`
	// RepositorySlug of one repository. Deprecated: use repositories. It counts only
	// where repositories is empty.
	// +optional
	RepositorySlug string `json:"repositorySlug,omitempty"`
	// ProjectKey has no effect.
	// +optional
	ProjectKey string `json:"projectKey,omitempty"`
	// DeleteHookOnFinish removes the hook from Bitbucket when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// ChangedFiles says how to find out which files a push changed; Bitbucket does
	// not send them. Signalbox.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
	// APIURL is the address of Bitbucket's API. Defaults to
	// https://api.bitbucket.org/2.0. Signalbox.
	// +optional
	APIURL string `json:"apiURL,omitempty"`
}

// Auth is one kind of credentials.
type Auth struct {
	// Basic is a user name (an Atlassian account's email for an API token) and a
	// password, app password or API token.
	// +optional
	Basic *v1alpha1.BasicAuth `json:"basic,omitempty"`
	// OAuthToken is an access token, of OAuth or of a repository, project or workspace.
	// +optional
	OAuthToken *corev1.SecretKeySelector `json:"oauthToken,omitempty"`
}

// Repository is named by its workspace and its slug.
type Repository struct {
	// Owner is the workspace.
	Owner string `json:"owner,omitempty"`
	// RepositorySlug is the repository's name in URLs.
	RepositorySlug string `json:"repositorySlug,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.APIURL == "" {
		c.APIURL = defaultAPI
	}
	c.ChangedFiles.Default(c.credentials())
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{
		githost.Validate(c.Webhook, c.WebhookSecret != nil),
		c.validateAuth(), c.validatePlaces(),
	}
	switch {
	case c.kept() && len(c.targets()) == 0:
		errs = append(errs, v1alpha1.Invalid("repositories", "is missing, and so is workspaces").Hinted("name where to keep the hook, or leave webhook.url out"))
	case c.kept() && len(c.Events) == 0:
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example repo:push"))
	case !c.kept() && c.DeleteHookOnFinish:
		errs = append(errs, githost.NoteUnkept("set webhook.url and auth"))
	}
	for i, e := range c.Events {
		if !strings.Contains(e, ":") {
			errs = append(errs, v1alpha1.Warn("events"+v1alpha1.Index(i), "%q is no event of Bitbucket", e).Hinted("for example repo:push"))
		}
	}
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, v1alpha1.Invalid("apiURL", "is no URL").Hinted("for example %s", defaultAPI))
	}
	needs := ""
	if !c.credentials() {
		needs = "set auth"
	}
	errs = append(errs, c.ChangedFiles.Validate("changedFiles", needs))
	return errors.Join(errs...)
}

func (c *Config) validateAuth() error {
	switch a := c.Auth; {
	case a == nil:
		return nil
	case a.Basic != nil && a.OAuthToken != nil:
		return v1alpha1.Warn("auth", "has basic and oauthToken, of which oauthToken is used")
	case a.OAuthToken != nil:
		return nil
	case a.Basic == nil:
		return v1alpha1.Invalid("auth", "is empty").Hinted("give basic or oauthToken, or leave it out")
	case a.Basic.Username == nil || a.Basic.Password == nil:
		return v1alpha1.Invalid("auth.basic", "needs username and password")
	}
	return nil
}

func (c *Config) validatePlaces() error {
	var errs []error
	for i, r := range c.Repositories {
		if r.Owner == "" || r.RepositorySlug == "" {
			errs = append(errs, v1alpha1.Invalid("repositories"+v1alpha1.Index(i), "needs owner and repositorySlug"))
		}
	}
	for i, w := range c.Workspaces {
		if w == "" {
			errs = append(errs, v1alpha1.Invalid("workspaces"+v1alpha1.Index(i), "is empty"))
		}
	}
	if len(c.Repositories) == 0 && (c.Owner == "") != (c.RepositorySlug == "") {
		errs = append(errs, v1alpha1.Invalid("owner", "belongs together with repositorySlug"))
	}
	return errors.Join(errs...)
}

func (c *Config) credentials() bool {
	return c.Auth != nil && (c.Auth.OAuthToken != nil || c.Auth.Basic != nil)
}

// kept tells whether the hook is kept at Bitbucket.
func (c *Config) kept() bool { return c.Webhook != nil && c.Webhook.URL != "" && c.credentials() }

// targets are the places of the hook, as paths in the API.
func (c *Config) targets() []string {
	var t []string
	for _, r := range c.Repositories {
		t = append(t, "repositories"+githost.Escape(r.Owner, r.RepositorySlug))
	}
	if len(c.Repositories) == 0 && c.RepositorySlug != "" {
		t = append(t, "repositories"+githost.Escape(c.Owner, c.RepositorySlug))
	}
	for _, w := range c.Workspaces {
		t = append(t, "workspaces"+githost.Escape(w))
	}
	slices.Sort(t)
	return slices.Compact(t)
}
