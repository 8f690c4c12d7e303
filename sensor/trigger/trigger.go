// Package trigger performs the actions of a Sensor.
//
// Each kind of trigger lives in a folder of its own below this one and is named
// once, in package all. The sensor applies triggers[].parameters to the raw
// template before the kind decodes it; retries, rate limits, dead letters,
// metrics and logs are the sensor's business too.
package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/internal/secret"
)

// A Trigger performs one action, such as an HTTP request. Both methods are safe
// for concurrent use.
type Trigger interface {
	// Render tells exactly what Fire would do with the same input, and does
	// nothing: no request, no connection. Secrets are masked. An error is what
	// Fire would return before it does anything.
	Render(ctx context.Context, in Input) (Action, error)
	// Fire performs the action and returns once its outcome is known. Nil means
	// done, and the sensor then acknowledges the events. After an error the
	// sensor calls again, as its retryStrategy says, unless the error is a
	// Permanent one. A second call with the same Input.ID must not repeat an
	// effect where the other side can tell. It honours ctx.
	Fire(ctx context.Context, in Input) (Result, error)
	// Close lets go of connections, after the last Fire has returned.
	Close() error
}

// Input is what a trigger is fired with: one firing.
type Input struct {
	// ID is a hash of namespace, sensor, trigger and the events: the same each
	// time the same events are tried again. Hand it on where the other side can
	// use it: an idempotency key, an object name, a message id. 32 hex digits.
	ID string
	// Namespace, Sensor and Trigger name what is fired.
	Namespace, Sensor, Trigger string
	// Events by dependency name, as transformed; at least one. They are shared:
	// do not change them.
	Events map[string]*event.Event
	// Attempt counts from 1.
	Attempt int
	// Since is when the first attempt began; attempts that were postponed count.
	Since time.Time
	// Policy of the trigger; nil if it has none. A kind uses the part that is its own.
	Policy *v1alpha1.TriggerPolicy
}

// Action is what a trigger does, for people to read and tests to compare.
type Action struct {
	// Kind of the trigger.
	Kind string `json:"kind"`
	// Spec is the action as JSON; its shape is documented by the kind.
	Spec json.RawMessage `json:"spec"`
}

// Result is what came of an action.
type Result struct {
	// Summary is one line for logs, such as "201 Created".
	Summary string
	// Details are what was done, for the event that tells the outcome; nil if
	// there is nothing to tell. Their shape is documented by the kind.
	Details map[string]any
	// Follow is what Kind.Follow.Await needs to find the effect again, in any
	// process, as JSON of at most 64 KiB. Nil if the action is over: then the
	// outcome is that it succeeded.
	Follow json.RawMessage
}

// Env is what a trigger may use of its surroundings.
type Env struct {
	// Log carries namespace, sensor and trigger.
	Log *slog.Logger
	// Secrets reads secrets and ConfigMaps at the time of use.
	Secrets secret.Reader
	// HTTP makes the one kind of HTTP client of the process.
	HTTP HTTP
	// Publish puts an event on the sensor's bus.
	Publish Publish
	// Kubernetes is the API for kinds that need it. Its clients cannot be had
	// where there is no cluster.
	Kubernetes *cluster.Cluster
	// State is the trigger's own. Nil where nothing is fired.
	State State
	// Shared is what the triggers of the process use together; nil if they share
	// nothing.
	Shared *Shared
	// Exec are the folders whose programs may be run; none if it is empty.
	Exec []string
}

// Publish puts an event on the bus as if the entry event of the EventSource
// source had emitted it; id is the event's identity for the bus, which stores
// it once within its window. Nil means stored.
type Publish func(ctx context.Context, source, event, id string, e *event.Event) error

// A Kind is one kind of trigger, named by its key under template.
type Kind struct {
	kind.Kind[Env, Trigger]
	// StatusPolicy says that the kind honours policy.status, and that without
	// it any answer counts as done.
	StatusPolicy bool
	// Follow is for kinds whose actions can be followed to their outcome.
	Follow *Follow
	// NeedsKubernetes tells whether a configuration uses the Kubernetes API, so
	// that its pod gets a token; nil for kinds that do not. The configuration is
	// the one before parameters are put into it, and may not be valid.
	NeedsKubernetes func(kind.Config) bool
	// Texts says that texts of its configuration may be templates over all events of
	// a firing (param.Text).
	Texts bool
	// RunsPrograms says that it runs programs of the machine, for which a process
	// needs Env.Exec.
	RunsPrograms bool
}

// Kinds is the set of kinds that a program is built with.
type Kinds []Kind

// Named finds a kind by its key.
func (ks Kinds) Named(name string) (Kind, bool) {
	for _, k := range ks {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that no further attempt can mend: the firing goes to
// the dead letters at once.
func Permanent(err error) error { return permanent{err} }

// IsPermanent tells whether err is marked by Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanent)) }

type after struct {
	error
	wait time.Duration
}

func (a after) Unwrap() error { return a.error }

// After marks an error with the time the other side asked to wait (a
// Retry-After header). The sensor waits at least that long.
func After(err error, wait time.Duration) error { return after{err, wait} }

// AskedWait is the wait of an error that After marked; 0 if there is none.
func AskedWait(err error) time.Duration {
	var a after
	if errors.As(err, &a) {
		return a.wait
	}
	return 0
}
