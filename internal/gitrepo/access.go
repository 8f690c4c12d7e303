// Package gitrepo looks at Git repositories on servers: it lists their refs, and
// fetches just enough of their history to say what has changed between two
// commits, without the contents of files. It also changes files: a Draft is the newest
// state of a branch, of which only what is read is fetched, and becomes a commit
// that is pushed. It needs no git program.
package gitrepo

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Access says where a repository is and how to get in.
type Access struct {
	// URL of the repository, as given to git clone: https://, http://, ssh:// or
	// user@host:path. Users and passwords belong into secrets; only the user of an ssh URL may stand here.
	URL string `json:"url"`
	// Creds are user and password, for http and ssh.
	// +optional
	Creds *v1alpha1.BasicAuth `json:"creds,omitempty"`
	// TokenSecret is an access token of the host, for http. It is sent as the
	// password of creds.username, or of a user name that the hosts take for tokens.
	// +optional
	TokenSecret *corev1.SecretKeySelector `json:"tokenSecret,omitempty"`
	// GithubApp gets tokens for https as an installed GitHub App.
	// +optional
	GithubApp *GithubApp `json:"githubApp,omitempty"`
	// SSHKeySecret is the private key for ssh, PEM, without a passphrase.
	// +optional
	SSHKeySecret *corev1.SecretKeySelector `json:"sshKeySecret,omitempty"`
	// KnownHosts has the keys of ssh servers, in the format of the file
	// known_hosts. Without it the process's own files are used (SSH_KNOWN_HOSTS,
	// /etc/ssh/ssh_known_hosts, ~/.ssh/known_hosts).
	// +optional
	KnownHosts *KnownHosts `json:"knownHosts,omitempty"`
	// InsecureIgnoreHostKey turns off the check of an ssh server's key.
	// +optional
	InsecureIgnoreHostKey bool `json:"insecureIgnoreHostKey,omitempty"`
	// TLS is for servers whose certificate is not signed by a well-known authority,
	// and for those that want one of the client.
	// +optional
	TLS *v1alpha1.TLSConfig `json:"tls,omitempty"`
}

// KnownHosts is where the keys of ssh servers are: one of both.
type KnownHosts struct {
	// Secret with the keys.
	// +optional
	Secret *corev1.SecretKeySelector `json:"secret,omitempty"`
	// ConfigMap with the keys.
	// +optional
	ConfigMap *corev1.ConfigMapKeySelector `json:"configMap,omitempty"`
}

// endpoint reads a URL. Its errors do not quote it.
func endpoint(s string) (*transport.Endpoint, error) {
	if strings.TrimSpace(s) == "" {
		return nil, errors.New("is required")
	}
	ep, err := transport.NewEndpoint(s)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	switch ep.Protocol {
	case "http", "https", "ssh":
	default:
		return nil, errors.New("does not begin with https://, http:// or ssh://, and is not user@host:path")
	}
	if ep.Host == "" || strings.Trim(ep.Path, "/") == "" {
		return nil, errors.New("names no host, or no repository of it")
	}
	if ep.Password != "" || ep.User != "" && ep.Protocol != "ssh" {
		return nil, errors.New("holds a user or a password; they belong into secrets")
	}
	return ep, nil
}

// Validate reports all that is wrong, with paths from the block.
func (a *Access) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	ep, err := endpoint(a.URL)
	if err != nil {
		add(v1alpha1.Invalid("url", "%v", err))
		ep = &transport.Endpoint{}
	}
	if c := a.Creds; c != nil {
		switch {
		case c.Username == nil && c.Password == nil:
			add(v1alpha1.Invalid("creds", "says nothing").Hinted("give username and password"))
		case c.Password != nil && a.TokenSecret != nil:
			add(v1alpha1.Invalid("tokenSecret", "is given beside creds.password").Hinted("give one of them"))
		case c.Password == nil && a.TokenSecret == nil && a.GithubApp == nil && ep.Protocol != "ssh":
			add(v1alpha1.Invalid("creds.password", "is missing").Hinted("give it, or tokenSecret"))
		}
		add(selector("creds.username", c.Username))
		add(selector("creds.password", c.Password))
	}
	add(selector("tokenSecret", a.TokenSecret))
	if a.GithubApp != nil {
		add(v1alpha1.At("githubApp", a.GithubApp.Validate()))
		if a.TokenSecret != nil || a.Creds != nil && a.Creds.Password != nil {
			add(v1alpha1.Invalid("githubApp", "is given beside other credentials").Hinted("give one of them"))
		}
	}
	add(selector("sshKeySecret", a.SSHKeySecret))
	if k := a.KnownHosts; k != nil {
		if (k.Secret == nil) == (k.ConfigMap == nil) {
			add(v1alpha1.Invalid("knownHosts", "has to name either a secret or a ConfigMap"))
		}
		add(selector("knownHosts.secret", k.Secret))
		if k.ConfigMap != nil && (k.ConfigMap.Name == "" || k.ConfigMap.Key == "") {
			add(v1alpha1.Invalid("knownHosts.configMap", "needs name and key"))
		}
	}
	add(v1alpha1.At("tls", a.TLS.Validate()))
	add(a.useless(ep))
	return errors.Join(errs...)
}

// useless tells of what has no effect with the URL's protocol, and of secrets
// that travel in the clear.
func (a *Access) useless(ep *transport.Endpoint) error {
	var errs []error
	warn := func(path, format string, args ...any) { errs = append(errs, v1alpha1.Warn(path, format, args...)) }
	switch ep.Protocol {
	case "ssh":
		if a.TokenSecret != nil {
			warn("tokenSecret", "has no effect with ssh")
		}
		if a.GithubApp != nil {
			warn("githubApp", "has no effect with ssh")
		}
		if a.TLS != nil {
			warn("tls", "has no effect with ssh")
		}
		if a.SSHKeySecret == nil && (a.Creds == nil || a.Creds.Password == nil) {
			warn("sshKeySecret", "is missing: hardly any ssh server lets in whoever has neither key nor password")
		}
		if a.InsecureIgnoreHostKey {
			errs = append(errs, v1alpha1.Warn("insecureIgnoreHostKey", "lets anybody on the way play the server").Hinted("give knownHosts"))
			if a.KnownHosts != nil {
				warn("knownHosts", "has no effect with insecureIgnoreHostKey")
			}
		}
	case "http", "https":
		if a.SSHKeySecret != nil {
			warn("sshKeySecret", "has no effect with %s", ep.Protocol)
		}
		if a.KnownHosts != nil {
			warn("knownHosts", "has no effect with %s", ep.Protocol)
		}
		if ep.Protocol == "http" && !loopback(ep.Host) && (a.Creds != nil || a.TokenSecret != nil || a.GithubApp != nil) {
			errs = append(errs, v1alpha1.Warn("url", "sends the credentials unencrypted").Hinted("use https"))
		}
	}
	return errors.Join(errs...)
}

// loopback tells whether what is sent to a host stays on this machine.
func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func selector(path string, s *corev1.SecretKeySelector) error {
	if s != nil && (s.Name == "" || s.Key == "") {
		return v1alpha1.Invalid(path, "needs name and key")
	}
	return nil
}

// Place is a repository's address in its parts.
type Place struct {
	// Host is lower case, with its port if that is not the protocol's own.
	Host string
	// FullName is the path without slashes around it and without .git.
	FullName string
	// Web is the address for people; empty if that cannot be told.
	Web string
	// Clone is the URL without anything secret.
	Clone string
}

// Place takes the URL apart. It is zero if the URL is not valid.
func (a *Access) Place() Place {
	ep, err := endpoint(a.URL)
	if err != nil {
		return Place{}
	}
	path, _, _ := strings.Cut(ep.Path, "?")
	p := Place{Host: strings.ToLower(ep.Host), Clone: a.URL}
	standard := map[string]int{"http": 80, "https": 443, "ssh": 22}
	if ep.Port > 0 && ep.Port != standard[ep.Protocol] {
		p.Host = net.JoinHostPort(strings.Trim(p.Host, "[]"), strconv.Itoa(ep.Port))
	}
	p.FullName = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if ep.Protocol != "ssh" {
		p.Web = (&url.URL{Scheme: ep.Protocol, Host: p.Host, Path: "/" + p.FullName}).String()
		p.Clone, _, _ = strings.Cut(a.URL, "?") // nobody needs a query, and it may be a token
	}
	return p
}
