package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// The CNCF's distribution, and what is made of it: GitLab's registry
// (https://distribution.github.io/distribution/about/notifications/).
var (
	distribution = provider{
		name: "distribution", title: "the CNCF's distribution",
		byHeader: func(h http.Header) bool {
			return strings.HasPrefix(h.Get("Content-Type"), distributionType)
		},
		byShape: func(in *input) bool { return in.has("events") },
		decode:  decodeDistribution,
		send: func(h http.Header, _ *input, _ eventsource.Sending) {
			h.Set("Content-Type", distributionType+".v2+json")
		},
	}
	gitlab = provider{
		name: "gitlab", title: "GitLab's registry",
		byShape: func(in *input) bool { return in.has("events") },
		decode:  decodeDistribution,
		send: func(h http.Header, _ *input, _ eventsource.Sending) {
			h.Set("Content-Type", distributionType+".v1+json")
		},
	}
)

const distributionType = "application/vnd.docker.distribution.events"

var distributionActions = map[string]string{
	"push": imageevent.Push, "pull": imageevent.Pull, "delete": imageevent.Delete,
}

// distributionEvent is an element of an envelope; ACR has the same.
type distributionEvent struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Action    string `json:"action"`
	Target    struct {
		MediaType    string `json:"mediaType"`
		ArtifactType string `json:"artifactType"`
		Digest       string `json:"digest"`
		Repository   string `json:"repository"`
		URL          string `json:"url"`
		Tag          string `json:"tag"`
		References   []struct {
			MediaType string `json:"mediaType"`
		} `json:"references"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

func decodeDistribution(_ context.Context, _ *source, in *input) ([]found, error) {
	var envelope struct {
		Events []json.RawMessage `json:"events"`
	}
	in.read(in.payload, &envelope)
	var list []found
	for _, raw := range envelope.Events {
		var e distributionEvent
		in.read(raw, &e)
		t := &e.Target
		// Layers and configurations are reported as manifests are.
		if t.MediaType != "" && !imageevent.IsManifest(t.MediaType) || strings.Contains(t.URL, "/blobs/") {
			continue
		}
		f := found{id: e.ID, Event: e.event()}
		f.Action = action(distributionActions, e.Action)
		f.DeliveryID = e.ID
		if len(envelope.Events) > 1 {
			f.body = append(append([]byte(`{"events":[`), raw...), "]}"...)
		}
		list = append(list, f)
	}
	return list, nil
}

// event has all but the action.
func (e *distributionEvent) event() imageevent.Event {
	t := &e.Target
	kind := imageevent.KindOfConfig(t.ArtifactType)
	for _, r := range t.References {
		// The first that is a configuration tells what the manifest is of; an index has none.
		if kind == "" && strings.Contains(r.MediaType, "config") && !strings.Contains(t.MediaType, "index") {
			kind = imageevent.KindOfConfig(r.MediaType)
		}
	}
	return imageevent.Event{
		Registry: e.Request.Host, Repository: t.Repository, Tag: t.Tag, Digest: t.Digest, MediaType: t.MediaType,
		Kind: kind, URL: t.URL, Actor: e.Actor.Name, OccurredAt: parseTime(e.Timestamp), RawEvent: e.Action,
	}
}
