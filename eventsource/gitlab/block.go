package gitlab

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

const provider = "gitlab"

// systemHook is the X-Gitlab-Event of all hooks of an instance.
const systemHook = "System Hook"

// kinds tell what an event is, by object_kind, or by event_name where there is
// none. What is not listed is gitevent.Other.
var kinds = map[string]func(*payload, *gitevent.Event){
	"push":              (*payload).push,
	"tag_push":          (*payload).push,
	"merge_request":     (*payload).pull,
	"note":              (*payload).note,
	"pipeline":          (*payload).pipeline,
	"build":             (*payload).job,
	"deployment":        (*payload).deployment,
	"release":           (*payload).release,
	"issue":             (*payload).issue,
	"incident":          (*payload).issue,
	"work_item":         (*payload).issue,
	"project_create":    (*payload).repo,
	"project_destroy":   (*payload).repo,
	"project_rename":    (*payload).repo,
	"project_transfer":  (*payload).repo,
	"project_update":    (*payload).repo,
	"repository_update": (*payload).refs,
}

// decode makes the block of a delivery.
func decode(h http.Header, body []byte) gitevent.Event {
	var p payload
	githost.Read(body, &p)
	kind := p.kind()
	e := gitevent.Event{Provider: provider, Event: gitevent.Other, RawEvent: h.Get("X-Gitlab-Event"), Commits: []gitevent.Commit{}}
	e.Unknown(gitevent.UnknownNotSent)
	if e.RawEvent == "" || e.RawEvent == systemHook {
		e.RawEvent = kind
	}
	if kind == "" {
		// A template of the user's: what its fields mean is not known.
		return e
	}
	p.about(&e, h.Get("X-Gitlab-Instance"))
	if p.User != nil {
		e.Sender = sender(string(p.User.ID), p.User.Username, p.User.Name, p.User.Email)
	}
	if p.MergeRequest != nil {
		e.PullRequest = p.MergeRequest.pullRequest()
	}
	if is, ok := kinds[kind]; ok {
		is(&p, &e)
	} else {
		e.Action = githost.First(p.Object.Action, p.Action)
	}
	return e
}

// about fills in the repository.
func (p *payload) about(e *gitevent.Event, instance string) {
	r := &e.Repository
	var pr project
	if p.Project != nil {
		pr = *p.Project
	}
	r.URL = githost.First(pr.WebURL, p.Repository.Homepage)
	r.FullName = githost.First(pr.PathWithNamespace, p.PathWithNamespace, p.ProjectPathWithNamespace, pathBelow(instance, r.URL))
	for _, u := range []string{githost.First(pr.GitHTTPURL, p.Repository.GitHTTPURL), githost.First(pr.GitSSHURL, p.Repository.GitSSHURL)} {
		if u != "" {
			r.CloneURLs = append(r.CloneURLs, u)
		}
	}
	r.DefaultBranch = pr.DefaultBranch
	r.Host = githost.First(githost.HostOf(r.URL), githost.HostOf(instance))
	if r.FullName == "" && strings.Contains(p.ProjectName, "/") && !strings.Contains(p.ProjectName, " ") {
		r.FullName = p.ProjectName
	}
}

// pathBelow is the path of a project's page, without that of the instance.
func pathBelow(instance, page string) string {
	u, err := url.Parse(page)
	if err != nil || u.Host == "" {
		return ""
	}
	path := u.Path
	if root, err := url.Parse(instance); err == nil && root.Host == u.Host {
		path = strings.TrimPrefix(path, strings.TrimRight(root.Path, "/"))
	}
	return strings.Trim(path, "/")
}

// bots are the users that GitLab makes for access tokens.
var bots = regexp.MustCompile(`^(project|group)_\d+_bot`)

func sender(id, login, name, email string) *gitevent.Sender {
	if strings.HasPrefix(email, "[") { // [REDACTED]
		email = ""
	}
	if id+login+name+email == "" {
		return nil
	}
	kind := "unknown"
	switch {
	case bots.MatchString(login):
		kind = "bot"
	case login != "":
		kind = "user"
	}
	return &gitevent.Sender{ID: id, Login: login, Name: name, Email: email, Kind: kind}
}

func (p *payload) push(e *gitevent.Event) {
	before, after := p.Before, p.After
	tag := strings.HasPrefix(p.Ref, "refs/tags/")
	if tag && gitevent.CommitID(after) != "" && p.CheckoutSHA != "" {
		after = p.CheckoutSHA // after is the tag's own object where it is an annotated tag
	}
	setPush(e, p.Ref, before, after)
	p.pusher(e)
	complete := !tag && len(p.Commits.Items) > 0
	for _, c := range p.Commits.Items {
		if c.ID == "" {
			complete = false
			continue
		}
		complete = complete && c.Added != nil && c.Modified != nil && c.Removed != nil
		e.Commits = append(e.Commits, c.commit())
	}
	e.CommitsTruncated = p.Commits.Cut
	if total, err := strconv.Atoi(string(p.Total)); err == nil && total >= 0 {
		e.CommitsTotal = &total
		e.CommitsTruncated = e.CommitsTruncated || total > len(p.Commits.Items)
		if total == 0 && !tag && e.Before != "" && e.After != "" {
			// Nothing is new on the branch, so it was set back.
			forced := true
			e.Forced = &forced
		}
	}
	e.SetFiles(complete)
}

// setPush is SetPush, but takes what is not told for not known: only zeros mean
// that there is no commit.
func setPush(e *gitevent.Event, ref, before, after string) {
	e.SetPush(ref, before, after)
	if before == "" || after == "" {
		e.Action, e.Created, e.Deleted = "", false, false
	}
}

// pusher is the sender of pushes, which have no user.
func (p *payload) pusher(e *gitevent.Event) {
	if e.Sender == nil {
		e.Sender = sender(string(p.UserID), p.UserUsername, p.UserName, p.UserEmail)
	}
}

func (c *commit) commit() gitevent.Commit {
	g := gitevent.Commit{
		ID: string(c.ID), Message: c.Message, Timestamp: parseTime(c.Timestamp), URL: c.URL,
		Added: c.Added, Modified: c.Modified, Removed: c.Removed,
	}
	if c.Author.Name+c.Author.Email != "" {
		g.Author = &gitevent.Person{Name: c.Author.Name, Email: c.Author.Email}
	}
	return g
}

// pullActions are what GitLab calls what happened to a merge request. An update
// needs a closer look.
var pullActions = map[string]string{
	"open": gitevent.Opened, "close": gitevent.Closed, "reopen": gitevent.Reopened, "merge": gitevent.Merged,
	"approved": gitevent.Approved, "approval": gitevent.Approved,
	"unapproved": gitevent.Unapproved, "unapproval": gitevent.Unapproved,
}

func (p *payload) pull(e *gitevent.Event) {
	e.Event = gitevent.Pull
	e.Action = p.pullAction()
	if e.PullRequest = p.Object.pullRequest(); e.PullRequest == nil {
		return
	}
	e.Branch = e.PullRequest.Target.Branch
	if p.User != nil && p.User.ID != "" && p.User.ID == p.Object.AuthorID {
		e.PullRequest.Author = p.User.Username
	}
}

func (p *payload) pullAction() string {
	action := p.Object.Action
	if known, ok := pullActions[action]; ok {
		return known
	}
	if action != "update" {
		return action
	}
	if p.Object.OldRev != "" {
		return gitevent.Updated
	}
	var changes struct {
		Draft          *change `json:"draft"`
		WorkInProgress *change `json:"work_in_progress"`
	}
	githost.Read(p.Changes, &changes)
	for _, c := range []*change{changes.Draft, changes.WorkInProgress} {
		switch {
		case c == nil || c.Current == nil:
		case *c.Current:
			return gitevent.Draft
		default:
			return gitevent.Ready
		}
	}
	return gitevent.Edited
}

type change struct {
	Current *bool `json:"current"`
}

// states of a merge request. locked is one that is being merged.
var states = map[string]string{"opened": "open", "locked": "open", "closed": "closed", "merged": "merged"}

// pullRequest is nil if o is no merge request.
func (o *object) pullRequest() *gitevent.PullRequest {
	number := o.IID.number()
	if number == 0 {
		return nil
	}
	state := states[o.State]
	return &gitevent.PullRequest{
		Number: number, ID: string(o.ID), URL: o.URL, Title: o.Title, State: state,
		Draft:  o.Draft || o.WorkInProgress,
		Merged: state == "merged",
		Source: gitevent.PullEnd{
			Repository: o.Source.PathWithNamespace, Branch: o.SourceBranch, SHA: string(o.LastCommit.ID),
		},
		Target:      gitevent.PullEnd{Repository: o.Target.PathWithNamespace, Branch: o.TargetBranch},
		MergeCommit: o.MergeCommitSHA,
	}
}

func (p *payload) note(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Comment, p.Object.Action
	e.After = p.Object.CommitID
	if e.PullRequest != nil {
		e.Branch = e.PullRequest.Target.Branch
	}
}

func (p *payload) pipeline(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Pipeline, p.Object.Status
	setBareRef(e, p.Object.Ref, p.Object.Tag)
	e.After = gitevent.CommitID(p.Object.SHA)
}

func (p *payload) job(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Check, p.BuildStatus
	setBareRef(e, p.Ref, p.Tag == "true")
	e.After = gitevent.CommitID(p.SHA)
}

// setBareRef makes a whole ref of the name that pipelines and jobs have.
func setBareRef(e *gitevent.Event, name string, tag bool) {
	if tag {
		e.SetRef(gitevent.TagRef(name))
		return
	}
	e.SetRef(gitevent.BranchRef(name))
}

func (p *payload) deployment(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Deployment, p.Status
	if strings.HasPrefix(p.Ref, "refs/") { // a bare one may be a branch or a tag
		e.SetRef(p.Ref)
	}
	// The commit's whole id is only in its URL.
	id := p.CommitURL[strings.LastIndexByte(p.CommitURL, '/')+1:]
	if _, err := hex.DecodeString(id); err == nil && len(id) >= 40 {
		e.After = id
	}
}

func (p *payload) release(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Release, p.Action
	e.SetRef(gitevent.TagRef(string(p.Tag)))
	e.After = string(p.Commit.ID)
}

func (p *payload) issue(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Issue, p.Object.Action
}

func (p *payload) repo(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Repo, strings.TrimPrefix(p.EventName, "project_")
}

// refs is the event of an instance that follows each push; the pushes themselves
// are events of their own. Its refs are told only if there is one.
func (p *payload) refs(e *gitevent.Event) {
	p.pusher(e)
	var changes []struct {
		Ref    string `json:"ref"`
		Before string `json:"before"`
		After  string `json:"after"`
	}
	if json.Unmarshal(p.Changes, &changes) == nil && len(changes) == 1 {
		setPush(e, changes[0].Ref, changes[0].Before, changes[0].After)
		e.Event, e.Action = gitevent.Other, ""
	}
}
