package pull

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// github implements host with GitHub's REST API.
type github struct {
	*api
	owner, repo string
}

// hubPull is a pull request of GitHub, and of Gitea, which has it from there.
type hubPull struct {
	Number         int
	URL            string `json:"html_url"`
	Title, Body    string
	Draft          bool
	State          string
	Merged         bool
	MergeCommitSHA string `json:"merge_commit_sha"`
	Head, Base     struct {
		Ref  string
		Repo struct {
			FullName string `json:"full_name"`
		}
	}
	Labels []struct{ Name string }
}

func (p *hubPull) found() *found {
	f := &found{Info: Info{URL: p.URL, Number: p.Number}, title: p.Title, body: p.Body, draft: p.Draft}
	for _, l := range p.Labels {
		f.labels = append(f.labels, l.Name)
	}
	return f
}

// of tells whether p merges head into base inside one repository.
func (p *hubPull) of(head, base string) bool {
	return p.Head.Ref == head && p.Base.Ref == base && strings.EqualFold(p.Head.Repo.FullName, p.Base.Repo.FullName)
}

func (p *hubPull) became() (State, string) {
	switch {
	case p.Merged:
		return Merged, p.MergeCommitSHA
	case p.State == "open":
		return Open, ""
	}
	return Closed, ""
}

func (g *github) find(ctx context.Context, head, base string) (*found, error) {
	q := url.Values{"state": {"open"}, "head": {g.owner + ":" + head}, "base": {base}, "per_page": {"100"}}
	var list []hubPull
	if err := g.call(ctx, http.MethodGet, g.repo+"/pulls?"+q.Encode(), nil, &list); err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.of(head, base) {
			return p.found(), nil
		}
	}
	return nil, nil
}

func (g *github) create(ctx context.Context, r Request) (Info, error) {
	in := map[string]any{"title": r.Title, "body": r.Body, "head": r.Head, "base": r.Base, "draft": g.config.Draft}
	var p hubPull
	err := g.call(ctx, http.MethodPost, g.repo+"/pulls", in, &p)
	switch code, text := status(err); {
	case code == http.StatusUnprocessableEntity && strings.Contains(text, "already exists"):
		return Info{}, errExists
	case code == http.StatusUnprocessableEntity && !strings.Contains(text, "No commits between"):
		// GitHub may not have seen the branch yet, which was pushed a moment ago.
		return Info{}, again(err)
	}
	return Info{URL: p.URL, Number: p.Number}, err
}

func (g *github) update(ctx context.Context, is *found, r Request) error {
	return g.call(ctx, http.MethodPatch, g.repo+"/pulls/"+strconv.Itoa(is.Number), map[string]any{"title": r.Title, "body": r.Body}, nil)
}

func (g *github) label(ctx context.Context, number int, labels []string) error {
	return g.call(ctx, http.MethodPost, g.repo+"/issues/"+strconv.Itoa(number)+"/labels", map[string]any{"labels": labels}, nil)
}

func (g *github) state(ctx context.Context, number int) (State, string, error) {
	var p hubPull
	if err := g.call(ctx, http.MethodGet, g.repo+"/pulls/"+strconv.Itoa(number), nil, &p); err != nil {
		return "", "", err
	}
	s, commit := p.became()
	return s, commit, nil
}

// again takes the mark off an error that is worth another try.
func again(err error) error {
	var s *githost.StatusError
	if errors.As(err, &s) && trigger.IsPermanent(err) {
		return s
	}
	return err
}
