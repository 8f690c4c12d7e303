package argoworkflow_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// readme are the triggers of the README, as the sensor hands them to the kind.
func readme(t *testing.T, events map[string]*event.Event) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		var m struct {
			Triggers []struct {
				Template   json.RawMessage
				Parameters []v1alpha1.TriggerParameter
			}
			ArgoWorkflow json.RawMessage
		}
		if err := yaml.Unmarshal([]byte(block), &m); err != nil {
			t.Fatal(err)
		}
		for _, tr := range m.Triggers {
			list, err := param.Compile(tr.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := list.Apply(tr.Template, events)
			if err != nil {
				t.Fatal(err)
			}
			var template struct{ ArgoWorkflow json.RawMessage }
			if err := json.Unmarshal(raw, &template); err != nil {
				t.Fatal(err)
			}
			all = append(all, string(template.ArgoWorkflow))
		}
		if m.ArgoWorkflow != nil {
			all = append(all, string(m.ArgoWorkflow))
		}
	}
	return all
}

// TestReadme does what its examples say.
func TestReadme(t *testing.T) {
	l := newLab(t)
	in := l.input(1)
	push := event.New()
	push.SetID("1")
	push.SetSource("test")
	push.SetType("push")
	if err := push.SetData("application/json", map[string]any{"body": map[string]string{"commit": "0a1b2c3"}}); err != nil {
		t.Fatal(err)
	}
	in.Events = map[string]*event.Event{"push": &push}
	examples := readme(t, in.Events)
	if len(examples) != 3 {
		t.Fatalf("there are %d examples", len(examples))
	}
	l.put(argotest.WorkflowTemplates, "{kind: WorkflowTemplate, metadata: {name: build}, spec: {entrypoint: say, "+say+"}}")
	want := map[string]string{"spec": `{"arguments":{"parameters":[{"name":"commit","value":"0a1b2c3"}]},"workflowTemplateRef":{"name":"build"}}`}
	name := "build-" + suffix(in.ID)
	submit := l.build(examples[0])
	r := l.fire(submit, in, "submitted workflow NS/"+name)
	wantFields(t, l.get(name).Object, want)
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
	if out := l.follow(submit, r); out.Failed || out.Summary != "workflow "+l.ns+"/"+name+": Succeeded" {
		t.Errorf("got %+v", out)
	}

	in.ID = l.input(2).ID
	l.fire(l.build(examples[2]), in, "submitted workflow NS/build-"+suffix(in.ID))
	wantFields(t, l.get("build-"+suffix(in.ID)).Object, map[string]string{"spec/arguments": `{"parameters":[{"name":"commit","value":"0a1b2c3"}]}`})

	d := newDesk(t)
	d.env.PutSecret("argo-server", "token", token)
	d.Put("{metadata: {name: build-1, namespace: builds}, spec: {}, status: {phase: Failed}}")
	server := strings.Replace(examples[1], "https://argo-server.argo:2746", d.URL, 1)
	d.fire(triggertest.Build(t, argoworkflow.Kind, server, d.env), 1, "retried workflow builds/build-1")
}
