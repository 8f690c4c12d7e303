package workload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// maxConfigMap is what the API server takes of a ConfigMap's data.
const maxConfigMap = 1 << 20

// configMap has the object and its EventBus as files. They are JSON, which is
// the manifest to the letter; what YAML is made of strings and numbers depends
// on who makes it.
func (w *workload) configMap(bus *Bus) (*corev1.ConfigMap, error) {
	objects := map[string]json.RawMessage{strings.ToLower(w.Kind) + ".json": w.Raw}
	if bus.raw != nil {
		objects["eventbus.json"] = bus.raw
	}
	for _, indent := range []string{"  ", ""} { // large ones without
		cm := &corev1.ConfigMap{ObjectMeta: w.meta(), Data: map[string]string{}}
		size := 0
		for file, raw := range objects {
			text, err := clean(raw, indent)
			if err != nil {
				return nil, invalid("", "%s: %v", file, err)
			}
			cm.Data[file] = text
			size += len(text)
		}
		if size <= maxConfigMap {
			return cm, nil
		}
	}
	return nil, invalid("", "is too large: with its EventBus it does not fit into a ConfigMap of %d KiB", maxConfigMap>>10).
		Hinted("split it into several objects, or keep large values in ConfigMaps that it refers to")
}

// clean is what the user wrote that matters to the pods: changes of anything
// else are not to reach them.
func clean(raw json.RawMessage, indent string) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return "", err
	}
	meta, ok := o["metadata"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("has no metadata")
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       o["kind"],
		"metadata":   map[string]any{"name": meta["name"], "namespace": meta["namespace"]},
		"spec":       o["spec"],
	})
	return b.String(), err
}
