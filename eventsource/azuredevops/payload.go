package azuredevops

import (
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// payload is what is read of a delivery.
type payload struct {
	ID             string   `json:"id"`
	EventType      string   `json:"eventType"`
	SubscriptionID string   `json:"subscriptionId"`
	Resource       resource `json:"resource"`
}

// resource has the fields of all events that are read.
type resource struct {
	pull
	Commits  githost.List[commit] `json:"commits"`
	PushedBy *identity            `json:"pushedBy"`

	// A comment on a pull request has it beside.
	Comment     *comment `json:"comment"`
	PullRequest *pull    `json:"pullRequest"`

	// Builds.
	SourceBranch     string                `json:"sourceBranch"`
	SourceVersion    string                `json:"sourceVersion"`
	SourceGetVersion string                `json:"sourceGetVersion"`
	RequestedFor     *identity             `json:"requestedFor"`
	Requests         githost.List[request] `json:"requests"`
}

type request struct {
	RequestedFor *identity `json:"requestedFor"`
}

type refUpdate struct {
	Name        string `json:"name"`
	OldObjectID string `json:"oldObjectId"`
	NewObjectID string `json:"newObjectId"`
}

type identity struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	UniqueName  string `json:"uniqueName"`
}

type commit struct {
	CommitID string `json:"commitId"`
	Comment  string `json:"comment"`
	URL      string `json:"url"`
	Author   struct {
		Name  string `json:"name"`
		Email string `json:"email"`
		Date  string `json:"date"`
	} `json:"author"`
}

type comment struct {
	Author               *identity `json:"author"`
	IsDeleted            bool      `json:"isDeleted"`
	PublishedDate        string    `json:"publishedDate"`
	LastContentUpdatedAt string    `json:"lastContentUpdatedDate"`
}

type repository struct {
	Name          string `json:"name"`
	RemoteURL     string `json:"remoteUrl"`
	SSHURL        string `json:"sshUrl"`
	WebURL        string `json:"webUrl"`
	DefaultBranch string `json:"defaultBranch"`
	Project       struct {
		Name string `json:"name"`
	} `json:"project"`
}

type pull struct {
	Repository    repository `json:"repository"`
	PullRequestID int64      `json:"pullRequestId"`
	Status        string     `json:"status"`
	MergeStatus   string     `json:"mergeStatus"`
	Title         string     `json:"title"`
	IsDraft       bool       `json:"isDraft"`
	CreatedBy     *identity  `json:"createdBy"`
	ClosedBy      *identity  `json:"closedBy"`
	SourceRefName string     `json:"sourceRefName"`
	TargetRefName string     `json:"targetRefName"`
	Source        mergeEnd   `json:"lastMergeSourceCommit"`
	Target        mergeEnd   `json:"lastMergeTargetCommit"`
	Merge         mergeEnd   `json:"lastMergeCommit"`
	ForkSource    *struct {
		Repository repository `json:"repository"`
	} `json:"forkSource"`
	Links struct {
		Web struct {
			Href string `json:"href"`
		} `json:"web"`
	} `json:"_links"`
}

type mergeEnd struct {
	CommitID string `json:"commitId"`
}

// sender is nil if nothing is known.
func (i *identity) sender() *gitevent.Sender {
	if i == nil || i.UniqueName+i.DisplayName+i.ID == "" {
		return nil
	}
	s := &gitevent.Sender{ID: i.ID, Login: i.UniqueName, Name: i.DisplayName, Kind: "unknown"}
	_, bare, domain := strings.Cut(i.UniqueName, `\`)
	if !domain {
		bare = i.UniqueName
	}
	if strings.Contains(bare, "@") {
		s.Email = bare
	}
	switch {
	case strings.HasPrefix(i.UniqueName, `Build\`), strings.HasPrefix(i.UniqueName, `AgentPool\`):
		s.Kind = "bot"
	case s.Email != "":
		s.Kind = "user"
	}
	return s
}

func (c *commit) block() gitevent.Commit {
	b := gitevent.Commit{ID: c.CommitID, Message: c.Comment, URL: c.URL, Timestamp: gitevent.ParseTime(c.Author.Date)}
	if c.Author.Name+c.Author.Email != "" {
		b.Author = &gitevent.Person{Name: c.Author.Name, Email: c.Author.Email}
	}
	return b
}

// merged tells whether the pull request is: the event of that name only says
// that merging was tried.
func (p *pull) merged() bool { return p.Status == "completed" && p.MergeStatus == "succeeded" }

func (p *pull) block() *gitevent.PullRequest {
	repo := p.Repository.block()
	b := &gitevent.PullRequest{
		Number: p.PullRequestID, URL: p.Links.Web.Href, Title: p.Title, Draft: p.IsDraft, Merged: p.merged(),
		Source: gitevent.PullEnd{Repository: repo.FullName, Branch: bare(p.SourceRefName), SHA: p.Source.CommitID},
		Target: gitevent.PullEnd{Repository: repo.FullName, Branch: bare(p.TargetRefName), SHA: p.Target.CommitID},
	}
	if b.URL == "" && repo.URL != "" && p.PullRequestID > 0 {
		b.URL = repo.URL + "/pullrequest/" + strconv.FormatInt(p.PullRequestID, 10)
	}
	if p.ForkSource != nil {
		b.Source.Repository = p.ForkSource.Repository.block().FullName
	}
	if p.CreatedBy != nil {
		b.Author = p.CreatedBy.UniqueName
	}
	switch p.Status {
	case "active":
		b.State = "open"
	case "abandoned", "completed":
		b.State = "closed"
	}
	if b.Merged {
		b.State, b.MergeCommit = "merged", p.Merge.CommitID
	}
	return b
}

func bare(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// fill makes e the event, as far as it is not one ref of a push.
func (p *payload) fill(e *gitevent.Event) {
	r := &p.Resource
	e.Repository = r.Repository.block()
	e.Sender = r.PushedBy.sender()
	switch t := p.EventType; {
	case t == "git.push":
		e.Event = gitevent.Push
	case strings.HasPrefix(t, "git.pullrequest."):
		e.Event = gitevent.Pull
		r.fillPull(e, strings.TrimPrefix(t, "git.pullrequest."))
	case t == "ms.vss-code.git-pullrequest-comment-event":
		e.Event, e.Action = gitevent.Comment, r.Comment.action()
		if r.PullRequest != nil {
			e.PullRequest = r.PullRequest.block()
			e.Branch = e.PullRequest.Target.Branch
			if e.Repository.FullName == "" {
				e.Repository = r.PullRequest.Repository.block()
			}
		}
		if r.Comment != nil {
			e.Sender = r.Comment.Author.sender()
		}
	default:
		e.Event, e.Action = meaningOf(t)
		if e.Event == gitevent.Pipeline {
			r.build(e)
		}
	}
}

// fillPull makes e the event of a pull request: created, updated or merged.
func (p *pull) fillPull(e *gitevent.Event, word string) {
	if p.PullRequestID == 0 && p.SourceRefName == "" {
		e.Unknown(gitevent.UnknownMinimal)
	} else {
		e.PullRequest = p.block()
		e.Branch = e.PullRequest.Target.Branch
	}
	e.Sender = p.CreatedBy.sender()
	if s := p.ClosedBy.sender(); s != nil {
		e.Sender = s
	}
	switch {
	case word == "created":
		e.Action = gitevent.Opened
	case p.merged():
		e.Action = gitevent.Merged
	case p.Status == "abandoned", p.Status == "completed":
		e.Action = gitevent.Closed
	default:
		e.Action = gitevent.Updated
	}
}

func (c *comment) action() string {
	switch {
	case c == nil:
		return gitevent.Created
	case c.IsDeleted:
		return gitevent.Deleted
	case c.LastContentUpdatedAt != "" && c.LastContentUpdatedAt != c.PublishedDate:
		return gitevent.Edited
	}
	return gitevent.Created
}

// meaningOf is that of events about other things than pushes and pull requests.
// The action is the last word of the event's name.
func meaningOf(event string) (gitevent.Sort, string) {
	words := strings.FieldsFunc(strings.TrimSuffix(event, "-event"), func(r rune) bool { return r == '.' || r == '-' })
	if len(words) == 0 {
		return gitevent.Other, ""
	}
	last := words[len(words)-1]
	switch {
	case strings.HasPrefix(event, "build."), strings.HasPrefix(event, "ms.vss-pipelines."), strings.HasPrefix(event, "ms.vss-pipelinechecks-"):
		return gitevent.Pipeline, last
	case strings.HasPrefix(event, "ms.vss-release."):
		return gitevent.Deployment, last
	case strings.HasPrefix(event, "git.repo."):
		return gitevent.Repo, last
	case event == "workitem.commented":
		return gitevent.Comment, gitevent.Created
	case strings.HasPrefix(event, "workitem."):
		return gitevent.Issue, last
	}
	return gitevent.Other, last
}

// build tells which commit a build was of.
func (r *resource) build(e *gitevent.Event) {
	branch, version := r.SourceBranch, r.SourceVersion
	// Of old, "LG:refs/heads/main:COMMIT".
	if old := strings.Split(r.SourceGetVersion, ":"); branch == "" && len(old) == 3 {
		branch, version = old[1], old[2]
	}
	if strings.HasPrefix(branch, "refs/") {
		e.SetRef(branch)
	}
	e.After = gitevent.CommitID(version)
	e.Sender = r.RequestedFor.sender()
	if e.Sender == nil && len(r.Requests.Items) > 0 {
		e.Sender = r.Requests.Items[0].RequestedFor.sender()
	}
}
