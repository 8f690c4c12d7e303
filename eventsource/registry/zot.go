package registry

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// zot (https://zotregistry.dev/latest/articles/events/), which sends CloudEvents.
var zot = provider{
	name: "zot", title: "zot",
	byHeader: func(h http.Header) bool { return strings.HasPrefix(h.Get("Ce-Type"), zotPrefix) },
	byShape: func(in *input) bool {
		return in.cloud != nil && strings.HasPrefix(in.cloud.Type, zotPrefix) || in.has("name", "reference", "digest")
	},
	decode: decodeZot,
	send: func(h http.Header, in *input, s eventsource.Sending) {
		event := s.Event
		switch {
		case event != "":
		case in.has("reference"):
			event = "image.updated"
		default:
			event = "repository.created"
		}
		setCloudEvent(h, s, zotPrefix+strings.TrimPrefix(event, zotPrefix), "zotregistry.dev")
	},
}

const zotPrefix = "zotregistry."

var zotActions = map[string]string{"image.updated": imageevent.Push, "image.deleted": imageevent.Delete}

func decodeZot(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Name      string `json:"name"`
		Reference string `json:"reference"`
		Digest    string `json:"digest"`
		MediaType string `json:"mediaType"`
		Actor     struct {
			Name string `json:"name"`
		} `json:"actor"`
	}
	in.read(in.payload, &e)
	f := found{Event: imageevent.Event{
		Repository: e.Name, Tag: e.Reference, Digest: e.Digest, MediaType: e.MediaType, Actor: e.Actor.Name,
	}}
	if in.cloud != nil {
		f.RawEvent = in.cloud.Type
		f.Action = action(zotActions, strings.TrimPrefix(in.cloud.Type, zotPrefix))
		f.OccurredAt = parseTime(in.cloud.Time)
	}
	return []found{f}, nil
}

// setCloudEvent writes the attributes of a CloudEvent in binary mode.
func setCloudEvent(h http.Header, s eventsource.Sending, kind, source string) {
	h.Set("Ce-Specversion", "1.0")
	h.Set("Ce-Id", s.ID)
	h.Set("Ce-Source", source)
	h.Set("Ce-Type", kind)
	h.Set("Ce-Time", s.Now.UTC().Format(time.RFC3339))
}
