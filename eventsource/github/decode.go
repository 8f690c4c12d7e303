package github

import (
	"net/http"
	"strconv"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/gitevent/hub"
)

// payload is what is read of GitHub's.
type payload struct {
	hub.Payload
	Installation struct {
		ID int64 `json:"id"`
	} `json:"installation"`
	HookID  int64 `json:"hook_id"`
	Comment struct {
		CommitID string `json:"commit_id"`
	} `json:"comment"`
	State    string `json:"state"`
	Branches []struct {
		Name   string `json:"name"`
		Commit struct {
			SHA string `json:"sha"`
		} `json:"commit"`
	} `json:"branches"`
	CheckRun    run `json:"check_run"`
	CheckSuite  run `json:"check_suite"`
	WorkflowRun run `json:"workflow_run"`
	WorkflowJob run `json:"workflow_job"`
	Deployment  struct {
		SHA string `json:"sha"`
		Ref string `json:"ref"`
	} `json:"deployment"`
	DeploymentStatus struct {
		State string `json:"state"`
	} `json:"deployment_status"`
	MergeGroup struct {
		HeadSHA string `json:"head_sha"`
		HeadRef string `json:"head_ref"`
		BaseSHA string `json:"base_sha"`
		BaseRef string `json:"base_ref"`
	} `json:"merge_group"`
}

// run of a check or of a workflow.
type run struct {
	HeadSHA      string     `json:"head_sha"`
	HeadBranch   string     `json:"head_branch"`
	PullRequests []hub.Pull `json:"pull_requests"`
	CheckSuite   *run       `json:"check_suite"`
}

// Limits at which GitHub cuts what a push holds.
const (
	mostCommits     = 2048
	mostCommitFiles = 3000
)

var pullActions = map[string]string{
	"synchronize":        gitevent.Updated,
	"ready_for_review":   gitevent.Ready,
	"converted_to_draft": gitevent.Draft,
}

// readers fill in what an event is, by its name. Others are gitevent.Other.
var readers = map[string]func(*payload, *gitevent.Event){
	"push":                        func(p *payload, e *gitevent.Event) { p.Push(e, p.cut()) },
	"create":                      func(p *payload, e *gitevent.Event) { p.RefMade(e, false) },
	"delete":                      func(p *payload, e *gitevent.Event) { p.RefMade(e, true) },
	"pull_request":                pull,
	"pull_request_review":         review,
	"pull_request_review_comment": func(p *payload, e *gitevent.Event) { p.Pull(e, gitevent.Comment) },
	"pull_request_review_thread":  func(p *payload, e *gitevent.Event) { p.Pull(e, gitevent.Review) },
	"issue_comment":               func(p *payload, e *gitevent.Event) { p.Pull(e, gitevent.Comment) },
	"commit_comment": func(p *payload, e *gitevent.Event) {
		e.Event, e.After = gitevent.Comment, p.Comment.CommitID
	},
	"release": func(p *payload, e *gitevent.Event) {
		e.Event = gitevent.Release
		e.SetRef(gitevent.TagRef(p.Release.TagName))
	},
	"status":                     status,
	"check_run":                  func(p *payload, e *gitevent.Event) { p.CheckRun.fill(e, gitevent.Check) },
	"check_suite":                func(p *payload, e *gitevent.Event) { p.CheckSuite.fill(e, gitevent.Check) },
	"merge_group":                mergeGroup,
	"workflow_run":               func(p *payload, e *gitevent.Event) { p.WorkflowRun.fill(e, gitevent.Pipeline) },
	"workflow_job":               func(p *payload, e *gitevent.Event) { p.WorkflowJob.fill(e, gitevent.Pipeline) },
	"workflow_dispatch":          func(p *payload, e *gitevent.Event) { e.Event = gitevent.Pipeline; e.SetRef(gitevent.BranchRef(p.Ref)) },
	"deployment":                 deployment,
	"deployment_status":          deployment,
	"deployment_review":          deployment,
	"deployment_protection_rule": deployment,
	"repository":                 sort(gitevent.Repo),
	"public":                     sort(gitevent.Repo),
	"installation":               sort(gitevent.Installation),
	"installation_repositories":  sort(gitevent.Installation),
	"installation_target":        sort(gitevent.Installation),
	"issues":                     sort(gitevent.Issue),
	"ping":                       sort(gitevent.Ping),
}

func sort(s gitevent.Sort) func(*payload, *gitevent.Event) {
	return func(_ *payload, e *gitevent.Event) { e.Event = s }
}

// decode makes the block of a delivery, with what can be read of it.
func decode(h http.Header, body []byte) *gitevent.Event {
	e := &gitevent.Event{
		Provider: "github", Event: gitevent.Other, RawEvent: h.Get(headerEvent),
		DeliveryID: h.Get(headerDelivery), HookID: h.Get(headerHook), Commits: []gitevent.Commit{},
	}
	read, known := readers[e.RawEvent]
	if e.RawEvent == "ping" {
		e.Event = gitevent.Ping // whatever it holds
	}
	var p payload
	if gitevent.Decode(body, &p) {
		e.Action = p.Action
		e.Repository = p.Repository.Block()
		if e.Sender = p.Sender.Block(); e.Sender == nil {
			e.Sender = p.Pusher.Block()
		}
		if p.Installation.ID != 0 {
			e.InstallationID = strconv.FormatInt(p.Installation.ID, 10)
		}
		if e.HookID == "" && p.HookID != 0 {
			e.HookID = strconv.FormatInt(p.HookID, 10)
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

// cut tells whether GitHub left something out of a push.
func (p *payload) cut() bool {
	for i := range p.Commits {
		c := &p.Commits[i]
		if max(len(c.Added), len(c.Modified), len(c.Removed)) >= mostCommitFiles {
			return true
		}
	}
	return len(p.Commits) >= mostCommits
}

func pull(p *payload, e *gitevent.Event) {
	p.Pull(e, gitevent.Pull)
	e.Action = p.PullAction(pullActions)
	e.Before, e.After = gitevent.CommitID(p.Before), gitevent.CommitID(p.After)
}

func review(p *payload, e *gitevent.Event) {
	p.Pull(e, gitevent.Review)
	if p.Action == "submitted" {
		e.Action = hub.ReviewAction(p.Review.State)
	}
}

func status(p *payload, e *gitevent.Event) {
	e.Event, e.Action, e.After = gitevent.Status, p.State, p.SHA
	for _, b := range p.Branches { // all that contain the commit; it is the tip of some
		if b.Commit.SHA == p.SHA && p.SHA != "" {
			e.SetRef(gitevent.BranchRef(b.Name))
			break
		}
	}
}

func mergeGroup(p *payload, e *gitevent.Event) {
	g := p.MergeGroup
	e.Event, e.Before, e.After = gitevent.Check, g.BaseSHA, g.HeadSHA
	e.SetRef(gitevent.BranchRef(g.HeadRef))
}

func deployment(p *payload, e *gitevent.Event) {
	e.Event, e.After = gitevent.Deployment, p.Deployment.SHA
	if s := p.DeploymentStatus.State; s != "" {
		e.Action = s
	}
	// What was deployed may be a branch, a tag or a commit; only a whole ref tells.
	if ref := p.Deployment.Ref; gitevent.BranchRef(ref) == ref {
		e.SetRef(ref)
	}
}

func (r *run) fill(e *gitevent.Event, s gitevent.Sort) {
	e.Event, e.After = s, r.HeadSHA
	branch := r.HeadBranch
	if branch == "" && r.CheckSuite != nil {
		branch = r.CheckSuite.HeadBranch
	}
	e.SetRef(gitevent.BranchRef(branch))
	if len(r.PullRequests) > 0 {
		e.PullRequest = r.PullRequests[0].Block()
		e.PullRequest.Target.Repository = e.Repository.FullName
	}
}
