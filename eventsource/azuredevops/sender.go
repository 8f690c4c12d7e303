package azuredevops

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// header makes the header that Azure DevOps sends with a body, which names its
// event itself. A secret of the form USER:PASSWORD is for basic authentication,
// any other one goes into the default secret header.
func header(s eventsource.Sending) (http.Header, error) {
	var p payload
	gitevent.Decode(s.Body, &p)
	if p.EventType == "" {
		return nil, errors.New("the body has no eventType: it is nothing that Azure DevOps sends")
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("User-Agent", "VSServices/20.0 (NetStandard)")
	h.Set("X-Vss-Activityid", s.ID)
	if secret := string(s.Secret); strings.Contains(secret, ":") {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(s.Secret))
	} else if secret != "" {
		h.Set(defaultHeader, secret)
	}
	return h, nil
}
