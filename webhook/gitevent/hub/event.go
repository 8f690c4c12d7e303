package hub

import (
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// Push makes e the push of p. truncated tells that the host cut the commits or
// a list of files.
func (p *Payload) Push(e *gitevent.Event, truncated bool) {
	e.SetPush(gitevent.BranchRef(p.Ref), p.Before, p.After)
	e.Forced = p.Forced
	var complete bool
	e.Commits, complete = commits(p.Commits)
	if n := len(e.Commits); n > 1 && e.Commits[0].ID == e.After && e.Commits[n-1].ID != e.After {
		slices.Reverse(e.Commits) // Gitea sends the newest first
	}
	if p.TotalCommits != nil && *p.TotalCommits >= len(e.Commits) {
		e.CommitsTotal = p.TotalCommits
		truncated = truncated || *p.TotalCommits > len(e.Commits)
	}
	e.CommitsTruncated = truncated
	// A ref that moved without commits moved over some that are not told.
	e.SetFiles(complete && len(e.Commits) > 0)
}

// RefMade makes e the event, beside the push, of a branch or a tag that is new,
// or of one that is gone.
func (p *Payload) RefMade(e *gitevent.Event, gone bool) {
	if e.Event = gitevent.Branch; p.RefType == "tag" {
		e.Event = gitevent.Tag
		e.SetRef(gitevent.TagRef(p.Ref))
	} else {
		e.SetRef(gitevent.BranchRef(p.Ref))
	}
	e.Created, e.Deleted = !gone, gone
	if gone {
		e.Action = gitevent.Deleted
		e.Unknown(gitevent.UnknownDeletedRef)
		return
	}
	e.Action, e.After = gitevent.Created, gitevent.CommitID(p.SHA)
	e.Unknown(gitevent.UnknownNewRef)
}

// Pull makes e the event of a pull request; its action is still to be set.
func (p *Payload) Pull(e *gitevent.Event, sort gitevent.Sort) {
	e.Event = sort
	e.PullRequest = p.PullRequest.Block()
	if e.PullRequest == nil && p.Issue != nil && p.Issue.PullRequest != nil {
		e.PullRequest = p.Issue.pull(e.Repository.FullName)
	}
	if e.PullRequest == nil {
		return
	}
	if e.PullRequest.Number == 0 {
		e.PullRequest.Number = p.Number
	}
	if e.PullRequest.Target.Repository == "" { // it is where the event is
		e.PullRequest.Target.Repository = e.Repository.FullName
	}
	e.Branch = e.PullRequest.Target.Branch
}

// PullAction is an action of a pull request; actions are those that the host
// has its own words for.
func (p *Payload) PullAction(actions map[string]string) string {
	if p.Action == "closed" && p.PullRequest != nil && p.PullRequest.merged() {
		return gitevent.Merged
	}
	if a, ok := actions[p.Action]; ok {
		return a
	}
	switch p.Action {
	case "opened", "reopened", "closed", "":
		return p.Action
	}
	return gitevent.Edited // labels, people, milestones
}

func (p *Pull) merged() bool { return p.Merged || p.MergedAt != "" }

// Block makes the block's part; nil if there is none.
func (p *Pull) Block() *gitevent.PullRequest {
	if p == nil {
		return nil
	}
	b := &gitevent.PullRequest{
		Number: p.Number, URL: p.HTMLURL, Title: p.Title, State: p.State, Draft: p.Draft,
		Merged: p.merged(), MergeCommit: gitevent.CommitID(p.MergeCommitSHA), Author: p.User.LoginName(),
		Source: p.Head.block(p.HeadBranch, p.HeadRepo),
		Target: p.Base.block(p.BaseBranch, p.BaseRepo),
	}
	if p.ID != 0 {
		b.ID = strconv.FormatInt(p.ID, 10)
	}
	if b.Merged {
		b.State = "merged"
	}
	return b
}

func (e *End) block(branch string, repo *Repository) gitevent.PullEnd {
	b := gitevent.PullEnd{Branch: e.Ref, SHA: gitevent.CommitID(e.SHA)}
	if b.Branch == "" {
		b.Branch = branch
	}
	if e.Repo != nil {
		repo = e.Repo
	}
	b.Repository = repo.Block().FullName
	return b
}

// pull is what an issue tells of the pull request that it is.
func (i *Issue) pull(repository string) *gitevent.PullRequest {
	b := &gitevent.PullRequest{
		Number: i.Number, URL: i.PullRequest.HTMLURL, Title: i.Title, State: i.State, Draft: i.Draft,
		Merged: i.PullRequest.Merged || i.PullRequest.MergedAt != "", Author: i.User.LoginName(),
		Target: gitevent.PullEnd{Repository: repository},
	}
	if b.URL == "" {
		b.URL = i.HTMLURL
	}
	if b.Merged {
		b.State = "merged"
	}
	return b
}

// ReviewAction is the action of a review in a word of its state, such as APPROVED.
func ReviewAction(state string) string {
	switch s := strings.ToLower(state); s {
	case "approved":
		return gitevent.Approved
	case "changes_requested", "request_changes", "rejected":
		return gitevent.ChangesRequested
	case "comment", "commented":
		return "commented"
	default:
		return s
	}
}
