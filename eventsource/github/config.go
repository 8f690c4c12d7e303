package github

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives GitHub's webhooks and, if it is given
// credentials and a URL, sets them up at GitHub.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// ID is accepted and not used.
	// +optional
	ID int64 `json:"id,omitempty"`
	// Webhook is the endpoint. Its url is the address under which GitHub reaches
	// it, without the endpoint; with it and apiToken or githubApp the hooks are
	// set up and kept.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// Owner of repository. Deprecated: use repositories.
	// +optional
	Owner string `json:"owner,omitempty"`
	// Repository is the name of one. Deprecated: use repositories.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Events that the hooks are set up for, such as push and pull_request; * is
	// all. What is received is not filtered by it. Required for hooks of
	// repositories and organizations.
	// +optional
	Events []string `json:"events,omitempty"`
	// APIToken is a token for GitHub's API that may administer the hooks. It is
	// preferred to githubApp.
	// +optional
	APIToken *corev1.SecretKeySelector `json:"apiToken,omitempty"`
	// WebhookSecret is what GitHub signs requests with. Without it, requests are
	// taken from anybody who reaches the endpoint.
	// +optional
	WebhookSecret *corev1.SecretKeySelector `json:"webhookSecret,omitempty"`
	// Insecure tells GitHub not to check the certificate of the endpoint.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
	// Active says whether the hooks that are set up send anything. Defaults to false.
	// +optional
	Active *bool `json:"active,omitempty"`
	// ContentType that GitHub is to send, json or form. Defaults to json.
	// +kubebuilder:validation:Enum=json;form;""
	// +optional
	ContentType string `json:"contentType,omitempty"`
	// GithubBaseURL is the address of a GitHub Enterprise Server, such as
	// https://github.example.com; /api/v3/ is added if it is missing.
	// +optional
	GithubBaseURL string `json:"githubBaseURL,omitempty"`
	// GithubUploadURL is accepted and not used.
	// +optional
	GithubUploadURL string `json:"githubUploadURL,omitempty"`
	// DeleteHookOnFinish removes the hooks when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// Repositories that get a hook each; not together with organizations.
	// +optional
	Repositories []OwnedRepositories `json:"repositories,omitempty"`
	// Organizations that get a hook each.
	// +optional
	Organizations []string `json:"organizations,omitempty"`
	// GithubApp is a GitHub App to use the API as. Without repositories and
	// organizations, the App's own hook is set up, which brings the events of all
	// its installations; which ones is chosen in the App's settings.
	// +optional
	GithubApp *App `json:"githubApp,omitempty"`

	// TLS is for the API of a GitHub Enterprise Server whose certificate is none that the
	// system trusts. Signalbox.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// ChangedFiles says what to do about changed files that GitHub does not send. Signalbox.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
	// ForwardPing makes events of pings, too, which GitHub sends when a hook is
	// made. Signalbox.
	// +optional
	ForwardPing bool `json:"forwardPing,omitempty"`
}

// OwnedRepositories are repositories of one owner.
type OwnedRepositories struct {
	// Owner is a user or an organization.
	// +optional
	Owner string `json:"owner,omitempty"`
	// Names of the repositories.
	// +optional
	Names []string `json:"names,omitempty"`
}

// App is a GitHub App.
type App struct {
	// PrivateKey of the App, PEM.
	PrivateKey *corev1.SecretKeySelector `json:"privateKey"`
	// AppID is the App's number.
	AppID int64 `json:"appID"`
	// InstallationID is the number of the App's installation; looked up for each
	// owner if it is left out.
	// +optional
	InstallationID int64 `json:"installationID,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.ContentType == "" {
		c.ContentType = "json"
	}
	c.ChangedFiles.Default(c.credentials())
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	add(githost.Validate(c.Webhook, true))
	add(c.noteOpen())
	if c.ContentType != "json" && c.ContentType != "form" {
		add(v1alpha1.Invalid("contentType", "%q is unknown", c.ContentType).Hinted("json or form"))
	}
	add(baseURL("githubBaseURL", c.GithubBaseURL))
	if a := c.GithubApp; a != nil {
		if a.PrivateKey == nil {
			add(v1alpha1.Invalid("githubApp.privateKey", "is missing"))
		}
		if a.AppID <= 0 {
			add(v1alpha1.Invalid("githubApp.appID", "is missing").Hinted("the number in the App's settings"))
		}
	}
	if c.TLS != nil {
		add(v1alpha1.At("tls", c.TLS.Validate()))
	}
	needs := ""
	if !c.credentials() {
		needs = "set apiToken or githubApp"
	}
	add(c.ChangedFiles.Validate("changedFiles", needs))
	add(c.validateTargets())
	add(c.validateManaged())
	return errors.Join(errs...)
}

// noteOpen warns of an endpoint that takes requests from anybody.
func (c *Config) noteOpen() error {
	if c.Webhook == nil {
		return nil
	}
	err := ingress.NoteOpenUnless("webhook", c.Webhook, c.WebhookSecret != nil)
	for _, p := range v1alpha1.Problems(err) {
		p.Hinted("set webhookSecret; or webhook.insecure: true if that is meant")
	}
	return err
}

func (c *Config) validateTargets() error {
	var errs []error
	for i, r := range c.Repositories {
		at := "repositories" + v1alpha1.Index(i)
		if r.Owner == "" || strings.Contains(r.Owner, "/") {
			errs = append(errs, v1alpha1.Invalid(at+".owner", "%q is no owner", r.Owner))
		}
		if len(r.Names) == 0 {
			errs = append(errs, v1alpha1.Invalid(at+".names", "is empty"))
		}
		for j, n := range r.Names {
			if n == "" || strings.Contains(n, "/") {
				errs = append(errs, v1alpha1.Invalid(at+".names"+v1alpha1.Index(j), "%q is no name of a repository", n).Hinted("the name only, without the owner"))
			}
		}
	}
	for i, o := range c.Organizations {
		if o == "" || strings.Contains(o, "/") {
			errs = append(errs, v1alpha1.Invalid("organizations"+v1alpha1.Index(i), "%q is no organization", o))
		}
	}
	if len(c.Organizations) > 0 && len(c.repositories()) > 0 {
		errs = append(errs, v1alpha1.Invalid("organizations", "cannot be given together with repositories").Hinted("make two events of it"))
	}
	if (c.Owner == "") != (c.Repository == "") {
		errs = append(errs, v1alpha1.Invalid("repository", "owner and repository belong together").Hinted("better use repositories"))
	}
	return errors.Join(errs...)
}

// validateManaged is about hooks that are set up.
func (c *Config) validateManaged() error {
	if !c.managed() {
		if c.DeleteHookOnFinish {
			return githost.NoteUnkept("set webhook.url, and apiToken or githubApp")
		}
		return nil
	}
	var errs []error
	errs = append(errs, baseURL("webhook.url", c.Webhook.URL))
	if c.appLevel() {
		if c.DeleteHookOnFinish {
			errs = append(errs, v1alpha1.Warn("deleteHookOnFinish", "has no effect on the hook of an App, which cannot be deleted"))
		}
		return errors.Join(errs...)
	}
	if len(c.repositories())+len(c.Organizations) == 0 {
		errs = append(errs, v1alpha1.Invalid("repositories", "is missing").Hinted("give repositories or organizations to set up hooks for, or leave webhook.url out"))
	}
	if len(c.Events) == 0 {
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example [push, pull_request]"))
	}
	for i, e := range c.Events {
		if e == "" {
			errs = append(errs, v1alpha1.Invalid("events"+v1alpha1.Index(i), "is empty"))
		}
	}
	if c.Active == nil {
		errs = append(errs, v1alpha1.Warn("active", "is not set, so the hooks are switched off at GitHub and send nothing").Hinted("active: true"))
	}
	return errors.Join(errs...)
}

func baseURL(path, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return v1alpha1.Invalid(path, "is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return v1alpha1.Invalid(path, "%q is no http or https URL", u.Redacted()).Hinted("for example https://github.example.com")
	case u.User != nil:
		return v1alpha1.Invalid(path, "must not hold a password")
	}
	return nil
}

// credentials tells whether there are any for the API.
func (c *Config) credentials() bool { return c.APIToken != nil || c.GithubApp != nil }

// managed tells whether hooks are set up.
func (c *Config) managed() bool {
	return c.credentials() && c.Webhook != nil && c.Webhook.URL != ""
}

// appLevel tells whether the one hook is that of the App.
func (c *Config) appLevel() bool {
	return c.APIToken == nil && c.GithubApp != nil && len(c.repositories())+len(c.Organizations) == 0
}

// repositories are all that are named, as owner/name.
func (c *Config) repositories() []string {
	var all []string
	for _, r := range c.Repositories {
		for _, n := range r.Names {
			all = append(all, r.Owner+"/"+n)
		}
	}
	if len(all) == 0 && c.Owner != "" && c.Repository != "" {
		all = append(all, c.Owner+"/"+c.Repository)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
