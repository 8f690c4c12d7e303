package argotest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The resources of Argo Workflows.
var (
	Workflows                = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}
	WorkflowTemplates        = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflowtemplates"}
	ClusterWorkflowTemplates = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "clusterworkflowtemplates"}
	CronWorkflows            = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "cronworkflows"}
)

// PodRun is a pod of a workflow whose end is asked for.
type PodRun struct {
	// Workflow, and Node by its name in it, such as build-1.test or build-1[0].a.
	Workflow, Node string
	// Template that it runs.
	Template string
	// Arguments of the workflow.
	Arguments map[string]string
	// Times is how often this node has run, with this time.
	Times int
}

// PodEnd is how a pod ended.
type PodEnd struct {
	// Phase is Succeeded if it is empty, or Failed or Error.
	Phase, Message string
	// Outputs become outputs of the workflow.
	Outputs map[string]string
}

// WorkflowOption adjusts PlayWorkflows.
type WorkflowOption func(*workflowPlayer)

// PodEnds decides how pods end. Without it all succeed.
func PodEnds(f func(PodRun) PodEnd) WorkflowOption { return func(p *workflowPlayer) { p.end = f } }

// PodsTake is how long a pod runs. Without it pods end at once.
func PodsTake(d time.Duration) WorkflowOption { return func(p *workflowPlayer) { p.take = d } }

// WithPods makes pods, which stay. A node whose pod is there already hangs.
func WithPods() WorkflowOption { return func(p *workflowPlayer) { p.pods = true } }

// PlayWorkflows does until the end of the test what the controller of Argo
// Workflows does with the workflows of a namespace, as far as their objects show
// it: templates of steps, dag, suspend and anything else (a pod), retryStrategy,
// onExit, workflowTemplateRef, spec.suspend and spec.shutdown.
func PlayWorkflows(t testing.TB, config *rest.Config, namespace string, opts ...WorkflowOption) {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &workflowPlayer{
		t: t, client: client, namespace: namespace, runs: map[string]int{}, begun: map[string]string{}, made: map[string]bool{}, hung: map[string]bool{},
		end: func(PodRun) PodEnd { return PodEnd{} },
	}
	for _, o := range opts {
		o(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.play(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

type workflowPlayer struct {
	t         testing.TB
	client    dynamic.Interface
	namespace string
	end       func(PodRun) PodEnd
	take      time.Duration
	pods      bool
	runs      map[string]int    // by workflow and node
	begun     map[string]string // of nodes that are not stored yet
	made      map[string]bool   // attempts that have their pod
	hung      map[string]bool   // attempts that found a pod of an earlier one
}

func (p *workflowPlayer) play(ctx context.Context) {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l, err := p.client.Resource(Workflows).Namespace(p.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue // the API may be away; tests that need it say so
		}
		for i := range l.Items {
			p.step(ctx, &l.Items[i])
		}
	}
}

// step brings one workflow on.
func (p *workflowPlayer) step(ctx context.Context, wf *unstructured.Unstructured) {
	before := wf.DeepCopy()
	status, _ := wf.Object["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
		wf.Object["status"] = status
	}
	if ended(str(status, "phase")) || str(status, "compressedNodes") != "" || str(status, "offloadNodeStatusVersion") != "" {
		return
	}
	r := &workflowRun{workflowPlayer: p, ctx: ctx, wf: wf, status: status, nodes: objectAt(status, "nodes"), templates: map[string]map[string]any{}, fresh: map[string]bool{}, now: time.Now().UTC()}
	if r.nodes == nil {
		r.nodes = map[string]any{}
	}
	status["phase"] = "Running"
	if str(status, "startedAt") == "" {
		status["startedAt"] = r.stamp()
	}
	setLabel(wf, "workflows.argoproj.io/phase", "Running")
	setLabel(wf, "workflows.argoproj.io/completed", "false")
	r.run()
	if len(r.nodes) > 0 {
		status["nodes"] = r.nodes
	}
	if same(before.Object, wf.Object) {
		return
	}
	_, err := p.client.Resource(Workflows).Namespace(p.namespace).Update(ctx, wf, metav1.UpdateOptions{FieldManager: "workflow-controller"})
	if err == nil { // if they run once more, that is another time
		for id := range r.fresh {
			delete(p.begun, r.key(r.node(id).str("name")))
		}
	}
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		p.t.Logf("workflow %s: %v", wf.GetName(), err)
	}
}

func same(a, b map[string]any) bool {
	var x, y any
	one, _ := json.Marshal(a)
	two, _ := json.Marshal(b)
	return json.Unmarshal(one, &x) == nil && json.Unmarshal(two, &y) == nil && reflect.DeepEqual(x, y)
}

// finish gives the workflow its end.
func (r *workflowRun) finish(phase, message string) {
	r.status["phase"], r.status["message"], r.status["finishedAt"] = phase, message, r.stamp()
	r.status["conditions"] = []any{map[string]any{"type": "Completed", "status": "True"}}
	done, all := 0, 0
	var outputs []any
	for _, id := range sortedKeys(r.nodes) {
		n := r.node(id)
		if n.str("type") != "Pod" {
			continue
		}
		all++
		if n.str("phase") == "Succeeded" {
			done++
			outputs = append(outputs, listAt(n, "outputs", "parameters")...)
		}
	}
	r.status["progress"] = fmt.Sprintf("%d/%d", done, all)
	if len(outputs) > 0 {
		r.status["outputs"] = map[string]any{"parameters": outputs}
	}
	setLabel(r.wf, "workflows.argoproj.io/phase", phase)
	setLabel(r.wf, "workflows.argoproj.io/completed", "true")
}

// WorkflowNodeID is the id of a workflow's node of this name.
func WorkflowNodeID(workflow, name string) string {
	if workflow == name {
		return name
	}
	return fmt.Sprintf("%s-%d", workflow, hashed(name))
}

func hashed(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}
