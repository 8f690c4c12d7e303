package bitbucket

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
)

// mostPages bounds the pages of a list, whatever the host says.
const mostPages = 200

// hookAPI keeps hooks; a target is a path: repositories/OWNER/SLUG or
// workspaces/NAME.
type hookAPI struct {
	api         *githost.API
	description string
}

type hookBody struct {
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Active      bool     `json:"active"`
	Events      []string `json:"events"`
	// Secret is left alone if it is not sent.
	Secret string `json:"secret,omitempty"`
}

type hookAnswer struct {
	UUID   string   `json:"uuid"`
	URL    string   `json:"url"`
	Active bool     `json:"active"`
	Events []string `json:"events"`
}

// List implements hooks.API.
func (h hookAPI) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	var all []hooks.Hook
	next := "/" + target + "/hooks?pagelen=100"
	for range mostPages {
		var page struct {
			Values []hookAnswer `json:"values"`
			Next   string       `json:"next"`
		}
		if _, err := h.api.Call(ctx, http.MethodGet, next, nil, &page); err != nil {
			return nil, err
		}
		for _, v := range page.Values {
			all = append(all, hooks.Hook{ID: v.UUID, URL: v.URL, Active: v.Active, Events: slices.Sorted(slices.Values(v.Events))})
		}
		if next = page.Next; next == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the list of the hooks of %s does not end", target)
}

// Create implements hooks.API.
func (h hookAPI) Create(ctx context.Context, target string, want hooks.Hook, secret []byte) (string, error) {
	var made hookAnswer
	_, err := h.api.Call(ctx, http.MethodPost, "/"+target+"/hooks", h.body(want, secret), &made)
	return made.UUID, err
}

// Update implements hooks.API.
func (h hookAPI) Update(ctx context.Context, target string, want hooks.Hook, secret []byte) error {
	_, err := h.api.Call(ctx, http.MethodPut, hookPath(target, want.ID), h.body(want, secret), nil)
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

func (h hookAPI) body(want hooks.Hook, secret []byte) hookBody {
	return hookBody{Description: h.description, URL: want.URL, Active: want.Active, Events: want.Events, Secret: string(secret)}
}

// hookPath keeps the braces of the id, percent-encoded.
func hookPath(target, id string) string { return "/" + target + "/hooks/" + url.PathEscape(id) }

// finder finds changed files.
type finder struct{ api *githost.API }

// find is a gitevent.Finder. The range of a diff has the newer commit first.
func (f finder) find(ctx context.Context, e *gitevent.Event) ([]string, error) {
	owner, slug, ok := strings.Cut(e.Repository.FullName, "/")
	if !ok || strings.Contains(slug, "/") {
		return nil, gitevent.ErrUnknowable
	}
	repo := "/repositories" + githost.Escape(owner, slug)
	switch {
	case e.PullRequest != nil:
		return f.files(ctx, repo+"/pullrequests/"+strconv.FormatInt(e.PullRequest.Number, 10)+"/diffstat?pagelen=500")
	case e.Before == "":
		return f.files(ctx, repo+"/diffstat/"+url.PathEscape(e.After+".."+e.Repository.DefaultBranch)+"?topic=true&pagelen=500")
	}
	return f.files(ctx, repo+"/diffstat/"+url.PathEscape(e.After+".."+e.Before)+"?topic=false&pagelen=500")
}

func (f finder) files(ctx context.Context, next string) ([]string, error) {
	var files []string
	for range mostPages {
		var page struct {
			Values []struct {
				Old struct{ Path string } `json:"old"`
				New struct{ Path string } `json:"new"`
			} `json:"values"`
			Next string `json:"next"`
		}
		if _, err := f.api.Call(ctx, http.MethodGet, next, nil, &page); err != nil {
			return nil, err
		}
		for _, v := range page.Values {
			for _, p := range []string{v.Old.Path, v.New.Path} {
				if p != "" {
					files = append(files, p)
				}
			}
		}
		if next = page.Next; next == "" {
			return files, nil
		}
		if len(files) > 2*gitevent.MaxFiles {
			return nil, gitevent.ErrTooMany
		}
	}
	return nil, gitevent.ErrTooMany
}
