package artifact

import (
	"errors"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Git is a file in a Git repository, as it is in the newest commit of a branch.
type Git struct {
	// URL of the repository: https, http, ssh (also user@host:path), or a
	// folder of the process's own.
	URL string `json:"url"`
	// CloneDirectory is a folder in which the last commit is kept, so that it
	// need not be fetched for each event. Without it a temporary folder is used
	// and removed.
	// +optional
	CloneDirectory string `json:"cloneDirectory,omitempty"`
	// Creds are user and password, or token.
	// +optional
	Creds *v1alpha1.BasicAuth `json:"creds,omitempty"`
	// SSHKeySecret is the private key for ssh, PEM, without a passphrase.
	// +optional
	SSHKeySecret *corev1.SecretKeySelector `json:"sshKeySecret,omitempty"`
	// FilePath is the file, from the root of the repository.
	FilePath string `json:"filePath"`
	// Branch to read from. Defaults to master.
	// +optional
	Branch string `json:"branch,omitempty"`
	// Tag to read from, instead of a branch.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Ref to read from, such as refs/pull/7/head or a commit's hash, instead of
	// a branch or a tag.
	// +optional
	Ref string `json:"ref,omitempty"`
	// Remote is another repository that is read instead of url.
	// +optional
	Remote *GitRemote `json:"remote,omitempty"`
	// InsecureIgnoreHostKey turns off the check of an ssh server's key. Without
	// it the key has to be in the file known_hosts.
	// +optional
	InsecureIgnoreHostKey bool `json:"insecureIgnoreHostKey,omitempty"`
	// GithubApp signs in as an installation of a GitHub App.
	// +optional
	GithubApp *GithubApp `json:"githubApp,omitempty"`
}

// GitRemote is another repository.
type GitRemote struct {
	// Name has no effect.
	// +optional
	Name string `json:"name,omitempty"`
	// URLs of the repository; the first is used.
	// +optional
	URLs []string `json:"urls,omitempty"`
}

// GithubApp is an installation of a GitHub App.
type GithubApp struct {
	// PrivateKey of the app, PEM.
	PrivateKey *corev1.SecretKeySelector `json:"privateKey"`
	// AppID is the id of the app.
	AppID int64 `json:"appID"`
	// InstallationID is the id of the installation.
	InstallationID int64 `json:"installationID"`
}

// repository is the URL to read from.
func (g *Git) repository() string {
	if g.Remote != nil && len(g.Remote.URLs) > 0 {
		return g.Remote.URLs[0]
	}
	return g.URL
}

// endpoint reads a URL. Its errors do not quote it.
func endpoint(s string) (*transport.Endpoint, error) {
	ep, err := transport.NewEndpoint(s)
	if err != nil {
		return nil, unquoted(err)
	}
	switch ep.Protocol {
	case "http", "https", "ssh", "file":
		return ep, nil
	default:
		return nil, errors.New("does not begin with https://, ssh:// or file://")
	}
}

func (g *Git) validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if g.URL == "" {
		add(v1alpha1.Invalid("url", "is required"))
	} else if _, err := endpoint(g.URL); err != nil {
		add(v1alpha1.Invalid("url", "%v", err))
	}
	if g.Remote != nil {
		if len(g.Remote.URLs) == 0 {
			add(v1alpha1.Invalid("remote.urls", "is required"))
		} else if _, err := endpoint(g.Remote.URLs[0]); err != nil {
			add(v1alpha1.Invalid("remote.urls[0]", "%v", err))
		}
	}
	if g.FilePath == "" {
		add(v1alpha1.Invalid("filePath", "is required"))
	} else {
		add(v1alpha1.At("filePath", inside(g.FilePath)))
	}
	if g.CloneDirectory != "" {
		add(v1alpha1.At("cloneDirectory", plain(g.CloneDirectory)))
	}
	if g.Creds != nil {
		if g.Creds.Username == nil && g.Creds.Password == nil {
			add(v1alpha1.Invalid("creds", "says nothing").Hinted("give username and password"))
		}
		add(selector("creds.username", g.Creds.Username))
		add(selector("creds.password", g.Creds.Password))
	}
	add(selector("sshKeySecret", g.SSHKeySecret))
	if a := g.GithubApp; a != nil {
		if a.PrivateKey == nil {
			add(v1alpha1.Invalid("githubApp.privateKey", "is required"))
		}
		add(selector("githubApp.privateKey", a.PrivateKey))
		if a.AppID <= 0 {
			add(v1alpha1.Invalid("githubApp.appID", "is required"))
		}
		if a.InstallationID <= 0 {
			add(v1alpha1.Invalid("githubApp.installationID", "is required"))
		}
	}
	return errors.Join(errs...)
}

// plain refuses paths that say more than where something is.
func plain(p string) error {
	if strings.ContainsAny(p, `~\`) || strings.Contains("/"+filepath.ToSlash(p)+"/", "/../") {
		return v1alpha1.Invalid("", `holds .., ~ or \`)
	}
	return nil
}

// inside refuses paths that are not below the root of a repository.
func inside(p string) error {
	if err := plain(p); err != nil {
		return err
	}
	if c := clean(p); c == "" || c == "." {
		return v1alpha1.Invalid("", "names no file")
	}
	return nil
}

// clean is a path as Git writes it.
func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func (g *Git) remote() bool {
	ep, err := endpoint(g.repository())
	return err != nil || ep.Protocol != "file"
}

func (g *Git) String() string {
	ep, err := endpoint(g.repository())
	if err != nil {
		return "that is no repository"
	}
	ep.User, ep.Password = "", ""
	at, _, _ := strings.Cut(ep.String(), "?")
	return at + ", " + g.wanted() + ", " + clean(g.FilePath)
}

// wanted names what is read, for people.
func (g *Git) wanted() string {
	switch {
	case g.Ref != "":
		return "ref " + g.Ref
	case g.Tag != "":
		return "tag " + g.Tag
	default:
		return "branch " + g.branch()
	}
}

func (g *Git) branch() string {
	if g.Branch == "" {
		return "master"
	}
	return g.Branch
}
