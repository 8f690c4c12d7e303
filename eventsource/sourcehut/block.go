package sourcehut

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// provider in the block git.
const provider = "sourcehut"

// logSize is how many commits SourceHut lists of an update at most.
const logSize = 50

// pushes are the events that tell of refs. GIT_PRE_RECEIVE is none: the refs have
// not moved yet.
var pushes = map[string]bool{postUpdate: true, "GIT_POST_RECEIVE": true}

// repositories are the events that tell of a repository, with their actions.
var repositories = map[string]string{
	"repo:create": gitevent.Created, "REPO_CREATED": gitevent.Created,
	"repo:update": gitevent.Updated, "REPO_UPDATE": gitevent.Updated,
	"repo:delete": gitevent.Deleted, "REPO_DELETED": gitevent.Deleted,
}

// decoder makes events of deliveries.
type decoder struct {
	// repository where a delivery does not tell it.
	repository string
	// base is the address of the Git service.
	base string
}

func (d decoder) events(ctx context.Context, in *ingress.Delivery) ([]ingress.Made, error) {
	var p payload
	gitevent.Decode(in.Body, &p)
	bodies, err := split(in.Body)
	if err != nil {
		return nil, err
	}
	events := make([]*gitevent.Event, len(bodies))
	for i, body := range bodies {
		e := d.decode(in.Header.Get(eventHeader), body)
		e.Verified, e.DeliveryID = in.Verified, in.Header.Get(deliveryHeader)
		events[i] = &e
	}
	// The signature covers the body and the nonce, so a delivery that somebody
	// sends again has these ids again, whatever its other headers are. SourceHut itself
	// takes another nonce when it tries again, hence that comes last.
	id := githost.ID(in.Body, p.Data.Webhook.UUID, p.Push, in.Header.Get(nonceHeader))
	return githost.Emit(ctx, id, nil, events, bodies), nil
}

// split cuts a delivery of several refs into one body for each.
func split(body []byte) ([][]byte, error) {
	for _, path := range [][]string{{"data", "webhook", "updates"}, {"refs"}} {
		parts, ok, err := githost.Split(body, path...)
		if err != nil {
			return nil, err
		}
		if !ok || len(parts.Items) < 2 {
			continue
		}
		bodies := make([][]byte, len(parts.Items))
		for i := range parts.Items {
			bodies[i] = parts.With(i)
		}
		return bodies, nil
	}
	return [][]byte{body}, nil
}

// decode makes the block of a body that has one ref at most.
func (d decoder) decode(event string, body []byte) gitevent.Event {
	var p payload
	gitevent.Decode(body, &p)
	e := gitevent.Event{Provider: provider, Event: gitevent.Other, RawEvent: p.event(event), Commits: []gitevent.Commit{}}
	e.Unknown(gitevent.UnknownNotSent)
	d.about(&e, &p)
	if action, ok := repositories[e.RawEvent]; ok {
		e.Event, e.Action = gitevent.Repo, action
	}
	who := p.Data.Webhook.Pusher
	if who.name() == "" {
		who = p.Pusher
	}
	if name := who.name(); name != "" {
		e.Sender = &gitevent.Sender{ID: name, Login: strings.TrimPrefix(name, "~"), Email: who.Email, Kind: "unknown"}
		if name[0] == '~' {
			e.Sender.Kind = "user"
		}
	}
	if pushes[e.RawEvent] {
		updates := p.Data.Webhook.Updates.Items
		if p.Refs != nil {
			updates = p.Refs.Items
		}
		if len(updates) == 1 {
			updates[0].push(&e)
		}
	}
	return e
}

// about fills in the repository.
func (d decoder) about(e *gitevent.Event, p *payload) {
	r := &e.Repository
	r.Host = githost.HostOf(d.base)
	owner, name := p.Data.Webhook.Repository.Owner.name(), p.Data.Webhook.Repository.Name
	if name == "" {
		owner, name = p.Owner.name(), p.Name
	}
	r.DefaultBranch = strings.TrimPrefix(p.Data.Webhook.Repository.HEAD.Name, "refs/heads/")
	switch {
	case owner != "" && name != "":
		r.FullName = owner + "/" + name
	case d.repository != "":
		r.FullName = d.repository
	default:
		r.FullName = name
		return
	}
	u, err := url.Parse(d.base)
	if err != nil {
		return
	}
	u.User = nil
	r.URL = u.JoinPath(r.FullName).String()
	r.CloneURLs = []string{r.URL, "git@" + u.Hostname() + ":" + r.FullName}
}

// push makes e the push of the ref.
func (u *update) push(e *gitevent.Event) {
	name, before, after := githost.First(u.Name, u.Ref.Name), gitevent.CommitID(u.Old.ID), gitevent.CommitID(u.New.ID)
	if after == "" {
		after = gitevent.CommitID(u.Ref.Target) // where New is null although the ref is there
	}
	switch {
	case name == "" && (before == "" || !u.New.told):
		return // nothing is known of it
	case before+after == "", !u.Old.told, !u.New.told && after == "":
		e.Event = gitevent.Push
		if e.SetRef(name); e.Tag != "" {
			e.Event = gitevent.Tag
		}
		e.Before, e.After, e.CommitsTruncated = before, after, true
		return
	}
	e.SetPush(name, before, after)
	e.SetFiles(false)
	if !e.Deleted {
		u.commits(e)
	}
}

// commits fills in those that were sent: the log, or the last one alone.
func (u *update) commits(e *gitevent.Event) {
	if log := u.Log.Results; len(log.Items) > 0 {
		for _, o := range log.Items {
			e.Commits = append(e.Commits, o.commit())
		}
		slices.Reverse(e.Commits) // SourceHut sends the newest first
		e.CommitsTruncated = e.Created || log.Cut || len(log.Items) >= logSize
		return
	}
	e.CommitsTruncated = true
	if u.New.Message != "" {
		e.Commits = append(e.Commits, u.New.commit())
		e.CommitsTruncated = e.Before == "" || !slices.Equal(u.New.Parents, []string{e.Before})
	}
}

func (o *object) commit() gitevent.Commit {
	c := gitevent.Commit{
		ID: o.ID, Message: o.Message, Timestamp: gitevent.ParseTime(githost.First(o.Timestamp, o.Author.Time)),
	}
	if o.Author.Name+o.Author.Email != "" {
		c.Author = &gitevent.Person{Name: o.Author.Name, Email: o.Author.Email}
	}
	return c
}
