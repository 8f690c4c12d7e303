// Package all lists the kinds of sources that the program is built with.
package all

import (
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/calendar"
	"github.com/signalbox-events/signalbox/eventsource/cloudevents"
	"github.com/signalbox-events/signalbox/eventsource/file"
	"github.com/signalbox-events/signalbox/eventsource/resource"
	"github.com/signalbox-events/signalbox/eventsource/webhook"
)

// Kinds are all of them, in the order of their names.
var Kinds = eventsource.Kinds{
	calendar.Kind,
	cloudevents.Kind,
	file.Kind,
	resource.Kind,
	webhook.Kind,
}
