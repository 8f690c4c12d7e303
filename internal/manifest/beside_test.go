package manifest_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

func TestCheckBeside(t *testing.T) {
	raw := func(text string) []byte {
		t.Helper()
		b, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sensor := raw(`
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s, namespace: ns}
spec:
  dependencies: [{name: d, eventSourceName: webhook, eventName: push, filters: {data: [{path: action, type: string, value: [a]}]}}]
  triggers: [{template: {name: t, log: {}}}]`)
	source := func(name, kind, event string) []byte {
		return raw("apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {name: " + name + ", namespace: ns}\nspec: {" + kind + ": {" + event + ": {endpoint: /push, port: '1', method: POST, interval: 1s}}}")
	}
	for name, tc := range map[string]struct {
		others [][]byte
		want   string
	}{
		"alone, its source is guessed by the name": {nil, `"action" never exists`},
		"the source that is there":                 {[][]byte{source("webhook", "webhook", "push")}, `"action" never exists`},
		"the source has no such event":             {[][]byte{source("webhook", "webhook", "pull")}, `has no event "push"`},
		"the source is not what it is called":      {[][]byte{source("webhook", "calendar", "push")}, `the data of calendar events`},
		"what cannot be read does not count":       {[][]byte{[]byte("{"), source("webhook", "webhook", "pull")}, `has no event "push"`},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := manifest.CheckBeside(sensor, tc.others, manifest.Options{Sources: options().Sources, Triggers: options().Triggers, Namespace: "ns"})
			if o == nil || err == nil || !strings.Contains(err.Error(), tc.want) || o.Broken {
				t.Errorf("%v", err)
			}
		})
	}
}
