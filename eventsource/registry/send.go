package registry

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// senders are the registries, for tools that send in their name.
func senders() []eventsource.Sender {
	var list []eventsource.Sender
	for _, p := range providers() {
		list = append(list, eventsource.Sender{Name: p.name, Header: p.header})
	}
	return list
}

// header makes the header of a request of p.
func (p *provider) header(s eventsource.Sending) (http.Header, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	if snsHeader(h, s.Body) && p.name == "ecr" {
		return h, nil // it is signed inside
	}
	in, err := unwrap(http.Header{}, s.Body)
	if err != nil {
		return nil, err
	}
	if p.byShape != nil && s.Event == "" && !p.byShape(in) {
		return nil, fmt.Errorf("the body does not look like one of %s; if it is, say which event it is", p.title)
	}
	if in.cloud != nil {
		h.Set("Content-Type", "application/cloudevents+json")
	}
	if p.send != nil {
		p.send(h, in, s)
	}
	if len(s.Secret) == 0 {
		return h, nil
	}
	if p.signed != nil {
		for _, scheme := range p.signed() {
			if err := scheme.Sign(h, s.Body, s.Secret, s.Now); err != nil {
				return nil, err
			}
		}
		return h, nil
	}
	if slices.Contains(mute, p.name) {
		return h, nil // the secret is in the URL, if anywhere
	}
	switch p.name {
	case "ecr":
		h.Set("X-Api-Key", string(s.Secret))
	case "zot":
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("signalbox:"+string(s.Secret))))
	case "harbor", "gitlab", "acr":
		h.Set("Authorization", string(s.Secret))
	default:
		h.Set("Authorization", "Bearer "+string(s.Secret))
	}
	return h, nil
}

// snsHeader adds the header of a message of SNS; it is false if body is none.
func snsHeader(h http.Header, body []byte) bool {
	m, err := verify.ParseSNS(body)
	if err != nil || m.TopicARN == "" {
		return false
	}
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set(verify.SNSTypeHeader, m.Type)
	h.Set(verify.SNSTopicHeader, m.TopicARN)
	h.Set("X-Amz-Sns-Message-Id", m.MessageID)
	return true
}
