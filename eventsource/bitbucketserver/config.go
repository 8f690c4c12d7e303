package bitbucketserver

import (
	"errors"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// Config is one endpoint that receives the webhooks of Bitbucket Data Center or Server.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Webhook says where to listen. With its url and accessToken the hook is kept at Bitbucket.
	Webhook *v1alpha1.WebhookContext `json:"webhook"`
	// BitbucketServerBaseURL is the address of the REST API, such as
	// https://bitbucket.example.com/rest; /rest is added where it is missing.
	BitbucketServerBaseURL string `json:"bitbucketserverBaseURL,omitempty"`
	// WebhookSecret is what Bitbucket signs its requests with (the header
	// X-Hub-Signature, HMAC with SHA-256).
	// +optional
	WebhookSecret *corev1.SecretKeySelector `json:"webhookSecret,omitempty"`
	// AccessToken for the REST API: to keep the hook (administrator of the
	// repositories), to look up changed files and open pull requests (reader).
	// +optional
	AccessToken *corev1.SecretKeySelector `json:"accessToken,omitempty"`
	// TLS is how to speak with the REST API.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// Events of the hook in Bitbucket's words, for example repo:refs_changed and pr:opened.
	// +optional
	Events []string `json:"events,omitempty"`
	// Repositories in which to keep the hook.
	// +optional
	Repositories []Repository `json:"repositories,omitempty"`
	// Projects in all repositories of which to keep the hook, by their keys.
	// +optional
	Projects []string `json:"projects,omitempty"`
	// ProjectKey of one repository. Deprecated: use repositories.
	// +optional
	ProjectKey string `json:"projectKey,omitempty"`
	// RepositorySlug of one repository. Deprecated: use repositories. It counts only
	// where repositories is empty.
	// +optional
	RepositorySlug string `json:"repositorySlug,omitempty"`
	// CheckInterval is how often the hook is compared with what it has to be.
	// Defaults to 1m.
	// +optional
	CheckInterval string `json:"checkInterval,omitempty"`
	// DeleteHookOnFinish removes the hook from Bitbucket when the EventSource is deleted.
	// +optional
	DeleteHookOnFinish bool `json:"deleteHookOnFinish,omitempty"`
	// SkipBranchRefsChangedOnOpenPR leaves out the changes of a push to branches
	// that are the source of an open pull request, whose own events tell of them.
	// Needs accessToken.
	// +optional
	SkipBranchRefsChangedOnOpenPR bool `json:"skipBranchRefsChangedOnOpenPR,omitempty"`
	// OneEventPerChange makes an event of each change of a push. Defaults to true.
	// False makes one event of the whole push, whose git block tells of the first change only.
	// +optional
	OneEventPerChange *bool `json:"oneEventPerChange,omitempty"`
	// ForwardPing makes events of connection tests, too, if they are signed. Signalbox.
	// +optional
	ForwardPing bool `json:"forwardPing,omitempty"`
	// ChangedFiles says how to find out which files a push changed; Bitbucket does
	// not send them. Signalbox.
	// +optional
	ChangedFiles *gitevent.FilesConfig `json:"changedFiles,omitempty"`
}

// Repository is named by its project's key and its slug.
type Repository struct {
	// ProjectKey is the project's, or ~USER.
	ProjectKey string `json:"projectKey,omitempty"`
	// RepositorySlug is the repository's name in URLs.
	RepositorySlug string `json:"repositorySlug,omitempty"`
}

const defaultInterval = time.Minute

// Default implements kind.Config.
func (c *Config) Default() {
	githost.Default(c.Webhook)
	if c.CheckInterval == "" {
		c.CheckInterval = defaultInterval.String()
	}
	c.ChangedFiles.Default(c.AccessToken != nil)
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	errs := []error{githost.Validate(c.Webhook, c.WebhookSecret != nil), c.validateAPI(), c.validateHook()}
	if c.SkipBranchRefsChangedOnOpenPR && c.AccessToken == nil {
		errs = append(errs, v1alpha1.Invalid("skipBranchRefsChangedOnOpenPR", "needs accessToken, to ask for the pull requests"))
	}
	if c.OneEventPerChange != nil && !*c.OneEventPerChange {
		errs = append(errs, v1alpha1.Warn("oneEventPerChange", "is false: of a push to several branches the git block tells the first only").
			Hinted("leave it out, and filters see every branch"))
	}
	return errors.Join(errs...)
}

func (c *Config) validateAPI() error {
	var errs []error
	asks := c.kept() || c.SkipBranchRefsChangedOnOpenPR || c.ChangedFiles != nil && c.ChangedFiles.Lookup == gitevent.LookupAPI
	if u, err := url.Parse(c.BitbucketServerBaseURL); c.BitbucketServerBaseURL == "" && asks {
		errs = append(errs, v1alpha1.Invalid("bitbucketserverBaseURL", "is missing").Hinted("for example https://bitbucket.example.com/rest"))
	} else if c.BitbucketServerBaseURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, v1alpha1.Invalid("bitbucketserverBaseURL", "is no URL").Hinted("for example https://bitbucket.example.com/rest"))
	}
	errs = append(errs, v1alpha1.At("tls", c.TLS.Validate()))
	needs := ""
	if c.AccessToken == nil {
		needs = "set accessToken"
	}
	return errors.Join(append(errs, c.ChangedFiles.Validate("changedFiles", needs))...)
}

func (c *Config) validateHook() error {
	var errs []error
	if c.kept() {
		if len(c.repositories()) == 0 && len(c.Projects) == 0 {
			errs = append(errs, v1alpha1.Invalid("repositories", "is missing, and so is projects").Hinted("name where to keep the hook, or leave webhook.url out"))
		}
		if len(c.Events) == 0 {
			errs = append(errs, v1alpha1.Invalid("events", "is missing").Hinted("for example repo:refs_changed"))
		}
	} else if c.DeleteHookOnFinish {
		errs = append(errs, githost.NoteUnkept("set webhook.url and accessToken"))
	}
	for i, r := range c.Repositories {
		if r.ProjectKey == "" || r.RepositorySlug == "" {
			errs = append(errs, v1alpha1.Invalid("repositories"+v1alpha1.Index(i), "needs projectKey and repositorySlug"))
		}
	}
	for i, p := range c.Projects {
		if p == "" {
			errs = append(errs, v1alpha1.Invalid("projects"+v1alpha1.Index(i), "is empty"))
		}
	}
	if len(c.Repositories) == 0 && (c.ProjectKey == "") != (c.RepositorySlug == "") {
		errs = append(errs, v1alpha1.Invalid("projectKey", "belongs together with repositorySlug"))
	}
	for i, e := range c.Events {
		if !strings.Contains(e, ":") {
			errs = append(errs, v1alpha1.Warn("events"+v1alpha1.Index(i), "%q is no event of Bitbucket", e).Hinted("for example repo:refs_changed"))
		}
	}
	if d, err := time.ParseDuration(c.CheckInterval); err != nil || d <= 0 {
		errs = append(errs, v1alpha1.Invalid("checkInterval", "%q is no duration", c.CheckInterval).Hinted("for example 1m"))
	}
	return errors.Join(errs...)
}

// kept tells whether the hook is kept at Bitbucket.
func (c *Config) kept() bool {
	return c.Webhook != nil && c.Webhook.URL != "" && c.AccessToken != nil
}

func (c *Config) credentials() bool { return c.AccessToken != nil && c.BitbucketServerBaseURL != "" }

func (c *Config) repositories() []Repository {
	if len(c.Repositories) == 0 && c.RepositorySlug != "" {
		return []Repository{{c.ProjectKey, c.RepositorySlug}}
	}
	return c.Repositories
}

// interval is checkInterval, which has been found valid.
func (c *Config) interval() time.Duration {
	d, err := time.ParseDuration(c.CheckInterval)
	if err != nil || d <= 0 {
		return defaultInterval
	}
	return d
}

// base is the address of the REST API's first version.
func (c *Config) base() string {
	base := strings.TrimRight(c.BitbucketServerBaseURL, "/")
	if !strings.HasSuffix(base, "/rest") {
		base += "/rest"
	}
	return base + "/api/1.0"
}
