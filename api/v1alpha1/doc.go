// Package v1alpha1 holds the three kinds of argoproj.io/v1alpha1 (EventBus,
// EventSource, Sensor) and the blocks that kinds of sources and triggers share.
//
// It knows no kind of source or trigger by name: those sections are kept raw
// here and decoded by the packages that own them.
//
// Fields marked "Signalbox" in their comment are ours; Argo Events ignores them.
//
// +kubebuilder:object:generate=true
// +groupName=argoproj.io
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of all types in this package.
var GroupVersion = schema.GroupVersion{Group: "argoproj.io", Version: "v1alpha1"}

// The kinds of this package, as they stand in a manifest.
const (
	KindEventBus    = "EventBus"
	KindEventSource = "EventSource"
	KindSensor      = "Sensor"
)

// DefaultEventBusName is the EventBus of an object that names none.
const DefaultEventBusName = "default"
