package pull

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// Request is a pull request as it is to be.
type Request struct {
	// Head and Base are branches of the same repository: merge Head into Base.
	Head, Base  string
	Title, Body string
	Labels      []string
}

// Info is a pull request that is there.
type Info struct {
	// URL is its page for people.
	URL    string `json:"url"`
	Number int    `json:"number"`
}

// State is what has become of a pull request.
type State string

// The states.
const (
	Open   State = "open"
	Merged State = "merged"
	// Closed is closed without being merged.
	Closed State = "closed"
)

// Client opens the pull requests of one repository. Secrets are read anew each
// time. Safe for concurrent use.
//
// Its errors are marked for the sensor: trigger.After if the host asked to wait,
// trigger.Permanent if it will say the same again.
type Client struct {
	host host
}

// host is one of the providers.
type host interface {
	// find returns the open one that merges head into base, if there is one.
	find(ctx context.Context, head, base string) (*found, error)
	// create returns errExists if there is one already. Labels are not its business.
	create(ctx context.Context, r Request) (Info, error)
	// update makes title and body as wanted.
	update(ctx context.Context, is *found, r Request) error
	// label adds labels.
	label(ctx context.Context, number int, labels []string) error
	state(ctx context.Context, number int) (State, string, error)
}

// found is an open pull request.
type found struct {
	Info
	title, body string
	draft       bool
	labels      []string
}

// errExists is a host's word that there is such a pull request already.
var errExists = errors.New("there is one already")

// ErrGone is what errors of State wrap if the host has no such pull request: it was
// deleted, or the repository was made anew, or the token may not see it any more.
var ErrGone = errors.New("there is no such pull request")

// New does no I/O.
func New(c Config, repo gitrepo.Place, secrets secret.Reader, http trigger.HTTP) (*Client, error) {
	provider := c.Provider
	if provider == "" {
		provider = Guess(repo)
	}
	if repo.FullName == "" {
		return nil, errors.New("the repository's URL is not valid")
	}
	if provider == "" {
		return nil, fmt.Errorf("provider: cannot be told by the host %s; give it", repo.Host)
	}
	a := &api{base: strings.TrimRight(c.API, "/"), config: c, secrets: secrets, http: http}
	if provider == GitLab {
		a.place(provider, repo, "")
		a.sign = bearer
		return &Client{host: &gitlab{api: a, project: "/projects/" + url.PathEscape(repo.FullName)}}, nil
	}
	parts := strings.Split(repo.FullName, "/")
	if len(parts) < 2 || len(parts) > 2 && provider != Gitea {
		return nil, fmt.Errorf("%s has no repositories like %s: OWNER/NAME is needed", provider, repo.FullName)
	}
	last := len(parts) - 2
	a.place(provider, repo, strings.Join(parts[:last], "/")) // a Gitea may live below a path
	name := githost.Escape(parts[last:]...)
	switch provider {
	case GitHub:
		a.sign = bearer
		return &Client{host: &github{api: a, owner: parts[last], repo: "/repos" + name}}, nil
	case Gitea:
		a.sign = func(r *nethttp.Request, _, token string) { r.Header.Set("Authorization", "token "+token) }
		return &Client{host: &gitea{api: a, owner: parts[last], repo: "/repos" + name}}, nil
	case Bitbucket:
		a.sign = func(r *nethttp.Request, user, token string) {
			if user == "" {
				bearer(r, "", token)
				return
			}
			r.SetBasicAuth(user, token)
		}
		return &Client{host: &bitbucket{api: a, full: repo.FullName, repo: "/repositories" + name}}, nil
	}
	return nil, fmt.Errorf("provider: %q is unknown", provider)
}

func bearer(r *nethttp.Request, _, token string) { r.Header.Set("Authorization", "Bearer "+token) }

const (
	longestTitle = 250
	longestBody  = 30_000
)

// Open makes r, or finds the one that is open for its head and base and gives it
// title, body and labels. Calling it again changes nothing further. Text that is
// too long for the hosts is cut, and a title ends with its first line.
func (c *Client) Open(ctx context.Context, r Request) (Info, error) {
	r.Title, _, _ = strings.Cut(strings.TrimSpace(r.Title), "\n")
	r.Title, r.Body = cut(strings.TrimSpace(r.Title), longestTitle), cut(r.Body, longestBody)
	if r.Head == "" || r.Base == "" || r.Title == "" || r.Head == r.Base {
		return Info{}, trigger.Permanent(fmt.Errorf("a pull request needs a title and two branches, not %q from %q to %q", r.Title, r.Head, r.Base))
	}
	is, err := c.host.find(ctx, r.Head, r.Base)
	if err != nil {
		return Info{}, fmt.Errorf("look for a pull request of %s: %w", r.Head, err)
	}
	if is == nil {
		made, err := c.host.create(ctx, r)
		switch {
		case errors.Is(err, errExists): // somebody was faster
			if is, err = c.host.find(ctx, r.Head, r.Base); err != nil {
				return Info{}, fmt.Errorf("look for a pull request of %s: %w", r.Head, err)
			}
			if is == nil {
				return Info{}, fmt.Errorf("open a pull request of %s: %w, but the list of open ones does not have it", r.Head, errExists)
			}
		case err != nil:
			return Info{}, fmt.Errorf("open a pull request of %s: %w", r.Head, err)
		default:
			is = &found{Info: made, title: r.Title, body: r.Body}
		}
	}
	if is.title != r.Title || trimmed(is.body) != trimmed(r.Body) {
		if err := c.host.update(ctx, is, r); err != nil {
			return is.Info, fmt.Errorf("update pull request %d: %w", is.Number, err)
		}
	}
	var missing []string
	for _, l := range r.Labels {
		if l = strings.TrimSpace(l); l != "" && !slices.ContainsFunc(is.labels, func(has string) bool { return strings.EqualFold(has, l) }) && !slices.Contains(missing, l) {
			missing = append(missing, l)
		}
	}
	if len(missing) > 0 {
		if err := c.host.label(ctx, is.Number, missing); err != nil {
			return is.Info, fmt.Errorf("label pull request %d: %w", is.Number, err)
		}
	}
	return is.Info, nil
}

// State tells what has become of a pull request, and, if it was merged, the
// commit on the base branch, unless the host does not say.
func (c *Client) State(ctx context.Context, number int) (State, string, error) {
	s, commit, err := c.host.state(ctx, number)
	if code, _ := status(err); code == nethttp.StatusNotFound || code == nethttp.StatusGone {
		return "", "", fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return "", "", err
	}
	if s != Merged {
		commit = ""
	}
	return s, commit, nil
}

// trimmed is a body as hosts keep it, some of which change its line ends.
func trimmed(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
