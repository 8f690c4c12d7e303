package argoworkflow_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// operation is what is done with the workflow w, or what makes one.
type operation struct {
	operation, args string
	// source names w if it is empty.
	source string
	// spec and status of w; there is none without them.
	spec, status string
	// template that there is.
	template string
	// want are fields of the workflow afterwards.
	want func(name string) map[string]string
	// end is how it ends; empty if nobody waits for that.
	end string
	// native and sent are the requests, to the API and to Argo Server; body is
	// that of the one to change w.
	native, sent, body string
}

func (o *operation) creates() bool { return o.native == http.MethodPost }

func (o *operation) config() string {
	source := o.source
	if source == "" {
		source = "{metadata: {name: w}}"
	}
	return "operation: " + o.operation + ", follow: {}, args: [" + o.args + "], source: {resource: " + source + "}"
}

func (o *operation) w() string {
	return "{kind: Workflow, metadata: {name: w, annotations: {note: it}, labels: {team: north, workflows.argoproj.io/phase: Failed}}, spec: " + o.spec + ", status: " + o.status + "}"
}

func fields(pairs ...string) func(string) map[string]string {
	return func(name string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[strings.ReplaceAll(pairs[i], "NAME", name)] = strings.ReplaceAll(pairs[i+1], "NAME", name)
		}
		return m
	}
}

const (
	asks    = "{entrypoint: ask, templates: [{name: ask, suspend: {}}]}"
	asking  = "{phase: Running, nodes: {w: {id: w, name: w, displayName: w, type: Suspend, templateName: ask, phase: Running}}}"
	says    = "{entrypoint: say, shutdown: Stop, arguments: {parameters: [{name: a, value: old}]}, " + say + "}"
	failed  = "{phase: Failed, finishedAt: '2026-01-02T03:04:05Z', nodes: {w: {id: w, name: w, type: Pod, templateName: say, phase: Failed}}}"
	twoPods = "{entrypoint: main, templates: [{name: main, dag: {tasks: [{name: a, template: say}, {name: b, template: say, dependencies: [a]}]}}, {name: say, container: {image: none}}]}"
)

// half is the status of w with twoPods when b has failed.
var half = func() string {
	a, b := argotest.WorkflowNodeID("w", "w.a"), argotest.WorkflowNodeID("w", "w.b")
	return "{phase: Failed, finishedAt: '2026-01-02T03:04:05Z', nodes: {w: {id: w, name: w, type: DAG, templateName: main, phase: Failed, children: [" + a + "]}, " +
		a + ": {id: " + a + ", name: w.a, type: Pod, templateName: say, phase: Succeeded, boundaryID: w, children: [" + b + "]}, " +
		b + ": {id: " + b + ", name: w.b, type: Pod, templateName: say, phase: Failed, boundaryID: w}}}"
}()

var operationsOf = map[string]operation{
	"submit": {
		operation: "submit", native: "POST", sent: "POST workflows/NS", end: "Succeeded",
		source: "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {generateName: hello-}, spec: {entrypoint: say, " + say + "}}",
		args:   "-p, a=b, --labels, x=y, --serviceaccount=robot",
		want: fields("spec/arguments/parameters", `[{"name":"a","value":"b"}]`, "metadata/labels/x", `"y"`, "spec/serviceAccountName", `"robot"`,
			"metadata/generateName", `"hello-"`, "spec/templates", `[{"container":{"image":"none"},"name":"say"}]`),
	},
	"submit-from a WorkflowTemplate": {
		operation: "submit-from", native: "POST", sent: "POST workflows/NS/submit", end: "Succeeded",
		source: "{kind: WorkflowTemplate, metadata: {name: build}}", args: "-p, 'a=b,c=d', --entrypoint, say, --serviceaccount, robot, -l, x=y",
		template: "{kind: WorkflowTemplate, metadata: {name: build}, spec: {entrypoint: other, " + say + "}}",
		want: fields("spec", `{"arguments":{"parameters":[{"name":"a","value":"b,c=d"}]},"entrypoint":"say","serviceAccountName":"robot","workflowTemplateRef":{"name":"build"}}`,
			"metadata/labels/workflows.argoproj.io~workflow-template", `"build"`, "metadata/labels/x", `"y"`, "metadata/generateName", `"build-"`),
	},
	"submit-from a ClusterWorkflowTemplate": {
		operation: "submit-from", native: "POST", sent: "POST workflows/NS/submit", end: "Succeeded",
		source: "{kind: ClusterWorkflowTemplate, metadata: {name: signalbox-operations}}", args: "--generate-name, x-",
		template: "{kind: ClusterWorkflowTemplate, metadata: {name: signalbox-operations}, spec: {entrypoint: say, " + say + "}}",
		want: fields("spec", `{"workflowTemplateRef":{"clusterScope":true,"name":"signalbox-operations"}}`,
			"metadata/labels/workflows.argoproj.io~cluster-workflow-template", `"signalbox-operations"`, "metadata/generateName", `"x-"`),
	},
	"submit-from a CronWorkflow": {
		operation: "submit-from", native: "POST", sent: "POST workflows/NS/submit", end: "Succeeded",
		source: "{kind: CronWorkflow, metadata: {name: nightly}}", args: "-p, a=new, --scheduled-time, '2026-01-02T03:04:05Z'",
		template: "{kind: CronWorkflow, metadata: {name: nightly}, spec: {schedules: ['0 1 * * *'], suspend: true, workflowSpec: {entrypoint: say, arguments: {parameters: [{name: a, value: old}]}, " + say + "}}}",
		want: fields("spec", `{"arguments":{"parameters":[{"name":"a","value":"new"}]},"entrypoint":"say","templates":[{"container":{"image":"none"},"name":"say"}]}`,
			"metadata/labels/workflows.argoproj.io~cron-workflow", `"nightly"`, "metadata/annotations/workflows.argoproj.io~scheduled-time", `"2026-01-02T03:04:05Z"`),
	},
	"resubmit": {
		operation: "resubmit", native: "POST", sent: "POST workflows/NS", end: "Succeeded", spec: says, status: failed, args: "-p, a=new",
		want: fields("spec", `{"arguments":{"parameters":[{"name":"a","value":"new"}]},"entrypoint":"say","templates":[{"container":{"image":"none"},"name":"say"}]}`,
			"status", "null", "metadata/labels/workflows.argoproj.io~resubmitted-from-workflow", `"w"`, "metadata/labels/team", `"north"`,
			"metadata/labels/workflows.argoproj.io~phase", "null", "metadata/annotations/note", `"it"`),
	},
	"resubmit memoized": {
		operation: "resubmit", native: "POST", sent: "POST workflows/NS", end: "Succeeded", spec: twoPods, status: half, args: "--memoized",
		want: func(name string) map[string]string {
			a, b := argotest.WorkflowNodeID(name, name+".a"), argotest.WorkflowNodeID(name, name+".b")
			return map[string]string{
				"status/phase": `""`, "status/conditions": `[{"status":"False","type":"Completed"}]`, "status/nodes/" + name + "/phase": `"Pending"`,
				"status/nodes/" + a + "/type": `"Skipped"`, "status/nodes/" + a + "/phase": `"Skipped"`, "status/nodes/" + a + "/children": `["` + b + `"]`,
				"status/nodes/" + a + "/message": `"original pod: ` + argotest.WorkflowNodeID("w", "w.a") + `"`,
				"status/nodes/" + b + "/phase":   `"Pending"`, "status/nodes/" + b + "/name": `"` + name + `.b"`, "status/nodes/" + b + "/boundaryID": `"` + name + `"`,
			}
		},
	},
	"retry": {
		operation: "retry", native: "PUT", sent: "PUT workflows/NS/w/retry", end: "Succeeded", spec: says, status: failed, args: "-p, a=new",
		want: fields("status/phase", `""`, "status/finishedAt", "null", "status/nodes/w", "null", "spec/shutdown", "null", "spec/arguments/parameters", `[{"name":"a","value":"new"}]`),
		body: `{"name":"w","namespace":"NS","parameters":["a=new"]}`,
	},
	"retry what succeeded": {
		operation: "retry", native: "PUT", sent: "PUT workflows/NS/w/retry", end: "Succeeded", spec: says, status: strings.ReplaceAll(failed, "Failed", "Succeeded"),
		args: "--restart-successful, --node-field-selector, templateName=say",
		want: fields("status/phase", `""`, "status/finishedAt", "null", "status/nodes/w", "null"),
		body: `{"name":"w","namespace":"NS","nodeFieldSelector":"templateName=say","restartSuccessful":true}`,
	},
	"resume": {
		operation: "resume", native: "PATCH", sent: "PUT workflows/NS/w/resume", end: "Succeeded", spec: strings.Replace(asks, "{", "{suspend: true, ", 1), status: asking,
		want: fields("spec/suspend", "null", "status/nodes/w/phase", `"Succeeded"`),
		body: `{"name":"w","namespace":"NS"}`,
	},
	"resume one": {
		operation: "resume", native: "PATCH", sent: "PUT workflows/NS/w/resume", end: "Succeeded", spec: asks, status: asking, args: "--node-field-selector=displayName=w",
		want: fields("status/nodes/w/phase", `"Succeeded"`),
		body: `{"name":"w","namespace":"NS","nodeFieldSelector":"displayName=w"}`,
	},
	"suspend": {
		operation: "suspend", native: "PATCH", sent: "PUT workflows/NS/w/suspend", spec: asks, status: asking,
		want: fields("spec/suspend", "true", "status/nodes/w/phase", `"Running"`),
		body: `{"name":"w","namespace":"NS"}`,
	},
	"stop": {
		operation: "stop", native: "PATCH", sent: "PUT workflows/NS/w/stop", end: "Failed: Stopped with strategy 'Stop'", spec: asks, status: asking,
		want: fields("spec/shutdown", `"Stop"`),
		body: `{"name":"w","namespace":"NS"}`,
	},
	"stop one": {
		operation: "stop", native: "PATCH", sent: "PUT workflows/NS/w/stop", end: "Failed: never", spec: asks, status: asking, args: "--node-field-selector, displayName=w, --message, never",
		want: fields("spec/shutdown", "null", "status/nodes/w/phase", `"Failed"`, "status/nodes/w/message", `"never"`),
		body: `{"message":"never","name":"w","namespace":"NS","nodeFieldSelector":"displayName=w"}`,
	},
	"terminate": {
		operation: "terminate", native: "PATCH", sent: "PUT workflows/NS/w/terminate", end: "Failed: Stopped with strategy 'Terminate'", spec: strings.Replace(asks, "{", "{shutdown: Stop, ", 1), status: asking,
		want: fields("spec/shutdown", `"Terminate"`),
		body: `{"name":"w","namespace":"NS"}`,
	},
}

// found is what a repetition says of a workflow.
func (o *operation) found(namespace, name string) string {
	if o.creates() {
		return "found an earlier attempt's workflow " + namespace + "/" + name
	}
	return "found an earlier attempt's change of workflow " + namespace + "/" + name
}

// checkEnd wants the outcome of w, or of what was made.
func (o *operation) checkEnd(t *testing.T, namespace, name string, out trigger.Outcome) {
	t.Helper()
	if out.Failed || out.Summary != "workflow "+namespace+"/"+name+": "+o.end {
		t.Errorf("got %+v, want %s", out, o.end)
	}
	phase, _, _ := strings.Cut(o.end, ":")
	wantFields(t, out.Details, map[string]string{"phase": `"` + phase + `"`, "name": `"` + name + `"`, "namespace": `"` + namespace + `"`})
}

// made is the one name that is not w.
func made(t *testing.T, names []string) string {
	t.Helper()
	names = slices.DeleteFunc(names, func(n string) bool { return n == "w" })
	if len(names) != 1 {
		t.Fatalf("there are %s", names)
	}
	return names[0]
}

// TestOperations has, for each operation, a process that dies when the API has
// done it, and another one that is given the same events and follows the workflow
// to its end.
func TestOperations(t *testing.T) {
	resources := map[string]schema.GroupVersionResource{
		"WorkflowTemplate": argotest.WorkflowTemplates, "ClusterWorkflowTemplate": argotest.ClusterWorkflowTemplates, "CronWorkflow": argotest.CronWorkflows,
	}
	for name, o := range operationsOf {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if o.template != "" {
				_, kind, _ := strings.Cut(o.template, "kind: ")
				kind, _, _ = strings.Cut(kind, ",")
				l.put(resources[kind], o.template)
				if kind == "ClusterWorkflowTemplate" {
					defer l.deleteClusterTemplate("signalbox-operations")
				}
			}
			name := "w"
			if o.status != "" {
				l.put(argotest.Workflows, o.w())
			}
			l.killed(l.build("{"+o.config()+"}"), l.input(1), o.native)
			if got := l.wire.methods(); got != o.native {
				t.Errorf("sent %s", got)
			}
			if o.creates() {
				name = made(t, strings.Fields(l.names()))
			}
			before := l.get(name)
			wantFields(t, before.Object, o.want(name))
			if got := before.GetAnnotations()["signalbox.dev/firing"]; got != l.input(1).ID {
				t.Errorf("it is marked with %q", got)
			}

			tr := l.build("{" + o.config() + "}")
			r := l.fire(tr, l.input(1), o.found("NS", name))
			if got := l.wire.methods(); o.creates() != (got == o.native) || !o.creates() && got != "" {
				t.Errorf("a repetition has sent %s", got)
			}
			if after := l.get(name); after.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("a repetition has changed it: %v", after.Object)
			}
			if o.creates() {
				made(t, strings.Fields(l.names()))
			}
			if o.end == "" {
				if r.Follow != nil {
					t.Errorf("there is %s to follow", r.Follow)
				}
				return
			}
			argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
			o.checkEnd(t, l.ns, name, l.follow(tr, r))
		})
	}
}

// TestServerOperations is the same through an Argo Server, whose answer is lost.
func TestServerOperations(t *testing.T) {
	for name, o := range operationsOf {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			in := func(text string) string { return strings.ReplaceAll(text, "NS", "ns") }
			if o.template != "" {
				if !strings.Contains(o.template, "ClusterWorkflowTemplate") {
					o.template = strings.Replace(o.template, "metadata: {", "metadata: {namespace: ns, ", 1)
				}
				d.Put(o.template)
			}
			name, method := "w", http.MethodPut
			if o.status != "" {
				d.Put(strings.Replace(o.w(), "metadata: {", "metadata: {namespace: ns, ", 1))
			}
			if o.creates() {
				method = http.MethodPost
			}
			o.args = strings.Trim(o.args+", --namespace=ns", ", ")
			d.lost(d.build(o.config()), 1, method)
			if o.creates() {
				name = made(t, d.Names("ns"))
			}
			before := d.Get("ns", name)
			wantFields(t, before.Object, o.want(name))

			tr := d.build(o.config())
			r := d.fire(tr, 1, o.found("ns", name))
			want := in(o.sent)
			if o.creates() { // the second one was refused
				want += ", " + want
				made(t, d.Names("ns"))
				if got := before.GetAnnotations()["signalbox.dev/firing"]; got != triggertest.Input(1).ID {
					t.Errorf("it is marked with %q", got)
				}
			}
			if got := d.sent(); got != want {
				t.Errorf("sent %s", got)
			}
			if body, err := json.Marshal(d.Requests()[0].Body); err != nil || o.body != "" && string(body) != in(o.body) {
				t.Errorf("sent %s, %v", body, err)
			}
			if after := d.Get("ns", name); !equal(t, before, after) {
				t.Errorf("a repetition has changed it: %v", after.Object)
			}
			if o.end == "" {
				if r.Follow != nil {
					t.Errorf("there is %s to follow", r.Follow)
				}
				return
			}
			d.Play()
			out, err := argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: r.Follow})
			if err != nil {
				t.Fatal(err)
			}
			o.checkEnd(t, "ns", name, out)
		})
	}
}

func equal(t *testing.T, a, b *unstructured.Unstructured) bool {
	t.Helper()
	one, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(one) == string(two)
}
