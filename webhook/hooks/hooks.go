// Package hooks keeps the hooks at vendors' APIs as the manifests want them: one
// replica at a time makes, mends and re-signs them; they outlive restarts, and
// go when their EventSource is deleted and asks for that.
package hooks

import (
	"context"
	"log/slog"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// Hook is one hook at a vendor.
type Hook struct {
	// ID that the vendor gave it.
	ID string
	// URL that it sends to; what a hook of ours is known by if its ID is not.
	URL string
	// Events in the vendor's words, sorted.
	Events []string
	Active bool
	// Settings are all else that is kept as wanted, in the vendor's words. List
	// returns at least the keys that Keeper.Want has.
	Settings map[string]string
}

// API is a vendor's API for the hooks of a target: a repository, an
// organisation, an App. Errors may wrap *Limited. Implementations follow all
// pages, and do not retry.
type API interface {
	// List returns all hooks of a target.
	List(ctx context.Context, target string) ([]Hook, error)
	// Create makes a hook, signed with secret unless that is nil, and returns its ID.
	Create(ctx context.Context, target string, want Hook, secret []byte) (id string, err error)
	// Update makes the hook of want.ID as wanted, and signs it with secret; nil
	// leaves its secret alone.
	Update(ctx context.Context, target string, want Hook, secret []byte) error
	// Delete removes a hook. It is no error if it is gone.
	Delete(ctx context.Context, target, id string) error
}

// Limited is an error of an API that wants to be left alone for a while.
type Limited struct {
	Until time.Time
	Cause error
}

// Error implements error.
func (l *Limited) Error() string {
	return "the API wants no more requests before " + l.Until.UTC().Format(time.RFC3339) + ": " + l.Cause.Error()
}

// Unwrap gives the cause.
func (l *Limited) Unwrap() error { return l.Cause }

// Keeper keeps the hooks of one entry: one at each target, known by the ID that
// State remembers, and by Want.URL where it remembers none, so no other entry may
// have that URL. Further hooks with the URL are removed, as they would bring
// everything twice; hooks with another URL that State does not know are not touched.
//
// API, Targets, Want, State, Lead and Log
// are required. Set the fields before the first use.
type Keeper struct {
	API API
	// Targets lists where the hook has to be.
	Targets func(ctx context.Context) ([]string, error)
	// Want is the hook, without its ID.
	Want Hook
	// Keys sign it; nil leaves it unsigned. When the current one changes, the
	// hooks are signed anew at once.
	Keys *verify.Keys
	// State remembers which hooks are ours, and what they are signed with (a hash).
	State eventsource.State
	// Lead elects the replica that does the work.
	Lead eventsource.Leader
	Log  *slog.Logger
	// Period between two full checks; 10 minutes if zero.
	Period time.Duration
	// SameEvents compares events where equality is not enough; nil is equality of sets.
	SameEvents func(have, want []string) bool
	// DeleteOnFinish removes the hook of a target that left the configuration.
	// Otherwise it stays as it is. Finish does not ask.
	DeleteOnFinish bool
}
