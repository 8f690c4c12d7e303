package bitbucket

import (
	"errors"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// header makes the header that Bitbucket sends with a body.
func header(s eventsource.Sending) (http.Header, error) {
	event := s.Event
	if event == "" {
		if event = guess(s.Body); event == "" {
			return nil, errors.New("the event cannot be told from the body: name it, for example repo:push")
		}
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Bitbucket-Webhooks/2.0")
	h.Set("X-Event-Key", event)
	h.Set("X-Request-UUID", s.ID)
	h.Set("X-Attempt-Number", "1")
	if len(s.Secret) == 0 {
		return h, nil
	}
	return h, signature.Sign(h, s.Body, s.Secret, s.Now)
}

// guess is the event that has such a body.
func guess(body []byte) string {
	var p struct {
		Push, Approval, Comment, Commit, Issue, Fork, Changes any
		PullRequest                                           *struct{ State string } `json:"pullrequest"`
		ChangesRequest                                        any                     `json:"changes_request"`
		CommitStatus                                          any                     `json:"commit_status"`
	}
	gitevent.Decode(body, &p)
	switch {
	case p.Push != nil:
		return "repo:push"
	case p.PullRequest != nil && p.Comment != nil:
		return "pullrequest:comment_created"
	case p.PullRequest != nil && p.Approval != nil:
		return "pullrequest:approved"
	case p.PullRequest != nil && p.ChangesRequest != nil:
		return "pullrequest:changes_request_created"
	case p.PullRequest != nil:
		switch strings.ToUpper(p.PullRequest.State) {
		case "MERGED":
			return "pullrequest:fulfilled"
		case "DECLINED":
			return "pullrequest:rejected"
		}
		return "pullrequest:created"
	case p.CommitStatus != nil:
		return "repo:commit_status_created"
	case p.Issue != nil && p.Comment != nil:
		return "issue:comment_created"
	case p.Issue != nil && p.Changes != nil:
		return "issue:updated"
	case p.Issue != nil:
		return "issue:created"
	case p.Commit != nil && p.Comment != nil:
		return "repo:commit_comment_created"
	case p.Fork != nil:
		return "repo:fork"
	case p.Changes != nil:
		return "repo:updated"
	}
	return ""
}
