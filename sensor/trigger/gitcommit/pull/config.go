// Package pull opens pull requests (merge requests) at GitHub, GitLab, Gitea and
// Bitbucket, keeps one per branch, and tells what became of it.
package pull

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
)

// The providers.
const (
	GitHub    = "github"
	GitLab    = "gitlab"
	Gitea     = "gitea"
	Bitbucket = "bitbucket"
)

// Config says that commits go to a branch of their own, for which a pull request
// is opened, and how. Title, body, branch and labels may be Go templates over the
// events, such as {{ .Input.push.data.image.tag }}. Signalbox.
type Config struct {
	// Provider is the host's software: github, gitlab, gitea (Forgejo, too) or
	// bitbucket (bitbucket.org). Defaults to what the host's name says: github.com,
	// gitlab.com, gitea.com, codeberg.org, bitbucket.org, and names that begin with
	// github., gitlab. or gitea. .
	// +kubebuilder:validation:Enum=github;gitlab;gitea;bitbucket;""
	// +optional
	Provider string `json:"provider,omitempty"`
	// API is the address of the host's API, such as https://git.example.com/api/v3.
	// Defaults to the one that the provider has at the repository's host.
	// +optional
	API string `json:"api,omitempty"`
	// Token for the API that may open pull requests. Defaults to the repository's
	// own token or App.
	// +optional
	Token *corev1.SecretKeySelector `json:"token,omitempty"`
	// Username makes the token an app password or an API token of Bitbucket, which
	// are sent with the name or e-mail address of their user.
	// +optional
	Username *corev1.SecretKeySelector `json:"username,omitempty"`
	// GithubApp is an installation of a GitHub App to use the API as.
	// +optional
	GithubApp *gitrepo.GithubApp `json:"githubApp,omitempty"`
	// TLS is for an API whose certificate is not signed by a well-known authority.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
	// Branch to commit to and to merge from. The sensor overwrites it. Defaults to
	// signalbox/ and the names of sensor and trigger.
	// +optional
	Branch string `json:"branch,omitempty"`
	// Title of the pull request. Defaults to the first line of the commit message.
	// +optional
	Title string `json:"title,omitempty"`
	// Body of the pull request. Defaults to the rest of the commit message.
	// +optional
	Body string `json:"body,omitempty"`
	// Labels that the pull request gets; others that it has stay. Bitbucket has none.
	// +optional
	Labels []string `json:"labels,omitempty"`
	// Draft opens it as a draft. One that is open already is not made a draft.
	// +optional
	Draft bool `json:"draft,omitempty"`
	// DeleteBranch asks the host to delete the branch once it is merged, where that
	// can be said of one pull request: at GitLab and Bitbucket.
	// +optional
	DeleteBranch bool `json:"deleteBranch,omitempty"`
}

var providers = []string{GitHub, GitLab, Gitea, Bitbucket}

// Validate reports all that is wrong, with paths from the block.
func (c *Config) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if c.Provider != "" && !slices.Contains(providers, c.Provider) {
		add(v1alpha1.Invalid("provider", "%q is unknown", c.Provider).Hinted("one of %s", strings.Join(providers, ", ")))
	}
	if c.API != "" {
		u, err := url.Parse(c.API)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			add(v1alpha1.Invalid("api", "is no URL that begins with https:// or http://"))
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			add(v1alpha1.Invalid("api", "holds more than an address").Hinted("tokens belong into secrets"))
		case u.Scheme == "http" && (c.Token != nil || c.GithubApp != nil):
			add(v1alpha1.Warn("api", "sends the token unencrypted").Hinted("use https"))
		}
	}
	add(selector("token", c.Token))
	add(selector("username", c.Username))
	if c.Username != nil && c.Token == nil {
		add(v1alpha1.Invalid("username", "is given without token"))
	}
	if c.Username != nil && c.Provider != "" && c.Provider != Bitbucket {
		add(v1alpha1.Warn("username", "has no effect with %s", c.Provider))
	}
	if a := c.GithubApp; a != nil {
		if c.Token != nil {
			add(v1alpha1.Invalid("githubApp", "is given beside token").Hinted("give one of them"))
		}
		if c.Provider != "" && c.Provider != GitHub {
			add(v1alpha1.Invalid("githubApp", "is no way into %s", c.Provider))
		}
		add(v1alpha1.At("githubApp", a.Validate()))
	}
	add(v1alpha1.At("tls", c.TLS.Validate()))
	if len(c.Labels) > 0 && c.Provider == Bitbucket {
		add(v1alpha1.Warn("labels", "have no effect with bitbucket"))
	}
	if c.DeleteBranch && (c.Provider == GitHub || c.Provider == Gitea) {
		add(v1alpha1.Warn("deleteBranch", "has no effect with %s", c.Provider).Hinted("turn it on in the repository's settings"))
	}
	for i, l := range c.Labels {
		if strings.TrimSpace(l) == "" || strings.Contains(l, ",") && !strings.Contains(l, "{{") {
			add(v1alpha1.Invalid("labels"+v1alpha1.Index(i), "is empty or has a comma"))
		}
	}
	return errors.Join(errs...)
}

func selector(path string, s *corev1.SecretKeySelector) error {
	if s != nil && (s.Name == "" || s.Key == "") {
		return v1alpha1.Invalid(path, "needs name and key")
	}
	return nil
}

// Guess is the provider that a repository's host is known to have; empty if its
// name does not tell.
func Guess(repo gitrepo.Place) string {
	host, _, _ := strings.Cut(repo.Host, ":")
	switch host {
	case "github.com", "ssh.github.com":
		return GitHub
	case "gitlab.com", "altssh.gitlab.com":
		return GitLab
	case "gitea.com", "codeberg.org":
		return Gitea
	case "bitbucket.org", "altssh.bitbucket.org":
		return Bitbucket
	}
	for _, p := range []string{GitHub, GitLab, Gitea} {
		if strings.HasPrefix(host, p+".") {
			return p
		}
	}
	if strings.HasSuffix(host, ".ghe.com") {
		return GitHub
	}
	return ""
}
