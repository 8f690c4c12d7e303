package pull

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// gitea implements host with the API of Gitea and Forgejo.
type gitea struct {
	*api
	owner, repo string
}

const (
	// perPage is what a server gives at most, unless it is set to less.
	perPage   = 50
	mostPages = 200
	// wipTitle is how a title says that it is a draft.
	wipTitle = "WIP: "
	// newColor of labels that are made.
	newColor = "#ededed"
)

// pages gets a list until page returns false or a page is empty: servers may
// give less than was asked for.
func pages[T any](ctx context.Context, a *api, path string, page func([]T) bool) error {
	for n := 1; n <= mostPages; n++ {
		var list []T
		if err := a.call(ctx, http.MethodGet, fmt.Sprintf("%slimit=%d&page=%d", path, perPage, n), nil, &list); err != nil {
			return err
		}
		if len(list) == 0 || !page(list) {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d pages", path, mostPages)
}

func (g *gitea) find(ctx context.Context, head, base string) (*found, error) {
	var is *found
	err := pages(ctx, g.api, g.repo+"/pulls?state=open&sort=recentupdate&", func(list []hubPull) bool {
		for _, p := range list {
			if p.of(head, base) {
				is = p.found()
				is.draft = is.draft || strings.HasPrefix(is.title, wipTitle)
				is.title = strings.TrimPrefix(is.title, wipTitle)
				return false
			}
		}
		return true
	})
	return is, err
}

func (g *gitea) create(ctx context.Context, r Request) (Info, error) {
	title := r.Title
	if g.config.Draft {
		title = wipTitle + title
	}
	var p hubPull
	err := g.call(ctx, http.MethodPost, g.repo+"/pulls", map[string]any{"title": title, "body": r.Body, "head": r.Head, "base": r.Base}, &p)
	if code, _ := status(err); code == http.StatusConflict {
		return Info{}, errExists
	}
	return Info{URL: p.URL, Number: p.Number}, err
}

func (g *gitea) update(ctx context.Context, is *found, r Request) error {
	title := r.Title
	if is.draft {
		title = wipTitle + title
	}
	return g.call(ctx, http.MethodPatch, g.repo+"/pulls/"+strconv.Itoa(is.Number), map[string]any{"title": title, "body": r.Body}, nil)
}

type giteaLabel struct {
	ID   int64
	Name string
}

// label adds labels by their ids, which every version understands, and makes
// those that there are not.
func (g *gitea) label(ctx context.Context, number int, labels []string) error {
	ids := map[string]int64{}
	take := func(list []giteaLabel) bool {
		for _, l := range list {
			if _, ok := ids[strings.ToLower(l.Name)]; !ok {
				ids[strings.ToLower(l.Name)] = l.ID
			}
		}
		return true
	}
	if err := pages(ctx, g.api, g.repo+"/labels?", take); err != nil {
		return err
	}
	err := pages(ctx, g.api, "/orgs/"+url.PathEscape(g.owner)+"/labels?", take)
	switch code, _ := status(err); {
	case code == http.StatusNotFound, code == http.StatusForbidden: // the owner is no organization, or hides them
	case err != nil:
		return err
	}
	var add []int64
	for _, name := range labels {
		id, ok := ids[strings.ToLower(name)]
		if !ok {
			var made giteaLabel
			if err := g.call(ctx, http.MethodPost, g.repo+"/labels", map[string]any{"name": name, "color": newColor}, &made); err != nil {
				return fmt.Errorf("make the label %q: %w", name, err)
			}
			id = made.ID
		}
		add = append(add, id)
	}
	return g.call(ctx, http.MethodPost, g.repo+"/issues/"+strconv.Itoa(number)+"/labels", map[string]any{"labels": add}, nil)
}

func (g *gitea) state(ctx context.Context, number int) (State, string, error) {
	var p hubPull
	if err := g.call(ctx, http.MethodGet, g.repo+"/pulls/"+strconv.Itoa(number), nil, &p); err != nil {
		return "", "", err
	}
	s, commit := p.became()
	return s, commit, nil
}
