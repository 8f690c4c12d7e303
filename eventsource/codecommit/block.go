package codecommit

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
)

// provider in the block git.
const provider = "codecommit"

// kinds tell what an event is, by its name. What is not listed is gitevent.Other.
var kinds = map[string]func(*detail, *gitevent.Event){
	"referenceCreated":                  (*detail).push,
	"referenceUpdated":                  (*detail).push,
	"referenceDeleted":                  (*detail).push,
	"pullRequestCreated":                pull(gitevent.Opened),
	"pullRequestSourceBranchUpdated":    pull(gitevent.Updated),
	"pullRequestStatusChanged":          (*detail).status,
	"pullRequestMergeStatusUpdated":     (*detail).merge,
	"pullRequestApprovalRuleCreated":    pull(gitevent.Edited),
	"pullRequestApprovalRuleUpdated":    pull(gitevent.Edited),
	"pullRequestApprovalRuleDeleted":    pull(gitevent.Edited),
	"pullRequestApprovalRuleOverridden": pull(gitevent.Edited),
	"pullRequestApprovalStateChanged":   (*detail).approval,
	"commentOnPullRequestCreated":       comment(gitevent.Created),
	"commentOnPullRequestUpdated":       comment(gitevent.Updated),
	"commentOnCommitCreated":            comment(gitevent.Created),
	"commentOnCommitUpdated":            comment(gitevent.Updated),
}

// block is that of an event of EventBridge.
func (in *event) block() gitevent.Event {
	d := &in.Detail
	e := newBlock(githost.First(d.Event, in.DetailType, in.Kind))
	e.DeliveryID = in.ID
	if d.Repository == "" && len(d.Names.Items) > 0 {
		d.Repository = string(d.Names.Items[0])
	}
	p := placeOf(in.Region)
	p.about(&e.Repository, d.Repository)
	if e.Sender = senderOf(d.Caller); e.Sender != nil {
		e.Sender.Name, e.Sender.Email = d.Name, d.Email
	}
	if n, err := strconv.ParseInt(string(d.Pull), 10, 64); err == nil && n > 0 {
		e.PullRequest = d.pullRequest(n)
		e.Branch = e.PullRequest.Target.Branch
		e.PullRequest.URL = p.console(d.Repository, "pull-requests/"+strconv.FormatInt(n, 10)+"/details")
	}
	if is, ok := kinds[d.Event]; ok {
		is(d, &e)
	}
	return e
}

// block is that of a record of a trigger, with one of its references.
func (r *record) block(ref reference) gitevent.Event {
	e := newBlock(r.Event)
	e.DeliveryID = r.ID
	part := strings.SplitN(r.Repository, ":", 6) // arn:PARTITION:codecommit:REGION:ACCOUNT:NAME
	name, region := "", r.Region
	if len(part) == 6 {
		name, region = part[5], githost.First(region, part[3])
	}
	placeOf(region).about(&e.Repository, name)
	e.Sender = senderOf(r.Caller)
	switch {
	case r.Event == testEvent:
		e.Event = gitevent.Ping
	case ref.Ref == "":
	case ref.Deleted:
		e.SetPush(gitevent.BranchRef(ref.Ref), ref.Commit, "")
		e.SetFiles(false)
	default:
		e.SetPush(gitevent.BranchRef(ref.Ref), "", ref.Commit)
		if !ref.Created { // the commit before is not told
			e.Action, e.Created, e.Deleted = gitevent.Updated, false, false
		}
		e.SetFiles(false)
		e.CommitsTruncated = true
	}
	return e
}

func newBlock(raw string) gitevent.Event {
	e := gitevent.Event{Provider: provider, Event: gitevent.Other, RawEvent: raw, Commits: []gitevent.Commit{}}
	e.Unknown(gitevent.UnknownNotSent)
	return e
}

// push is of a branch or a tag. What has been left out is not taken for zeros.
func (d *detail) push(e *gitevent.Event) {
	ref := githost.First(d.FullRef, gitevent.BranchRef(d.RefName))
	if d.FullRef == "" && d.RefType == "tag" {
		ref = gitevent.TagRef(d.RefName)
	}
	if ref == "" {
		return
	}
	switch d.Event {
	case "referenceDeleted":
		e.SetPush(ref, githost.First(d.OldCommit, d.Commit), "")
	case "referenceCreated":
		e.SetPush(ref, "", d.Commit)
		e.Action, e.Created, e.Deleted = gitevent.Created, true, false
	default:
		e.SetPush(ref, d.OldCommit, d.Commit)
		e.Action, e.Created, e.Deleted = gitevent.Updated, false, false
	}
	e.SetFiles(false)
	e.CommitsTruncated = !e.Deleted // CodeCommit sends none
}

func pull(action string) func(*detail, *gitevent.Event) {
	return func(_ *detail, e *gitevent.Event) { e.Event, e.Action = gitevent.Pull, action }
}

func comment(action string) func(*detail, *gitevent.Event) {
	return func(d *detail, e *gitevent.Event) {
		e.Event, e.Action, e.After = gitevent.Comment, action, gitevent.CommitID(d.AfterCommit)
	}
}

func (d *detail) status(e *gitevent.Event) {
	e.Event = gitevent.Pull
	switch {
	case d.Merged.yes():
		e.Action = gitevent.Merged
	case strings.EqualFold(d.Status, "closed"):
		e.Action = gitevent.Closed
	default:
		e.Action = gitevent.Reopened
	}
}

func (d *detail) merge(e *gitevent.Event) {
	e.Event, e.Action = gitevent.Pull, gitevent.Edited
	if d.Merged.yes() {
		e.Action = gitevent.Merged
	}
}

func (d *detail) approval(e *gitevent.Event) {
	e.Event = gitevent.Review
	switch d.Approval {
	case "APPROVE":
		e.Action = gitevent.Approved
	case "REVOKE":
		e.Action = gitevent.Unapproved
	}
}

func (d *detail) pullRequest(number int64) *gitevent.PullRequest {
	p := &gitevent.PullRequest{Number: number, Title: d.Title, Merged: d.Merged.yes(), State: strings.ToLower(d.Status)}
	if p.Merged {
		p.State = "merged"
	}
	p.Source = gitevent.PullEnd{Repository: d.Repository, Branch: branchOf(d.SourceRef), SHA: d.SourceCommit}
	p.Target = gitevent.PullEnd{Repository: d.Repository, Branch: branchOf(d.TargetRef), SHA: d.TargetCommit}
	if p.Source.SHA == "" {
		p.Source.SHA = d.AfterCommit // of a comment
	}
	if a := senderOf(d.Author); a != nil {
		p.Author = a.Login
	}
	return p
}

func branchOf(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// senderOf is who an ARN names: arn:aws:iam::ACCOUNT:user/NAME, or a role that somebody
// has assumed, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION. Nil if it is empty.
func senderOf(arn string) *gitevent.Sender {
	if arn == "" {
		return nil
	}
	s := &gitevent.Sender{ID: arn, Login: arn[strings.LastIndexAny(arn, ":/")+1:], Kind: "unknown"}
	if strings.Contains(arn, ":user/") {
		s.Kind = "user"
	}
	return s
}

// place is where a region is reached.
type place struct{ region, git, web string }

var (
	regionName     = regexp.MustCompile(`^[a-z0-9-]+$`)
	repositoryName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// placeOf is empty if region is none.
func placeOf(region string) place {
	if !regionName.MatchString(region) {
		return place{}
	}
	p := place{region: region, git: "git-codecommit." + region + ".amazonaws.com", web: region + ".console.aws.amazon.com"}
	switch {
	case strings.HasPrefix(region, "cn-"):
		p.git, p.web = p.git+".cn", region+".console.amazonaws.cn"
	case strings.HasPrefix(region, "us-gov-"):
		p.web = region + ".console.amazonaws-us-gov.com"
	}
	return p
}

func (p place) about(r *gitevent.Repository, name string) {
	r.FullName, r.Host = name, p.git
	r.URL = p.console(name, "browse")
	if r.URL != "" {
		r.CloneURLs = []string{"https://" + p.git + "/v1/repos/" + name, "ssh://" + p.git + "/v1/repos/" + name}
	}
}

// console is a page about a repository; empty if there can be none.
func (p place) console(name, page string) string {
	if p.region == "" || !repositoryName.MatchString(name) {
		return ""
	}
	u := url.URL{Scheme: "https", Host: p.web, Path: "/codesuite/codecommit/repositories/" + name + "/" + page, RawQuery: "region=" + p.region}
	return u.String()
}
