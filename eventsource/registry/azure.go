package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

// Azure's registry: its webhooks
// (https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference),
// and what Event Grid makes of them, in its own format or as CloudEvents.
var acr = provider{
	name: "acr", title: "Azure's registry",
	byHeader: func(h http.Header) bool {
		return strings.HasPrefix(h.Get("User-Agent"), "AzureContainerRegistry") || h.Get("Aeg-Event-Type") != ""
	},
	byShape: func(in *input) bool {
		if in.cloud != nil {
			return strings.HasPrefix(in.cloud.Type, eventGridPrefix)
		}
		return in.has("action", "target") || in.list && in.has("eventType", "data") || in.text("action") == "ping" && in.has("timestamp")
	},
	decode: decodeACR,
	send: func(h http.Header, in *input, s eventsource.Sending) {
		if !in.list {
			h.Set("User-Agent", "AzureContainerRegistry/1.0")
			return
		}
		kind := "Notification"
		if strings.HasSuffix(in.text("eventType"), "SubscriptionValidationEvent") {
			kind = "SubscriptionValidation"
		}
		h.Set("Aeg-Event-Type", kind)
	},
}

const eventGridPrefix = "Microsoft.ContainerRegistry."

var acrActions = map[string]string{
	"push": imageevent.Push, "chart_push": imageevent.Push, "delete": imageevent.Delete, "chart_delete": imageevent.Delete,
	"quarantine": imageevent.Quarantine,
	// What Event Grid calls them.
	"ImagePushed": imageevent.Push, "ChartPushed": imageevent.Push, "ImageDeleted": imageevent.Delete, "ChartDeleted": imageevent.Delete,
}

type gridEvent struct {
	ID        string          `json:"id"`
	Topic     string          `json:"topic"`
	Source    string          `json:"source"`
	EventType string          `json:"eventType"`
	EventTime string          `json:"eventTime"`
	Data      json.RawMessage `json:"data"`
}

func decodeACR(_ context.Context, _ *source, in *input) ([]found, error) {
	if c := in.cloud; c != nil {
		return in.azure(gridEvent{ID: c.ID, Topic: c.Source, EventType: c.Type, EventTime: c.Time, Data: in.payload}), nil
	}
	if !in.list {
		return in.azure(gridEvent{Data: in.payload}), nil
	}
	var events []json.RawMessage
	in.read(in.payload, &events)
	var list []found
	for _, raw := range events {
		var e gridEvent
		in.read(raw, &e)
		for _, f := range in.azure(e) {
			if len(events) > 1 {
				f.body = append(append([]byte("["), raw...), ']')
			}
			list = append(list, f)
		}
	}
	return list, nil
}

// azure makes the event, if it is one, of what Azure's registry tells inside of
// what Event Grid puts around it.
func (in *input) azure(e gridEvent) []found {
	kind, ours := strings.CutPrefix(e.EventType, eventGridPrefix)
	if e.EventType != "" && !ours {
		return nil // such as the question whether we want events
	}
	var d distributionEvent
	in.read(e.Data, &d)
	if d.Action == "ping" {
		return nil
	}
	f := found{id: d.ID, Event: d.event()}
	if f.DeliveryID = e.ID; f.DeliveryID == "" {
		f.DeliveryID = d.ID
	}
	if f.id == "" {
		f.id = e.ID
	}
	if f.RawEvent == "" {
		f.RawEvent = kind
	}
	f.Action = action(acrActions, f.RawEvent)
	if strings.HasPrefix(f.RawEvent, "chart") || strings.HasPrefix(kind, "Chart") {
		f.Kind = imageevent.KindChart
	}
	if f.OccurredAt == nil {
		f.OccurredAt = parseTime(e.EventTime)
	}
	if f.Registry == "" {
		if _, name, ok := strings.Cut(e.Topic, "/registries/"); ok {
			f.Registry = name + ".azurecr.io"
		}
	}
	return []found{f}
}
