package gitea

import (
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
)

// payload is what is read of the host's.
type payload struct {
	hub.Payload
	State       string `json:"state"`
	WorkflowRun run    `json:"workflow_run"`
	WorkflowJob run    `json:"workflow_job"`
	// kind is the precise name of the event.
	kind string
}

// run of a workflow.
type run struct {
	HeadSHA    string `json:"head_sha"`
	HeadBranch string `json:"head_branch"`
}

// feed is how many commits a push holds at most, unless the host is set up otherwise.
const feed = 5

var pullActions = map[string]string{"synchronized": gitevent.Updated}

// readers fill in what an event is, by its precise name; those of the coarse
// names are among them. Others are gitevent.Other.
var readers = map[string]func(*payload, *gitevent.Event){
	"push":                         push,
	"create":                       func(p *payload, e *gitevent.Event) { p.RefMade(e, false) },
	"delete":                       func(p *payload, e *gitevent.Event) { p.RefMade(e, true) },
	"pull_request":                 pull,
	"pull_request_assign":          pull,
	"pull_request_label":           pull,
	"pull_request_milestone":       pull,
	"pull_request_sync":            pull,
	"pull_request_review_request":  pull,
	"pull_request_review":          review,
	"pull_request_review_approved": review,
	"pull_request_review_rejected": review,
	"pull_request_review_comment":  review,
	"pull_request_approved":        review,
	"pull_request_rejected":        review,
	"pull_request_comment":         comment,
	"issue_comment":                comment,
	"issues":                       sort(gitevent.Issue),
	"issue_assign":                 sort(gitevent.Issue),
	"issue_label":                  sort(gitevent.Issue),
	"issue_milestone":              sort(gitevent.Issue),
	"release": func(p *payload, e *gitevent.Event) {
		e.Event = gitevent.Release
		e.SetRef(gitevent.TagRef(p.Release.TagName))
	},
	"repository": sort(gitevent.Repo),
	"status": func(p *payload, e *gitevent.Event) {
		e.Event, e.Action, e.After = gitevent.Status, p.State, p.SHA
	},
	"workflow_run": func(p *payload, e *gitevent.Event) { p.WorkflowRun.fill(e) },
	"workflow_job": func(p *payload, e *gitevent.Event) { p.WorkflowJob.fill(e) },
	"ping":         sort(gitevent.Ping),
}

func sort(s gitevent.Sort) func(*payload, *gitevent.Event) {
	return func(_ *payload, e *gitevent.Event) { e.Event = s }
}

// decode makes the block of a delivery, with what can be read of it.
func decode(h http.Header, body []byte) *gitevent.Event {
	f := of(h)
	e := &gitevent.Event{
		Provider: f.provider, Event: gitevent.Other, RawEvent: h.Get(f.prefix + "Event"),
		DeliveryID: h.Get(f.prefix + "Delivery"), Commits: []gitevent.Commit{},
	}
	if e.RawEvent == "ping" {
		e.Event = gitevent.Ping // whatever it holds
	}
	p := payload{kind: h.Get(f.prefix + "Event-Type")}
	read, known := readers[p.kind]
	if !known {
		p.kind = e.RawEvent
		read, known = readers[p.kind]
	}
	if gitevent.Decode(body, &p) {
		e.Action = p.Action
		e.Repository = p.Repository.Block()
		if e.Sender = p.Sender.Block(); e.Sender == nil {
			e.Sender = p.Pusher.Block()
		}
		if known {
			read(&p, e)
		}
	}
	if e.ChangedFiles == nil && e.ChangedFilesUnknown == "" {
		e.Unknown(gitevent.UnknownNotSent)
	}
	return e
}

func push(p *payload, e *gitevent.Event) {
	if p.TotalCommits != nil && *p.TotalCommits < len(p.Commits) {
		p.TotalCommits = nil // an old host that does not say
	}
	p.Push(e, p.TotalCommits == nil && len(p.Commits) >= feed)
}

func pull(p *payload, e *gitevent.Event) {
	p.Pull(e, gitevent.Pull)
	e.Action = p.PullAction(pullActions)
}

func review(p *payload, e *gitevent.Event) {
	p.Pull(e, gitevent.Review)
	said := p.kind
	if p.Review.Type != "" {
		said = p.Review.Type
	}
	switch said = said[strings.LastIndexByte(said, '_')+1:]; said {
	case "approved", "rejected", "comment":
		e.Action = hub.ReviewAction(said)
	}
}

// comment may also be a review, where only the coarse name is sent.
func comment(p *payload, e *gitevent.Event) {
	if p.PullRequest != nil && p.Review.Type != "" {
		review(p, e)
		return
	}
	p.Pull(e, gitevent.Comment)
}

func (r *run) fill(e *gitevent.Event) {
	e.Event, e.After = gitevent.Pipeline, r.HeadSHA
	e.SetRef(gitevent.BranchRef(r.HeadBranch))
}
