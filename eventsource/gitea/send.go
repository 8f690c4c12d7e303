package gitea

import (
	"errors"
	"net/http"
	"slices"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// send makes the headers of a delivery of this family, which has its ancestors', too.
func (f family) send(s eventsource.Sending) (http.Header, error) {
	event := s.Event
	if event == "" {
		if event = guess(s.Body); event == "" {
			return nil, errors.New("it cannot be told from the body which event it is; name it, such as push")
		}
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Go-http-client/1.1")
	first := slices.Index(families, f)
	for _, of := range families[max(first, 0):] {
		h.Set(of.prefix+"Event", event)
		h.Set(of.prefix+"Delivery", s.ID)
		if f.provider != "gogs" {
			h.Set(of.prefix+"Event-Type", event)
		}
		if of.prefix == "X-Github-" || len(s.Secret) == 0 {
			continue
		}
		if err := (verify.HMAC{Header: of.prefix + "Signature"}).Sign(h, s.Body, s.Secret, s.Now); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// guess tells an event from the keys of its body, the most telling first.
func guess(body []byte) string {
	var keys map[string]any
	if !gitevent.Decode(body, &keys) {
		return ""
	}
	for _, g := range guesses {
		there := true
		for _, k := range g.keys {
			there = there && keys[k] != nil
		}
		if there {
			return g.event
		}
	}
	return ""
}

var guesses = []struct {
	event string
	keys  []string
}{
	{"push", []string{"ref", "before", "after"}},
	{"create", []string{"ref", "ref_type", "sha"}},
	{"delete", []string{"ref", "ref_type", "pusher_type"}},
	{"create", []string{"ref", "ref_type"}},
	{"pull_request_comment", []string{"pull_request", "review"}},
	{"pull_request", []string{"pull_request"}},
	{"issue_comment", []string{"comment", "issue"}},
	{"issues", []string{"issue"}},
	{"release", []string{"release"}},
	{"fork", []string{"forkee"}},
	{"package", []string{"package"}},
	{"workflow_job", []string{"workflow_job"}},
	{"workflow_run", []string{"workflow_run"}},
	{"wiki", []string{"page"}},
	{"status", []string{"sha", "state"}},
	{"repository", []string{"repository", "action"}},
}
