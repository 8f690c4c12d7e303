package filter_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/transform"
)

// Whatever Argo Events' own examples filter and transform with compiles.
func TestCompatManifests(t *testing.T) {
	dir := "../../../shared/compat/manifests"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the compatibility manifests are not here")
	}
	filters, transforms := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(filepath.Ext(path), ".y") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // a path of the walk
		if err != nil {
			return err
		}
		for _, doc := range bytes.Split(text, []byte("\n---")) {
			var s struct {
				Kind string
				Spec struct{ Dependencies []v1alpha1.EventDependency }
			}
			if yaml.Unmarshal(doc, &s) != nil || s.Kind != "Sensor" {
				continue
			}
			for _, dep := range s.Spec.Dependencies {
				f, err := filter.Compile(dep.Filters, dep.FiltersLogicalOperator)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				tr, err := transform.Compile(dep.Transform)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				if f != nil {
					filters++
				}
				if tr != nil {
					transforms++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if filters == 0 || transforms == 0 {
		t.Errorf("%d filters and %d transforms", filters, transforms)
	}
}
