package gerrit

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/hooks"
)

// guard is what Gerrit writes before its JSON, so that no page can load it as a script.
const guard = ")]}'"

const (
	sslVerify = "sslVerify"
	maxTries  = "maxTries"
)

// hookAPI keeps the remotes of the webhooks plugin. Its targets are projects, the
// hooks' IDs their names.
type hookAPI struct {
	api *githost.API
	// name of the hook of ours.
	name string
}

// remote is a hook as the plugin has it. Events that are not there mean all.
type remote struct {
	URL       string   `json:"url"`
	Events    []string `json:"events,omitempty"`
	MaxTries  *int64   `json:"maxTries,omitempty"`
	SslVerify bool     `json:"sslVerify"`
}

func remotes(project string) string {
	return githost.Escape("a", "config", "server") + "/webhooks~projects" + githost.Escape(project) + "/remotes/"
}

// List implements hooks.API.
func (a *hookAPI) List(ctx context.Context, target string) ([]hooks.Hook, error) {
	var found map[string]remote
	if _, err := a.api.Call(ctx, http.MethodGet, remotes(target), nil, &found); err != nil {
		return nil, err
	}
	var all []hooks.Hook
	for _, name := range slices.Sorted(maps.Keys(found)) {
		r := found[name]
		h := hooks.Hook{
			ID: name, URL: r.URL, Events: r.Events, Active: true,
			Settings: map[string]string{sslVerify: strconv.FormatBool(r.SslVerify), maxTries: ""},
		}
		if r.MaxTries != nil {
			h.Settings[maxTries] = strconv.FormatInt(*r.MaxTries, 10)
		}
		all = append(all, h)
	}
	return all, nil
}

// Create implements hooks.API. It takes a hook of that name over.
func (a *hookAPI) Create(ctx context.Context, target string, want hooks.Hook, _ []byte) (string, error) {
	want.ID = a.name
	return a.name, a.Update(ctx, target, want, nil)
}

// Update implements hooks.API.
func (a *hookAPI) Update(ctx context.Context, target string, want hooks.Hook, _ []byte) error {
	r := remote{URL: want.URL, Events: want.Events, SslVerify: want.Settings[sslVerify] == "true"}
	if n, err := strconv.ParseInt(want.Settings[maxTries], 10, 64); err == nil {
		r.MaxTries = &n
	}
	_, err := a.api.Call(ctx, http.MethodPut, remotes(target)+url.PathEscape(want.ID), r, nil)
	return err
}

// Delete implements hooks.API.
func (a *hookAPI) Delete(ctx context.Context, target, id string) error {
	_, err := a.api.Call(ctx, http.MethodDelete, remotes(target)+url.PathEscape(id), nil, nil)
	if githost.IsGone(err) {
		return nil
	}
	return err
}

// finder asks Gerrit for changed files.
type finder struct{ api *githost.API }

// find implements gitevent.Finder. Gerrit tells those of a change's patch set, and
// none of a push.
func (f finder) find(ctx context.Context, e *gitevent.Event) ([]string, error) {
	if e.PullRequest == nil || e.PullRequest.Number <= 0 {
		return nil, gitevent.ErrUnknowable
	}
	revision := githost.First(e.PullRequest.Source.SHA, "current")
	path := githost.Escape("a", "changes", strconv.FormatInt(e.PullRequest.Number, 10), "revisions", revision, "files")
	var found map[string]struct {
		OldPath string `json:"old_path"`
		Status  string `json:"status"`
	}
	if _, err := f.api.Call(ctx, http.MethodGet, path, nil, &found); err != nil {
		return nil, fmt.Errorf("the files of change %d: %w", e.PullRequest.Number, err)
	}
	files := make([]string, 0, len(found))
	for path, file := range found {
		if strings.HasPrefix(path, "/") { // the commit's message, and other things that are no files
			continue
		}
		files = append(files, path)
		if file.OldPath != "" && file.Status == "R" {
			files = append(files, file.OldPath)
		}
	}
	return files, nil
}
