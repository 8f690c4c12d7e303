// Package imageevent is what all registries' events have in common: the block
// "image" in the data of an event, beside the registry's own payload. A filter
// on it works for every registry.
package imageevent

import "time"

// Key is the block's key in the data of an event.
const Key = "image"

// Event is the block. Text that is not known is left out.
type Event struct {
	// Provider is the registry's kind: distribution, dockerhub, ghcr, quay,
	// harbor, acr, gar, ecr, artifactory, nexus, gitlab, gitea, zot, aliyun, cdevents,
	// generic, registry (polled).
	Provider string `json:"provider"`
	// Registry is its host in lower case, with the port if that is not 443; docker.io for the Docker Hub.
	Registry string `json:"registry"`
	// Repository in lower case, without the host: library/nginx, acme/api.
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
	// Digest with its algorithm: sha256:...
	Digest    string `json:"digest,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
	// Kind of what was pushed: image, index, chart, signature, other, unknown.
	Kind string `json:"kind"`
	// Action is push, delete, pull, scan, promote, quarantine or other; empty if
	// the registry's word for it could not be read.
	Action string `json:"action"`
	// Reference is REGISTRY/REPOSITORY[:TAG][@DIGEST].
	Reference string `json:"reference"`
	// URL for people, or of the manifest.
	URL string `json:"url,omitempty"`
	// SourceRepository is the repository of the code it was built from, as OWNER/NAME.
	SourceRepository string `json:"sourceRepository,omitempty"`
	Actor            string `json:"actor,omitempty"`
	// OccurredAt is the registry's own time.
	OccurredAt *time.Time `json:"occurredAt,omitempty"`
	// RawEvent is the registry's own name of the event.
	RawEvent   string `json:"rawEvent,omitempty"`
	DeliveryID string `json:"deliveryId,omitempty"`
	// Verified tells how the sender was checked: signature, token, none; polled if it was asked.
	Verified string `json:"verified"`
	// DigestChecked tells that the registry itself was asked for the digest before the event was stored.
	DigestChecked bool `json:"digestChecked,omitempty"`
}

// Actions.
const (
	Push       = "push"
	Delete     = "delete"
	Pull       = "pull"
	Scan       = "scan"
	Promote    = "promote"
	Quarantine = "quarantine"
	// Other is what a registry tells beside these; RawEvent has its name.
	Other = "other"
)

// Kinds.
const (
	KindImage     = "image"
	KindIndex     = "index"
	KindChart     = "chart"
	KindSignature = "signature"
	KindOther     = "other"
	KindUnknown   = "unknown"
)
