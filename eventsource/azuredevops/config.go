package azuredevops

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// defaultHeader is the secret header's name.
const defaultHeader = "X-Signalbox-Secret"

// Config is one endpoint that receives the service hooks of Azure DevOps. Signalbox.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. With its url, organizationURL and accessToken
	// the subscriptions are kept at Azure DevOps. Its basicAuth, or secretHeader, is
	// how deliveries are checked: Azure DevOps signs nothing.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// SecretHeader is an HTTP header that every delivery has to carry.
	// +optional
	SecretHeader *SecretHeader `json:"secretHeader,omitempty"`
	// OrganizationURL is the address of the organisation, https://dev.azure.com/acme,
	// or of a collection of an Azure DevOps Server.
	// +optional
	OrganizationURL string `json:"organizationURL,omitempty"`
	// AccessToken is a personal access token: to keep the subscriptions, and to look
	// up changed files (the scope Code, read).
	// +optional
	AccessToken *corev1.SecretKeySelector `json:"accessToken,omitempty"`
	// TLS is how to speak with organizationURL.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// Events to subscribe to in Azure DevOps' words, for example git.push and
	// git.pullrequest.created; each is a subscription of its own.
	// +optional
	Events []string `json:"events,omitempty"`
	// Repositories to subscribe to.
	// +optional
	Repositories []Repository `json:"repositories,omitempty"`
	// Projects to subscribe to, with all of their repositories.
	// +optional
	Projects []string `json:"projects,omitempty"`
	// DeleteHookOnFinish removes the subscriptions when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// ChangedFiles says how to find out which files a push changed; Azure DevOps
	// does not send them.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
}

// SecretHeader is an HTTP header with a secret value.
type SecretHeader struct {
	// Name of the header. Defaults to X-Signalbox-Secret.
	// +optional
	Name string `json:"name,omitempty"`
	// Secret is its value. Further ones are accepted by webhook.acceptedSecrets.
	Secret *corev1.SecretKeySelector `json:"secret"`
}

// Repository is named by its project and its name.
type Repository struct {
	// Project is the project's name or id.
	Project string `json:"project"`
	// Repository is the repository's name or id.
	Repository string `json:"repository"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.SecretHeader != nil && c.SecretHeader.Name == "" {
		c.SecretHeader.Name = defaultHeader
	}
	c.ChangedFiles.Default(c.credentials())
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{githost.Validate(c.Webhook, c.SecretHeader != nil), c.validateHeader(), c.validatePlaces()}
	if u, err := url.Parse(c.OrganizationURL); c.OrganizationURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, v1alpha1.Invalid("organizationURL", "is no URL").Hinted("for example https://dev.azure.com/acme"))
	} else if c.OrganizationURL == "" && c.AccessToken != nil {
		errs = append(errs, v1alpha1.Invalid("organizationURL", "is missing; accessToken is for there").Hinted("for example https://dev.azure.com/acme"))
	}
	errs = append(errs, v1alpha1.At("tls", c.TLS.Validate()))
	if c.kept() {
		errs = append(errs, c.validateKept())
	} else if c.DeleteHookOnFinish {
		errs = append(errs, githost.NoteUnkept("set webhook.url, organizationURL and accessToken"))
	}
	needs := ""
	if !c.credentials() {
		needs = "set organizationURL and accessToken"
	}
	errs = append(errs, c.ChangedFiles.Validate("changedFiles", needs))
	return errors.Join(errs...)
}

func (c *Config) validateHeader() error {
	h := c.SecretHeader
	if h == nil {
		return nil
	}
	var errs []error
	switch name := http.CanonicalHeaderKey(h.Name); {
	case !httpguts.ValidHeaderFieldName(h.Name):
		errs = append(errs, v1alpha1.Invalid("secretHeader.name", "%q is no name of a header", h.Name))
	case name == "Content-Type" || name == "Content-Length" || name == "Host" || name == "User-Agent":
		errs = append(errs, v1alpha1.Invalid("secretHeader.name", "%s is the sender's own", name))
	}
	if h.Secret == nil {
		errs = append(errs, v1alpha1.Invalid("secretHeader.secret", "is missing"))
	}
	return errors.Join(errs...)
}

func (c *Config) validatePlaces() error {
	var errs []error
	for i, r := range c.Repositories {
		if r.Project == "" || r.Repository == "" {
			errs = append(errs, v1alpha1.Invalid("repositories"+v1alpha1.Index(i), "needs project and repository"))
		}
	}
	for i, p := range c.Projects {
		if p == "" {
			errs = append(errs, v1alpha1.Invalid("projects"+v1alpha1.Index(i), "is empty"))
		}
	}
	for i, e := range c.Events {
		if !strings.Contains(e, ".") || strings.ContainsAny(e, " /") {
			errs = append(errs, v1alpha1.Invalid("events"+v1alpha1.Index(i), "%q is no event of Azure DevOps", e).Hinted("for example git.push"))
		}
	}
	return errors.Join(errs...)
}

// validateKept is about subscriptions that are kept.
func (c *Config) validateKept() error {
	var errs []error
	if len(c.Repositories) == 0 && len(c.Projects) == 0 {
		errs = append(errs, v1alpha1.Invalid("repositories", "is missing, and so is projects").Hinted("name what to subscribe to, or leave webhook.url out"))
	}
	if len(c.Events) == 0 {
		errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example git.push"))
	}
	if c.SecretHeader != nil && c.Webhook.BasicAuth != nil {
		errs = append(errs, v1alpha1.Invalid("secretHeader", "cannot be kept at Azure DevOps together with webhook.basicAuth").Hinted("give one of them"))
	}
	if c.Webhook.AuthSecret != nil {
		errs = append(errs, v1alpha1.Invalid("webhook.authSecret", "cannot be kept at Azure DevOps").Hinted("use secretHeader or webhook.basicAuth"))
	}
	return errors.Join(errs...)
}

func (c *Config) credentials() bool { return c.AccessToken != nil && c.OrganizationURL != "" }

// kept tells whether the subscriptions are kept at Azure DevOps.
func (c *Config) kept() bool { return c.Webhook != nil && c.Webhook.URL != "" && c.credentials() }

// targets are EVENT PROJECT[/REPOSITORY], names escaped.
func (c *Config) targets() []string {
	var places []string
	for _, p := range c.Projects {
		places = append(places, url.PathEscape(p))
	}
	for _, r := range c.Repositories {
		places = append(places, url.PathEscape(r.Project)+"/"+url.PathEscape(r.Repository))
	}
	var all []string
	for _, e := range c.Events {
		for _, p := range places {
			all = append(all, e+" "+p)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
