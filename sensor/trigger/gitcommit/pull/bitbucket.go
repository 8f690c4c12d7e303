package pull

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// bitbucket implements host with the API of Bitbucket Cloud.
type bitbucket struct {
	*api
	full, repo string
}

type bucketSide struct {
	Branch     struct{ Name string }
	Repository *struct {
		FullName string `json:"full_name"`
	}
}

type bucketPull struct {
	ID                  int
	Title, Description  string
	State               string
	Draft               bool
	Source, Destination bucketSide
	MergeCommit         *struct{ Hash string } `json:"merge_commit"`
	Links               struct{ HTML struct{ Href string } }
}

func (b *bitbucket) find(ctx context.Context, head, base string) (*found, error) {
	q := fmt.Sprintf(`source.branch.name = %s AND destination.branch.name = %s AND state = "OPEN"`, quoted(head), quoted(base))
	path := b.repo + "/pullrequests?" + url.Values{"q": {q}, "pagelen": {"50"}}.Encode()
	for range mostPages {
		var page struct {
			Values []bucketPull
			Next   string
		}
		if err := b.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Values {
			own := p.Source.Repository != nil && strings.EqualFold(p.Source.Repository.FullName, b.full) // not a fork's
			if own && p.Source.Branch.Name == head && p.Destination.Branch.Name == base && p.State == "OPEN" {
				return &found{Info: Info{URL: p.Links.HTML.Href, Number: p.ID}, title: p.Title, body: p.Description, draft: p.Draft}, nil
			}
		}
		if page.Next == "" {
			return nil, nil
		}
		next, ok := strings.CutPrefix(page.Next, b.base)
		if !ok || !strings.HasPrefix(next, "/") { // the token is for this address alone
			return nil, fmt.Errorf("the list of pull requests goes on at another address than %s", b.base)
		}
		path = next
	}
	return nil, fmt.Errorf("more than %d pages of pull requests", mostPages)
}

// quoted is a string of Bitbucket's query language.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (b *bitbucket) create(ctx context.Context, r Request) (Info, error) {
	branch := func(name string) map[string]any { return map[string]any{"branch": map[string]any{"name": name}} }
	in := map[string]any{
		"title": r.Title, "description": r.Body, "source": branch(r.Head), "destination": branch(r.Base),
		"close_source_branch": b.config.DeleteBranch,
	}
	if b.config.Draft {
		in["draft"] = true
	}
	var p bucketPull
	err := b.call(ctx, http.MethodPost, b.repo+"/pullrequests", in, &p)
	if code, text := status(err); (code == http.StatusBadRequest || code == http.StatusConflict) && strings.Contains(text, "already exists") {
		return Info{}, errExists
	}
	return Info{URL: p.Links.HTML.Href, Number: p.ID}, err
}

func (b *bitbucket) update(ctx context.Context, is *found, r Request) error {
	return b.call(ctx, http.MethodPut, b.repo+"/pullrequests/"+strconv.Itoa(is.Number), map[string]any{"title": r.Title, "description": r.Body}, nil)
}

// label does nothing: Bitbucket has no labels, as Validate says.
func (*bitbucket) label(context.Context, int, []string) error { return nil }

func (b *bitbucket) state(ctx context.Context, number int) (State, string, error) {
	var p bucketPull
	if err := b.call(ctx, http.MethodGet, b.repo+"/pullrequests/"+strconv.Itoa(number), nil, &p); err != nil {
		return "", "", err
	}
	switch p.State {
	case "MERGED":
		if p.MergeCommit != nil {
			return Merged, p.MergeCommit.Hash, nil
		}
		return Merged, "", nil
	case "OPEN", "DRAFT", "QUEUED":
		return Open, "", nil
	}
	return Closed, "", nil // DECLINED or SUPERSEDED
}
