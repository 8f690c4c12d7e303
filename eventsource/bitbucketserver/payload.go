package bitbucketserver

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const (
	zeros = "0000000000000000000000000000000000000000"
	// mostCommits is how many commits Bitbucket sends of a push.
	mostCommits = 5
)

// payload is what is read of a delivery.
type payload struct {
	EventKey         string               `json:"eventKey"`
	Actor            *user                `json:"actor"`
	Repository       *repository          `json:"repository"`
	New              *repository          `json:"new"`
	PullRequest      *pull                `json:"pullRequest"`
	PreviousFromHash string               `json:"previousFromHash"`
	Commits          githost.List[commit] `json:"commits"`
}

type links struct {
	Self  githost.List[link] `json:"self"`
	Clone githost.List[link] `json:"clone"`
}

type link struct {
	Href string `json:"href"`
	Name string `json:"name"`
}

type user struct {
	ID           int64  `json:"id"`
	Name         string `json:"name"`
	EmailAddress string `json:"emailAddress"`
	DisplayName  string `json:"displayName"`
	Type         string `json:"type"`
}

type repository struct {
	Slug    string `json:"slug"`
	Project struct {
		Key string `json:"key"`
	} `json:"project"`
	Links links `json:"links"`
}

type change struct {
	Ref struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"ref"`
	RefID    string               `json:"refId"`
	FromHash string               `json:"fromHash"`
	ToHash   string               `json:"toHash"`
	Type     string               `json:"type"`
	Commits  githost.List[commit] `json:"commits"`
}

type commit struct {
	ID              string `json:"id"`
	Message         string `json:"message"`
	Author          *user  `json:"author"`
	AuthorTimestamp int64  `json:"authorTimestamp"`
}

type pull struct {
	ID     int64   `json:"id"`
	Title  string  `json:"title"`
	State  string  `json:"state"`
	Draft  bool    `json:"draft"`
	Links  links   `json:"links"`
	From   pullEnd `json:"fromRef"`
	To     pullEnd `json:"toRef"`
	Author struct {
		User user `json:"user"`
	} `json:"author"`
	Properties struct {
		MergeCommit struct {
			ID string `json:"id"`
		} `json:"mergeCommit"`
	} `json:"properties"`
}

type pullEnd struct {
	ID           string      `json:"id"`
	DisplayID    string      `json:"displayId"`
	LatestCommit string      `json:"latestCommit"`
	Repository   *repository `json:"repository"`
}

// repository is the one that a payload is about; nil if it tells none.
func (p *payload) repository() *repository {
	switch {
	case p.Repository != nil:
		return p.Repository
	case p.PullRequest != nil:
		return p.PullRequest.To.Repository
	}
	return p.New
}

func (r *repository) fullName() string {
	if r == nil || r.Slug == "" {
		return ""
	}
	return r.Project.Key + "/" + r.Slug
}

func (r *repository) block() gitevent.Repository {
	if r == nil {
		return gitevent.Repository{}
	}
	b := gitevent.Repository{FullName: r.fullName()}
	if len(r.Links.Self.Items) > 0 {
		b.URL = r.Links.Self.Items[0].Href
	}
	var clone []string
	for _, l := range r.Links.Clone.Items {
		clone = append(clone, l.Href)
		if l.Name == "http" {
			b.Host = gitevent.HostOf(l.Href)
		}
	}
	b.CloneURLs = gitevent.CloneURLs(clone...)
	if b.Host == "" {
		b.Host = gitevent.HostOf(b.URL)
	}
	return b
}

func (u *user) sender() *gitevent.Sender {
	if u == nil || u.Name+u.DisplayName+u.EmailAddress == "" {
		return nil
	}
	s := &gitevent.Sender{Login: u.Name, Name: u.DisplayName, Email: u.EmailAddress, Kind: "unknown"}
	if u.ID != 0 {
		s.ID = strconv.FormatInt(u.ID, 10)
	}
	switch u.Type {
	case "NORMAL":
		s.Kind = "user"
	case "SERVICE":
		s.Kind = "bot"
	}
	return s
}

func (c *change) name() string { return githost.First(c.Ref.ID, c.RefID) }

func (c *change) branch() bool { return strings.HasPrefix(c.name(), "refs/heads/") }

// push makes e the push of a change. alone tells that the payload has no other,
// so that its commits are this one's.
func (c *change) push(e *gitevent.Event, p *payload, alone bool) {
	if c.name() == "" {
		return
	}
	before, after := c.FromHash, c.ToHash
	switch c.Type {
	case "ADD":
		before = zeros
	case "DELETE":
		after = zeros
	}
	e.SetPush(c.name(), before, after)
	sent := c.Commits
	if alone && len(sent.Items) == 0 {
		sent = p.Commits
	}
	e.Commits = make([]gitevent.Commit, 0, len(sent.Items))
	for _, it := range sent.Items {
		e.Commits = append(e.Commits, it.block())
	}
	slices.Reverse(e.Commits) // the host sends the newest first
	n := len(e.Commits)
	e.CommitsTruncated = n >= mostCommits || sent.Cut || n == 0 && !e.Created && !e.Deleted
	switch {
	case e.Deleted:
		e.Unknown(gitevent.UnknownDeletedRef)
	case e.Created:
		e.Unknown(gitevent.UnknownNewRef)
	default:
		e.Unknown(gitevent.UnknownNotSent)
	}
}

func (c *commit) block() gitevent.Commit {
	b := gitevent.Commit{ID: c.ID, Message: c.Message}
	if c.AuthorTimestamp > 0 && c.AuthorTimestamp < 1<<47 { // later than the year 6000 is no time
		t := time.UnixMilli(c.AuthorTimestamp).UTC()
		b.Timestamp = &t
	}
	if a := c.Author; a != nil && a.Name+a.DisplayName+a.EmailAddress != "" {
		b.Author = &gitevent.Person{Name: githost.First(a.DisplayName, a.Name), Email: a.EmailAddress}
		if a.DisplayName != "" {
			b.Author.Login = a.Name // without an account the name is the commit's own
		}
	}
	return b
}

type meaning struct {
	sort   gitevent.Sort
	action string
}

// meanings of the events that are no push. The action of what is not here is
// Bitbucket's own word.
var meanings = map[string]meaning{
	"pr:opened":                     {gitevent.Pull, gitevent.Opened},
	"pr:from_ref_updated":           {gitevent.Pull, gitevent.Updated},
	"pr:modified":                   {gitevent.Pull, gitevent.Edited},
	"pr:reviewer:updated":           {gitevent.Pull, gitevent.Edited},
	"pr:merged":                     {gitevent.Pull, gitevent.Merged},
	"pr:declined":                   {gitevent.Pull, gitevent.Closed},
	"pr:deleted":                    {gitevent.Pull, gitevent.Deleted},
	"pr:reviewer:approved":          {gitevent.Review, gitevent.Approved},
	"pr:reviewer:unapproved":        {gitevent.Review, gitevent.Unapproved},
	"pr:reviewer:needs_work":        {gitevent.Review, gitevent.ChangesRequested},
	"pr:reviewer:changes_requested": {gitevent.Review, gitevent.ChangesRequested},
	"pr:comment:added":              {gitevent.Comment, gitevent.Created},
	"repo:comment:added":            {gitevent.Comment, gitevent.Created},
}

func meaningOf(key string) meaning {
	if m, ok := meanings[key]; ok {
		return m
	}
	words := strings.Split(key, ":")
	last := words[len(words)-1]
	switch {
	case len(words) == 3 && words[1] == "comment":
		return meaning{gitevent.Comment, last}
	case words[0] == "pr":
		return meaning{gitevent.Pull, last}
	case words[0] == "repo", words[0] == "mirror", words[0] == "project":
		return meaning{gitevent.Repo, last}
	}
	return meaning{gitevent.Other, last}
}

// fill makes e the event of that key, which is no push.
func (p *payload) fill(e *gitevent.Event, key string) {
	m := meaningOf(key)
	e.Event, e.Action = m.sort, m.action
	if p.PullRequest == nil {
		return
	}
	e.PullRequest = p.PullRequest.block(key)
	e.Branch = e.PullRequest.Target.Branch
	if p.PreviousFromHash != "" {
		e.Before, e.After = gitevent.CommitID(p.PreviousFromHash), e.PullRequest.Source.SHA
	}
}

func (p *pull) block(key string) *gitevent.PullRequest {
	b := &gitevent.PullRequest{
		Number: p.ID, Title: p.Title, Draft: p.Draft, Author: p.Author.User.Name,
		Source: p.From.block(), Target: p.To.block(),
	}
	if len(p.Links.Self.Items) > 0 {
		b.URL = p.Links.Self.Items[0].Href
	}
	switch {
	case key == "pr:merged" || p.State == "MERGED":
		b.State, b.Merged, b.MergeCommit = "merged", true, p.Properties.MergeCommit.ID
	case key == "pr:declined" || key == "pr:deleted" || p.State == "DECLINED":
		b.State = "closed"
	case key == "pr:opened" || p.State == "OPEN":
		b.State = "open"
	}
	return b
}

func (e *pullEnd) block() gitevent.PullEnd {
	return gitevent.PullEnd{
		Repository: e.Repository.fullName(), SHA: e.LatestCommit,
		Branch: strings.TrimPrefix(githost.First(e.ID, e.DisplayID), "refs/heads/"),
	}
}
