package v1alpha1

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kjson "sigs.k8s.io/json"
)

// The specs of this package are open: they have fixed fields and keep every
// other key raw, for the kind that owns it. The types below are the specs
// without their JSON methods.
type (
	fixedEventSourceSpec EventSourceSpec
	fixedTriggerTemplate TriggerTemplate
)

// KeepsOtherKeys marks the spec as open.
func (EventSourceSpec) KeepsOtherKeys() {}

// KeepsOtherKeys marks the template as open.
func (TriggerTemplate) KeepsOtherKeys() {}

// UnmarshalJSON reads the fixed fields, then every other key as a kind of source.
func (s *EventSourceSpec) UnmarshalJSON(b []byte) error {
	var fixed fixedEventSourceSpec
	open, err := decodeOpen(b, &fixed)
	if err != nil {
		return err
	}
	fixed.Sources, fixed.Stray = nil, nil
	for kind, raw := range open {
		entries := map[string]apiextv1.JSON{}
		if err := json.Unmarshal(raw.Raw, &entries); err != nil || entries == nil {
			put(&fixed.Stray, kind, raw)
			continue
		}
		put(&fixed.Sources, kind, entries)
	}
	*s = EventSourceSpec(fixed)
	return nil
}

// MarshalJSON writes the kinds back beside the fixed fields.
func (s EventSourceSpec) MarshalJSON() ([]byte, error) {
	open := map[string]any{}
	for kind, entries := range s.Sources {
		open[kind] = entries
	}
	for key, raw := range s.Stray {
		open[key] = raw
	}
	return encodeOpen(fixedEventSourceSpec(s), open)
}

// UnmarshalJSON reads the fixed fields, then every other key as a kind of trigger.
func (t *TriggerTemplate) UnmarshalJSON(b []byte) error {
	var fixed fixedTriggerTemplate
	open, err := decodeOpen(b, &fixed)
	if err != nil {
		return err
	}
	fixed.Kinds = open
	*t = TriggerTemplate(fixed)
	return nil
}

// MarshalJSON writes the kinds back beside the fixed fields.
func (t TriggerTemplate) MarshalJSON() ([]byte, error) {
	open := map[string]any{}
	for kind, raw := range t.Kinds {
		open[kind] = raw
	}
	return encodeOpen(fixedTriggerTemplate(t), open)
}

// FixedKeys are the JSON keys that the struct type t declares itself.
func FixedKeys(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// decodeOpen reads b into fixed and returns the keys that fixed does not have.
func decodeOpen(b []byte, fixed any) (map[string]apiextv1.JSON, error) {
	if err := kjson.UnmarshalCaseSensitivePreserveInts(b, fixed); err != nil {
		return nil, err
	}
	open := map[string]apiextv1.JSON{}
	if err := json.Unmarshal(b, &open); err != nil {
		return nil, err
	}
	for _, key := range FixedKeys(reflect.TypeOf(fixed).Elem()) {
		delete(open, key)
	}
	return open, nil
}

func encodeOpen(fixed any, open map[string]any) ([]byte, error) {
	b, err := json.Marshal(fixed)
	if err != nil || len(open) == 0 {
		return b, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for key, v := range open {
		if _, taken := all[key]; taken {
			return nil, fmt.Errorf("%s is a fixed field, not a kind", key)
		}
		all[key] = v
	}
	return json.Marshal(all)
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

func busName(name string) string {
	if name == "" {
		return DefaultEventBusName
	}
	return name
}
