package argorollout_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argorollout"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// found is the part of a file that the pattern's group is.
func found(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return string(m[1])
}

// examples are the configurations in example.yaml, by the names of the triggers.
func examples(t *testing.T) map[string]string {
	t.Helper()
	var s v1alpha1.Sensor
	if err := yaml.Unmarshal([]byte(found(t, "example.yaml", `(?s)\n---\n([^\n]*\nkind: Sensor\n.*?)\n---\n`)), &s); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, tr := range s.Spec.Triggers {
		all[tr.Template.Name] = string(tr.Template.Kinds[argorollout.Kind.Name].Raw)
	}
	return all
}

// with is firing n with one event.
func (l *lab) with(n int, dependency, data string) trigger.Input {
	l.t.Helper()
	e := triggertest.Event(n)
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(data)); err != nil {
		l.t.Fatal(err)
	}
	in := l.input(n)
	in.Events = map[string]*event.Event{dependency: e}
	return in
}

// does wants a summary of firing a configuration; NS in it is the namespace.
func (l *lab) does(config string, in trigger.Input, want string) trigger.Result {
	l.t.Helper()
	r, err := l.build(config).Fire(l.t.Context(), in)
	if want = strings.ReplaceAll(want, "NS", l.ns); err != nil || r.Summary != want {
		l.t.Fatalf("%s: got %q, %v, want %q", config, r.Summary, err, want)
	}
	return r
}

// TestReadme does what README.md and the comment of example.yaml say, on one Rollout.
func TestReadme(t *testing.T) {
	readme, manifest := triggertest.Readme(t, argorollout.Kind), examples(t)
	if len(readme) != 2 || len(manifest) != 2 {
		t.Fatalf("there are %d and %d examples", len(readme), len(manifest))
	}
	l := newLab(t)
	p := l.play()
	l.create(rollouts, `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {selector: {matchLabels: {app: web}}, strategy: {canary: {steps: `+steps+`}},
		template: {metadata: {labels: {app: web}}, spec: {containers: [{name: side, image: "side:1"}, {name: web, image: "web:1"}]}}}}`)
	first := at(healthy(p, "web"), "status", "currentPodHash")
	update := func(n int, config, body string) {
		t.Helper()
		var image struct{ Image string }
		if err := json.Unmarshal([]byte(body), &image); err != nil || image.Image == "" {
			t.Fatalf("%s: %v", body, err)
		}
		p.Hold()
		r := l.does(config, l.with(n, "image", `{"header":{},"body":`+body+`}`), "set the image "+image.Image+" of rollout NS/web")
		l.wantFields(l.get(rollouts, "web"), map[string]string{"spec.template.spec.containers": `[{"image":"side:1","name":"side"},{"image":"` + image.Image + `","name":"web"}]`})
		end := l.await(config, r.Follow)
		p.Go()
		if o, err := end(); err != nil || o.Failed || o.Summary != "rollout "+l.ns+"/web is paused at step 2 of 5: CanaryPauseStep" || o.Details["phase"] != "Paused" || r.Details["image"] != image.Image {
			t.Errorf("%s: got %+v, %v", config, o, err)
		}
	}

	update(1, manifest["update"], found(t, "example.yaml", `post -d '(.*?)' http://localhost:12000/image\n`))
	approval := `{"header":{},"body":` + found(t, "example.yaml", `post -d '(.*?)' http://localhost:12000/approve\n`) + "}"
	l.does(manifest["promote"], l.with(2, "approval", approval), "promoted step 2 of 5 of rollout NS/web")
	hash := at(pausedAt(p, "web", 3), "status", "currentPodHash")
	checked := func(hash string) string { return `{"podHash":` + hash + `,"step":3}` }
	l.does(readme[1], l.with(3, "checked", checked(first)), fmt.Sprintf("nothing to do for rollout NS/web: it is at version %s, not at %s", strings.Trim(hash, `"`), strings.Trim(first, `"`)))
	l.does(readme[1], l.with(4, "checked", checked(hash)), "promoted step 4 of 5 of rollout NS/web")
	l.wantFields(healthy(p, "web"), map[string]string{"status.stableRS": hash})
	l.does(manifest["promote"], l.with(5, "approval", approval), "nothing to do for rollout NS/web: it is not paused")
	update(6, readme[0], `{"image":"registry.example.com/web:v3"}`)

	in := l.with(7, "checked", `{"podHash":"6f6cb8d5b4","step":1}`)
	in.Namespace, in.ID = "default", "8d0e4c6f1b2a39475860718293a4b5c6"
	a, err := l.build(readme[1]).Render(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if json.Unmarshal(a.Spec, &got) != nil || json.Unmarshal([]byte(found(t, "README.md", "(?s)```json\n(.*?)```")), &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("rendered %v\nREADME.md has %v", got, want)
	}
}
