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
type emitted map[[3]string]bool

func (e emitted) has(namespace, source, event string) bool {
	return e[[3]string{namespace, source, event}] || e[[3]string{namespace, source, ""}]
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
			e[[3]string{namespace, cmp.Or(to.EventSourceName, s.Name), event}] = true
		}
	}
	for i := range s.Spec.Triggers {
		add(&s.Spec.Triggers[i])
	}
}
