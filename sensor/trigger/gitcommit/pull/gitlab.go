package pull

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// gitlab implements host with GitLab's REST API.
type gitlab struct {
	*api
	project string
}

type mergeRequest struct {
	IID                int
	URL                string `json:"web_url"`
	Title, Description string
	Draft              bool
	State              string
	SHA                string
	SourceProject      int64  `json:"source_project_id"`
	TargetProject      int64  `json:"target_project_id"`
	SourceBranch       string `json:"source_branch"`
	TargetBranch       string `json:"target_branch"`
	MergeCommit        string `json:"merge_commit_sha"`
	SquashCommit       string `json:"squash_commit_sha"`
	Labels             []string
}

// draftTitle is how a title says that it is a draft.
const draftTitle = "Draft: "

func (g *gitlab) find(ctx context.Context, head, base string) (*found, error) {
	q := url.Values{"state": {"opened"}, "source_branch": {head}, "target_branch": {base}, "per_page": {"100"}}
	var list []mergeRequest
	if err := g.call(ctx, http.MethodGet, g.project+"/merge_requests?"+q.Encode(), nil, &list); err != nil {
		return nil, err
	}
	for _, m := range list {
		if m.SourceBranch == head && m.TargetBranch == base && m.SourceProject == m.TargetProject {
			return &found{
				Info: Info{URL: m.URL, Number: m.IID}, title: strings.TrimPrefix(m.Title, draftTitle), body: m.Description,
				draft: m.Draft || strings.HasPrefix(m.Title, draftTitle), labels: m.Labels,
			}, nil
		}
	}
	return nil, nil
}

func (g *gitlab) create(ctx context.Context, r Request) (Info, error) {
	title := r.Title
	if g.config.Draft {
		title = draftTitle + title
	}
	in := map[string]any{
		"source_branch": r.Head, "target_branch": r.Base, "title": title, "description": r.Body,
		"remove_source_branch": g.config.DeleteBranch,
	}
	var m mergeRequest
	err := g.call(ctx, http.MethodPost, g.project+"/merge_requests", in, &m)
	if code, text := status(err); code == http.StatusConflict && strings.Contains(text, "already exists") {
		return Info{}, errExists
	}
	return Info{URL: m.URL, Number: m.IID}, err
}

func (g *gitlab) update(ctx context.Context, is *found, r Request) error {
	title := r.Title
	if is.draft { // it is in the title, and stays
		title = draftTitle + title
	}
	return g.put(ctx, is.Number, map[string]any{"title": title, "description": r.Body})
}

func (g *gitlab) label(ctx context.Context, number int, labels []string) error {
	return g.put(ctx, number, map[string]any{"add_labels": strings.Join(labels, ",")})
}

func (g *gitlab) put(ctx context.Context, number int, in map[string]any) error {
	return g.call(ctx, http.MethodPut, g.project+"/merge_requests/"+strconv.Itoa(number), in, nil)
}

func (g *gitlab) state(ctx context.Context, number int) (State, string, error) {
	var m mergeRequest
	if err := g.call(ctx, http.MethodGet, g.project+"/merge_requests/"+strconv.Itoa(number), nil, &m); err != nil {
		return "", "", err
	}
	switch m.State {
	case "merged":
		for _, commit := range []string{m.MergeCommit, m.SquashCommit, m.SHA} { // fast-forward makes no further commit
			if commit != "" {
				return Merged, commit, nil
			}
		}
		return Merged, "", nil
	case "closed":
		return Closed, "", nil
	}
	return Open, "", nil // opened, or locked while it is being merged
}
