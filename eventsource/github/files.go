package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
)

const (
	// mostCompared is how many files GitHub lists of a comparison at most.
	mostCompared = 300
	// mostPullFiles is the same for a pull request.
	mostPullFiles = 3000
)

// files is the gitevent.Finder.
func (a *api) files(ctx context.Context, e *gitevent.Event) ([]string, error) {
	repo, err := hub.RepoPath(e.Repository.FullName)
	if err != nil {
		return nil, err
	}
	target := targetRepo + e.Repository.FullName
	if e.PullRequest != nil {
		return a.pullFiles(ctx, target, repo, e.PullRequest.Number)
	}
	if !hub.IsCommit(e.After) {
		return nil, fmt.Errorf("%q is no commit", e.After)
	}
	if e.Before == "" {
		return a.compare(ctx, target, repo, e.Repository.DefaultBranch, e.After)
	}
	if !hub.IsCommit(e.Before) {
		return nil, fmt.Errorf("%q is no commit", e.Before)
	}
	files, err := a.compare(ctx, target, repo, e.Before, e.After)
	if err != nil || e.Forced == nil || !*e.Forced {
		return files, err
	}
	// What a comparison lists has changed since the two parted; what is gone is
	// what changed on the other side.
	gone, err := a.compare(ctx, target, repo, e.After, e.Before)
	return append(files, gone...), err
}

func (a *api) compare(ctx context.Context, target, repo, from, to string) ([]string, error) {
	var answer struct {
		Files []hub.File `json:"files"`
	}
	// The files are on the first page, however few commits are.
	at := "/repos/" + repo + "/compare/" + url.PathEscape(from) + "..." + url.PathEscape(to) + "?per_page=1"
	if _, err := a.call(ctx, target, http.MethodGet, at, nil, &answer); err != nil {
		return nil, err
	}
	if len(answer.Files) >= mostCompared {
		return nil, gitevent.ErrTooMany
	}
	return hub.AppendPaths(nil, answer.Files), nil
}

func (a *api) pullFiles(ctx context.Context, target, repo string, number int64) ([]string, error) {
	all, count := []string{}, 0
	err := pages(ctx, a, target, "/repos/"+repo+"/pulls/"+strconv.FormatInt(number, 10)+"/files?per_page=100", func(page []hub.File) bool {
		all, count = hub.AppendPaths(all, page), count+len(page)
		return count < mostPullFiles
	})
	if err == nil && count >= mostPullFiles {
		err = gitevent.ErrTooMany
	}
	return all, err
}
