package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// A Follow is for kinds whose actions go on after Fire has returned, such as a
// sync. While an action is followed it holds no place among the actions of its
// trigger, and it is followed on by whoever is there after a restart.
type Follow struct {
	// Block is the block follow of a configuration; nil if it has none, and the
	// outcome is of no interest then. Required.
	Block func(kind.Config) *v1alpha1.Follow
	// Await returns when the outcome is known. t is a Trigger of the kind, made
	// from the configuration of the firing. The call may be the first one of
	// several for the same firing, in this process or in another one, at any
	// time after the effect; it never changes anything, unless Acts. An error says that it
	// could not be told yet: it is called again after a while, until the block's
	// timeout has passed, or, with a Permanent one, that it cannot be told any
	// more, which counts as a failure. Required.
	Await func(ctx context.Context, t Trigger, f Following) (Outcome, error)
	// Acts is for a kind whose Fire only collects, and whose Await acts on what was
	// collected. It does change things then, and what it has failed to do becomes a dead
	// letter with the events of the firing, besides the outcome.
	Acts bool
}

// FollowAtOnce is for kinds whose actions are over when Fire returns, and whose
// outcome can be told nevertheless.
func FollowAtOnce[C any, P interface {
	*C
	kind.Config
}](block func(P) *v1alpha1.Follow) *Follow {
	return &Follow{
		Block: func(c kind.Config) *v1alpha1.Follow { return block(c.(P)) },
		Await: func(context.Context, Trigger, Following) (Outcome, error) {
			return Outcome{}, Permanent(errors.New("there was nothing to wait for"))
		},
	}
}

// FollowOf is the block follow of a configuration of the kind; nil if it has
// none, or the kind cannot be followed.
func (k Kind) FollowOf(c kind.Config) *v1alpha1.Follow {
	if k.Follow == nil || c == nil {
		return nil
	}
	return k.Follow.Block(c)
}

// Following is an action whose outcome is awaited.
type Following struct {
	// ID, Namespace, Sensor and Trigger are those of the firing's Input.
	ID, Namespace, Sensor, Trigger string
	// Ref is the Result's Follow.
	Ref json.RawMessage
	// Since is when Fire returned, by the clock of the process that fired.
	Since time.Time
}

// Outcome is how an action ended.
type Outcome struct {
	// Failed says that it did not come to what it was meant to.
	Failed bool
	// Summary is one line for people.
	Summary string
	// Details become details of the outcome's event, over those of the Result; nil
	// if there are none. Their shape is documented by the kind.
	Details map[string]any
}

type postponed struct {
	error
	wait, most time.Duration
}

func (p postponed) Unwrap() error { return p.error }

// Postpone marks an error that is no failure: what is acted on is busy. The sensor
// fires again after wait, and no attempt is counted, until most has passed
// since Input.Since; then err is the failure of an attempt.
func Postpone(err error, wait, most time.Duration) error { return postponed{err, wait, most} }

// Postponed gives what Postpone was called with; ok is false if err has no such mark.
func Postponed(err error) (wait, most time.Duration, ok bool) {
	var p postponed
	ok = errors.As(err, &p)
	return p.wait, p.most, ok
}

// State is small values, by key, that belong to one trigger of a sensor. They
// are on the bus, outlive the process and are shared by all replicas.
type State interface {
	// Get returns nil if the key has no value.
	Get(ctx context.Context, key string) ([]byte, error)
	// Change replaces the value of a key, nil if it has none, by what f makes of
	// it; nil removes it. Nobody else changes it in between: f is called again
	// if somebody has. An error of f is returned and changes nothing; ErrKeep changes
	// nothing and is no error.
	Change(ctx context.Context, key string, f func(value []byte) ([]byte, error)) error
	// Keys are those that begin with prefix and have a value, in no order.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// ErrKeep is what the function of State.Change returns to leave things as they are.
var ErrKeep = errors.New("nothing is to be changed")
