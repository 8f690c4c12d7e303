package gitcommit

import (
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/edit"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/pull"
)

// Config says which files of a Git repository to change, and how to commit that.
// Nothing is ever force-pushed. Signalbox.
type Config struct {
	gitrepo.Access `json:",inline"`

	// Branch to commit to, or, with pullRequest, to merge into; it may be a Go
	// template over the events. Defaults to the repository's default branch. Signalbox.
	// +optional
	Branch string `json:"branch,omitempty"`
	// Changes to make, one after the other. All of them are in one commit. Signalbox.
	Changes []edit.Change `json:"changes"`
	// Message of the commit, a Go template over the events, as in
	// "deploy {{ .Input.push.data.image.tag }}". Lines that name firing and events
	// are added. Defaults to what has changed. Signalbox.
	// +optional
	Message string `json:"message,omitempty"`
	// Author of the commit. Defaults to Signalbox <signalbox@localhost>. Signalbox.
	// +optional
	Author *Person `json:"author,omitempty"`
	// Committer of the commit. Defaults to the author. Signalbox.
	// +optional
	Committer *Person `json:"committer,omitempty"`
	// Signing signs commits. Signalbox.
	// +optional
	Signing *Signing `json:"signing,omitempty"`
	// Window is how long the first of several firings waits for others, which then
	// go into the same commit. 0s is no time. Defaults to 2s. Signalbox.
	// +optional
	Window *v1alpha1.Duration `json:"window,omitempty"`
	// AllowEmpty commits even if all files are so already. Signalbox.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`
	// PullRequest commits to a branch of its own, and opens a pull request (merge
	// request) for it, or updates the one that is open. Signalbox.
	// +optional
	PullRequest *pull.Config `json:"pullRequest,omitempty"`
	// Follow waits for the outcome: with pullRequest until that is merged, which is
	// success, or closed; without it a commit is done at once. Signalbox.
	// +optional
	Follow *v1alpha1.Follow `json:"follow,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example branch. Signalbox.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
}

// Person is an author or committer. Signalbox.
type Person struct {
	// Name of the person. Signalbox.
	Name string `json:"name"`
	// Email address of the person. Signalbox.
	Email string `json:"email"`
}

// Signing is the key that commits are signed with: one of both. Signalbox.
type Signing struct {
	// SSHKeySecret is a private key for ssh, PEM, without a passphrase. Signalbox.
	// +optional
	SSHKeySecret *corev1.SecretKeySelector `json:"sshKeySecret,omitempty"`
	// OpenPGPKeySecret is an armored OpenPGP private key. Signalbox.
	// +optional
	OpenPGPKeySecret *corev1.SecretKeySelector `json:"openPGPKeySecret,omitempty"`
	// PassphraseSecret is the passphrase of the OpenPGP key, if it has one. Signalbox.
	// +optional
	PassphraseSecret *corev1.SecretKeySelector `json:"passphraseSecret,omitempty"`
}

const (
	defaultWindow = 2 * time.Second
	longestWindow = 10 * time.Minute
)

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Window == nil {
		c.Window = v1alpha1.DurationOf(defaultWindow)
	}
	if c.Author == nil {
		c.Author = &Person{Name: "Signalbox", Email: "signalbox@localhost"}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	var errs []error
	add := func(path string, err error) { errs = append(errs, v1alpha1.At(path, err)) }
	access := c.Access
	later := c.fills("url")
	if later { // what stands here is a placeholder, or a part
		access.URL = "https://example.com/placeholder/placeholder"
		if c.SSHKeySecret != nil {
			access.URL = "ssh://git@example.com/placeholder/placeholder"
		}
	}
	add("", access.Validate())
	add("branch", checkBranch(c.Branch))
	if len(c.Changes) == 0 && !c.fills("changes") && !c.AllowEmpty {
		add("changes", v1alpha1.Invalid("", "is required"))
	}
	for i := range c.Changes {
		add("changes"+v1alpha1.Index(i), c.Changes[i].Validate())
	}
	_, err := param.CompileText(c.Message)
	add("message", err)
	add("author", c.Author.validate())
	add("committer", c.Committer.validate())
	add("signing", c.Signing.validate())
	if w := c.Window; w != nil && (w.Duration < 0 || w.Duration > longestWindow) {
		add("window", v1alpha1.Invalid("", "%s is not between 0s and %s", w.Duration, longestWindow))
	}
	if c.PullRequest != nil {
		add("pullRequest", c.validatePull(later))
	}
	_, err = param.Compile(c.Parameters)
	add("parameters", err)
	errs = append(errs, trigger.CheckFollow(c.Follow))
	return errors.Join(errs...)
}

// fills tells whether a parameter of the kind goes to a key or below it.
func (c *Config) fills(key string) bool {
	return slices.ContainsFunc(c.Parameters, func(p v1alpha1.TriggerParameter) bool {
		return p.Dest == key || strings.HasPrefix(p.Dest, key+".")
	})
}

func (c *Config) validatePull(later bool) error {
	p := c.PullRequest
	errs := []error{p.Validate(), v1alpha1.At("branch", checkBranch(p.Branch))}
	texts := map[string]string{"title": p.Title, "body": p.Body}
	for i, l := range p.Labels {
		texts["labels"+v1alpha1.Index(i)] = l
	}
	for path, text := range texts {
		_, err := param.CompileText(text)
		errs = append(errs, v1alpha1.At(path, err))
	}
	if place := c.Place(); p.Provider == "" && !later && place.Host != "" && pull.Guess(place) == "" {
		errs = append(errs, v1alpha1.Invalid("provider", "is required: the host %s does not tell it", place.Host))
	}
	if p.Token == nil && p.GithubApp == nil && c.TokenSecret == nil && c.GithubApp == nil {
		errs = append(errs, v1alpha1.Invalid("token", "is required: there is no tokenSecret or githubApp that it could be taken from"))
	}
	if p.Branch != "" && p.Branch == c.Branch {
		errs = append(errs, v1alpha1.Invalid("branch", "is the one to merge into"))
	}
	return errors.Join(errs...)
}

// checkBranch refuses what git would not take as a branch's name.
func checkBranch(name string) error {
	if strings.Contains(name, "{{") {
		_, err := param.CompileText(name)
		return err
	}
	if name != "" && !validBranch(name) {
		return v1alpha1.Invalid("", "%q is no name of a branch", name)
	}
	return nil
}

func validBranch(name string) bool {
	if strings.HasPrefix(name, "refs/") && !strings.HasPrefix(name, "refs/heads/") || name == "HEAD" || len(name) > 500 ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) })
}

func (p *Person) validate() error {
	if p == nil {
		return nil
	}
	var errs []error
	for _, f := range []struct{ path, text string }{{"name", p.Name}, {"email", p.Email}} {
		if strings.TrimSpace(f.text) == "" {
			errs = append(errs, v1alpha1.Invalid(f.path, "is required"))
		} else if strings.ContainsAny(f.text, "<>\n\r\x00") {
			errs = append(errs, v1alpha1.Invalid(f.path, "has <, > or a line break"))
		}
	}
	return errors.Join(errs...)
}

func (s *Signing) validate() error {
	if s == nil {
		return nil
	}
	var errs []error
	if (s.SSHKeySecret == nil) == (s.OpenPGPKeySecret == nil) {
		errs = append(errs, v1alpha1.Invalid("", "has to name either sshKeySecret or openPGPKeySecret"))
	}
	if s.PassphraseSecret != nil && s.OpenPGPKeySecret == nil {
		errs = append(errs, v1alpha1.Warn("passphraseSecret", "has no effect without openPGPKeySecret"))
	}
	for _, f := range []struct {
		path string
		ref  *corev1.SecretKeySelector
	}{{"sshKeySecret", s.SSHKeySecret}, {"openPGPKeySecret", s.OpenPGPKeySecret}, {"passphraseSecret", s.PassphraseSecret}} {
		if f.ref != nil && (f.ref.Name == "" || f.ref.Key == "") {
			errs = append(errs, v1alpha1.Invalid(f.path, "needs name and key"))
		}
	}
	return errors.Join(errs...)
}
