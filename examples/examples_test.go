// Package examples tests that what people are shown works: the examples, the
// manifests in the documentation, and the README's walk.
package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/sensortest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

var options = manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds}

// complain fails the test for each problem that is an error, or, with warnings, a warning.
func complain(t *testing.T, set *manifest.Set, warnings bool) {
	t.Helper()
	for _, p := range set.Problems {
		if p.Severity == v1alpha1.Error || warnings && p.Severity == v1alpha1.Warning {
			t.Error(p.String())
		}
	}
}

func folders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("there are only %d examples: %v", len(dirs), dirs)
	}
	return dirs
}

func TestExamplesHaveNoProblems(t *testing.T) {
	for _, dir := range folders(t) {
		t.Run(dir, func(t *testing.T) {
			set := manifest.Load([]string{dir}, options)
			complain(t, set, true)
			if len(set.OfKind(v1alpha1.KindSensor)) == 0 {
				t.Error("has no Sensor")
			}
		})
	}
}

func TestExamplesPassTheirCases(t *testing.T) {
	for _, dir := range folders(t) {
		t.Run(dir, func(t *testing.T) {
			set := manifest.Load([]string{dir}, options)
			r := &sensortest.Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(namespace string) secret.Reader { return set.Secrets(namespace) }}
			results, err := r.RunCases(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range results {
				for _, f := range res.Failures {
					t.Errorf("%s: %s: %s", res.Place, res.Name, f)
				}
			}
		})
	}
}

func TestExamplesOfKindsHaveNoErrors(t *testing.T) {
	var want []string
	for _, k := range sources.Kinds {
		want = append(want, filepath.Join("../eventsource", strings.ToLower(k.Name), "example.yaml"))
	}
	for _, k := range triggers.Kinds {
		want = append(want, filepath.Join("../sensor/trigger", strings.ToLower(k.Name), "example.yaml"))
	}
	for _, file := range want {
		t.Run(file, func(t *testing.T) { complain(t, manifest.Load([]string{file}, options), false) })
	}
}

// fence is a fenced block of Markdown: its info string and its text.
var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func TestManifestsInTheDocumentationHaveNoErrors(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../eventsource/*/README.md", "../sensor/trigger/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	manifests := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[1], "yaml") || !strings.Contains("\n"+m[2], "\napiVersion:") {
				continue
			}
			manifests++
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "manifest.yaml"), []byte(m[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Run(file, func(t *testing.T) {
				set := manifest.Load([]string{dir}, options)
				complain(t, set, false)
				if t.Failed() {
					t.Logf("block %d:\n%s", i+1, m[2])
				}
			})
		}
	}
	if manifests < 8 {
		t.Errorf("only %d manifests were found", manifests)
	}
}
