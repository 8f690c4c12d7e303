package registry

import (
	"context"
	"net/http"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// Google's Artifact Registry and gcr.io, through a push subscription of Pub/Sub
// to the topic gcr, wrapped or not
// (https://cloud.google.com/artifact-registry/docs/configure-notifications).
var gar = provider{
	name: "gar", title: "Google's registry",
	byShape: func(in *input) bool {
		return in.pubsub != nil || in.has("action") && (in.has("digest") || in.has("tag")) && !in.has("target")
	},
	decode: decodeGAR,
	send: func(h http.Header, _ *input, _ eventsource.Sending) {
		h.Set("User-Agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
	},
}

var garActions = map[string]string{"INSERT": imageevent.Push, "DELETE": imageevent.Delete}

func decodeGAR(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Action string `json:"action"`
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	}
	in.read(in.payload, &e)
	if in.pubsub != nil && !in.doubt && !in.has("action") {
		return nil, nil // a message of another topic
	}
	f := found{Event: imageevent.Event{Action: action(garActions, e.Action), RawEvent: e.Action}}
	f.Registry, f.Repository, f.Tag, _ = imageevent.Split(e.Tag)
	if e.Digest != "" {
		f.Registry, f.Repository, _, f.Digest = imageevent.Split(e.Digest)
	}
	if p := in.pubsub; p != nil {
		f.OccurredAt = parseTime(p.Message.Published)
	} else {
		f.id = in.header.Get("X-Goog-Pubsub-Message-Id")
	}
	return []found{f}, nil
}
