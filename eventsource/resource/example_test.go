package resource

import (
	"bytes"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestExample(t *testing.T) {
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(text, []byte("\n---\n"))
	var es v1alpha1.EventSource
	if err := yaml.Unmarshal(first, &es); err != nil {
		t.Fatal(err)
	}
	entries := es.Spec.Sources[Kind.Name]
	if len(entries) == 0 {
		t.Fatal("the example has no entry of this kind")
	}
	for name, raw := range entries {
		if _, err := Kind.Decode(raw.Raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
