package argoworkflow_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/test/argotest"
)

const (
	say = "templates: [{name: say, container: {image: none}}]"
	// hello is a source that is complete.
	hello = "source: {resource: {apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {generateName: hello-}, " +
		"spec: {entrypoint: say, arguments: {parameters: [{name: a, value: old}, {name: b, value: stays}]}, " + say + "}}}"
)

// suffix is what a generated name ends in.
func suffix(id string) string { return id[len(id)-12:] }

func TestSubmit(t *testing.T) {
	l := newLab(t)
	tr := l.build("{" + hello + ", parameters: [{src: {dependencyName: dep, dataKey: text}, dest: spec.arguments.parameters.0.value}]}")
	name := "hello-" + suffix(l.input(1).ID)
	before := time.Now().UnixMilli()
	r := l.fire(tr, l.input(1), "submitted workflow NS/"+name)
	wf := l.get(name)
	wantFields(t, wf.Object, map[string]string{
		"spec/arguments/parameters": `[{"name":"a","value":"number 1 <&>"},{"name":"b","value":"stays"}]`,
		"metadata/annotations":      `{"signalbox.dev/firing":"` + l.input(1).ID + `"}`,
		"status":                    "null",
	})
	labels := wf.GetLabels()
	at, err := strconv.ParseInt(labels["events.argoproj.io/action-timestamp"], 10, 64)
	if labels["events.argoproj.io/sensor"] != "builds" || labels["events.argoproj.io/trigger"] != "run-it" || err != nil || at < before {
		t.Errorf("labels are %v", labels)
	}
	wantFields(t, r.Details, map[string]string{
		"operation": `"submit"`, "name": `"` + name + `"`, "namespace": `"` + l.ns + `"`, "uid": `"` + string(wf.GetUID()) + `"`,
	})
	if r.Follow != nil {
		t.Errorf("nobody wants to follow %s", r.Follow)
	}
	l.fire(tr, l.input(1), "found an earlier attempt's workflow NS/"+name)
	l.fire(tr, l.input(2), "submitted workflow NS/hello-"+suffix(l.input(2).ID))
	if got := l.names(); len(strings.Fields(got)) != 2 {
		t.Errorf("there are %s", got)
	}
}

func TestSubmitNamed(t *testing.T) {
	l := newLab(t)
	tr := l.build("{" + strings.Replace(hello, "generateName: hello-", "name: hello", 1) + "}")
	l.fire(tr, l.input(1), "submitted workflow NS/hello")
	l.fails(tr, l.input(2), false, "submit workflow NS/hello: it exists already, made or changed by other events: ")
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: theirs}, spec: {}}")
	l.fails(l.build("{"+hello+", args: [--name, theirs]}"), l.input(2), false, "submit workflow NS/theirs: it exists already, made by somebody else: ")
}

func TestSubmitFlags(t *testing.T) {
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("c: 5\nd: {x: [1, true]}\ne: text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"f": "", "g": null}`)) }))
	defer s.Close()
	tr := l.build(`{` + hello + `, args: [-p, "a=b,c=d", --parameter=new=1, -f, ` + file + `, --parameter-file, "` + s.URL + `/x?token=y",
		--labels, "team=north,tier=1", --name, given, --generate-name=other-, --entrypoint, main, --serviceaccount, robot, --priority, "7",
		--instanceid, blue, -o, json, --status, Failed, -v, --loglevel=debug, --node-field-selector, phase=Failed]}`)
	l.fire(tr, l.input(1), "submitted workflow NS/given")
	wf := l.get("given")
	wantFields(t, wf.Object, map[string]string{
		"spec/entrypoint": `"main"`, "spec/serviceAccountName": `"robot"`, "spec/priority": "7", "metadata/generateName": `"other-"`,
		"spec/arguments/parameters": `[{"name":"a","value":"b,c=d"},{"name":"new","value":"1"},{"name":"c","value":"5"},{"name":"d","value":"{\"x\":[1,true]}"},` +
			`{"name":"e","value":"text"},{"name":"f","value":""},{"name":"g","value":"null"},{"name":"b","value":"stays"}]`,
	})
	if got := wf.GetLabels(); got["team"] != "north" || got["tier"] != "1" || got["workflows.argoproj.io/controller-instanceid"] != "blue" {
		t.Errorf("labels are %v", got)
	}
}

func TestSubmitDry(t *testing.T) {
	l := newLab(t)
	l.fire(l.build("{"+hello+", args: [--dry-run, -o, yaml]}"), l.input(1), "dry run: did not submit workflow NS/hello-"+suffix(l.input(1).ID))
	if got := l.wire.methods(); got != "" {
		t.Errorf("a dry run has sent %s", got)
	}
	l.fire(l.build("{"+hello+", args: [--server-dry-run], follow: {}}"), l.input(1), "dry run: workflow NS/hello-"+suffix(l.input(1).ID))
	if got := l.wire.methods() + l.names(); got != "POST" {
		t.Errorf("the API was sent %s", got)
	}
}

// TestStrict has a field that the definition does not know.
func TestStrict(t *testing.T) {
	l := newLab(t)
	odd := strings.Replace(hello, "spec: {", "specs: {}, spec: {", 1)
	name := "hello-" + suffix(l.input(1).ID)
	l.fails(l.build("{"+odd+"}"), l.input(1), true, "submit workflow NS/"+name+": ")
	l.fire(l.build("{"+odd+", args: [--strict=false]}"), l.input(1), "submitted workflow NS/"+name)
	wantFields(t, l.get(name).Object, map[string]string{"specs": "null"})
}

func TestNamespaces(t *testing.T) {
	l := newLab(t)
	l.use(l.kube.Config())
	other := l.kube.Namespace(t)
	in := func(metadata string) string { return strings.Replace(hello, "generateName: hello-", metadata, 1) }
	tr := l.build("{" + in("name: a, namespace: "+other) + ", args: [-n, nowhere]}")
	if r, err := tr.Fire(t.Context(), l.input(1)); err != nil || r.Summary != "submitted workflow "+other+"/a" {
		t.Errorf("got %q, %v", r.Summary, err)
	}
	tr = l.build("{" + in("name: b") + ", args: [--namespace, nowhere, -n" + other + "]}")
	if r, err := tr.Fire(t.Context(), l.input(1)); err != nil || r.Summary != "submitted workflow "+other+"/b" {
		t.Errorf("got %q, %v", r.Summary, err)
	}
	tr = l.build("{operation: suspend, source: {resource: {metadata: {name: b, namespace: nowhere}}}, args: [-n, " + other + "]}")
	if r, err := tr.Fire(t.Context(), l.input(2)); err != nil || r.Summary != "suspended workflow "+other+"/b" {
		t.Errorf("got %q, %v", r.Summary, err)
	}
}

func TestSubmitFrom(t *testing.T) {
	l := newLab(t)
	l.put(argotest.WorkflowTemplates, "{kind: WorkflowTemplate, metadata: {name: build}, spec: {entrypoint: say, "+say+"}}")
	cluster := l.put(argotest.ClusterWorkflowTemplates, "{kind: ClusterWorkflowTemplate, metadata: {name: "+l.ns+"}, spec: {entrypoint: say, "+say+"}}")
	defer l.deleteClusterTemplate(cluster.GetName())
	from := func(kind, name, args string) string {
		return "{operation: submit-from, source: {resource: {apiVersion: argoproj.io/v1alpha1, kind: " + kind + ", metadata: {name: " + name + "}}}, args: [" + args + "]}"
	}
	end := suffix(l.input(1).ID)
	l.fire(l.build(from("WorkflowTemplate", "build", "-p, tag=v1, --entrypoint=main, --serviceaccount, robot, -l, x=y, --scheduled-time, '2026-01-02T03:04:05Z'")),
		l.input(1), "submitted workflow NS/build-"+end)
	wf := l.get("build-" + end)
	wantFields(t, wf.Object, map[string]string{
		"spec": `{"arguments":{"parameters":[{"name":"tag","value":"v1"}]},"entrypoint":"main","serviceAccountName":"robot","workflowTemplateRef":{"name":"build"}}`,
	})
	if got := wf.GetLabels(); got["workflows.argoproj.io/workflow-template"] != "build" || got["x"] != "y" {
		t.Errorf("labels are %v", got)
	}
	l.fire(l.build(from("ClusterWorkflowTemplate", l.ns, "--name, whole")), l.input(1), "submitted workflow NS/whole")
	wf = l.get("whole")
	wantFields(t, wf.Object, map[string]string{"spec": `{"workflowTemplateRef":{"clusterScope":true,"name":"` + l.ns + `"}}`})
	if got := wf.GetLabels(); got["workflows.argoproj.io/cluster-workflow-template"] != l.ns {
		t.Errorf("labels are %v", got)
	}
	l.fire(l.build(from("CronWorkflow", "none", "--from, wftmpl/build, --generate-name, x-")), l.input(1), "submitted workflow NS/x-"+end)
	l.fails(l.build(from("WorkflowTemplate", "none", "")), l.input(1), false, "submit-from workflow NS/none-"+end+": read WorkflowTemplate none: ")
}

func TestSubmitFromCron(t *testing.T) {
	l := newLab(t)
	cron := l.put(argotest.CronWorkflows, `{kind: CronWorkflow, metadata: {name: nightly, labels: {workflows.argoproj.io/controller-instanceid: blue, x: "1"}},
		spec: {schedules: ["0 1 * * *"], suspend: true, workflowMetadata: {labels: {team: north}, annotations: {note: it}, finalizers: [example.com/wait]},
		workflowSpec: {entrypoint: say, arguments: {parameters: [{name: a, value: old}]}, `+say+`}}}`)
	tr := l.build("{operation: submit-from, source: {resource: {kind: CronWorkflow, metadata: {name: nightly}}}, args: [-p, a=new]}")
	name := "nightly-" + suffix(l.input(1).ID)
	l.fire(tr, l.input(1), "submitted workflow NS/"+name)
	l.fire(tr, l.input(1), "found an earlier attempt's workflow NS/"+name)
	wf := l.get(name)
	wantFields(t, wf.Object, map[string]string{
		"spec/entrypoint": `"say"`, "spec/templates": `[{"container":{"image":"none"},"name":"say"}]`, "spec/arguments/parameters": `[{"name":"a","value":"new"}]`,
		"metadata/ownerReferences": `[{"apiVersion":"argoproj.io/v1alpha1","blockOwnerDeletion":true,"controller":true,"kind":"CronWorkflow","name":"nightly","uid":"` + string(cron.GetUID()) + `"}]`,
		"metadata/finalizers":      `["example.com/wait"]`, "metadata/annotations/note": `"it"`, "metadata/labels/team": `"north"`, "metadata/labels/x": "null",
	})
	if got := wf.GetLabels(); got["workflows.argoproj.io/cron-workflow"] != "nightly" || got["workflows.argoproj.io/controller-instanceid"] != "blue" {
		t.Errorf("labels are %v", got)
	}
	if at, err := time.Parse(time.RFC3339, wf.GetAnnotations()["workflows.argoproj.io/scheduled-time"]); err != nil || time.Since(at) > time.Minute {
		t.Errorf("scheduled for %v, %v", at, err)
	}
}

// TestPolicy looks at the workflow that submit-from has made.
func TestPolicy(t *testing.T) {
	l := newLab(t)
	l.put(argotest.WorkflowTemplates, "{kind: WorkflowTemplate, metadata: {name: build}, spec: {entrypoint: say, "+say+"}}")
	tr := l.build("{operation: submit-from, source: {resource: {kind: WorkflowTemplate, metadata: {name: build}}}}")
	in := l.input(1)
	wait := &v1alpha1.Duration{Duration: 20 * time.Millisecond}
	in.Policy = &v1alpha1.TriggerPolicy{K8s: &v1alpha1.K8SResourcePolicy{
		Labels: map[string]string{"workflows.argoproj.io/phase": "Succeeded"}, Backoff: &v1alpha1.Backoff{Duration: wait, Steps: 2}, ErrorOnBackoffTimeout: true,
	}}
	name := "build-" + suffix(in.ID)
	l.fails(tr, in, false, "submit-from workflow NS/"+name+": it has not got the label workflows.argoproj.io/phase=Succeeded")
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
	in.Policy.K8s.Backoff.Steps = 500
	l.fire(tr, in, "found an earlier attempt's workflow NS/"+name)
	in.Policy.K8s.Labels["workflows.argoproj.io/phase"] = "Failed"
	in.Policy.K8s.Backoff.Steps, in.Policy.K8s.ErrorOnBackoffTimeout = 2, false
	l.fire(tr, in, "found an earlier attempt's workflow NS/"+name)
}
