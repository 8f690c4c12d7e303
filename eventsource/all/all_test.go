package all

import (
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

func TestKinds(t *testing.T) {
	var names []string
	for _, k := range Kinds {
		names = append(names, k.Name)
		if got, ok := Kinds.Named(k.Name); !ok || got.Name != k.Name {
			t.Errorf("%s is not found by its name", k.Name)
		}
	}
	byName := func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
	if !slices.IsSortedFunc(names, byName) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the names are out of order or not unique: %s", strings.Join(names, ", "))
	}
}

// Every kind takes an empty configuration without a panic. If it is valid, it can
// be built without I/O, and says where it receives requests.
func TestEmptyConfig(t *testing.T) {
	for _, k := range Kinds {
		c, err := k.Decode([]byte("{}"))
		if c == nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if v1alpha1.Fatal(err) != nil {
			continue
		}
		if _, err := k.Build(c, eventsource.Env{}); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if k.Routes != nil && len(k.Routes(c)) == 0 {
			t.Errorf("%s has no route", k.Name)
		}
	}
}
