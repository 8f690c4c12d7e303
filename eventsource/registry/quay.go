package registry

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// Quay (https://docs.quay.io/guides/notifications.html). A notification does not
// say what it is about; its members do.
var quay = provider{
	name: "quay", title: "Quay",
	byShape: func(in *input) bool { return in.has("docker_url") },
	decode:  decodeQuay,
	send:    func(h http.Header, _ *input, _ eventsource.Sending) { h.Set("User-Agent", "python-requests/2.32.3") },
}

func decodeQuay(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		Repository string   `json:"repository"`
		DockerURL  string   `json:"docker_url"`
		Homepage   string   `json:"homepage"`
		Updated    []string `json:"updated_tags"`
		Tags       []string `json:"tags"`
		DockerTags []string `json:"docker_tags"`
		Digests    []string `json:"manifest_digests"`
		BuildID    string   `json:"build_id"`
		Failure    string   `json:"error_message"`
	}
	in.read(in.payload, &e)
	base := found{Event: imageevent.Event{URL: e.Homepage, Action: imageevent.Other}}
	var repository string
	base.Registry, repository, _, _ = imageevent.Split(withoutScheme(e.DockerURL))
	base.Repository = e.Repository
	if base.Repository == "" {
		base.Repository = repository
	}
	tags := slices.Concat(e.Updated, e.Tags, e.DockerTags)
	switch {
	case in.has("updated_tags"):
		base.Action, base.RawEvent = imageevent.Push, "repo_push"
	case in.has("vulnerability"):
		base.Action, base.RawEvent = imageevent.Scan, "vulnerability_found"
	case in.has("build_id") && e.Failure != "":
		base.RawEvent = "build_failure"
	case in.has("build_id") && len(e.Digests) > 0:
		// What it has pushed is told by a repo_push as well.
		base.RawEvent = "build_success"
	case in.has("build_id"):
		base.RawEvent = "build"
	}
	if len(e.Digests) == 1 {
		_, _, _, base.Digest = imageevent.Split(withoutScheme(e.Digests[0]))
	}
	if e.BuildID != "" {
		base.id = hashed("quay", e.BuildID, string(in.body))
	}
	if len(tags) == 0 {
		return []found{base}, nil
	}
	list := make([]found, len(tags))
	for i, tag := range tags {
		list[i] = base
		list[i].Tag, list[i].id = tag, ingress.Numbered(base.id, i)
	}
	return list, nil
}

func withoutScheme(url string) string {
	if _, after, ok := strings.Cut(url, "://"); ok {
		return after
	}
	return url
}
