package workload

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// Bus is an EventBus that objects can be connected to.
type Bus struct {
	Name string
	// URL of a bus that the controller runs; empty for a server of the user's,
	// which the pods find by the manifest.
	URL string
	// exotic is set for a server of the user's.
	exotic *v1alpha1.JetStreamExotic
	raw    json.RawMessage
}

// BusOf reads an EventBus. The error says why it cannot be used yet.
func BusOf(u *unstructured.Unstructured) (*Bus, error) {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("EventBus %s: %w", u.GetName(), err)
	}
	o, err := manifest.Check(raw, manifest.Options{Namespace: u.GetNamespace()})
	if err := v1alpha1.Fatal(err); err != nil {
		return nil, fmt.Errorf("EventBus %s is not valid: %s", u.GetName(), summary(v1alpha1.Problems(err)))
	}
	b := &Bus{Name: u.GetName(), raw: raw}
	if x := o.EventBus.Spec.JetStreamExotic; x != nil {
		b.exotic = x
		return b, nil
	}
	if j := o.EventBus.Status.Config.JetStream; j != nil {
		b.URL = j.URL
	}
	if b.URL == "" {
		return nil, fmt.Errorf("EventBus %s is not ready: it has no status.config yet", u.GetName())
	}
	return b, nil
}
