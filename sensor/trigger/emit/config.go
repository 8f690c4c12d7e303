package emit

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Config says what event to put on the sensor's event bus. Signalbox.
type Config struct {
	// EventSourceName that dependencies refer to the new event by. Defaults to
	// the sensor's name.
	// +optional
	EventSourceName string `json:"eventSourceName,omitempty"`
	// EventName that dependencies refer to the new event by. Defaults to the
	// trigger's name.
	// +optional
	EventName string `json:"eventName,omitempty"`
	// Type is the event's CloudEvents type. Defaults to emit.
	// +optional
	Type string `json:"type,omitempty"`
	// Source is the event's CloudEvents source. Defaults to eventSourceName.
	// +optional
	Source string `json:"source,omitempty"`
	// Subject is the event's CloudEvents subject. Defaults to eventName.
	// +optional
	Subject string `json:"subject,omitempty"`
	// Payload makes the event's data. Without it the data is that of the one
	// event, or an object of dependency names with the data of each if there
	// are several.
	// +optional
	Payload []v1alpha1.TriggerParameter `json:"payload,omitempty"`
	// Parameters are put into this configuration before it is used; the root of
	// dest is this object, for example eventName.
	// +optional
	Parameters []v1alpha1.TriggerParameter `json:"parameters,omitempty"`
	// Extensions are CloudEvents extension attributes. Names are lower-case
	// letters and digits.
	// +optional
	Extensions map[string]string `json:"extensions,omitempty"`
	// MaxHops is how many emit triggers an event may pass one after the other,
	// so that sensors that feed each other do not go on for ever. An event
	// beyond it becomes a dead letter. Defaults to 16.
	// +optional
	MaxHops int32 `json:"maxHops,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	if c.Type == "" {
		c.Type = "emit"
	}
	if c.MaxHops == 0 {
		c.MaxHops = trigger.MaxHops
	}
}

// reserved are names of attributes that extensions cannot have: those of
// CloudEvents, and those that this trigger sets.
var reserved = []string{
	"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time", "data",
	"traceparent", "tracestate", trigger.ExtHops, trigger.ExtFrom,
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	_, err := param.CompilePayload(c.Payload)
	errs := []error{v1alpha1.At("payload", err)}
	_, err = param.Compile(c.Parameters)
	errs = append(errs, v1alpha1.At("parameters", err))
	if c.MaxHops < 0 {
		errs = append(errs, v1alpha1.Invalid("maxHops", "is negative"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extensions)) {
		path := v1alpha1.Join("extensions", v1alpha1.Key(name))
		switch {
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
			errs = append(errs, v1alpha1.Invalid(path, "is no name of an extension").Hinted("use lower-case letters and digits"))
		case slices.Contains(reserved, name):
			errs = append(errs, v1alpha1.Invalid(path, "is set by the trigger itself"))
		}
	}
	return errors.Join(errs...)
}
