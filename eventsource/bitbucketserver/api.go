package bitbucketserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

const (
	pageSize = 500
	// mostPages bounds the pages of a list, whatever the host says.
	mostPages = 200
	hookName  = "Signalbox"
)

// list gets all pages of a list below path, which has a query already or none.
// each tells whether to go on.
func list[T any](ctx context.Context, api *githost.API, path string, query url.Values, each func(T) bool) error {
	if query == nil {
		query = url.Values{}
	}
	if !query.Has("limit") {
		query.Set("limit", strconv.Itoa(pageSize))
	}
	start := 0
	for range mostPages {
		query.Set("start", strconv.Itoa(start))
		var page struct {
			Values        []T  `json:"values"`
			IsLastPage    bool `json:"isLastPage"`
			NextPageStart *int `json:"nextPageStart"`
		}
		if _, err := api.Call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, v := range page.Values {
			if !each(v) {
				return nil
			}
		}
		if page.IsLastPage || page.NextPageStart == nil || *page.NextPageStart <= start {
			return nil
		}
		start = *page.NextPageStart
	}
	return fmt.Errorf("GET %s: the list does not end", path)
}

func repoPath(project, slug string) string {
	return "/projects" + githost.Escape(project) + "/repos" + githost.Escape(slug)
}

// targets are the paths of the repositories, and of all those of the projects.
func targets(ctx context.Context, api *githost.API, repositories []Repository, projects []string) ([]string, error) {
	var all []string
	for _, r := range repositories {
		all = append(all, repoPath(r.ProjectKey, r.RepositorySlug))
	}
	for _, key := range projects {
		err := list(ctx, api, "/projects"+githost.Escape(key)+"/repos", nil, func(r repository) bool {
			if r.Slug != "" {
				all = append(all, repoPath(key, r.Slug))
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// hookAPI keeps hooks; a target is the path of a repository.
type hookAPI struct {
	api *githost.API
	// keys may be nil.
	keys *verify.Keys
}

type hookBody struct {
	Name   string   `json:"name"`
	URL    string   `json:"url"`
	Active bool     `json:"active"`
	Events []string `json:"events"`
	// Configuration is left out without a secret: an empty one is an error.
	Configuration *configuration `json:"configuration,omitempty"`
}

type configuration struct {
	Secret string `json:"secret"`
}

type hookAnswer struct {
	ID     int64    `json:"id"`
	URL    string   `json:"url"`
	Active bool     `json:"active"`
	Events []string `json:"events"`
}

// List implements hooks.API.
func (h hookAPI) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	var all []hooks.Hook
	err := list(ctx, h.api, target+"/webhooks", nil, func(v hookAnswer) bool {
		all = append(all, hooks.Hook{
			ID: strconv.FormatInt(v.ID, 10), URL: v.URL, Active: v.Active, Events: slices.Sorted(slices.Values(v.Events)),
		})
		return true
	})
	return all, err
}

// Create implements hooks.API.
func (h hookAPI) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	var made hookAnswer
	_, err := h.api.Call(ctx, http.MethodPost, target+"/webhooks", body(want, secret), &made)
	return strconv.FormatInt(made.ID, 10), err
}

// Update implements hooks.API.
func (h hookAPI) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	if secret == nil && h.keys != nil { // what is not sent is taken away
		var err error
		if secret, err = h.keys.Current(ctx); err != nil {
			return err
		}
	}
	_, err := h.api.Call(ctx, http.MethodPut, hookPath(target, want.ID), body(want, secret), nil)
	return err
}

// Delete implements hooks.API.
func (h hookAPI) Delete(ctx context.Context, target, id string) error {
	_, err := h.api.Call(ctx, http.MethodDelete, hookPath(target, id), nil, nil)
	if githost.IsGone(err) {
		return nil
	}
	return err
}

func body(want hooks.Hook, secret []byte) hookBody {
	b := hookBody{Name: hookName, URL: want.URL, Active: want.Active, Events: want.Events}
	if len(secret) > 0 {
		b.Configuration = &configuration{string(secret)}
	}
	return b
}

func hookPath(target, id string) string { return target + "/webhooks" + githost.Escape(id) }

// finder finds changed files.
type finder struct{ api *githost.API }

type fileChange struct {
	Path    filePath `json:"path"`
	SrcPath filePath `json:"srcPath"`
}

type filePath struct {
	Text string `json:"toString"`
}

// find is a gitevent.Finder.
func (f finder) find(ctx context.Context, e *gitevent.Event) ([]string, error) {
	project, slug, ok := strings.Cut(e.Repository.FullName, "/")
	if !ok {
		return nil, gitevent.ErrUnknowable
	}
	repo := repoPath(project, slug)
	switch {
	case e.PullRequest != nil:
		return f.files(ctx, repo+"/pull-requests/"+strconv.FormatInt(e.PullRequest.Number, 10)+"/changes", nil)
	case e.Before == "":
		return f.compare(ctx, repo, e.After, e.Repository.DefaultBranch)
	}
	// What one commit has beyond what both have in common, and the other way
	// round, which is nothing unless the push was forced: that is not said.
	came, err := f.compare(ctx, repo, e.After, e.Before)
	if err != nil {
		return nil, err
	}
	went, err := f.compare(ctx, repo, e.Before, e.After)
	return append(came, went...), err
}

func (f finder) compare(ctx context.Context, repo, from, to string) ([]string, error) {
	return f.files(ctx, repo+"/compare/changes", url.Values{"from": {from}, "to": {to}})
}

func (f finder) files(ctx context.Context, path string, query url.Values) ([]string, error) {
	var files []string
	err := list(ctx, f.api, path, query, func(c fileChange) bool {
		for _, p := range []string{c.Path.Text, c.SrcPath.Text} {
			if p != "" {
				files = append(files, p)
			}
		}
		return len(files) <= 2*gitevent.MaxFiles
	})
	if len(files) > 2*gitevent.MaxFiles {
		return nil, gitevent.ErrTooMany
	}
	return files, err
}

// pulls asks for pull requests.
type pulls struct{ api *githost.API }

// open tells whether ref is the source of an open pull request.
func (p pulls) open(ctx context.Context, r *repository, ref string) (bool, error) {
	if r.fullName() == "" {
		return false, nil
	}
	found := false
	query := url.Values{"direction": {"OUTGOING"}, "at": {ref}, "state": {"OPEN"}, "limit": {"1"}}
	err := list(ctx, p.api, repoPath(r.Project.Key, r.Slug)+"/pull-requests", query, func(pull) bool {
		found = true
		return false
	})
	return found, err
}
