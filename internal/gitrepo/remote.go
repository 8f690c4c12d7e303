package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/skeema/knownhosts"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/httpclient"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// ErrNoAccess is what errors wrap if the server does not show the repository: it
// is not there, or not for whoever asks. Servers do not tell these apart.
var ErrNoAccess = errors.New("no access")

// Later is an error of a server that wants to be left alone for a while.
type Later struct {
	Until  time.Time
	Status string
}

// Error implements error.
func (l *Later) Error() string {
	return fmt.Sprintf("the server answers %s and wants no more requests before %s", l.Status, l.Until.UTC().Format(time.RFC3339))
}

// Remote is a repository on a server. Secrets are read anew each time. Safe for
// concurrent use.
type Remote struct {
	access  Access
	ep      *transport.Endpoint
	secrets secret.Reader
	clients Clients
	own     *httpclient.Clients // if clients are its own
	app     *appToken
	maxPack int64
}

// Clients makes HTTP clients, as httpclient.Clients does.
type Clients interface {
	Client(ctx context.Context, tls *v1alpha1.TLSConfig) (*http.Client, error)
}

// New does no I/O.
func New(a Access, secrets secret.Reader) (*Remote, error) {
	own := httpclient.New(secrets, "git")
	r, err := NewWith(a, secrets, own)
	if err != nil {
		return nil, err
	}
	r.own = own
	return r, nil
}

// NewWith is New with the HTTP clients of somebody else.
func NewWith(a Access, secrets secret.Reader, clients Clients) (*Remote, error) {
	ep, err := endpoint(a.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	return &Remote{access: a, ep: ep, secrets: secrets, clients: clients, app: &appToken{}, maxPack: maxPack}, nil
}

// Close lets go of idle connections. The Remote can be used again.
func (r *Remote) Close() {
	if r.own != nil {
		r.own.Close()
	}
}

// String is the URL, without anything secret.
func (r *Remote) String() string { return r.access.Place().Clone }

// Tip is what a ref points to.
type Tip struct {
	// Object is the ref's own value, a commit or an annotated tag.
	Object string
	// Commit is that of Object.
	Commit string
}

// Refs are the refs of a repository.
type Refs struct {
	// Tips by whole names, such as refs/heads/main.
	Tips map[string]Tip
	// Default is the whole name of the default branch; empty if it is not known.
	Default string
}

// List asks for all refs, without objects. A repository without commits has none.
func (r *Remote) List(ctx context.Context) (*Refs, error) {
	s, err := r.session(ctx)
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return &Refs{}, nil
	}
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	return refsOf(adv), nil
}

func refsOf(adv *packp.AdvRefs) *Refs {
	refs := &Refs{Tips: make(map[string]Tip, len(adv.References))}
	for name, hash := range adv.References {
		tip := Tip{Object: hash.String(), Commit: hash.String()}
		if peeled, ok := adv.Peeled[name]; ok {
			tip.Commit = peeled.String()
		}
		refs.Tips[name] = tip
	}
	for _, link := range adv.Capabilities.Get(capability.SymRef) {
		if name, ok := strings.CutPrefix(link, "HEAD:"); ok {
			refs.Default = name
		}
	}
	if _, ok := refs.Tips[refs.Default]; !ok {
		refs.Default = ""
	}
	return refs
}

// session begins to speak to the server.
func (r *Remote) session(ctx context.Context) (transport.UploadPackSession, error) {
	user, password, err := r.login(ctx)
	if err != nil {
		return nil, err
	}
	if r.ep.Protocol == "ssh" {
		return r.dial(ctx, user, password, transport.UploadPackServiceName)
	}
	t, auth, err := r.overHTTP(ctx, user, password)
	if err != nil {
		return nil, err
	}
	ep := *r.ep // a redirect changes it
	return t.NewUploadPackSession(&ep, auth)
}

// overHTTP is how to speak HTTP to the server.
func (r *Remote) overHTTP(ctx context.Context, user, password string) (transport.Transport, transport.AuthMethod, error) {
	client, err := r.clients.Client(ctx, r.access.TLS)
	if err != nil {
		return nil, nil, err
	}
	var auth transport.AuthMethod
	if user != "" || password != "" {
		auth = &githttp.BasicAuth{Username: user, Password: password}
	}
	return githttp.NewClient(&http.Client{Transport: watch{client.Transport}}), auth, nil
}

// login reads user and password, or the token.
func (r *Remote) login(ctx context.Context) (user, password string, err error) {
	read := func(name string, ref *corev1.SecretKeySelector, to *string) {
		if ref == nil || err != nil {
			return
		}
		var b []byte
		if b, err = r.secrets.Secret(ctx, ref); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			return
		}
		*to = strings.TrimSpace(string(b))
	}
	if c := r.access.Creds; c != nil {
		read("creds.username", c.Username, &user)
		read("creds.password", c.Password, &password)
	}
	if err == nil && r.access.GithubApp != nil && r.ep.Protocol != "ssh" {
		password, err = r.appToken(ctx)
		return tokenUser(""), password, err
	}
	if r.access.TokenSecret == nil || r.ep.Protocol == "ssh" {
		return user, password, err
	}
	read("tokenSecret", r.access.TokenSecret, &password)
	if user == "" {
		user = tokenUser(r.ep.Host)
	}
	return user, password, err
}

// tokenUser is the user name that goes with a token. Bitbucket insists on its
// own; GitHub has this one; others take any.
func tokenUser(host string) string {
	if strings.Contains(strings.ToLower(host), "bitbucket") {
		return "x-token-auth"
	}
	return "x-access-token"
}

// explain says what is behind an error in words that hold nothing secret.
func (r *Remote) explain(ctx context.Context, err error) error { return r.explainTo(ctx, "read", err) }

func (r *Remote) explainTo(ctx context.Context, do string, err error) error {
	if err == nil {
		return nil
	}
	err = unwrapped(err)
	var later *Later
	var status *githttp.Err
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer in time", r)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &later):
		return fmt.Errorf("%s: %w", r, later)
	case errors.As(err, &status):
		return fmt.Errorf("%s: the server answers %s", r, status.Response.Status)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		errors.Is(err, transport.ErrRepositoryNotFound), strings.Contains(err.Error(), "unable to authenticate"):
		r.forgetToken()
		return fmt.Errorf("%s: %w: %s", r, ErrNoAccess, r.advice(do))
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("%s: the server's host key is not the one that is known: either it was changed, or this is another server", r)
	case knownhosts.IsHostUnknown(err):
		return fmt.Errorf("%s: the server's host key is not known: put it into knownHosts", r)
	}
	return fmt.Errorf("%s: %w", r, err)
}

func (r *Remote) advice(do string) string {
	if a := r.access; a.Creds == nil && a.TokenSecret == nil && a.SSHKeySecret == nil && a.GithubApp == nil {
		return "the repository does not exist, or credentials are needed to " + map[string]string{"read": "see", "write": "write to"}[do] + " it"
	}
	return "the repository does not exist, or the credentials are wrong or do not allow to " + do + " it"
}

// capable tells which non-tips the server may hand out when asked.
func capable(adv *packp.AdvRefs) bool {
	return adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) || adv.Capabilities.Supports("allow-any-sha1-in-want")
}

// advertised are the objects that the server surely hands out.
func advertised(adv *packp.AdvRefs) map[plumbing.Hash]bool {
	all := map[plumbing.Hash]bool{}
	for h := range maps.Values(adv.References) {
		all[h] = true
	}
	for h := range maps.Values(adv.Peeled) {
		all[h] = true
	}
	return all
}
