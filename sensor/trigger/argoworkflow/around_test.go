package argoworkflow_test

import (
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/test/argotest"
)

// TestResubmitSelected has workflows that get the labels of those that they are
// made of, and would be selected when the same events are tried again.
func TestResubmitSelected(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"a", "b"} {
		l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: "+name+", generateName: x-, labels: {team: north, workflows.argoproj.io/creator: me}}, "+
			"spec: {entrypoint: e, shutdown: Stop, arguments: {parameters: [{name: p, value: old}]}}, status: {phase: Succeeded}}")
	}
	tr := l.build("{operation: resubmit, source: {resource: {}}, args: [-l, team=north, -p, p=new]}")
	l.fire(tr, l.input(1), "resubmitted as 2 workflows of NS")
	l.fire(tr, l.input(1), "found an earlier attempt's 2 workflows of NS")
	names := strings.Fields(l.names())
	if len(names) != 4 {
		t.Fatalf("there are %s", names)
	}
	wf := l.get(names[2])
	wantFields(t, wf.Object, map[string]string{
		"spec": `{"arguments":{"parameters":[{"name":"p","value":"new"}]},"entrypoint":"e"}`, "status": "null",
		"metadata/labels/team": `"north"`, "metadata/labels/workflows.argoproj.io~creator": "null", "metadata/generateName": `"x-"`,
	})
	if from := wf.GetLabels()["workflows.argoproj.io/resubmitted-from-workflow"]; from != "a" && from != "b" {
		t.Errorf("resubmitted from %q", from)
	}
}

// TestAs acts as somebody who may do nothing.
func TestAs(t *testing.T) {
	l := newLab(t)
	l.use(l.kube.Config())
	l.put(argotest.Workflows, "{kind: Workflow, metadata: {name: w}, spec: {}, status: {phase: Running}}")
	l.fails(l.named("stop", "w", "--as, nobody, --as-group=g"), l.input(1), false, `stop workflow NS/w: workflows.argoproj.io "w" is forbidden: User "nobody" cannot get`)
	l.fails(l.named("stop", "w", "--token, wrong"), l.input(1), false, "stop workflow NS/w: Unauthorized")
	l.fails(l.named("stop", "w", "--kubeconfig, /nowhere"), l.input(1), false, "stop: kubeconfig /nowhere: ")
	file := l.kube.Kubeconfig(t)
	l.env.Kubernetes = nil
	l.fails(l.named("stop", "w", ""), l.input(1), false, "stop: there is no Kubernetes API")
	l.fails(l.named("stop", "w", "--kubeconfig, '"+file+"', --context=nowhere"), l.input(1), false, "stop: kubeconfig "+file+": context \"nowhere\" does not exist")
	l.fire(l.named("stop", "w", "--kubeconfig, '"+file+"'"), l.input(1), "stopped workflow NS/w")
}
