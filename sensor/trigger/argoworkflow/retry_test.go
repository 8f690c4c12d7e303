package argoworkflow_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/test/argotest"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// whole has a DAG with steps, a retryStrategy and an exit handler in it.
const whole = `{kind: Workflow, metadata: {name: whole}, spec: {entrypoint: main, onExit: say, arguments: {parameters: [{name: a, value: old}]}, templates: [
	{name: main, dag: {tasks: [{name: first, template: say}, {name: second, template: inner, dependencies: [first]}, {name: third, template: say, dependencies: [second]}]}},
	{name: inner, steps: [[{name: a, template: say}, {name: b, template: twice}], [{name: c, template: say}]]},
	{name: twice, retryStrategy: {limit: 1}, container: {image: none}},
	{name: say, container: {image: none}}]}}`

// failing fails the attempts of step b until it is mended, and counts pods.
type failing struct {
	mended atomic.Bool
	ran    chan string
}

func newFailing() *failing { return &failing{ran: make(chan string, 1000)} }

func (f *failing) end(r argotest.PodRun) argotest.PodEnd {
	f.ran <- r.Node
	if r.Template == "twice" && !f.mended.Load() {
		return argotest.PodEnd{Phase: "Failed", Message: "no luck\nat all"}
	}
	return argotest.PodEnd{Outputs: map[string]string{"said": r.Node}}
}

// nodes are those that ran since the last call.
func (f *failing) nodes() string {
	var all []string
	for {
		select {
		case n := <-f.ran:
			all = append(all, n)
		default:
			return strings.Join(all, " ")
		}
	}
}

func TestRetry(t *testing.T) {
	l := newLab(t)
	f := newFailing()
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.WithPods(), argotest.PodEnds(f.end))
	l.put(argotest.Workflows, whole)
	l.untilPhase("whole", "Failed")
	const second = "whole.second[0]"
	if got := f.nodes(); got != "whole.first "+second+".a "+second+".b(0) "+second+".b(1) whole.onExit" {
		t.Fatalf("ran %s", got)
	}
	f.mended.Store(true)
	tr := l.named("retry", "whole", "-p, a=new")
	l.wire.methods()
	r := l.fire(tr, l.input(1), "retried workflow NS/whole")
	if got := l.wire.methods(); got != "DELETE DELETE DELETE DELETE PUT" {
		t.Errorf("sent %s", got)
	}
	out := l.follow(tr, r)
	if out.Failed || out.Summary != "workflow "+l.ns+"/whole: Succeeded" {
		t.Errorf("got %+v", out)
	}
	// With a parameter all of the group runs again, and what has succeeded before it does not.
	if got := f.nodes(); got != second+".a "+second+".b(0) whole.second[1].c whole.third whole.onExit" {
		t.Errorf("ran %s", got)
	}
	wf := l.get("whole")
	wantFields(t, wf.Object, map[string]string{"spec/arguments/parameters": `[{"name":"a","value":"new"}]`})
	l.fire(tr, l.input(1), "found an earlier attempt's change of workflow NS/whole")
	l.fails(tr, l.input(2), false, "retry workflow NS/whole: its state does not allow that: it has succeeded")
}

// TestRetryObject compares what is written, while no controller looks.
func TestRetryObject(t *testing.T) {
	l := newLab(t)
	f := newFailing()
	stop := make(chan struct{})
	t.Run("fails", func(t *testing.T) {
		argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.PodEnds(f.end))
		l.put(argotest.Workflows, whole)
		l.untilPhase("whole", "Failed")
		close(stop)
	})
	<-stop
	l.change("whole", func(wf *unstructured.Unstructured) {
		set(wf, "Stop", "spec", "shutdown")
		set(wf, int64(0), "spec", "activeDeadlineSeconds")
		set(wf, "Stop", "status", "storedWorkflowTemplateSpec", "shutdown")
		set(wf, []any{map[string]any{"name": "claim"}}, "status", "persistentVolumeClaims")
		set(wf, "Pending", "metadata", "labels", "workflows.argoproj.io/workflow-archiving-status")
	})
	l.fire(l.named("retry", "whole", ""), l.input(1), "retried workflow NS/whole")
	wf := l.get("whole")
	wantFields(t, wf.Object, map[string]string{
		"status/phase": `""`, "status/message": `""`, "status/finishedAt": "null", "status/conditions": `[{"status":"False","type":"Completed"}]`,
		"status/persistentVolumeClaims": "null", "status/storedWorkflowTemplateSpec/shutdown": "null", "spec/shutdown": "null", "spec/activeDeadlineSeconds": "null",
		"metadata/labels/workflows.argoproj.io~completed": "null", "metadata/labels/workflows.argoproj.io~workflow-archiving-status": "null",
		"metadata/labels/workflows.argoproj.io~phase":        `"Failed"`,
		"metadata/annotations/signalbox.dev~firing":          `"` + l.input(1).ID + `"`,
		"status/nodes/" + id("whole.second[0].b(0)"):         "null",
		"status/nodes/" + id("whole.second[0].b(1)"):         "null",
		"status/nodes/" + id("whole.third"):                  "null",
		"status/nodes/" + id("whole.onExit"):                 "null",
		"status/nodes/" + id("whole.first") + "/phase":       `"Succeeded"`,
		"status/nodes/" + id("whole.second[0].a") + "/phase": `"Succeeded"`,
	})
	for _, name := range []string{"whole", "whole.second", "whole.second[0]", "whole.second[0].b"} {
		wantFields(t, wf.Object, map[string]string{
			"status/nodes/" + id(name) + "/phase": `"Running"`, "status/nodes/" + id(name) + "/finishedAt": "null", "status/nodes/" + id(name) + "/message": "null",
		})
	}
	if n, _, _ := unstructured.NestedMap(wf.Object, "status", "nodes"); len(n) != 6 {
		t.Errorf("%d nodes are left: %v", len(n), n)
	}
}

func id(node string) string { return argotest.WorkflowNodeID("whole", node) }

func set(o *unstructured.Unstructured, v any, path ...string) {
	if err := unstructured.SetNestedField(o.Object, v, path...); err != nil {
		panic(err)
	}
}

func TestRetryKilled(t *testing.T) {
	for _, method := range []string{http.MethodDelete, http.MethodPut} {
		t.Run("after "+method, func(t *testing.T) {
			l := newLab(t)
			f := newFailing()
			argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.WithPods(), argotest.PodEnds(f.end))
			l.put(argotest.Workflows, whole)
			l.untilPhase("whole", "Failed")
			f.nodes()
			l.killed(l.named("retry", "whole", ""), l.input(1), method)
			if method == http.MethodPut { // it fails once more before the process is back
				l.until("whole", func(o *unstructured.Unstructured) bool {
					at, _, _ := unstructured.NestedString(o.Object, "status", "finishedAt")
					return at != "" && o.GetAnnotations()["signalbox.dev/firing"] != ""
				})
			}
			tr := l.named("retry", "whole", "")
			r, err := tr.Fire(t.Context(), l.input(1))
			if err != nil {
				t.Fatal(err)
			}
			out := l.follow(tr, r)
			const b = "whole.second[0].b"
			if got := f.nodes(); got != b+"(0) "+b+"(1) whole.onExit" {
				t.Errorf("ran %s", got)
			}
			if !out.Failed || out.Summary != "workflow "+l.ns+"/whole: Failed: child failed" && !strings.HasPrefix(out.Summary, "workflow "+l.ns+"/whole: Failed") {
				t.Errorf("got %+v", out)
			}
			wantFields(t, out.Details, map[string]string{
				"name": `"whole"`, "namespace": `"` + l.ns + `"`, "phase": `"Failed"`, "progress": `"3/5"`,
			})
			nodes, _ := out.Details["failedNodes"].([]any)
			if len(nodes) != 2 || nodes[0].(map[string]any)["message"] != "no luck\nat all" || nodes[0].(map[string]any)["templateName"] != "twice" {
				t.Errorf("failed nodes are %v", nodes)
			}
		})
	}
}

// TestRetryWaitsForPods has a pod that does not go away by itself.
func TestRetryWaitsForPods(t *testing.T) {
	l := newLab(t)
	f := newFailing()
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.WithPods(), argotest.PodEnds(f.end))
	l.put(argotest.Workflows, whole)
	l.untilPhase("whole", "Failed")
	all, err := l.in(pods).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	held := ""
	for _, p := range all.Items {
		if p.GetAnnotations()["workflows.argoproj.io/node-id"] == id("whole.second[0].b(1)") {
			held = p.GetName()
			if _, err := l.in(pods).Patch(t.Context(), held, "application/merge-patch+json", []byte(`{"metadata":{"finalizers":["example.com/wait"]}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.mended.Store(true)
	looks := make(chan struct{}, 1000)
	l.wire.set(nil, func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pods") {
			looks <- struct{}{}
		}
	})
	done := make(chan error, 1)
	tr := l.named("retry", "whole", "")
	go func() {
		_, err := tr.Fire(context.WithoutCancel(t.Context()), l.input(1))
		done <- err
	}()
	for range 4 {
		select {
		case <-looks:
		case err := <-done:
			t.Fatalf("it did not wait for the pod: %v", err)
		}
	}
	if pod, err := l.in(pods).Get(t.Context(), held, metav1.GetOptions{}); err != nil || pod.GetDeletionTimestamp() == nil {
		t.Fatalf("the pod was not deleted: %v", err)
	}
	wantFields(t, l.get("whole").Object, map[string]string{"status/phase": `"Failed"`})
	if _, err := l.in(pods).Patch(t.Context(), held, "application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.untilPhase("whole", "Succeeded")
}

func TestRetrySuccessful(t *testing.T) {
	l := newLab(t)
	f := newFailing()
	f.mended.Store(true)
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.WithPods(), argotest.PodEnds(f.end))
	l.put(argotest.Workflows, whole)
	l.untilPhase("whole", "Succeeded")
	f.nodes()
	tr := l.named("retry", "whole", "--restart-successful, --node-field-selector, 'templateName=twice,phase!=Failed'")
	out := l.follow(tr, l.fire(tr, l.input(1), "retried workflow NS/whole"))
	if got := f.nodes(); out.Failed || got != "whole.second[0].b(0) whole.second[1].c whole.third whole.onExit" {
		t.Errorf("%+v, ran %s", out, got)
	}
}

func TestRetryRefused(t *testing.T) {
	l := newLab(t)
	l.fails(l.named("retry", "none", ""), l.input(1), false, `retry workflow NS/none: workflows.argoproj.io "none" not found`)
	for name, status := range map[string]string{"running": "phase: Running", "fresh": "phase: ''"} {
		l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: "+name+"}, spec: {}, status: {"+status+"}}")
		l.fails(l.named("retry", name, ""), l.input(1), false, "retry workflow NS/"+name+": its state does not allow that: it is ")
	}
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: away}, spec: {}, status: {phase: Failed, offloadNodeStatusVersion: 'fnv:1'}}")
	l.fails(l.named("retry", "away", ""), l.input(1), true, "retry workflow NS/away: the nodes of its status are in Argo Server's database and not in the cluster; set server")
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: packed}, spec: {}, status: {phase: Failed, compressedNodes: '!'}}")
	l.fails(l.named("retry", "packed", ""), l.input(1), false, "retry workflow NS/packed: read its compressed nodes: ")
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: stopped}, spec: {}, status: {phase: Failed, nodes: {stopped: {id: stopped, name: stopped, type: Suspend, phase: Failed}}}}")
	l.fails(l.named("retry", "stopped", ""), l.input(1), false, "retry workflow NS/stopped: its state does not allow that: none of its pods has failed")
	l.fails(l.named("retry", "away", "stopped"), l.input(1), false, "2 workflows failed, one of them: retry workflow NS/stopped: its state does not allow that")
	l.fails(l.named("retry", "stopped", "--instanceid, blue"), l.input(1), false, `retry workflow NS/stopped: it does not belong to the controller instance "blue"`)
}

// TestRetryConflict has the controller write between reading and writing.
func TestRetryConflict(t *testing.T) {
	l := newLab(t)
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: w}, spec: {}, status: {phase: Failed, nodes: {w: {id: w, name: w, type: Pod, phase: Failed}}}}")
	var once atomic.Bool
	l.wire.set(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut && once.CompareAndSwap(false, true) {
			l.change("w", func(o *unstructured.Unstructured) { set(o, "theirs", "metadata", "annotations", "note") })
		}
		return nil, nil
	}, nil)
	l.fire(l.named("retry", "w", ""), l.input(1), "retried workflow NS/w")
	if got := l.get("w").GetAnnotations()["note"]; got != "theirs" {
		t.Errorf("the other's change is gone: %q", got)
	}
}

// TestRetrySelected acts on many, and on each once.
func TestRetrySelected(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"a", "b", "c"} {
		l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: "+name+", labels: {team: north}}, spec: {}, status: {phase: Failed, nodes: {"+name+": {id: "+name+", name: "+name+", type: Pod, phase: Failed}}}}")
	}
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: d, labels: {team: north}}, spec: {}, status: {phase: Running}}")
	tr := l.build("{operation: retry, source: {resource: {}}, args: [-l, team=north], follow: {}}")
	l.killed(tr, l.input(1), http.MethodPut)
	l.wire.methods()
	r := l.fire(tr, l.input(1), "found an earlier attempt's change of 1 workflow, retried 2 workflows of NS")
	if got := l.wire.methods(); got != "PUT PUT" {
		t.Errorf("sent %s", got)
	}
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
	if out := l.follow(tr, r); out.Failed || out.Summary != "3 workflows of "+l.ns+" have ended, 0 have not succeeded" {
		t.Errorf("got %+v", out)
	}
	if argoworkflow.Kind.Follow.Block == nil {
		t.Error("no block")
	}
}
