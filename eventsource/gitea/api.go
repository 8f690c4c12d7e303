package gitea

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// Targets of hooks begin with one of these, or are the token's user.
const (
	targetRepo = "repos/"
	targetOrg  = "orgs/"
	targetUser = "user"
)

// settingContent is the setting of a hook that is kept.
const settingContent = "content_type"

const (
	perPage   = 50
	mostPages = 1000
)

// api is the host's, as one entry uses it.
type api struct{ rest githost.API }

var _ hooks.API = (*api)(nil)

func newAPI(c *Config, env eventsource.Env) *api {
	return &api{githost.API{
		Base:    strings.TrimSuffix(strings.TrimRight(c.BaseURL, "/"), "/api/v1") + "/api/v1",
		Clients: githost.Clients(env.Secrets), TLS: c.TLS,
		Authorize: func(ctx context.Context, r *http.Request) error {
			token, err := githost.Value(ctx, env.Secrets, c.AccessToken)
			if err != nil {
				return fmt.Errorf("accessToken: %w", err)
			}
			if token == "" {
				return errors.New("accessToken: the secret is missing or empty")
			}
			r.Header.Set("Authorization", "token "+token) // what Gogs, too, understands
			return nil
		},
	}}
}

// do asks the API, and passes over what its answer's head says.
func (a *api) do(ctx context.Context, method, path string, in, out any) error {
	_, err := a.rest.Call(ctx, method, path, in, out)
	return err
}

// hook as the API writes it.
type hook struct {
	ID     int64             `json:"id,omitempty"`
	Type   string            `json:"type,omitempty"`
	Active bool              `json:"active"`
	Events []string          `json:"events"`
	Config map[string]string `json:"config"`
}

func hookOf(want *hooks.Hook, secret []byte) *hook {
	h := &hook{Active: want.Active, Events: want.Events, Config: map[string]string{
		"url": want.URL, settingContent: want.Settings[settingContent],
	}}
	if secret != nil {
		h.Config["secret"] = string(secret)
	}
	return h
}

func path(target string) (string, error) {
	if repo, ok := strings.CutPrefix(target, targetRepo); ok {
		repo, err := hub.RepoPath(repo)
		return "/" + targetRepo + repo + "/hooks", err
	}
	if org, ok := strings.CutPrefix(target, targetOrg); ok && org != "" {
		return "/" + targetOrg + url.PathEscape(org) + "/hooks", nil
	}
	if target == targetUser {
		return "/" + targetUser + "/hooks", nil
	}
	return "", fmt.Errorf("%q is no target of hooks", target)
}

// pages gets a list to which page adds the items of one page, and returns how
// many of them it had not had yet. There are no links: a page that brings nothing new, or
// the total that is said, ends it. Gogs sends all at once, whatever the page.
func (a *api) pages(ctx context.Context, at string, page func(get func(out any) error) (fresh int, err error)) error {
	got := 0
	for n := 1; n <= mostPages; n++ {
		var head http.Header
		fresh, err := page(func(out any) (err error) {
			head, err = a.rest.Call(ctx, http.MethodGet, at+"?limit="+strconv.Itoa(perPage)+"&page="+strconv.Itoa(n), nil, out)
			return err
		})
		if err != nil || fresh == 0 {
			return err
		}
		got += fresh
		if total, err := strconv.Atoi(head.Get("X-Total-Count")); err == nil && got >= total {
			return nil
		}
	}
	return fmt.Errorf("GET %s: more than %d pages", at, mostPages)
}

// List implements hooks.API.
func (a *api) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	at, err := path(target)
	if err != nil {
		return nil, err
	}
	var all []hooks.Hook
	seen := map[int64]bool{}
	err = a.pages(ctx, at, func(get func(any) error) (int, error) {
		var list []hook
		if err := get(&list); err != nil {
			return 0, err
		}
		fresh := 0
		for _, h := range list {
			if seen[h.ID] {
				continue
			}
			seen[h.ID] = true
			fresh++
			all = append(all, hooks.Hook{
				ID: strconv.FormatInt(h.ID, 10), URL: h.Config["url"], Active: h.Active,
				Events:   slices.Sorted(slices.Values(h.Events)),
				Settings: map[string]string{settingContent: h.Config[settingContent]},
			})
		}
		return fresh, nil
	})
	return all, err
}

// Create implements hooks.API.
func (a *api) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	at, err := path(target)
	if err != nil {
		return "", err
	}
	h, made := hookOf(&want, secret), hook{}
	h.Type = "gitea"
	err = a.do(ctx, http.MethodPost, at, h, &made)
	if isStatus(err, http.StatusUnprocessableEntity) {
		h.Type = "gogs" // knows no other
		if a.do(ctx, http.MethodPost, at, h, &made) == nil {
			err = nil
		}
	}
	if err == nil && made.ID == 0 {
		err = errors.New("the hook that was made has no id")
	}
	return strconv.FormatInt(made.ID, 10), err
}

// Update implements hooks.API.
func (a *api) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	at, err := path(target)
	if err != nil {
		return err
	}
	return a.do(ctx, http.MethodPatch, at+"/"+url.PathEscape(want.ID), hookOf(&want, secret), nil)
}

// Delete implements hooks.API.
func (a *api) Delete(ctx context.Context, target, id string) error {
	at, err := path(target)
	if err != nil {
		return err
	}
	err = a.do(ctx, http.MethodDelete, at+"/"+url.PathEscape(id), nil, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

func isStatus(err error, status int) bool {
	var e *githost.StatusError
	return errors.As(err, &e) && e.Status == status
}

// files is the gitevent.Finder.
func (a *api) files(ctx context.Context, e *gitevent.Event) ([]string, error) {
	repo, err := hub.RepoPath(e.Repository.FullName)
	if err != nil {
		return nil, err
	}
	switch {
	case e.Provider == "gogs":
		return nil, gitevent.ErrUnknowable
	case e.PullRequest != nil:
		return a.pullFiles(ctx, "/repos/"+repo+"/pulls/"+strconv.FormatInt(e.PullRequest.Number, 10)+"/files")
	}
	from := e.Before
	if from == "" {
		from = e.Repository.DefaultBranch
	} else if !hub.IsCommit(from) {
		return nil, fmt.Errorf("%q is no commit", from)
	}
	if !hub.IsCommit(e.After) {
		return nil, fmt.Errorf("%q is no commit", e.After)
	}
	return a.compare(ctx, "/repos/"+repo+"/compare/"+url.PathEscape(from)+"..."+url.PathEscape(e.After))
}

// compare collects the files of all commits, which is what a push lists, too.
func (a *api) compare(ctx context.Context, at string) ([]string, error) {
	var answer struct {
		TotalCommits int `json:"total_commits"`
		Commits      []struct {
			Files []hub.File `json:"files"`
		} `json:"commits"`
	}
	if err := a.do(ctx, http.MethodGet, at+"?stat=false&verification=false", nil, &answer); err != nil {
		return nil, err
	}
	if answer.TotalCommits > len(answer.Commits) {
		return nil, gitevent.ErrTooMany
	}
	all := []string{}
	for _, c := range answer.Commits {
		if c.Files == nil {
			return nil, gitevent.ErrUnknowable // an old host
		}
		all = hub.AppendPaths(all, c.Files)
	}
	return all, nil
}

func (a *api) pullFiles(ctx context.Context, at string) ([]string, error) {
	all, seen := []string{}, map[string]bool{}
	err := a.pages(ctx, at, func(get func(any) error) (int, error) {
		var list []hub.File
		if err := get(&list); err != nil {
			return 0, err
		}
		fresh := 0
		for _, f := range list {
			if !seen[f.Filename] {
				seen[f.Filename] = true
				fresh++
			}
		}
		if all = hub.AppendPaths(all, list); len(seen) > gitevent.MaxFiles {
			return 0, gitevent.ErrTooMany
		}
		return fresh, nil
	})
	return all, err
}
