package argoworkflow_test

import (
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// TestRender has no API, so that nobody can be asked.
func TestRender(t *testing.T) {
	firing := triggertest.Input(1).ID
	const w = "source: {resource: {metadata: {name: w}}}"
	marks := `"metadata":{"annotations":{"signalbox.dev/firing":"` + firing + `"}}`
	labels := `"labels":{"events.argoproj.io/sensor":"sensor","events.argoproj.io/trigger":"trigger"`
	for name, tc := range map[string]struct{ config, want string }{
		"suspend":   {"operation: suspend, " + w, `{"operation":"suspend","namespace":"default","workflows":["w"],"patch":{` + marks + `,"spec":{"suspend":true}}}`},
		"resume":    {"operation: resume, " + w, `{"operation":"resume","namespace":"default","workflows":["w"],"patch":{` + marks + `,"spec":{"suspend":null}}}`},
		"stop many": {"operation: stop, args: [-n, there, -l, a=b, v], " + w, `{"operation":"stop","namespace":"there","workflows":["w","v"],"selector":"a=b","patch":{` + marks + `,"spec":{"shutdown":"Stop"}}}`},
		"stop node": {"operation: stop, args: [--node-field-selector, id=x, --message, m], " + w, `{"operation":"stop","namespace":"default","workflows":["w"],"patch":{` + marks + `},"nodes":"id=x","message":"m"}`},
		"retry": {
			"operation: retry, args: [-p, a=b, --restart-successful, --node-field-selector=phase=Failed], " + w,
			`{"operation":"retry","namespace":"default","workflows":["w"],"nodes":"phase=Failed","restartSuccessful":true,"arguments":[{"name":"a","value":"b"}],"annotations":{"signalbox.dev/firing":"` + firing + `"}}`,
		},
		"resubmit": {
			"operation: resubmit, args: [--memoized, --as, somebody], " + w,
			`{"operation":"resubmit","as":"somebody","namespace":"default","workflows":["w"],"memoized":true,` + labels + `},"annotations":{"signalbox.dev/firing":"` + firing + `"}}`,
		},
		"from a cron": {
			"operation: submit-from, args: [--name, given, -f, 'https://u:p@nowhere.invalid/f?t=1', --dry-run], source: {resource: {kind: CronWorkflow, metadata: {name: c}}}",
			`{"operation":"submit-from","namespace":"default","dryRun":true,"from":"CronWorkflow/c","object":{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"annotations":{"signalbox.dev/firing":"` + firing +
				`"},"generateName":"c-",` + labels + `,"workflows.argoproj.io/cron-workflow":"c"},"name":"given","namespace":"default"},"spec":{}},"parameterFiles":["https://nowhere.invalid/f"]}`,
		},
		"from elsewhere": {
			"source: {url: {path: 'http://u:p@nowhere.invalid/x?y=z'}}, args: [-p, a=b], parameters: [{src: {dependencyName: dep, dataKey: number}, dest: metadata.name}]",
			`{"operation":"submit","namespace":"default","arguments":[{"name":"a","value":"b"}],"source":"url http://nowhere.invalid/x?...","parameters":{"metadata":{"name":"1"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := triggertest.Build(t, argoworkflow.Kind, "{"+tc.config+"}", triggertest.NewEnv(t)).Render(t.Context(), triggertest.Input(1))
			if err != nil || string(a.Spec) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", a.Spec, err, tc.want)
			}
		})
	}
	for name, config := range map[string]string{
		"no such key":       "source: {url: {path: 'http://nowhere.invalid'}}, parameters: [{src: {dependencyName: dep, dataKey: none}, dest: a}]",
		"no name":           "source: {resource: {}}, operation: stop, parameters: [{src: {dependencyName: none}, dest: metadata.name}]",
		"another kind":      hello + ", parameters: [{src: {dependencyName: dep, dataKey: text}, dest: kind}]",
		"no list":           hello + ", args: [-p, a=b], parameters: [{src: {dependencyName: dep, dataKey: text}, dest: spec.arguments}]",
		"spec is no object": hello + ", parameters: [{src: {dependencyName: dep, dataKey: text}, dest: spec}]",
	} {
		if a, err := triggertest.Build(t, argoworkflow.Kind, "{"+config+"}", triggertest.NewEnv(t)).Render(t.Context(), triggertest.Input(1)); !trigger.IsPermanent(err) {
			t.Errorf("%s: got %s, %v", name, a.Spec, err)
		}
	}
}

func TestNeedsKubernetes(t *testing.T) {
	for config, want := range map[string]bool{`{}`: true, `{"server":{"url":"https://a"}}`: false, `{"args":["-s","a:2746"]}`: false, `{"args":["--nonsense"]}`: true} {
		c, _ := argoworkflow.Kind.Decode([]byte(config))
		if got := argoworkflow.Kind.NeedsKubernetes(c); got != want {
			t.Errorf("%s: %v", config, got)
		}
	}
}
