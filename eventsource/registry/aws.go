package registry

import (
	"context"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Amazon's registry, whose events come from EventBridge through an API
// destination or SNS (https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html).
var ecr = provider{
	name: "ecr", title: "Amazon's registry",
	byHeader: func(h http.Header) bool {
		return strings.HasPrefix(h.Get("User-Agent"), "Amazon/EventBridge") || h.Get(verify.SNSTypeHeader) != ""
	},
	byShape: func(in *input) bool { return in.has("detail-type", "detail") },
	decode:  decodeECR,
	send: func(h http.Header, _ *input, _ eventsource.Sending) {
		h.Set("User-Agent", "Amazon/EventBridge/ApiDestinations")
	},
}

var ecrActions = map[string]string{
	"PUSH": imageevent.Push, "DELETE": imageevent.Delete,
	// An image has come into this registry.
	"REPLICATE": imageevent.Push, "ECR Pull Through Cache Action": imageevent.Push,
	"ECR Image Scan": imageevent.Scan, "ECR Scan Resource Change": imageevent.Other,
}

func decodeECR(_ context.Context, _ *source, in *input) ([]found, error) {
	var e struct {
		ID         string `json:"id"`
		DetailType string `json:"detail-type"`
		Source     string `json:"source"`
		Account    string `json:"account"`
		Time       string `json:"time"`
		Region     string `json:"region"`
		Detail     struct {
			Result       string   `json:"result"`
			Sync         string   `json:"sync-status"`
			Action       string   `json:"action-type"`
			Repository   string   `json:"repository-name"`
			Digest       string   `json:"image-digest"`
			Tag          string   `json:"image-tag"`
			Tags         []string `json:"image-tags"`
			MediaType    string   `json:"manifest-media-type"`
			ArtifactType string   `json:"artifact-media-type"`
		} `json:"detail"`
	}
	if !in.has("detail-type") {
		return nil, nil // a message of the topic that is not of EventBridge
	}
	in.read(in.payload, &e)
	if e.Source != "" && e.Source != "aws.ecr" || e.DetailType != "" && !strings.HasPrefix(e.DetailType, "ECR ") {
		return nil, nil
	}
	d := &e.Detail
	f := found{id: e.ID, Event: imageevent.Event{
		Repository: d.Repository, Tag: d.Tag, Digest: d.Digest, MediaType: d.MediaType,
		Kind: imageevent.KindOfConfig(d.ArtifactType), RawEvent: d.Action, OccurredAt: parseTime(e.Time), DeliveryID: e.ID,
	}}
	if f.RawEvent == "" {
		f.RawEvent = e.DetailType
	}
	f.Action = action(ecrActions, f.RawEvent)
	if d.Result != "" && d.Result != "SUCCESS" || d.Sync != "" && d.Sync != "SUCCESS" {
		f.Action = imageevent.Other
	}
	if e.DetailType == "ECR Referrer Action" && f.Kind == "" {
		f.Kind = imageevent.KindOther
	}
	if e.Account != "" && e.Region != "" {
		f.Registry = e.Account + ".dkr.ecr." + e.Region + ".amazonaws.com"
		if strings.HasPrefix(e.Region, "cn-") {
			f.Registry += ".cn"
		}
	}
	if len(d.Tags) == 0 {
		return []found{f}, nil
	}
	list := make([]found, len(d.Tags)) // a scan tells all tags
	for i, tag := range d.Tags {
		list[i] = f
		list[i].Tag, list[i].id = tag, ingress.Numbered(e.ID, i)
	}
	return list, nil
}
