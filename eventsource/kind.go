package eventsource

import (
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
