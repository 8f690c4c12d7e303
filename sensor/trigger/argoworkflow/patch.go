package argoworkflow

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// past is what is said of an operation when it is done.
func past(operation string) string {
	switch operation {
	case opSubmit, opSubmitFrom:
		return "submitted"
	case opStop:
		return "stopped"
	case opRetry:
		return "retried"
	case opSuspend:
		return "suspended"
	case opResubmit:
		return "resubmitted as"
	case opResume:
		return "resumed"
	}
	return "terminated"
}

// Values of spec.shutdown.
const (
	shutStop      = "Stop"
	shutTerminate = "Terminate"
)

func terminal(wf *unstructured.Unstructured) bool {
	switch text(wf.Object, "status", "phase") {
	case phaseSucceeded, phaseFailed, phaseError:
		return true
	}
	return false
}

// firing is the metadata that marks a workflow as changed by this firing.
func (act *action) firing() map[string]any {
	return map[string]any{"annotations": map[string]any{annotationFiring: act.in.ID}}
}

// patch is the merge patch of suspend, stop, terminate and resume.
func (act *action) patch() map[string]any {
	spec := map[string]any{}
	switch act.operation {
	case opSuspend:
		spec["suspend"] = true
	case opResume:
		spec["suspend"] = nil
	case opStop:
		spec["shutdown"] = shutStop
	case opTerminate:
		spec["shutdown"] = shutTerminate
	}
	return map[string]any{"metadata": act.firing(), "spec": spec}
}

// already tells that there is nothing to do for suspend, stop and terminate, and
// why; an error, that it cannot be done.
func (act *action) already(wf *unstructured.Unstructured) (string, error) {
	if terminal(wf) {
		return "", fmt.Errorf("%w: it has ended, it is %s", errNotNow, text(wf.Object, "status", "phase"))
	}
	suspended, _, _ := unstructured.NestedBool(wf.Object, "spec", "suspend")
	shutdown := text(wf.Object, "spec", "shutdown")
	switch {
	case act.operation == opSuspend && suspended:
		return "found suspended:", nil
	case act.operation == opStop && shutdown != "", act.operation == opTerminate && shutdown == shutTerminate:
		return "found stopping:", nil
	}
	return "", nil
}

// waiting are the ids of the active suspend nodes that are meant.
func (act *action) waiting(all nodes) ([]string, error) {
	var ids []string
	for _, id := range all.sorted() {
		if all[id].active() && act.options.nodes.matches(all[id]) {
			ids = append(ids, id)
		}
	}
	if act.options.hasNodes && len(ids) == 0 {
		return nil, fmt.Errorf("%w: no node that waits to be resumed matches %q", errNotNow, act.options.nodesText)
	}
	return ids, nil
}

// nodePatch is the JSON patch that ends suspend nodes, and for resume the
// workflow's own suspension. Empty if there is nothing to do.
func (act *action) nodePatch(wf *unstructured.Unstructured, now time.Time) ([]any, error) {
	if terminal(wf) {
		return nil, fmt.Errorf("%w: it has ended, it is %s", errNotNow, text(wf.Object, "status", "phase"))
	}
	all, how, err := readNodes(wf)
	if err != nil {
		return nil, err
	}
	ids, err := act.waiting(all)
	if err != nil {
		return nil, err
	}
	var ops []any
	if _, there := at(wf.Object, "spec")["suspend"]; there && act.operation == opResume && !act.options.hasNodes {
		ops = append(ops, jsonOp("test", "/spec/suspend", at(wf.Object, "spec")["suspend"]), map[string]any{"op": "remove", "path": "/spec/suspend"})
	}
	for _, id := range ids {
		before := all[id].copied()
		if err := act.end(all[id], now); err != nil {
			return nil, fmt.Errorf("node %s: %w", id, err)
		}
		if how == plainNodes {
			ops = append(ops, nodeOps(id, before, all[id])...)
		}
	}
	if how != plainNodes && len(ids) > 0 {
		packed, err := all.pack(how)
		if err != nil {
			return nil, err
		}
		const path = "/status/compressedNodes"
		ops = append(ops, jsonOp("test", path, text(wf.Object, "status", "compressedNodes")), jsonOp("replace", path, packed))
	}
	if len(ops) == 0 {
		return nil, nil
	}
	return append(act.firingOps(wf), ops...), nil
}

// end is what becomes of a suspend node.
func (act *action) end(n node, now time.Time) error {
	n["finishedAt"] = now.UTC().Format(time.RFC3339)
	if act.operation == opStop {
		n["phase"] = phaseFailed
		if act.options.message != "" {
			n["message"] = act.options.message
		}
		return nil
	}
	n["phase"] = phaseSucceeded
	n["message"] = fmt.Sprintf("resumed by sensor %s/%s", act.in.Namespace, act.in.Sensor)
	for _, v := range list(n, "outputs", "parameters") {
		p, ok := v.(map[string]any)
		if !ok || at(p, "valueFrom", "supplied") == nil {
			continue
		}
		value, ok := at(p, "valueFrom")["default"]
		if !ok {
			return fmt.Errorf("somebody has to supply its output %q, which has no default", text(p, "name"))
		}
		p["value"] = value
		delete(p, "valueFrom")
	}
	return nil
}

func jsonOp(op, path string, value any) map[string]any {
	return map[string]any{"op": op, "path": path, "value": value}
}

// pointer makes s a part of a JSON pointer.
func pointer(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// nodeOps change one node, if it is still waiting.
func nodeOps(id string, before, after node) []any {
	path := "/status/nodes/" + pointer(id)
	ops := []any{
		jsonOp("test", path+"/phase", before["phase"]),
		jsonOp("replace", path+"/phase", after["phase"]),
		jsonOp("add", path+"/finishedAt", after["finishedAt"]),
	}
	if after["message"] != nil {
		ops = append(ops, jsonOp("add", path+"/message", after["message"]))
	}
	if ps := list(after, "outputs", "parameters"); len(ps) > 0 {
		const params = "/outputs/parameters"
		ops = append(ops, jsonOp("test", path+params, list(before, "outputs", "parameters")), jsonOp("replace", path+params, ps))
	}
	return ops
}

// firingOps write the firing's id.
func (act *action) firingOps(wf *unstructured.Unstructured) []any {
	const path = "/metadata/annotations"
	var ops []any
	if wf.GetAnnotations() == nil {
		ops = append(ops, jsonOp("test", path, nil), jsonOp("add", path, map[string]any{}))
	}
	return append(ops, jsonOp("add", path+"/"+pointer(annotationFiring), act.in.ID))
}

// fromCron completes the workflow of submit-from with what a CronWorkflow says.
func (act *action) fromCron(cron *unstructured.Unstructured, now time.Time) error {
	wf := act.object
	from := at(cron.Object, "spec", "workflowSpec")
	if from == nil {
		return errors.New("it has no spec.workflowSpec")
	}
	given := at(wf.Object, "spec")
	spec := (&unstructured.Unstructured{Object: from}).DeepCopy().Object
	for key, value := range given {
		if key != "arguments" {
			spec[key] = value
		}
	}
	if err := setParameters(spec, act.options.parameters); err != nil {
		return fmt.Errorf("its arguments: %w", err)
	}
	wf.Object["spec"] = spec
	labels, annotations := map[string]string{}, map[string]string{}
	for key, to := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		for name, value := range at(cron.Object, "spec", "workflowMetadata", key) {
			if s, ok := value.(string); ok {
				to[name] = s
			}
		}
	}
	if instance := cron.GetLabels()[labelInstance]; instance != "" {
		labels[labelInstance] = instance
	}
	for name, value := range wf.GetLabels() {
		labels[name] = value
	}
	annotations[annotationScheduled] = now.UTC().Format(time.RFC3339)
	for name, value := range wf.GetAnnotations() {
		annotations[name] = value
	}
	wf.SetLabels(labels)
	wf.SetAnnotations(annotations)
	var finalizers []string
	for _, v := range list(cron.Object, "spec", "workflowMetadata", "finalizers") {
		if s, ok := v.(string); ok {
			finalizers = append(finalizers, s)
		}
	}
	if len(finalizers) > 0 {
		wf.SetFinalizers(finalizers)
	}
	return unstructured.SetNestedSlice(wf.Object, []any{map[string]any{
		"apiVersion": apiVersion, "kind": kindCron, "name": cron.GetName(), "uid": string(cron.GetUID()),
		"controller": true, "blockOwnerDeletion": true,
	}}, "metadata", "ownerReferences")
}
