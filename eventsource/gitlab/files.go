package gitlab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// diff is one file that changed.
type diff struct {
	OldPath string `json:"old_path"`
	NewPath string `json:"new_path"`
}

// finder asks GitLab for changed files.
type finder struct{ api *githost.API }

// find implements gitevent.Finder.
func (f finder) find(ctx context.Context, e *gitevent.Event) ([]string, error) {
	project := githost.Escape("projects", e.Repository.FullName)
	switch {
	case e.PullRequest != nil && (e.Event == gitevent.Pull || e.Event == gitevent.Review):
		return f.ofMergeRequest(ctx, fmt.Sprintf("%s/merge_requests/%d", project, e.PullRequest.Number))
	case e.After == "":
		return nil, gitevent.ErrUnknowable
	case e.Before != "":
		// Straight is the difference of the two, whether one follows from the other or not.
		return f.between(ctx, project, e.Before, e.After, true)
	case e.Repository.DefaultBranch != "":
		return f.between(ctx, project, e.Repository.DefaultBranch, e.After, false)
	}
	return nil, gitevent.ErrUnknowable
}

func (f finder) between(ctx context.Context, project, from, to string, straight bool) ([]string, error) {
	query := url.Values{"from": {from}, "to": {to}, "straight": {fmt.Sprint(straight)}}
	var answer struct {
		Diffs   []diff `json:"diffs"`
		Timeout bool   `json:"compare_timeout"`
	}
	if _, err := f.api.Call(ctx, http.MethodGet, project+"/repository/compare?"+query.Encode(), nil, &answer); err != nil {
		return nil, err
	}
	if answer.Timeout {
		return nil, gitevent.ErrTooMany
	}
	return names(nil, answer.Diffs), nil
}

// ofMergeRequest pages through the files. A GitLab before 15.7 has only /changes.
func (f finder) ofMergeRequest(ctx context.Context, path string) ([]string, error) {
	var files []string
	err := pages(ctx, f.api, path+"/diffs", func(b []byte) (int, error) {
		var list []diff
		if err := json.Unmarshal(b, &list); err != nil {
			return 0, fmt.Errorf("the list of files: %w", err)
		}
		if files = names(files, list); len(files) > 2*gitevent.MaxFiles {
			return 0, gitevent.ErrTooMany
		}
		return len(list), nil
	})
	if !githost.IsGone(err) {
		return files, err
	}
	var answer struct {
		Changes  []diff `json:"changes"`
		Overflow bool   `json:"overflow"`
	}
	if _, err := f.api.Call(ctx, http.MethodGet, path+"/changes", nil, &answer); err != nil {
		return nil, err
	}
	if answer.Overflow {
		return nil, gitevent.ErrTooMany
	}
	return names(nil, answer.Changes), nil
}

// names appends both names of a file that was renamed.
func names(files []string, diffs []diff) []string {
	for _, d := range diffs {
		for _, path := range []string{d.OldPath, d.NewPath} {
			if path != "" && (len(files) == 0 || files[len(files)-1] != path) {
				files = append(files, path)
			}
		}
	}
	return files
}
