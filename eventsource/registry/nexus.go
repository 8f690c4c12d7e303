package registry

import (
	"context"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Sonatype Nexus 3 (https://help.sonatype.com/en/webhooks.html).
var nexus = provider{
	name: "nexus", title: "Nexus",
	byHeader: func(h http.Header) bool { return h.Get(nexusHeader) != "" },
	byShape:  func(in *input) bool { return in.has("repositoryName") && (in.has("component") || in.has("asset")) },
	signed: func() []verify.Scheme {
		return []verify.Scheme{verify.HMAC{Header: "X-Nexus-Webhook-Signature", Algorithm: "sha1"}}
	},
	decode: decodeNexus,
	host: func(s *source, f *found) {
		f.Registry = s.config.Registry
		hosted, image, _ := strings.Cut(f.Repository, "/")
		if c := s.config.Nexus; c != nil && c.Access == byPath {
			image = hosted + "/" + image
		}
		f.Repository = image
	},
	send: func(h http.Header, in *input, s eventsource.Sending) {
		event := s.Event
		switch {
		case event != "":
		case in.has("asset"):
			event = "rm:repository:asset"
		default:
			event = "rm:repository:component"
		}
		h.Set(nexusHeader, event)
		h.Set("X-Nexus-Webhook-Delivery", s.ID)
	},
}

const nexusHeader = "X-Nexus-Webhook-Id"

var nexusActions = map[string]string{
	"CREATED": imageevent.Push, "UPDATED": imageevent.Push, "DELETED": imageevent.Delete, "PURGED": imageevent.Delete,
}

func decodeNexus(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Timestamp  string `json:"timestamp"`
		Initiator  string `json:"initiator"`
		Repository string `json:"repositoryName"`
		Action     string `json:"action"`
		Component  struct {
			Format  string `json:"format"`
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"component"`
		Asset struct {
			Format string `json:"format"`
			Name   string `json:"name"`
		} `json:"asset"`
	}
	in.read(in.payload, &e)
	if !in.has("component") && !in.has("asset") {
		return nil, nil // what the server or a repository has been set to
	}
	if format := e.Component.Format + e.Asset.Format; format != "docker" && (format != "" || !in.doubt) {
		return nil, nil
	}
	name, version := e.Component.Name, e.Component.Version
	if in.has("asset") && e.Asset.Name != "" {
		// v2/NAME/manifests/TAG, or layers beside it.
		path, reference, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(e.Asset.Name, "/"), "v2/"), "/manifests/")
		if !ok {
			return nil, nil
		}
		name, version = path, reference
	}
	actor, _, _ := strings.Cut(e.Initiator, "/")
	return []found{{id: in.header.Get("X-Nexus-Webhook-Delivery"), Event: imageevent.Event{
		// The repository of Nexus and that of the image; host takes them apart.
		Repository: e.Repository + "/" + name, Tag: version, Action: action(nexusActions, e.Action), Actor: actor,
		OccurredAt: parseTime(e.Timestamp), RawEvent: e.Action, DeliveryID: in.header.Get("X-Nexus-Webhook-Delivery"),
	}}}, nil
}
