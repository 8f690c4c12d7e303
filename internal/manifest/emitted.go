package manifest

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// emitted are the addresses at which sensors put events themselves, so that
// dependencies on them need no EventSource. An empty event stands for any.
type emitted map[[3]string]by

// by says what puts events at an address.
type by string

const (
	// byEmit is a trigger of its own.
	byEmit by = "emit"
	// byOutcome is an action whose outcome is told.
	byOutcome by = "outcome"
	// byMute is one whose outcome is not told, though it could be.
	byMute by = "mute"
	// byShort is one whose kind has none.
	byShort by = "short"
)

func (e emitted) at(namespace, source, event string) by {
	if b := e[[3]string{namespace, source, event}]; b != "" {
		return b
	}
	return e[[3]string{namespace, source, ""}]
}

// of are the events that a sensor puts on the bus under its name.
func (e emitted) of(namespace, source string) []string {
	var events []string
	for at, how := range e {
		if at[0] == namespace && at[1] == source && at[2] != "" && (how == byEmit || how == byOutcome) {
			events = append(events, at[2])
		}
	}
	slices.Sort(events)
	return events
}

// sources are the names under which sensors of a namespace put events on the bus.
func (e emitted) sources(namespace string) []string {
	var names []string
	for at, how := range e {
		if at[0] == namespace && (how == byEmit || how == byOutcome) {
			names = append(names, at[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// outcomes are the ends of the names of events that tell how an action ended.
var outcomes = []string{".succeeded", ".failed", ".timedout"}

// outcomeKeys are the keys of their data.
var outcomeKeys = []string{
	"outcome", "summary", "details", "payload", "events", "firing", "kind", "namespace", "sensor", "trigger", "startedAt", "finishedAt",
}

// add notes the triggers of a sensor that are of a kind which is told an
// eventSourceName and an eventName: those put events there. Their defaults are
// the names of the sensor and of the trigger.
func (e emitted) add(namespace string, s *v1alpha1.Sensor, kinds trigger.Kinds) {
	var add func(t *v1alpha1.Trigger)
	add = func(t *v1alpha1.Trigger) {
		if t.DLQTrigger != nil {
			add(t.DLQTrigger)
		}
		if t.Template == nil {
			return
		}
		for name, raw := range t.Template.Kinds {
			k, ok := kinds.Named(name)
			if !ok {
				continue
			}
			e.addOutcomes(namespace, s.Name, t, &k, raw.Raw)
			if keys := v1alpha1.FixedKeys(k.ConfigType()); !slices.Contains(keys, "eventSourceName") || !slices.Contains(keys, "eventName") {
				continue
			}
			var to struct {
				EventSourceName string                      `json:"eventSourceName"`
				EventName       string                      `json:"eventName"`
				Parameters      []v1alpha1.TriggerParameter `json:"parameters"`
			}
			if err := json.Unmarshal(raw.Raw, &to); err != nil {
				continue
			}
			event := cmp.Or(to.EventName, t.Template.Name)
			if overwritesOf(t.Parameters).cover([]string{name, "eventName"}) || overwritesOf(to.Parameters).cover([]string{"eventName"}) {
				event = ""
			}
			e[[3]string{namespace, cmp.Or(to.EventSourceName, s.Name), event}] = byEmit
		}
	}
	for i := range s.Spec.Triggers {
		add(&s.Spec.Triggers[i])
	}
}

// addOutcomes notes the events that tell how an action of the trigger ended.
func (e emitted) addOutcomes(namespace, sensor string, t *v1alpha1.Trigger, k *trigger.Kind, raw []byte) {
	how := byShort
	if k.Follow != nil {
		how = byMute
		var c struct {
			Follow struct {
				Emit bool `json:"emit"`
			} `json:"follow"`
		}
		if json.Unmarshal(raw, &c) == nil && c.Follow.Emit || overwritesOf(t.Parameters).cover([]string{k.Name, "follow", "emit"}) {
			how = byOutcome
		}
	}
	for _, end := range outcomes {
		at := [3]string{namespace, sensor, t.Template.Name + end}
		if e[at] == "" {
			e[at] = how
		}
	}
}
