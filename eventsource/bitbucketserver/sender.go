package bitbucketserver

import (
	"errors"
	"net/http"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// header makes the header that Bitbucket sends with a body.
func header(s eventsource.Sending) (http.Header, error) {
	event := s.Event
	if event == "" {
		var p struct {
			EventKey string `json:"eventKey"`
			Test     bool   `json:"test"`
		}
		gitevent.Decode(s.Body, &p)
		if event = p.EventKey; event == "" && p.Test {
			event = pingKey
		}
		if event == "" {
			return nil, errors.New("the body has no eventKey: name the event, for example repo:refs_changed")
		}
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Event-Key", event)
	h.Set("X-Request-Id", s.ID)
	if len(s.Secret) == 0 || event == pingKey {
		return h, nil
	}
	return h, signature.Sign(h, s.Body, s.Secret, s.Now)
}
