package manifest_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

func FuzzLoad(f *testing.F) {
	f.Add([]byte(sensorWith("  - template: {name: t, http: {url: http://a}, conditions: a || b-c}\n    parameters: [{src: {dependencyName: a}, dest: 'http.#(a==1).b'}]\n")))
	f.Add([]byte(bus("  jetstream: {streamConfig: 'maxAge: 1h', replicas: 3}\n")))
	f.Add([]byte("--- !x {a: &a [*a], <<: [*a], ? [1] : 2}\n...\n%YAML 1.1\n---\n- 'x\n"))
	f.Add([]byte("{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":[]}, null, 5]}"))
	f.Add([]byte("apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: [\"a\"]}\nspec: {webhook: {? {a: b} : c}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set := manifest.Read("m", text, allKinds())
		for _, p := range set.Problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("problem without a place or a message: %+v", p)
			}
		}
		manifest.Diff(set, set)
	})
}
