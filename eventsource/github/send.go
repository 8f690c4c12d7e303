package github

import (
	"errors"
	"net/http"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// sender is GitHub.
var sender = eventsource.Sender{Name: "github", Header: func(s eventsource.Sending) (http.Header, error) {
	event := s.Event
	if event == "" {
		if event = guess(s.Body); event == "" {
			return nil, errors.New("it cannot be told from the body which event it is; name it, such as push")
		}
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "GitHub-Hookshot/signalbox")
	h.Set("Accept", "*/*")
	h.Set(headerEvent, event)
	h.Set(headerDelivery, s.ID)
	if len(s.Secret) > 0 {
		if err := signature.Sign(h, s.Body, s.Secret, s.Now); err != nil {
			return nil, err
		}
	}
	return h, nil
}}

// guess tells an event from the keys of its body, the most telling first.
func guess(body []byte) string {
	var keys map[string]any
	if !gitevent.Decode(body, &keys) {
		return ""
	}
	has := func(names ...string) bool {
		for _, n := range names {
			if keys[n] == nil {
				return false
			}
		}
		return true
	}
	for _, g := range guesses {
		if has(g.keys...) {
			return g.event
		}
	}
	if has("ref", "ref_type") {
		if has("master_branch") {
			return "create"
		}
		return "delete"
	}
	return ""
}

var guesses = []struct {
	event string
	keys  []string
}{
	{"push", []string{"ref", "before", "after"}},
	{"pull_request_review", []string{"review", "pull_request"}},
	{"pull_request_review_thread", []string{"thread", "pull_request"}},
	{"pull_request_review_comment", []string{"comment", "pull_request"}},
	{"pull_request", []string{"pull_request", "number"}},
	{"issue_comment", []string{"comment", "issue"}},
	{"issues", []string{"issue"}},
	{"commit_comment", []string{"comment"}},
	{"check_run", []string{"check_run"}},
	{"check_suite", []string{"check_suite"}},
	{"workflow_job", []string{"workflow_job"}},
	{"workflow_run", []string{"workflow_run"}},
	{"deployment_status", []string{"deployment_status"}},
	{"deployment", []string{"deployment"}},
	{"merge_group", []string{"merge_group"}},
	{"release", []string{"release"}},
	{"status", []string{"sha", "state", "context"}},
	{"package", []string{"package"}},
	{"registry_package", []string{"registry_package"}},
	{"installation_repositories", []string{"installation", "repositories_added"}},
	{"installation", []string{"installation", "repositories"}},
	{"fork", []string{"forkee"}},
	{"ping", []string{"zen"}},
}
