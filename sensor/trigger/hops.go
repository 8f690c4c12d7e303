package trigger

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// The extensions by which sensors that feed each other are found.
const (
	// ExtHops is how many triggers that put events on the bus an event has passed.
	ExtHops = "signalboxhops"
	// ExtFrom is the last of them: NAMESPACE/SENSOR/TRIGGER.
	ExtFrom = "signalboxfrom"
)

// MaxHops is how many triggers an event passes, where nothing else is said.
const MaxHops = 16

// NextHop is the number of triggers that a new event will have passed which
// follows from the given ones. Beyond limit it is a Permanent error.
func NextHop(events map[string]*event.Event, limit int64) (int32, error) {
	var most int64
	last := "unknown"
	for _, name := range slices.Sorted(maps.Keys(events)) {
		from := events[name].Extensions()
		n, err := types.ToInteger(from[ExtHops]) // a text, after the way over the bus
		if err == nil && int64(n) > most {
			most = int64(n)
			if s, err := types.ToString(from[ExtFrom]); err == nil && s != "" {
				last = s
			}
		}
	}
	if most >= limit {
		return 0, Permanent(fmt.Errorf("stopped a loop: the event has already passed %d triggers that emit events, and no more than %d are allowed; the last was %s",
			most, limit, last))
	}
	return int32(most + 1), nil
}

// CarryTrace hands on the trace of the first event, by the dependencies' names,
// that has one.
func CarryTrace(to *event.Event, events map[string]*event.Event) {
	for _, name := range slices.Sorted(maps.Keys(events)) {
		from := events[name].Extensions()
		if from["traceparent"] == nil {
			continue
		}
		to.SetExtension("traceparent", from["traceparent"])
		if from["tracestate"] != nil {
			to.SetExtension("tracestate", from["tracestate"])
		}
		return
	}
}
