package v1alpha1

import "time"

// Follow waits for the end of what an action has begun. It holds up no other
// action and goes on after a restart. Signalbox.
type Follow struct {
	// Timeout is how long to wait for the outcome. Defaults to 1h. What has not
	// come to its end by then goes on, and the outcome is timedout.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`
	// Emit puts the outcome on the sensor's event bus, for other sensors to depend
	// on: its eventSourceName is the sensor's name, its eventName is the trigger's
	// name and .succeeded, .failed or .timedout. An action that fails for good,
	// and so becomes a dead letter, has failed.
	// +optional
	Emit bool `json:"emit,omitempty"`
	// Payload makes the key payload of that event's data from the events that
	// fired the trigger.
	// +optional
	Payload []TriggerParameter `json:"payload,omitempty"`
}

// DefaultFollow is how long an outcome is waited for.
const DefaultFollow = time.Hour

// Wait is the Timeout, or its default.
func (f *Follow) Wait() time.Duration {
	if f.Timeout == nil {
		return DefaultFollow
	}
	return f.Timeout.Duration
}

// Validate reports what is wrong, with paths from the block. It does not look
// at the payload. A nil block is valid.
func (f *Follow) Validate() error {
	if f != nil && f.Timeout != nil && f.Timeout.Duration <= 0 {
		return Invalid("timeout", "has to be longer than 0")
	}
	return nil
}
