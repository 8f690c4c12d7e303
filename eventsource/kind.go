package eventsource

import (
	"context"
	"net/http"
	"time"

	"github.com/signalbox-events/signalbox/internal/kind"
)

// A Kind is one kind of source, named by its key under spec.
type Kind struct {
	kind.Kind[Env, Source]
	// EventType is the CloudEvents type of its events, where it is not Name.
	EventType string
	// DataKeys are the top-level keys that the data of its events can have, by
	// which lint finds paths that can never exist. Empty means anything.
	DataKeys []string
	// ForeignContext is set by kinds whose events bring their own CloudEvents
	// attributes.
	ForeignContext bool
	// Routes tells where a configuration (defaulted, valid) receives HTTP
	// requests; nil for kinds that do not.
	Routes func(kind.Config) []Route
	// NeedsKubernetes tells whether a configuration uses the Kubernetes API, so
	// that its pod gets a token; nil for kinds that do not.
	NeedsKubernetes func(kind.Config) bool
	// Finish undoes what the entry has set up elsewhere (a hook at a Git host), when
	// its EventSource has been deleted. It may be called again after an error, and
	// when all is gone already. Nil for kinds that set up nothing.
	Finish func(ctx context.Context, c kind.Config, env Env) error
	// NeedsFinish tells whether a configuration asks for that.
	NeedsFinish func(kind.Config) bool
	// Senders are the foreign programs whose requests the kind takes; see Sender.
	Senders []Sender
}

// A Sender says how a foreign program sends a payload to a source of this kind,
// for tools that send one by hand.
type Sender struct {
	// Name is the sender's, for example github.
	Name string
	// Header makes the header of the request, Content-Type included. An error
	// says what is missing: an event that cannot be told from the body, say.
	Header func(Sending) (http.Header, error)
}

// Sending is one request that a tool makes in a sender's name.
type Sending struct {
	Body []byte
	// Event is the sender's own name of it; empty means to tell it from the body.
	Event string
	// ID of the delivery; never empty.
	ID string
	// Secret to sign with; empty means not to sign.
	Secret []byte
	Now    time.Time
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
