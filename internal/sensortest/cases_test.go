package sensortest

import (
	"strings"
	"testing"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

const manifests = `
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: web}
spec:
  webhook:
    hit: {port: "12000", endpoint: /hit, method: POST}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: pass}
spec:
  dependencies:
    - name: hit
      eventSourceName: web
      eventName: hit
      filters:
        context: {type: webhook}
        data: [{path: body.amount, type: number, comparator: ">", value: ["1"]}]
  triggers:
    - template:
        name: out
        emit:
          payload: [{src: {dependencyName: hit, dataKey: body.text}, dest: text}]
`

func TestCases(t *testing.T) {
	const event = "  events: [{body: {amount: 2, text: hello}}]\n"
	for _, c := range []struct {
		name, spec string
		want       string // part of the failure; empty: passes
	}{
		{"the action is as expected", event + "  expect: [{trigger: out, action: {event: {data: {text: hello}}}}]", ""},
		{"the action differs", event + "  expect: [{trigger: out, action: {event: {data: {text: bye}}}}]", `action.event.data.text: want "bye", got "hello"`},
		{"the action lacks a key", event + "  expect: [{trigger: out, action: {event: {data: {txt: hello}}}}]", "txt: is missing; there are text"},
		{"a trigger that is not named fires", event, "trigger out: fires 1 times, and is not expected to"},
		{"it fires more often", "  events: [{body: {amount: 2, text: a}}, {body: {amount: 2, text: b}}]\n  expect: [{trigger: out}]", "fires 2 times, want 1"},
		{"it fires as often as said", "  events: [{body: {amount: 2, text: a}}, {body: {amount: 2, text: b}}]\n  expect: [{trigger: out, fires: 2}]", ""},
		{"the filter holds the event back", "  events: [{body: {amount: 1, text: a}}]", ""},
		{"the action cannot be made, as said", "  events: [{body: {amount: 2}}]\n  expect: [{trigger: out, fails: body.text}]", ""},
		{"the action cannot be made", "  events: [{body: {amount: 2}}]\n  expect: [{trigger: out}]", "body.text"},
		{"there is no such trigger", event + "  expect: [{trigger: out}, {trigger: our}]", "trigger our: there is no such trigger; there are out"},
		{"a key is misspelt", event + "  expects: [{trigger: out}]", `did you mean "expect"?`},
		{"an event has two contents", "  events: [{body: {}, data: {}}]", "exactly one of data, body, file, bodyFile"},
		{"an event comes from elsewhere", "  events: [{eventSourceName: x, eventName: z, body: {}}]", "the sensor listens to web/hit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := run(t, manifests+"---\napiVersion: signalbox.dev/v1alpha1\nkind: SensorTest\nmetadata: {name: case}\nspec:\n  sensor: pass\n"+c.spec)
			if len(results) != 1 {
				t.Fatalf("got %d results", len(results))
			}
			got := strings.Join(results[0].Failures, "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestUnreadableManifestsFail(t *testing.T) {
	results := run(t, "kind: [SensorTest\n")
	if len(results) != 1 || len(results[0].Failures) == 0 {
		t.Errorf("a file that may hold a case passed: %+v", results)
	}
}

func run(t *testing.T, text string) []Result {
	t.Helper()
	set := manifest.Read("cases.yaml", []byte(text), manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds})
	r := &Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(namespace string) secret.Reader { return set.Secrets(namespace) }}
	results, err := r.RunCases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return results
}
