package argoworkflow_test

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argoworkflow"
	"github.com/signalbox-events/signalbox/test/argotest"
)

func TestShut(t *testing.T) {
	for _, tc := range []struct{ op, past, spec, other, message string }{
		{"suspend", "suspended", `{"suspend":true}`, "resume", ""},
		{"stop", "stopped", `{"shutdown":"Stop"}`, "", "Stopped with strategy 'Stop'"},
		{"terminate", "terminated", `{"shutdown":"Terminate"}`, "", "Stopped with strategy 'Terminate'"},
	} {
		t.Run(tc.op, func(t *testing.T) {
			l := newLab(t)
			l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: w}, spec: {}, status: {phase: Running, startedAt: '2026-01-02T03:04:05Z'}}")
			l.killed(l.named(tc.op, "w", ""), l.input(1), http.MethodPatch)
			wf := l.get("w")
			wantFields(t, wf.Object, map[string]string{"spec": tc.spec, "metadata/annotations/signalbox.dev~firing": `"` + l.input(1).ID + `"`})
			l.change("w", func(o *unstructured.Unstructured) { delete(o.Object["spec"].(map[string]any), "suspend") }) // somebody resumes it meanwhile
			l.wire.methods()
			tr := l.named(tc.op, "w", "")
			r := l.fire(tr, l.input(1), "found an earlier attempt's change of workflow NS/w")
			if got := l.wire.methods(); got != "" {
				t.Errorf("a repetition has sent %s", got)
			}
			if tc.op == "suspend" {
				if r.Follow != nil {
					t.Errorf("follow %s", r.Follow)
				}
				l.fire(tr, l.input(2), "suspended workflow NS/w")
				l.fire(tr, l.input(3), "found suspended: workflow NS/w")
				return
			}
			l.fire(tr, l.input(2), "found stopping: workflow NS/w")
			argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
			out := l.follow(tr, r)
			if out.Failed || out.Summary != "workflow "+l.ns+"/w: Failed: "+tc.message {
				t.Errorf("got %+v", out)
			}
			l.fails(tr, l.input(4), false, tc.op+" workflow NS/w: its state does not allow that: it has ended, it is Failed")
		})
	}
}

func TestTerminateStopping(t *testing.T) {
	l := newLab(t)
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: w}, spec: {shutdown: Stop}, status: {phase: Running}}")
	l.fire(l.named("terminate", "w", ""), l.input(1), "terminated workflow NS/w")
	wantFields(t, l.get("w").Object, map[string]string{"spec/shutdown": `"Terminate"`})
}

func TestSelected(t *testing.T) {
	l := newLab(t)
	for name, phase := range map[string]string{"a": "Running", "b": "Failed", "c": "Running", "x": "Running"} {
		team := "north"
		if name == "x" {
			team = "south"
		}
		l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: "+name+", labels: {team: "+team+"}}, spec: {}, status: {phase: "+phase+"}}")
	}
	// terminate acts on the selected instead of the named one.
	l.fire(l.named("terminate", "x", "--selector, team=north, --field-selector, metadata.name!=c"), l.input(1), "terminated workflow NS/a")
	l.fire(l.named("stop", "x", "-l=team=north, c"), l.input(2), "stopped 2 workflows, found stopping: 1 workflow of NS")
	l.fire(l.named("stop", "x", "--dry-run, -l, team=none"), l.input(3), "dry run: did not stop workflow "+l.ns+"/x and workflows of "+l.ns+" with team=none")
	l.fire(l.build("{operation: stop, source: {resource: {}}, args: [-l, team=none]}"), l.input(4), "found no workflow to stop")
	for name, want := range map[string]string{"a": `"Terminate"`, "b": "null", "c": `"Stop"`, "x": `"Stop"`} {
		wantFields(t, l.get(name).Object, map[string]string{"spec/shutdown": want})
	}
}

// approval waits for two people.
const approval = `{kind: Workflow, metadata: {name: whole}, spec: {entrypoint: main, templates: [
	{name: main, steps: [[{name: a, template: ask}, {name: b, template: ask}], [{name: c, template: say}]]},
	{name: ask, suspend: {}, outputs: {parameters: [{name: answer, valueFrom: {supplied: {}, default: "yes"}}]}},
	{name: say, container: {image: none}}]}}`

func (l *lab) untilAsked() {
	l.until("whole", func(o *unstructured.Unstructured) bool {
		n, _, _ := unstructured.NestedMap(o.Object, "status", "nodes")
		return n[id("whole[0].a")] != nil && n[id("whole[0].b")] != nil
	})
}

func TestResume(t *testing.T) {
	l := newLab(t)
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
	l.put(argotest.Workflows, strings.Replace(approval, "entrypoint", "suspend: true, entrypoint", 1))
	l.fire(l.named("resume", "whole", ""), l.input(1), "resumed workflow NS/whole")
	wantFields(t, l.get("whole").Object, map[string]string{"spec/suspend": "null"})
	l.untilAsked()
	l.fails(l.named("resume", "whole", "--node-field-selector=displayName=z"), l.input(2), false,
		`resume workflow NS/whole: its state does not allow that: no node that waits to be resumed matches "displayName=z"`)
	one := l.named("resume", "whole", "--node-field-selector, 'displayName=a,templateName==ask'")
	l.killed(one, l.input(3), http.MethodPatch)
	wf := l.get("whole")
	wantFields(t, wf.Object, map[string]string{
		"status/nodes/" + id("whole[0].a") + "/phase":              `"Succeeded"`,
		"status/nodes/" + id("whole[0].a") + "/message":            `"resumed by sensor ` + l.ns + `/builds"`,
		"status/nodes/" + id("whole[0].a") + "/outputs/parameters": `[{"name":"answer","value":"yes"}]`,
		"status/nodes/" + id("whole[0].b") + "/phase":              `"Running"`,
	})
	l.fire(one, l.input(3), "found an earlier attempt's change of workflow NS/whole")
	all := l.named("resume", "whole", "")
	if out := l.follow(all, l.fire(all, l.input(4), "resumed workflow NS/whole")); out.Failed {
		t.Errorf("got %+v", out)
	}
	l.fails(all, l.input(5), false, "resume workflow NS/whole: its state does not allow that: it has ended, it is Succeeded")
}

func TestResumeNothing(t *testing.T) {
	l := newLab(t)
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: w}, spec: {}, status: {phase: Running}}")
	l.fire(l.named("resume", "w", ""), l.input(1), "found nothing to resume in workflow NS/w")
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: away}, spec: {suspend: true}, status: {phase: Running, offloadNodeStatusVersion: 'fnv:1'}}")
	l.fails(l.named("resume", "away", ""), l.input(1), true, "resume workflow NS/away: the nodes of its status are in Argo Server's")
	l.put(argotest.Workflows, `{kind: Workflow, metadata: {name: asks}, spec: {}, status: {phase: Running, nodes: {asks: {id: asks, name: asks, type: Suspend, phase: Running, outputs: {parameters: [{name: p, valueFrom: {supplied: {}}}]}}}}}`)
	l.fails(l.named("resume", "asks", ""), l.input(1), false, `resume workflow NS/asks: node asks: somebody has to supply its output "p", which has no default`)
}

func TestStopNode(t *testing.T) {
	l := newLab(t)
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns)
	l.put(argotest.Workflows, approval)
	l.untilAsked()
	tr := l.named("stop", "whole", "--node-field-selector, displayName=b, --message, not today")
	r := l.fire(tr, l.input(1), "stopped workflow NS/whole")
	wantFields(t, l.get("whole").Object, map[string]string{
		"status/nodes/" + id("whole[0].b") + "/phase": `"Failed"`, "status/nodes/" + id("whole[0].b") + "/message": `"not today"`, "spec/shutdown": "null",
	})
	all := l.named("resume", "whole", "")
	l.fire(all, l.input(2), "resumed workflow NS/whole")
	if out := l.follow(tr, r); out.Failed {
		t.Errorf("got %+v", out)
	}
}

// TestResumeRace has somebody else resume the node first.
func TestResumeRace(t *testing.T) {
	l := newLab(t)
	l.put(argotest.Workflows, `{kind: Workflow, metadata: {name: w}, spec: {}, status: {phase: Running, nodes: {w: {id: w, name: w, type: Suspend, phase: Running}}}}`)
	l.wire.set(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch {
			l.change("w", func(o *unstructured.Unstructured) {
				set(o, "Succeeded", "status", "nodes", "w", "phase")
				set(o, "theirs", "status", "nodes", "w", "message")
			})
		}
		return nil, nil
	}, nil)
	l.fire(l.named("resume", "w", ""), l.input(1), "found nothing to resume in workflow NS/w")
	wantFields(t, l.get("w").Object, map[string]string{"status/nodes/w/message": `"theirs"`})
}

var deleteNow metav1.DeleteOptions

func TestFollowDeleted(t *testing.T) {
	l := newLab(t)
	tr := l.build("{" + hello + ", follow: {}}")
	r := l.fire(tr, l.input(1), "submitted workflow NS/hello-"+suffix(l.input(1).ID))
	if err := l.in(argotest.Workflows).Delete(t.Context(), "hello-"+suffix(l.input(1).ID), deleteNow); err != nil {
		t.Fatal(err)
	}
	_, err := argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: r.Follow})
	if !trigger.IsPermanent(err) || !strings.Contains(err.Error(), "has been deleted before its end was seen") {
		t.Errorf("got %v", err)
	}
	for _, ref := range []string{"", "5", "{}", `{"workflows":5}`} {
		if _, err := argoworkflow.Kind.Follow.Await(t.Context(), tr, trigger.Following{Ref: []byte(ref)}); !trigger.IsPermanent(err) {
			t.Errorf("%s gives %v", ref, err)
		}
	}
}

// TestWait has --wait hold until the end, and fail with the workflow.
func TestWait(t *testing.T) {
	l := newLab(t)
	argotest.PlayWorkflows(t, l.kube.Config(), l.ns, argotest.PodEnds(func(r argotest.PodRun) argotest.PodEnd {
		if r.Arguments["a"] == "bad" {
			return argotest.PodEnd{Phase: "Failed", Message: "oh"}
		}
		return argotest.PodEnd{Outputs: map[string]string{"tag": "v" + r.Arguments["b"]}}
	}))
	end := suffix(l.input(1).ID)
	tr := l.build("{" + hello + ", args: [-w, --watch], follow: {}}")
	out := l.follow(tr, l.fire(tr, l.input(1), "submitted workflow NS/hello-"+end))
	wantFields(t, out.Details, map[string]string{"phase": `"Succeeded"`, "outputs/parameters/tag": `"vstays"`, "progress": `"1/1"`})
	l.fails(l.build("{"+hello+", args: [--wait, -p, a=bad, --name, x]}"), l.input(1), true, "submit workflow NS/x: it ended as Failed: oh")
	l.fire(l.build("{"+hello+", args: [--log, -p, a=bad, --name, x]}"), l.input(1), "found an earlier attempt's workflow NS/x")
}
