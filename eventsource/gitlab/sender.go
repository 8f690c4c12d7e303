package gitlab

import (
	"errors"
	"net/http"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/githost"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// hookNames are the values of X-Gitlab-Event, by what the body says of itself.
var hookNames = map[string]string{
	"push":          "Push Hook",
	"tag_push":      "Tag Push Hook",
	"merge_request": "Merge Request Hook",
	"note":          "Note Hook",
	"issue":         "Issue Hook",
	"incident":      "Issue Hook",
	"work_item":     "Work Item Hook",
	"wiki_page":     "Wiki Page Hook",
	"pipeline":      "Pipeline Hook",
	"build":         "Job Hook",
	"deployment":    "Deployment Hook",
	"release":       "Release Hook",
	"feature_flag":  "Feature Flag Hook",
	"emoji":         "Emoji Hook",
	"milestone":     "Milestone Hook",
	"vulnerability": "Vulnerability Hook",
	"access_token":  "Resource Access Token Hook",
	"deploy_token":  "Resource Deploy Token Hook",
}

// confidential are the names where event_type says that the object is.
var confidential = map[string]string{
	"confidential_issue": "Confidential Issue Hook",
	"confidential_note":  "Confidential Note Hook",
}

// header is what GitLab sends with a body.
func header(s eventsource.Sending) (http.Header, error) {
	event := s.Event
	if event == "" {
		var err error
		if event, err = eventOf(s.Body); err != nil {
			return nil, err
		}
	}
	h := http.Header{}
	for name, value := range map[string]string{
		"Content-Type":          "application/json",
		"X-Gitlab-Event":        event,
		"X-Gitlab-Event-UUID":   s.ID,
		"X-Gitlab-Webhook-UUID": s.ID,
		"Idempotency-Key":       s.ID,
		"Webhook-Id":            s.ID,
	} {
		h.Set(name, value)
	}
	switch {
	case len(s.Secret) == 0:
		return h, nil
	case verify.IsSigningSecret(s.Secret):
		return h, signingScheme.Sign(h, s.Body, s.Secret, s.Now)
	}
	return h, tokenScheme.Sign(h, s.Body, s.Secret, s.Now)
}

// eventOf is the X-Gitlab-Event of a body.
func eventOf(body []byte) (string, error) {
	var p struct {
		ObjectKind string `json:"object_kind"`
		EventType  string `json:"event_type"`
		EventName  string `json:"event_name"`
	}
	githost.Read(body, &p)
	if name := githost.First(confidential[p.EventType], hookNames[p.ObjectKind]); name != "" {
		return name, nil
	}
	if p.EventName != "" {
		return systemHook, nil
	}
	return "", errors.New("the body has neither object_kind nor event_name that tells the event: give its name, such as Push Hook")
}
