package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// CDEvents of artifacts (https://cdevents.dev/docs/continuous-integration/#artifact)
// whose subject is a package URL of type oci or docker
// (https://github.com/package-url/purl-spec).
var cdevents = provider{
	name: "cdevents", title: "CDEvents",
	byHeader: func(h http.Header) bool { return strings.HasPrefix(h.Get("Ce-Type"), cdeventsPrefix) },
	byShape: func(in *input) bool {
		if in.cloud != nil {
			return strings.HasPrefix(in.cloud.Type, cdeventsPrefix)
		}
		return in.inside("context", "type") && in.has("subject")
	},
	decode: decodeCDEvents,
	send: func(h http.Header, in *input, s eventsource.Sending) {
		if in.has("specversion") {
			h.Set("Content-Type", "application/cloudevents+json")
			return
		}
		var c cdContext
		_ = json.Unmarshal(in.members["context"], &c)
		s.ID = c.ID
		setCloudEvent(h, s, c.Type, c.Source)
	},
}

const cdeventsPrefix = "dev.cdevents."

var cdeventsActions = map[string]string{
	"published": imageevent.Push, "deleted": imageevent.Delete, "packaged": imageevent.Other, "signed": imageevent.Other,
}

type cdContext struct {
	ID        string `json:"id"`
	Source    string `json:"source"`
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
}

func decodeCDEvents(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Context cdContext `json:"context"`
		Subject struct {
			ID      string `json:"id"`
			Content struct {
				User string `json:"user"`
			} `json:"content"`
		} `json:"subject"`
	}
	in.read(in.payload, &e)
	if c := in.cloud; c != nil && e.Context.Type == "" {
		e.Context = cdContext{ID: c.ID, Source: c.Source, Type: c.Type, Timestamp: c.Time}
	}
	if in.cloud != nil && e.Subject.ID == "" {
		e.Subject.ID = in.cloud.Subject
	}
	kind, ok := strings.CutPrefix(e.Context.Type, cdeventsPrefix+"artifact.")
	if !ok && (e.Context.Type != "" || !in.doubt) {
		return nil, nil // a change, a pipeline, a service
	}
	f := found{Event: imageevent.Event{
		Actor: e.Subject.Content.User, RawEvent: e.Context.Type, OccurredAt: parseTime(e.Context.Timestamp), DeliveryID: e.Context.ID,
	}}
	predicate, _, _ := strings.Cut(kind, ".")
	f.Action = action(cdeventsActions, predicate)
	if e.Context.ID != "" {
		// An id is unique within its source.
		f.id = hashed("cdevents", e.Context.Source, e.Context.ID)
	}
	if !f.packageURL(e.Subject.ID) && !in.doubt {
		return nil, nil // an artifact that is no image
	}
	return []found{f}, nil
}

// packageURL reads pkg:oci/NAME@DIGEST?repository_url=HOST/PATH&tag=TAG, and
// pkg:docker/PATH/NAME@TAG or DIGEST?repository_url=HOST. It is false if the text is neither.
func (f *found) packageURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "pkg:oci/")
	docker := false
	if !ok {
		if rest, docker = strings.CutPrefix(text, "pkg:docker/"); !docker {
			return false
		}
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	name, version, _ := strings.Cut(rest, "@")
	name, version = plain(name), plain(version)
	values, _ := url.ParseQuery(query)
	host, path, _, _ := imageevent.Split(withoutScheme(values.Get("repository_url")))
	if !docker && path == "" && host == "" && name != "" {
		path = name
	}
	if docker {
		if host == "" { // repository_url is the host alone
			host, path = path, ""
		}
		path = strings.TrimPrefix(path+"/"+name, "/")
		if host == "" {
			host = imageevent.DockerHub
		}
	}
	f.Registry, f.Repository, f.Tag = host, path, values.Get("tag")
	if isDigest(version) {
		f.Digest = version
	} else if f.Tag == "" {
		f.Tag = version
	}
	return true
}

func plain(s string) string {
	if p, err := url.PathUnescape(s); err == nil {
		return p
	}
	return s
}
