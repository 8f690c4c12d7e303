package gitea

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Config is one endpoint that receives the webhooks of Gitea, Forgejo or Gogs
// and, if it is given a token and a URL, sets them up there. Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook is the endpoint. Its url is the address under which the host reaches
	// it, without the endpoint; with it and accessToken the hooks are set up and kept.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// BaseURL is the host's address, such as https://gitea.example.com. Needed for
	// its API only.
	// +optional
	BaseURL string `json:"baseURL,omitempty"`
	// AccessToken is a token for the host's API that may administer the hooks.
	// +optional
	AccessToken *corev1.SecretKeySelector `json:"accessToken,omitempty"`
	// WebhookSecret is what the host signs requests with. Without it, requests are
	// taken from anybody who reaches the endpoint.
	// +optional
	WebhookSecret *corev1.SecretKeySelector `json:"webhookSecret,omitempty"`
	// Events that the hooks are set up for, such as push and pull_request, which
	// brings all events of pull requests. What is received is not filtered by it.
	// +optional
	Events []string `json:"events,omitempty"`
	// Repositories that get a hook each.
	// +optional
	Repositories []OwnedRepositories `json:"repositories,omitempty"`
	// Organizations that get a hook each.
	// +optional
	Organizations []string `json:"organizations,omitempty"`
	// User sets up a hook for all repositories of the token's user.
	// +optional
	User bool `json:"user,omitempty"`
	// DeleteHookOnFinish removes the hooks when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// TLS is for an API whose certificate is none that the system trusts.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// ChangedFiles says what to do about changed files that the host does not send.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
	// ForwardPing makes events of pings, too, which some hosts send when a hook
	// is made.
	// +optional
	ForwardPing bool `json:"forwardPing,omitempty"`
}

// OwnedRepositories are repositories of one owner.
type OwnedRepositories struct {
	// Owner is a user or an organization.
	Owner string `json:"owner"`
	// Names of the repositories.
	Names []string `json:"names"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	get := c.Webhook != nil && c.Webhook.Method == http.MethodGet // which Gitea can be set to
	if githost.Default(c.Webhook); get {
		c.Webhook.Method = http.MethodGet
	}
	c.ChangedFiles.Default(c.reachable())
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	add(githost.Validate(c.Webhook, true))
	add(c.noteOpen())
	add(httpURL("baseURL", c.BaseURL))
	if c.TLS != nil {
		add(v1alpha1.At("tls", c.TLS.Validate()))
	}
	needs := ""
	if !c.reachable() {
		needs = "set baseURL and accessToken"
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
	return errors.Join(errs...)
}

// validateManaged is about hooks that are set up.
func (c *Config) validateManaged() error {
	var errs []error
	if c.AccessToken != nil && c.BaseURL == "" {
		errs = append(errs, v1alpha1.Invalid("baseURL", "is missing").Hinted("the host's address, for example https://gitea.example.com"))
	}
	if !c.managed() {
		if len(c.targets()) > 0 && c.Webhook != nil && c.Webhook.URL != "" && c.AccessToken == nil {
			errs = append(errs, v1alpha1.Warn("accessToken", "is missing, so no hooks are set up"))
		}
		if c.DeleteHookOnFinish {
			errs = append(errs, githost.NoteUnkept("set webhook.url, baseURL and accessToken"))
		}
		return errors.Join(errs...)
	}
	errs = append(errs, httpURL("webhook.url", c.Webhook.URL))
	if len(c.targets()) == 0 {
		errs = append(errs, v1alpha1.Invalid("repositories", "is missing").Hinted("give repositories, organizations or user, for which hooks are set up, or leave webhook.url out"))
	}
	if len(c.Events) == 0 {
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example [push, pull_request]"))
	}
	for i, e := range c.Events {
		if e == "" || e == "*" {
			errs = append(errs, v1alpha1.Invalid("events"+v1alpha1.Index(i), "%q is no event", e).Hinted("name each, such as push, create, delete, pull_request, issues, release, repository"))
		}
	}
	return errors.Join(errs...)
}

func httpURL(path, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return v1alpha1.Invalid(path, "is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return v1alpha1.Invalid(path, "%q is no http or https URL", u.Redacted()).Hinted("for example https://gitea.example.com")
	case u.User != nil:
		return v1alpha1.Invalid(path, "must not hold a password")
	}
	return nil
}

// reachable tells whether the API can be used.
func (c *Config) reachable() bool { return c.AccessToken != nil && c.BaseURL != "" }

// managed tells whether hooks are set up.
func (c *Config) managed() bool { return c.reachable() && c.Webhook != nil && c.Webhook.URL != "" }

// targets are the paths of the API below which there is /hooks.
func (c *Config) targets() []string {
	var all []string
	for _, r := range c.Repositories {
		for _, n := range r.Names {
			all = append(all, targetRepo+r.Owner+"/"+n)
		}
	}
	for _, o := range c.Organizations {
		all = append(all, targetOrg+o)
	}
	if c.User {
		all = append(all, targetUser)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
