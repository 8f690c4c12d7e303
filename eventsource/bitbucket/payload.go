package bitbucket

import (
	"path"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// payload is what is read of a delivery.
type payload struct {
	Actor        *account   `json:"actor"`
	Repository   repository `json:"repository"`
	PullRequest  *pull      `json:"pullrequest"`
	CommitStatus status     `json:"commit_status"`
}

type links struct {
	HTML   struct{ Href string } `json:"html"`
	Commit struct{ Href string } `json:"commit"`
}

type account struct {
	Type        string `json:"type"`
	UUID        string `json:"uuid"`
	AccountID   string `json:"account_id"`
	Username    string `json:"username"`
	Nickname    string `json:"nickname"`
	DisplayName string `json:"display_name"`
}

type repository struct {
	FullName   string `json:"full_name"`
	Links      links  `json:"links"`
	MainBranch struct {
		Name string `json:"name"`
	} `json:"mainbranch"`
}

type commit struct {
	Hash    string `json:"hash"`
	Message string `json:"message"`
	Date    string `json:"date"`
	Links   links  `json:"links"`
	Author  struct {
		Raw  string   `json:"raw"`
		User *account `json:"user"`
		account
	} `json:"author"`
}

type status struct {
	RefName string `json:"refname"`
	Commit  commit `json:"commit"`
	Links   links  `json:"links"`
}

type ref struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Target commit `json:"target"`
}

type change struct {
	New       *ref                 `json:"new"`
	Old       *ref                 `json:"old"`
	Forced    *bool                `json:"forced"`
	Truncated bool                 `json:"truncated"`
	Commits   githost.List[commit] `json:"commits"`
}

type pull struct {
	ID          int64   `json:"id"`
	Title       string  `json:"title"`
	State       string  `json:"state"`
	Draft       bool    `json:"draft"`
	Links       links   `json:"links"`
	Source      pullEnd `json:"source"`
	Destination pullEnd `json:"destination"`
	MergeCommit commit  `json:"merge_commit"`
	Author      account `json:"author"`
}

type pullEnd struct {
	Branch     struct{ Name string } `json:"branch"`
	Commit     commit                `json:"commit"`
	Repository repository            `json:"repository"`
}

func (r *repository) block() gitevent.Repository {
	b := gitevent.Repository{Host: "bitbucket.org", FullName: r.FullName, URL: r.Links.HTML.Href, DefaultBranch: r.MainBranch.Name}
	if strings.Count(r.FullName, "/") == 1 {
		b.CloneURLs = []string{"https://bitbucket.org/" + r.FullName + ".git", "git@bitbucket.org:" + r.FullName + ".git"}
	}
	return b
}

// login is the name that people see in URLs, which Bitbucket sends no more for
// persons, or else the nickname.
func (a *account) login() string { return githost.First(a.Username, a.Nickname) }

func (a *account) sender() *gitevent.Sender {
	if a == nil || a.UUID+a.AccountID+a.login()+a.DisplayName == "" {
		return nil
	}
	s := &gitevent.Sender{ID: githost.First(a.AccountID, a.UUID), Login: a.login(), Name: a.DisplayName, Kind: "unknown"}
	switch {
	case a.Type == "app_user" || a.Type == "AppUser":
		s.Kind = "bot"
	case a.Type == "user", a.Type == "" && a.AccountID != "":
		s.Kind = "user"
	}
	return s
}

func (r *ref) whole() string {
	if strings.HasSuffix(r.Type, "tag") {
		return gitevent.TagRef(r.Name)
	}
	return gitevent.BranchRef(r.Name)
}

// push makes e the push of a change.
func (c *change) push(e *gitevent.Event) {
	var name, before, after string
	if c.Old != nil {
		name, before = c.Old.whole(), c.Old.Target.Hash
	}
	if c.New != nil {
		name, after = c.New.whole(), c.New.Target.Hash
	}
	if name == "" {
		return
	}
	e.SetPush(name, before, after)
	e.Forced = c.Forced
	e.Commits = make([]gitevent.Commit, 0, len(c.Commits.Items))
	for _, it := range c.Commits.Items {
		e.Commits = append(e.Commits, it.block())
	}
	slices.Reverse(e.Commits) // the host sends the newest first
	e.CommitsTruncated = c.Truncated || c.Commits.Cut
	e.SetFiles(false)
}

func (c *commit) block() gitevent.Commit {
	b := gitevent.Commit{ID: c.Hash, Message: c.Message, URL: c.Links.HTML.Href, Timestamp: gitevent.ParseTime(c.Date)}
	who := &c.Author.account
	if c.Author.User != nil {
		who = c.Author.User
	}
	p := gitevent.Person{Name: who.DisplayName, Login: who.login()}
	if name, mail, ok := strings.Cut(c.Author.Raw, "<"); ok {
		p.Name, p.Email = strings.TrimSpace(name), strings.TrimSuffix(strings.TrimSpace(mail), ">")
	}
	if p != (gitevent.Person{}) {
		b.Author = &p
	}
	return b
}

type meaning struct {
	sort   gitevent.Sort
	action string
}

// meanings of the events that are no push. What is not here is told by the part
// before the colon; its action is Bitbucket's own word.
var meanings = map[string]meaning{
	"pullrequest:created":                 {gitevent.Pull, gitevent.Opened},
	"pullrequest:updated":                 {gitevent.Pull, gitevent.Updated},
	"pullrequest:fulfilled":               {gitevent.Pull, gitevent.Merged},
	"pullrequest:rejected":                {gitevent.Pull, gitevent.Closed},
	"pullrequest:approved":                {gitevent.Review, gitevent.Approved},
	"pullrequest:unapproved":              {gitevent.Review, gitevent.Unapproved},
	"pullrequest:changes_request_created": {gitevent.Review, gitevent.ChangesRequested},
	"pullrequest:changes_request_removed": {gitevent.Review, "changes_request_removed"},
	"repo:commit_status_created":          {gitevent.Status, gitevent.Created},
	"repo:commit_status_updated":          {gitevent.Status, gitevent.Updated},
}

func meaningOf(key string) meaning {
	if m, ok := meanings[key]; ok {
		return m
	}
	subject, word, _ := strings.Cut(key, ":")
	if before, after, ok := strings.Cut(word, "comment_"); ok && (before == "" || before == "commit_") {
		return meaning{gitevent.Comment, after}
	}
	switch subject {
	case "pullrequest":
		return meaning{gitevent.Pull, word}
	case "issue":
		return meaning{gitevent.Issue, word}
	case "repo", "project":
		return meaning{gitevent.Repo, word}
	}
	return meaning{gitevent.Other, word}
}

// fill makes e the event of that key, which is no push.
func (p *payload) fill(e *gitevent.Event, key string) {
	m := meaningOf(key)
	e.Event, e.Action = m.sort, m.action
	if pr := p.PullRequest; pr != nil {
		e.PullRequest = pr.block(key)
		e.Branch = e.PullRequest.Target.Branch
		if e.Repository.FullName == "" {
			e.Repository = pr.Destination.Repository.block()
		}
	}
	if m.sort == gitevent.Status {
		e.After = gitevent.CommitID(p.CommitStatus.commit())
		if name := p.CommitStatus.RefName; name != "" {
			e.SetRef(gitevent.BranchRef(name))
		}
	}
}

// commit is the status's commit, which older payloads tell only as a link.
func (s *status) commit() string {
	if s.Commit.Hash != "" || s.Links.Commit.Href == "" {
		return s.Commit.Hash
	}
	return path.Base(s.Links.Commit.Href)
}

func (p *pull) block(key string) *gitevent.PullRequest {
	b := &gitevent.PullRequest{
		Number: p.ID, URL: p.Links.HTML.Href, Title: p.Title, Draft: p.Draft,
		Source: p.Source.block(), Target: p.Destination.block(),
		Author: p.Author.login(),
	}
	switch {
	case key == "pullrequest:fulfilled" || p.State == "MERGED":
		b.State, b.Merged, b.MergeCommit = "merged", true, p.MergeCommit.Hash
	case key == "pullrequest:rejected" || p.State == "DECLINED" || p.State == "SUPERSEDED":
		b.State = "closed"
	case key == "pullrequest:created" || p.State == "OPEN":
		b.State = "open"
	}
	return b
}

func (e *pullEnd) block() gitevent.PullEnd {
	return gitevent.PullEnd{Repository: e.Repository.FullName, Branch: e.Branch.Name, SHA: e.Commit.Hash}
}
