package triggertest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Readme gives the configurations of the kind in the examples of the README.md
// beside the test, as JSON: those of "triggers", and those that stand alone. The test
// fails if there is none.
func Readme(t testing.TB, k trigger.Kind) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, block := range strings.Split(string(text), "\n```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		var m map[string]json.RawMessage
		if err := yaml.Unmarshal([]byte(block), &m); err != nil {
			continue // a list, or several documents
		}
		var triggers []struct{ Template map[string]json.RawMessage }
		if m["triggers"] != nil {
			if err := json.Unmarshal(m["triggers"], &triggers); err != nil {
				t.Fatalf("README.md: %v in\n%s", err, block)
			}
		}
		for _, tr := range triggers {
			if c := tr.Template[k.Name]; c != nil {
				all = append(all, string(c))
			}
		}
		if c := m[k.Name]; c != nil {
			all = append(all, string(c))
		}
	}
	if len(all) == 0 {
		t.Fatalf("README.md has no example of %s", k.Name)
	}
	return all
}
