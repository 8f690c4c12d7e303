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

const transformed = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: pass}
spec:
  dependencies:
    - {name: hit, eventSourceName: web, eventName: hit, transform: {jq: ".body.amount |= tonumber"}}
  triggers:
    - template: {name: out, log: {}}
`

func TestTransformsThatFail(t *testing.T) {
	const letter = "would become a dead letter: dependency hit: transform: "
	for _, c := range []struct {
		name, spec string
		want       string // part of the failure; empty: passes
	}{
		{"nothing is expected", "  events: [{body: {amount: x}}]", "trigger out: fires 1 times, and is not expected to; " + letter},
		{"a firing is expected", "  events: [{body: {amount: x}}]\n  expect: [{trigger: out}]", "trigger out: " + letter},
		{"the failure is expected", "  events: [{body: {amount: x}}]\n  expect: [{trigger: out, fails: transform}]", ""},
		{"another failure is expected", "  events: [{body: {amount: x}}]\n  expect: [{trigger: out, fails: body.text}]", `want an error with "body.text"`},
		{"more than one is lost", "  events: [{body: {amount: x}}, {body: {amount: y}}]\n  expect: [{trigger: out, fails: transform}]", "fires 2 times, want 1; " + letter},
		{"it does not fail", "  events: [{body: {amount: '1'}}]\n  expect: [{trigger: out}]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := run(t, transformed+"---\napiVersion: signalbox.dev/v1alpha1\nkind: SensorTest\nmetadata: {name: case}\nspec:\n  sensor: pass\n"+c.spec)
			got := strings.Join(results[0].Failures, "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExplainTellsOfDeadLetters(t *testing.T) {
	for _, c := range []struct {
		name, manifests, data string
		want                  string // as it is printed; empty: no dead letter
	}{
		{"the transform fails", transformed, `{"body":{"amount":"x"}}`, "    would become a dead letter: dependency hit: transform: "},
		{"the transform works", transformed, `{"body":{"amount":"1"}}`, ""},
		{"the action cannot be made", manifests, `{"body":{"amount":2}}`, "    fires with hit=event-1, and would become a dead letter: "},
		{"the filter holds the event back", manifests, `{"body":{"amount":0}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			reports, err := runner(c.manifests).Explain(t.Context(), "pass", []Input{{Name: "e", Data: []byte(c.data)}})
			if err != nil || len(reports) != 1 {
				t.Fatal(reports, err)
			}
			var b strings.Builder
			if err := WriteReports(&b, reports); err != nil {
				t.Fatal(err)
			}
			told := strings.Contains(b.String(), "dead letter")
			if told != (c.want != "") || !strings.Contains(b.String(), c.want) || told && strings.Contains(b.String(), "does not fire") {
				t.Errorf("printed\n%s", b.String())
			}
			if letters := reports[0].DeadLetters; (len(letters) == 1) != told || told && (letters[0].Trigger != "out" || letters[0].Event != 1 || letters[0].Why == "") {
				t.Errorf("as data %+v", letters)
			}
		})
	}
}

func TestCasesThatCannotBeRead(t *testing.T) {
	const head = "apiVersion: signalbox.dev/v1alpha1\nkind: SensorTest\n"
	for text, want := range map[string]string{
		head + "metadata: {name: yes}\nspec: {sensor: pass}\n":                  `metadata.name: want a string, got true (put it in quotes: "true"`,
		head + "metadata: {name: x, labels: {a: b}}\nspec: {sensor: 5}\n":       `spec.sensor: want a string, got the number 5`,
		head + "metadata: {name: x}\nspec: {sensor: pass, events: {}}\n":        `spec.events: want a list, got an object`,
		head + "metadata: {name: x, lables: {a: b}}\nspec: {sensor: nowhere}\n": `unknown key "lables" is ignored (did you mean "labels"?)`,
		head + "metadata: {name: x, labels: {a: b}}\nspec: {sensor: nowhere}\n": `there is no Sensor "nowhere"`,
	} {
		if got := strings.Join(run(t, text)[0].Failures, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s\ngot %q, want %q", text, got, want)
		}
	}
}

func TestFilesAreNamedOnce(t *testing.T) {
	var b strings.Builder
	if err := WriteResults(&b, []Result{{Name: "nope", Place: place("nope", 0), Failures: []string{"x"}}, {Name: "a case", Place: place("m.yaml", 3), Failures: []string{"y"}}}); err != nil {
		t.Fatal(err)
	}
	if want := "FAIL  nope\n      x\nFAIL  a case (m.yaml:3)\n      y\n0 passed, 2 failed\n"; b.String() != want {
		t.Errorf("got\n%s", b.String())
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
	results, err := runner(text).RunCases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func runner(text string) *Runner {
	set := manifest.Read("cases.yaml", []byte(text), manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds})
	return &Runner{Set: set, Triggers: triggers.Kinds, Secrets: func(namespace string) secret.Reader { return set.Secrets(namespace) }}
}
