package argotest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// workflowRun is one look at one workflow.
type workflowRun struct {
	*workflowPlayer
	ctx       context.Context // of this look
	wf        *unstructured.Unstructured
	status    map[string]any
	nodes     map[string]any
	templates map[string]map[string]any
	// fresh are the nodes that this look has made.
	fresh map[string]bool
	now   time.Time
}

type playedNode map[string]any

func (n playedNode) str(key string) string { return str(n, key) }

func (r *workflowRun) stamp() string { return r.now.Format(time.RFC3339) }

func (r *workflowRun) node(id string) playedNode {
	n, _ := r.nodes[id].(map[string]any)
	return n
}

// run looks at the whole workflow.
func (r *workflowRun) run() {
	spec := objectAt(r.wf.Object, "spec")
	if shutdown := str(spec, "shutdown"); shutdown != "" {
		for _, id := range sortedKeys(r.nodes) {
			if n := r.node(id); !ended(n.str("phase")) {
				r.close(n, "Failed", "workflow shutdown with strategy:  "+shutdown)
			}
		}
		r.finish("Failed", fmt.Sprintf("Stopped with strategy '%s'", shutdown))
		return
	}
	if suspended, _ := spec["suspend"].(bool); suspended {
		return
	}
	if missing := r.readTemplates(spec); missing != "" {
		r.finish("Error", missing)
		return
	}
	phase := r.template(r.wf.GetName(), str(spec, "entrypoint"), "", nil)
	if !ended(phase) {
		return
	}
	if exit := str(spec, "onExit"); exit != "" {
		if after := r.template(r.wf.GetName()+".onExit", exit, "", nil); !ended(after) {
			return
		} else if after != "Succeeded" {
			phase = after
		}
	}
	message := ""
	if phase != "Succeeded" {
		message = r.node(r.wf.GetName()).str("message")
	}
	r.finish(phase, message)
}

// readTemplates says what is missing.
func (r *workflowRun) readTemplates(spec map[string]any) string {
	from := spec
	if ref := objectAt(spec, "workflowTemplateRef"); ref != nil {
		in, name := WorkflowTemplates, str(ref, "name")
		api := r.client.Resource(in).Namespace(r.namespace)
		var o *unstructured.Unstructured
		var err error
		if cluster, _ := ref["clusterScope"].(bool); cluster {
			in = ClusterWorkflowTemplates
			o, err = r.client.Resource(in).Get(r.ctx, name, metav1.GetOptions{})
		} else {
			o, err = api.Get(r.ctx, name, metav1.GetOptions{})
		}
		if err != nil {
			return fmt.Sprintf("%s.argoproj.io %q not found", in.Resource, name)
		}
		from = objectAt(o.Object, "spec")
		if str(spec, "entrypoint") == "" {
			spec = maps.Clone(spec)
			spec["entrypoint"] = str(from, "entrypoint")
		}
		objectAt(r.wf.Object, "spec")["entrypoint"] = spec["entrypoint"]
	}
	for _, v := range listAt(from, "templates") {
		if t, ok := v.(map[string]any); ok {
			r.templates[str(t, "name")] = t
		}
	}
	return ""
}

// open makes a node that runs, as a child of others, unless it is there.
func (r *workflowRun) open(name, kind, template, boundary string, parents []string) playedNode {
	id := WorkflowNodeID(r.wf.GetName(), name)
	n := r.node(id)
	if n == nil {
		display := name
		if i := strings.LastIndexAny(name, ".["); i >= 0 && strings.HasPrefix(name, r.wf.GetName()) && i >= len(r.wf.GetName()) {
			display = strings.TrimPrefix(name[i:], ".")
		}
		n = playedNode{"id": id, "name": name, "displayName": display, "type": kind, "phase": "Running", "startedAt": r.begin(name), "finishedAt": nil}
		if template != "" {
			n["templateName"] = template
		}
		if boundary != "" {
			n["boundaryID"] = boundary
		}
		r.nodes[id] = map[string]any(n)
		r.fresh[id] = true
	}
	for _, parent := range parents {
		up := r.node(parent)
		if children := texts(up["children"]); up != nil && !slices.Contains(children, id) {
			up["children"] = anys(append(children, id))
		}
	}
	return n
}

func (r *workflowRun) key(node string) string { return string(r.wf.GetUID()) + "/" + node }

// begin is when a node begins: the same until the node has been stored.
func (r *workflowRun) begin(name string) string {
	if r.begun[r.key(name)] == "" {
		r.begun[r.key(name)] = r.now.Format(time.RFC3339Nano)
	}
	return r.begun[r.key(name)]
}

func (r *workflowRun) close(n playedNode, phase, message string) string {
	n["phase"], n["finishedAt"] = phase, r.stamp()
	if message != "" {
		n["message"] = message
	}
	return phase
}

// outbound are the last nodes of what a node stands for.
func (r *workflowRun) outbound(id string) []string {
	if out := texts(r.node(id)["outboundNodes"]); len(out) > 0 {
		return out
	}
	return []string{id}
}

// template runs a template as the node of this name, and gives its phase.
func (r *workflowRun) template(name, template, boundary string, parents []string) string {
	t := r.templates[template]
	if n := r.node(WorkflowNodeID(r.wf.GetName(), name)); n != nil && ended(n.str("phase")) {
		return r.open(name, "", "", "", parents).str("phase")
	}
	switch {
	case t["steps"] != nil:
		return r.steps(r.open(name, "Steps", template, boundary, parents), t)
	case t["dag"] != nil:
		return r.dag(r.open(name, "DAG", template, boundary, parents), t)
	case t["suspend"] != nil:
		n := r.open(name, "Suspend", template, boundary, parents)
		if outputs := objectAt(t, "outputs"); outputs != nil && n["outputs"] == nil {
			n["outputs"] = (&unstructured.Unstructured{Object: outputs}).DeepCopy().Object
		}
		return n.str("phase")
	case t["retryStrategy"] != nil:
		return r.retries(r.open(name, "Retry", template, boundary, parents), t)
	}
	return r.pod(r.open(name, "Pod", template, boundary, parents))
}

func (r *workflowRun) steps(n playedNode, t map[string]any) string {
	last := []string{n.str("id")}
	for i, v := range listAt(t, "steps") {
		group := r.open(fmt.Sprintf("%s[%d]", n.str("name"), i), "StepGroup", "", n.str("id"), last)
		group["displayName"] = fmt.Sprintf("[%d]", i)
		last = nil
		result := "Succeeded"
		steps, _ := v.([]any)
		for _, v := range steps {
			step, _ := v.(map[string]any)
			name := group.str("name") + "." + str(step, "name")
			result = worse(result, r.template(name, str(step, "template"), n.str("id"), []string{group.str("id")}))
			last = append(last, r.outbound(WorkflowNodeID(r.wf.GetName(), name))...)
		}
		if !ended(result) {
			return "Running"
		}
		r.close(group, result, "")
		if result != "Succeeded" {
			return r.close(n, result, "child failed")
		}
	}
	n["outboundNodes"] = anys(last)
	return r.close(n, "Succeeded", "")
}

func (r *workflowRun) dag(n playedNode, t map[string]any) string {
	id := func(task string) string { return WorkflowNodeID(r.wf.GetName(), n.str("name")+"."+task) }
	result := "Succeeded"
	var last []string
	for _, v := range listAt(t, "dag", "tasks") { // in an order that respects the dependencies
		task, _ := v.(map[string]any)
		name := n.str("name") + "." + str(task, "name")
		parents, wait, omit := []string{n.str("id")}, false, false
		for i, dep := range texts(task["dependencies"]) {
			if i == 0 {
				parents = nil
			}
			phase := r.node(id(dep)).str("phase")
			wait = wait || !ended(phase)
			omit = omit || ended(phase) && phase != "Succeeded"
			parents = append(parents, r.outbound(id(dep))...)
		}
		switch {
		case wait:
			result = worse(result, "Running")
		case omit:
			r.close(r.open(name, "Skipped", "", n.str("id"), parents), "Omitted", "omitted: depends condition not met")
		default:
			result = worse(result, r.template(name, str(task, "template"), n.str("id"), parents))
		}
		last = r.outbound(id(str(task, "name")))
	}
	if !ended(result) {
		return "Running"
	}
	n["outboundNodes"] = anys(last)
	return r.close(n, result, "")
}

func (r *workflowRun) retries(n playedNode, t map[string]any) string {
	limit := fmt.Sprint(objectAt(t, "retryStrategy")["limit"])
	for i := 0; ; i++ {
		attempt := r.open(fmt.Sprintf("%s(%d)", n.str("name"), i), "Pod", n.str("templateName"), n.str("boundaryID"), []string{n.str("id")})
		attempt["nodeFlag"] = map[string]any{"retried": true}
		phase := r.pod(attempt)
		switch {
		case !ended(phase):
			return "Running"
		case phase == "Succeeded":
			n["outboundNodes"] = []any{attempt.str("id")}
			return r.close(n, phase, "")
		case fmt.Sprint(i) == limit || i > 10:
			return r.close(n, phase, "No more retries left")
		}
	}
}

func (r *workflowRun) pod(n playedNode) string {
	attempt := r.key(n.str("name")) + "/" + n.str("startedAt")
	if phase := n.str("phase"); ended(phase) || r.hung[attempt] {
		return phase
	}
	if r.pods && (r.fresh[n.str("id")] || n.str("phase") == "Pending") && !r.made[attempt] {
		if !r.makePod(n) {
			r.hung[attempt] = true
			n["phase"] = "Pending"
			return "Pending"
		}
		r.made[attempt] = true
	}
	n["phase"] = "Running"
	begun, err := time.Parse(time.RFC3339Nano, n.str("startedAt"))
	if err != nil || r.now.Sub(begun) < r.take {
		return "Running"
	}
	run := PodRun{Workflow: r.wf.GetName(), Node: n.str("name"), Template: n.str("templateName"), Arguments: map[string]string{}}
	for _, v := range listAt(r.wf.Object, "spec", "arguments", "parameters") {
		if p, ok := v.(map[string]any); ok {
			run.Arguments[str(p, "name")] = fmt.Sprint(p["value"])
		}
	}
	// What is not stored because somebody else was faster is asked for again.
	if key := r.key(n.str("name")); r.runs[attempt] == 0 {
		r.runs[key]++
		r.runs[attempt] = r.runs[key]
	}
	run.Times = r.runs[attempt]
	end := r.end(run)
	if end.Phase == "" {
		end.Phase = "Succeeded"
	}
	var outputs []any
	for _, name := range sortedKeys(end.Outputs) {
		outputs = append(outputs, map[string]any{"name": name, "value": end.Outputs[name]})
	}
	if len(outputs) > 0 {
		n["outputs"] = map[string]any{"parameters": outputs}
	}
	return r.close(n, end.Phase, end.Message)
}

// makePod is false if there is a pod of that name.
func (r *workflowRun) makePod(n playedNode) bool {
	name := r.wf.GetName()
	if n.str("name") != name {
		name = fmt.Sprintf("%s-%s-%d", name, n.str("templateName"), hashed(n.str("name")))
	}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": name, "labels": map[string]any{"workflows.argoproj.io/workflow": r.wf.GetName()},
			"annotations": map[string]any{"workflows.argoproj.io/node-id": n.str("id"), "workflows.argoproj.io/node-name": n.str("name")},
		},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": "none"}}},
	}}
	_, err := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(r.namespace).Create(r.ctx, pod, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) && r.ctx.Err() == nil {
		r.t.Logf("make the pod %s: %v", name, err)
	}
	return err == nil || r.ctx.Err() != nil
}

// worse is the phase of a group with a child of phase b that was a without it.
func worse(a, b string) string {
	switch {
	case !ended(a) || !ended(b):
		return "Running"
	case b == "Skipped" || b == "Omitted" || b == "Succeeded":
		return a
	}
	return b
}

func ended(phase string) bool {
	return slices.Contains([]string{"Succeeded", "Failed", "Error", "Skipped", "Omitted"}, phase)
}

func str(o map[string]any, key string) string {
	s, _ := o[key].(string)
	return s
}

func objectAt(o map[string]any, path ...string) map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	m, _ := v.(map[string]any)
	return m
}

func listAt(o map[string]any, path ...string) []any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	l, _ := v.([]any)
	return l
}

func texts(v any) []string {
	l, _ := v.([]any)
	var all []string
	for _, e := range l {
		if s, ok := e.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

func anys(all []string) []any {
	l := make([]any, len(all))
	for i, s := range all {
		l[i] = s
	}
	return l
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func setLabel(o *unstructured.Unstructured, name, value string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[name] = value
	o.SetLabels(labels)
}
