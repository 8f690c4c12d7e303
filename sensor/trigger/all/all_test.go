package all_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/condition"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger/all"
)

func TestKinds(t *testing.T) {
	var names []string
	for _, k := range all.Kinds {
		names = append(names, k.Name)
		for _, file := range []string{"README.md", "example.yaml"} {
			if _, err := os.Stat(filepath.Join("..", strings.ToLower(k.Name), file)); err != nil {
				t.Error(err)
			}
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted, or one twice: %q", names)
	}
	folders, err := filepath.Glob("../*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if name := filepath.Base(filepath.Dir(f)); !slices.ContainsFunc(names, func(n string) bool { return strings.ToLower(n) == name }) {
			t.Errorf("%s is not in the list", name)
		}
	}
}

// TestArgoManifests decodes the triggers, conditions and parameters of other
// people's sensors.
func TestArgoManifests(t *testing.T) {
	const root = "../../../../shared/compat/manifests"
	if _, err := os.Stat(root); err != nil {
		t.Skip("no manifests to check: ", err)
	}
	bad, err := os.ReadFile(filepath.Join(root, "known-bad.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if err != nil || !strings.HasPrefix(filepath.Ext(path), ".y") || strings.Contains(string(bad), rel) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, doc := range strings.Split("\n"+string(text), "\n---") {
			var s v1alpha1.Sensor
			if err := yaml.Unmarshal([]byte(doc), &s); err != nil || s.Kind != v1alpha1.KindSensor {
				continue
			}
			checked += check(t, rel, &s)
		}
		return nil
	})
	if err != nil || checked < 50 {
		t.Errorf("%d triggers checked, %v", checked, err)
	}
}

func check(t *testing.T, file string, s *v1alpha1.Sensor) int {
	var names []string
	for _, d := range s.Spec.Dependencies {
		names = append(names, d.Name)
	}
	for _, tr := range s.Spec.Triggers {
		if _, err := condition.Parse(tr.Template.Conditions, names); err != nil {
			t.Errorf("%s: %s: conditions: %v", file, tr.Template.Name, err)
		}
		if _, err := param.Compile(tr.Parameters); err != nil {
			t.Errorf("%s: %s: parameters: %v", file, tr.Template.Name, err)
		}
		for name, raw := range tr.Template.Kinds {
			k, ok := all.Kinds.Named(name)
			if !ok {
				continue
			}
			_, err := k.Decode(raw.Raw)
			for _, p := range v1alpha1.Problems(v1alpha1.Fatal(err)) {
				written := slices.ContainsFunc(tr.Parameters, func(w v1alpha1.TriggerParameter) bool {
					return touches(w.Dest, name, p.Path)
				})
				if !written {
					t.Errorf("%s: %s: %v", file, tr.Template.Name, p)
				}
			}
		}
	}
	return len(s.Spec.Triggers)
}

// touches tells whether what is written to dest of a template is at, above or
// below path of the configuration of a kind.
func touches(dest, kind, path string) bool {
	place := strings.Split(kind, ".")
	if path != "" {
		path = strings.NewReplacer("[", ".", "]", "").Replace(path)
		place = append(place, strings.Split(path, ".")...)
	}
	to := strings.Split(dest, ".")
	for i := range min(len(to), len(place)) {
		if to[i] != place[i] && to[i] != "-1" {
			return false
		}
	}
	return true
}

func TestTouches(t *testing.T) {
	for _, tc := range []struct {
		dest, path string
		want       bool
	}{
		{"email.to.0", "to", true},
		{"email.to.-1", "to", true},
		{"email.to", "to[0]", true},
		{"email.to.0", "to[0]", true},
		{"email.to.1", "to[0]", false},
		{"email", "host", true},
		{"email.host", "", true},
		{"email.hostname", "host", false},
		{"email.host", "hostname", false},
		{"emails.host", "host", false},
		{"email.to.0", "host", false},
		{"http.host", "host", false},
	} {
		if got := touches(tc.dest, "email", tc.path); got != tc.want {
			t.Errorf("a write to %s touches %q: %v, want %v", tc.dest, tc.path, got, tc.want)
		}
	}
}
