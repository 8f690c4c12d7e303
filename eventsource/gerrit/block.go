package gerrit

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// provider in the block git.
const provider = "gerrit"

// kinds tell what an event is, by type. What is not listed is gitevent.Other.
var kinds = map[string]func(*payload, *gitevent.Event){
	"ref-updated":                 (*payload).push,
	"batch-ref-updated":           (*payload).batch,
	"patchset-created":            (*payload).patchset,
	"change-merged":               (*payload).merged,
	"change-abandoned":            pull(gitevent.Closed),
	"change-restored":             pull(gitevent.Reopened),
	"change-deleted":              pull(gitevent.Deleted),
	"topic-changed":               pull(gitevent.Edited),
	"hashtags-changed":            pull(gitevent.Edited),
	"assignee-changed":            pull(gitevent.Edited),
	"reviewer-added":              pull(gitevent.Edited),
	"reviewer-deleted":            pull(gitevent.Edited),
	"private-state-changed":       pull(gitevent.Edited),
	"custom-keyed-values-changed": pull(gitevent.Edited),
	"wip-state-changed":           (*payload).wip,
	"comment-added":               (*payload).comment,
	"vote-deleted":                (*payload).voteDeleted,
	"project-created":             (*payload).repo,
	"project-head-updated":        (*payload).repo,
}

// decode makes the block of an event. origin is Gerrit's address.
func decode(origin string, body []byte) gitevent.Event {
	var p payload
	githost.Read(body, &p)
	e := gitevent.Event{Provider: provider, Event: gitevent.Other, RawEvent: p.Type, Commits: []gitevent.Commit{}}
	e.Unknown(gitevent.UnknownNotSent)
	p.about(&e, origin)
	if a := p.who(); a != nil && *a != (account{}) {
		e.Sender = &gitevent.Sender{Login: a.Username, Name: a.Name, Email: a.Email, Kind: "unknown"}
		if a.Username != "" {
			e.Sender.Kind = "user"
		}
	}
	if c := p.Change; c != nil {
		e.PullRequest = p.pullRequest()
		e.Branch = strings.TrimPrefix(c.Branch, "refs/heads/")
	}
	if is, ok := kinds[p.Type]; ok {
		is(&p, &e)
	}
	return e
}

// about fills in the repository.
func (p *payload) about(e *gitevent.Event, origin string) {
	r := &e.Repository
	if p.Change != nil {
		r.FullName = string(p.Change.Project)
	}
	if len(p.RefUpdates.Items) > 0 {
		r.FullName = githost.First(r.FullName, p.RefUpdates.Items[0].Project)
	}
	r.FullName = githost.First(r.FullName, p.RefUpdate.Project, string(p.Project), p.ProjectName)
	r.Host = githost.HostOf(origin)
	if r.FullName == "" || r.Host == "" {
		return
	}
	u, err := url.Parse(origin)
	if err != nil {
		return
	}
	u.User = nil
	r.URL = u.JoinPath(r.FullName).String()
	r.CloneURLs = []string{
		u.JoinPath("a", r.FullName).String(),
		(&url.URL{Scheme: "ssh", Host: u.Hostname() + ":29418", Path: "/" + r.FullName}).String(),
	}
}

func (p *payload) push(e *gitevent.Event) { p.RefUpdate.set(e) }

// batch is a delivery with several refs, of which each event has one.
func (p *payload) batch(e *gitevent.Event) {
	if len(p.RefUpdates.Items) == 1 {
		p.RefUpdates.Items[0].set(e)
	}
}

func (u refUpdate) set(e *gitevent.Event) {
	if u.RefName == "" {
		return
	}
	e.SetPush(gitevent.BranchRef(u.RefName), u.OldRev, u.NewRev)
	e.SetFiles(false)
	if u.OldRev == "" || u.NewRev == "" { // not told, and only zeros are no commit
		e.Action, e.Created, e.Deleted = "", false, false
		e.Unknown(gitevent.UnknownNotSent)
	}
	e.CommitsTruncated = !e.Deleted // Gerrit sends none
}

func pull(action string) func(*payload, *gitevent.Event) {
	return func(_ *payload, e *gitevent.Event) { e.Event, e.Action = gitevent.Pull, action }
}

// patchset is a change that is new, or has another commit; if only its message
// is another one, it was edited.
func (p *payload) patchset(e *gitevent.Event) {
	action := gitevent.Updated
	switch {
	case p.PatchSet.Number == 1:
		action = gitevent.Opened
	case p.PatchSet.Kind == "NO_CODE_CHANGE", p.PatchSet.Kind == "NO_CHANGE":
		action = gitevent.Edited
	}
	e.Event, e.Action = gitevent.Pull, action
}

func (p *payload) merged(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Pull, gitevent.Merged
	if e.PullRequest != nil {
		e.PullRequest.MergeCommit = gitevent.CommitID(p.NewRev)
	}
}

func (p *payload) wip(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Pull, gitevent.Ready
	if p.Change != nil && p.Change.WIP {
		e.Action = gitevent.Draft
	}
}

// codeReview is the label that says whether a change is good.
const codeReview = "Code-Review"

// comment is a review if the vote on the code has changed with it.
func (p *payload) comment(e *gitevent.Event) {
	e.Event = gitevent.Comment
	for _, v := range p.Approvals.Items {
		if v == nil || v.Type != codeReview || v.OldValue == nil || *v.OldValue == v.Value {
			continue
		}
		value, err := strconv.Atoi(strings.TrimPrefix(v.Value, "+"))
		if err != nil {
			continue
		}
		e.Event = gitevent.Review
		switch {
		case value >= 2:
			e.Action = gitevent.Approved
		case value < 0:
			e.Action = gitevent.ChangesRequested
		case value == 0:
			e.Action = gitevent.Unapproved
		}
	}
}

func (p *payload) voteDeleted(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Review, gitevent.Unapproved
}

func (p *payload) repo(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Repo, strings.TrimPrefix(p.Type, "project-")
}

// states of a change.
var states = map[string]string{"NEW": "open", "DRAFT": "open", "SUBMITTED": "open", "MERGED": "merged", "ABANDONED": "closed"}

// pullRequest is nil if the change has no number.
func (p *payload) pullRequest() *gitevent.PullRequest {
	c := p.Change
	if c.Number <= 0 {
		return nil
	}
	state := states[c.Status]
	return &gitevent.PullRequest{
		Number: c.Number, ID: c.ID, URL: c.URL, Title: c.Subject, State: state,
		Draft: c.WIP, Merged: state == "merged",
		Source: gitevent.PullEnd{Repository: string(c.Project), Branch: p.PatchSet.Ref, SHA: p.PatchSet.Revision},
		Target: gitevent.PullEnd{Repository: string(c.Project), Branch: strings.TrimPrefix(c.Branch, "refs/heads/")},
		Author: c.Owner.Username,
	}
}
