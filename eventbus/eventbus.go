// Package eventbus stores events between sources and sensors, on NATS JetStream.
//
// An EventBus (namespace and name) has one stream of events, one of dead
// letters and one key-value bucket of state. Any number of processes may use it
// at the same time. A Link is a connection to the server; a Bus is one EventBus
// over a Link.
package eventbus

import (
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Errors that callers tell apart.
var (
	// ErrFull means that the stream's limits are reached and everything in it is
	// still unprocessed. It passes when sensors catch up.
	ErrFull = errors.New("the event bus is full of unprocessed events")
	// ErrTooLarge means that a message is larger than the server takes.
	ErrTooLarge = errors.New("larger than the event bus takes")
	// ErrUnavailable means that the bus did not answer. It passes; the link
	// reconnects for ever.
	ErrUnavailable = errors.New("the event bus is not available")
	// ErrConflict means that state was changed by somebody else in between.
	ErrConflict = errors.New("changed in between")
	// ErrNotFound means that there is no such state, dead letter or consumer.
	ErrNotFound = errors.New("not found")
)

// Address is where an event belongs inside a bus: an EventSource and the name
// of one of its entries. Both may hold any characters.
type Address struct{ Source, Event string }

// Limits are an EventBus's wishes for its stream. Zero means no limit, except
// where a default is named.
type Limits struct {
	// MaxBytes and MaxMsgs bound the stream. When one is reached, events that
	// every consumer has acknowledged are purged, oldest first; if none is
	// left, Publish fails with ErrFull.
	MaxBytes, MaxMsgs int64
	// MaxAge is how long processed events are kept. Unprocessed events are kept
	// whatever their age. Defaults to 168h.
	MaxAge time.Duration
	// Replicas of the streams, 1 to 5. Defaults to 1, or to 3 on a cluster of
	// three or more servers. More than there are servers is cut to their number.
	Replicas int
	// Duplicates is the window in which an id is stored once. Defaults to 5m.
	Duplicates time.Duration
}

// ConsumerConfig names the share of one trigger in a bus.
type ConsumerConfig struct {
	// Sensor and Trigger name the consumer. Any characters.
	Sensor, Trigger string
	// From are the addresses of the trigger's dependencies.
	From []Address
}

// Delivery is one message given to a trigger. Exactly one of Done, Retry and
// Release ends it. While none has been called the bus is told again and again
// that work goes on, so that no other replica gets the message; when the
// process dies another one gets it after AckWait.
type Delivery struct {
	// Event as it was published; nil if Redrive is set. If Err is set it is a
	// substitute with the message's data, fit for a dead letter.
	Event *event.Event
	// Err says why the message could not be decoded. Trying again cannot help.
	Err error
	// From is where the event was published to.
	From Address
	// Redrive is the ID of a dead letter that is to be fired again; empty for an event.
	Redrive string
	// Seq is the event's position on the stream.
	Seq uint64
	// Stored is when the bus stored it.
	Stored time.Time
	// Deliveries counts how often this message has been delivered, from 1. It
	// counts crashes as well as retries.
	Deliveries int

	settle settler
}

// Done acknowledges the message for good. It returns once the
// acknowledgement is on its way, which is not a proof that it arrived.
func (d *Delivery) Done() error { return d.settle.done(false) }

// DoneSync is Done that waits until the bus has noted it.
func (d *Delivery) DoneSync() error { return d.settle.done(true) }

// Retry asks the bus to deliver the message again after wait.
func (d *Delivery) Retry(wait time.Duration) error { return d.settle.retry(wait) }

type settler interface {
	done(sync bool) error
	retry(wait time.Duration) error
}

// ConsumerInfo is the state of one trigger's share.
type ConsumerInfo struct {
	Sensor, Trigger string
	// Waiting are events not delivered yet; InWork are delivered and not yet
	// acknowledged, those waiting for a retry included.
	Waiting, InWork int64
	// Oldest is when the oldest unacknowledged event was stored; zero if there is none.
	Oldest time.Time
}

// Usage is what a bus holds.
type Usage struct {
	Events, Bytes int64
	// MaxBytes is the limit that applies; 0 if there is none.
	MaxBytes    int64
	DeadLetters int64
}

// DeadLetter is a firing that came to no good end, with everything needed to
// understand it and to fire it again.
type DeadLetter struct {
	// ID is the firing's id.
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Sensor    string `json:"sensor"`
	Trigger   string `json:"trigger"`
	// Time of the last failure.
	Time time.Time `json:"time"`
	// Reason in one line: the last error.
	Reason string `json:"reason"`
	// Attempts that were made, oldest first; the first and the last 20 of them.
	Attempts []Attempt `json:"attempts,omitempty"`
	// AttemptCount is the number of all attempts.
	AttemptCount int `json:"attemptCount"`
	// Action that was tried, as the trigger rendered it, secrets masked; nil if
	// it could not be rendered. Cut to 64 KiB.
	Action *Rendered `json:"action,omitempty"`
	// Events of the firing by dependency name, as they were on the bus (before
	// any transform). List leaves them out.
	Events map[string]DeadEvent `json:"events,omitempty"`
	// Unevaluated is set for an event that did not get as far as a firing,
	// because it could not be read or transformed.
	Unevaluated bool `json:"unevaluated,omitempty"`
	// Redriven is when it was last sent to be fired again; zero if never.
	Redriven time.Time `json:"redriven,omitzero"`
}

// Attempt is one failed attempt.
type Attempt struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
}

// Rendered is an action as a trigger rendered it.
type Rendered struct {
	Kind string `json:"kind"`
	// Spec is JSON, or the beginning of one if Cut is set.
	Spec string `json:"spec"`
	Cut  bool   `json:"cut,omitempty"`
}

// DeadEvent is one event of a dead letter.
type DeadEvent struct {
	From  Address      `json:"from"`
	Event *event.Event `json:"event"`
}
