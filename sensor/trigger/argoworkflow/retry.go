package argoworkflow

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// retried is how a workflow goes on from where it failed.
type retried struct {
	// workflow as it is to be written.
	workflow *unstructured.Unstructured
	// pods are the ids of the nodes whose pods have to be gone before that.
	pods map[string]bool
}

// retryOf makes a workflow that has failed ready to run again. Nodes that have
// succeeded stay; those that failed, and all that came after them, are forgotten,
// and those around them run again.
func retryOf(old *unstructured.Unstructured, o *options, now time.Time) (*retried, error) {
	switch phase := text(old.Object, "status", "phase"); phase {
	case phaseFailed, phaseError:
	case phaseSucceeded:
		if !o.restart {
			return nil, fmt.Errorf("%w: it has succeeded (--restart-successful and --node-field-selector say what to run again)", errNotNow)
		}
	default:
		return nil, fmt.Errorf("%w: it is %s, and only what has failed can be retried", errNotNow, phaseName(phase))
	}
	all, how, err := readNodes(old)
	if err != nil {
		return nil, err
	}
	r := retrier{workflow: old.GetName(), all: all, parents: all.parents(), gone: map[string]bool{}, reset: map[string]bool{}}
	failed := r.toDelete(o)
	if len(failed) == 0 && len(all) > 0 && !slices.ContainsFunc(all.sorted(), func(id string) bool { return all[id].ofExitHandler(r.workflow) && all[id].failed() }) {
		return nil, fmt.Errorf("%w: none of its pods has failed, so that there is nothing to run again (resubmit it)", errNotNow)
	}
	for _, id := range r.inOrder(failed) {
		if !r.gone[id] {
			r.forget(id)
		}
	}
	out := &retried{workflow: old.DeepCopy(), pods: r.apply(len(o.parameters) > 0, now)}
	return out, errors.Join(writeNodes(out.workflow, all, how), reopen(out.workflow, o, now))
}

func phaseName(phase string) string {
	if phase == "" {
		return "not begun"
	}
	return phase
}

// retrier works on the nodes of one workflow.
type retrier struct {
	workflow string
	all      nodes
	parents  map[string][]string
	// gone are the ids of nodes that are forgotten, reset of those that run again.
	gone, reset map[string]bool
}

// toDelete are the nodes that failed and have to run again.
func (r *retrier) toDelete(o *options) map[string]bool {
	chosen := map[string]bool{}
	if o.restart {
		for id, n := range r.all {
			if o.nodes.matches(n) {
				chosen[id] = true
			}
		}
	}
	failed := map[string]bool{}
	for id, n := range r.all {
		switch n.get("type") {
		case typePod, typeContainer, typeHTTP, typePlugin:
		default:
			continue
		}
		from := id
		if retried, _ := at(n, "nodeFlag")["retried"].(bool); retried && len(r.parents[id]) > 0 {
			from = r.parents[id][0]
		}
		if n.failed() && !r.ofExit(n) && !r.succeededBelow(from, chosen) {
			failed[id] = true
		}
	}
	for id := range chosen {
		failed[id] = true
	}
	return failed
}

func (r *retrier) ofExit(n node) bool { return n.ofExitHandler(r.workflow) }

// succeededBelow tells whether a descendant has succeeded, and is not to run again.
func (r *retrier) succeededBelow(id string, chosen map[string]bool) bool {
	for c := range r.all.below(id) {
		if r.all[c].get("phase") == phaseSucceeded && !chosen[c] {
			return true
		}
	}
	return false
}

// inOrder gives the ids breadth first from the root, then those that cannot be
// reached from there.
func (r *retrier) inOrder(of map[string]bool) []string {
	var order []string
	seen := map[string]bool{}
	visit := func(queue []string) {
		for ; len(queue) > 0; queue = queue[1:] {
			id := queue[0]
			if seen[id] {
				continue
			}
			seen[id] = true
			if of[id] {
				order = append(order, id)
			}
			queue = append(queue, r.all[id].ids("children")...)
		}
	}
	for _, id := range r.all.sorted() {
		if r.all[id].get("name") == r.workflow {
			visit([]string{id})
		}
	}
	for _, id := range r.all.sorted() {
		visit([]string{id})
	}
	return order
}

// forget deletes a node with all that came after it, and has those around it
// run again.
func (r *retrier) forget(id string) {
	n := r.all[id]
	if n.get("type") == typeContainer {
		if pod := r.podOf(id); pod != "" {
			id, n = pod, r.all[pod]
		}
	}
	r.gone[id] = true
	for c := range r.all.below(id) {
		if r.all[c] != nil && !r.ofExit(r.all[c]) {
			r.gone[c] = true
		}
	}
	r.around(id, map[string]bool{})
	if b := n.get("boundaryID"); r.all[b] != nil {
		r.again(b)
		r.climb(b)
	}
}

// podOf is the node of the pod that a container ran in.
func (r *retrier) podOf(id string) string {
	seen := map[string]bool{}
	for queue := append([]string{r.all[id].get("boundaryID")}, r.parents[id]...); len(queue) > 0; queue = queue[1:] {
		up := queue[0]
		if seen[up] || r.all[up] == nil {
			continue
		}
		seen[up] = true
		switch r.all[up].get("type") {
		case typePod:
			return up
		case typeContainer:
			queue = append(queue, r.parents[up]...)
		}
	}
	return ""
}

// around has the groups and the Retry that a node is a part of run again, and
// those that these are a part of.
func (r *retrier) around(id string, seen map[string]bool) {
	for _, up := range r.parents[id] {
		if seen[up] {
			continue
		}
		seen[up] = true
		switch r.all[up].get("type") {
		case typeTaskGroup, typeStepGroup, typeRetry:
			r.again(up)
			r.around(up, seen)
			r.climb(up)
		case typeDAG, typeSteps:
			r.again(up)
			r.climb(up)
		}
	}
}

// climb has all nodes that a node lies within run again.
func (r *retrier) climb(id string) {
	seen := map[string]bool{}
	for b := r.all[id].get("boundaryID"); ; b = r.all[b].get("boundaryID") {
		for _, up := range r.parents[id] {
			switch r.all[up].get("type") {
			case typeStepGroup, typeTaskGroup, typeRetry:
				r.again(up)
			}
		}
		if r.all[b] == nil || seen[b] {
			return
		}
		seen[b] = true
		r.again(b)
		id = b
	}
}

func (r *retrier) again(id string) {
	r.reset[id] = true
}

// apply changes the nodes, and gives the ids of those whose pods must go.
func (r *retrier) apply(overridden bool, now time.Time) map[string]bool {
	pods := map[string]bool{}
	for id, n := range r.all {
		if r.ofExit(n) {
			r.gone[id] = true
		}
	}
	for id, n := range r.all { // left out because of what failed: to be looked at again
		if n.get("phase") == phaseOmitted && r.reset[n.get("boundaryID")] {
			r.gone[id] = true
		}
	}
	if overridden {
		for id := range r.reset {
			if t := r.all[id].get("type"); t == typeTaskGroup || t == typeStepGroup {
				for c := range r.all.below(id) {
					r.gone[c] = true
				}
			}
		}
	}
	for id := range r.gone {
		if r.all[id].get("type") == typePod {
			pods[id] = true
		}
		delete(r.all, id)
	}
	stamp := now.UTC().Format(time.RFC3339)
	for id, n := range r.all {
		for _, key := range []string{"children", "outboundNodes"} {
			ids := n.ids(key)
			left := slices.DeleteFunc(slices.Clone(ids), func(c string) bool { return r.gone[c] })
			if len(left) < len(ids) {
				n.setIDs(key, left)
			}
		}
		if !r.reset[id] {
			continue
		}
		if n.get("phase") != phaseSkipped {
			n["phase"] = phaseRunning
		}
		delete(n, "message")
		n["startedAt"], n["finishedAt"] = stamp, nil
		if n.get("type") == typeSuspend {
			n.askAgain()
		}
	}
	return pods
}

// askAgain makes the outputs that somebody supplied ones that are to be supplied.
func (n node) askAgain() {
	for _, v := range list(n, "outputs", "parameters") {
		p, ok := v.(map[string]any)
		if !ok || p["value"] == nil {
			continue
		}
		delete(p, "value")
		p["valueFrom"] = map[string]any{"supplied": map[string]any{}}
	}
}

// reopen changes all but the nodes.
func reopen(wf *unstructured.Unstructured, o *options, now time.Time) error {
	labels := wf.GetLabels()
	delete(labels, labelCompleted)
	delete(labels, labelArchiving)
	wf.SetLabels(labels)
	spec, status := at(wf.Object, "spec"), at(wf.Object, "status")
	if spec == nil || status == nil {
		return errors.New("it has no spec or no status")
	}
	status["phase"], status["message"] = "", ""
	status["startedAt"], status["finishedAt"] = now.UTC().Format(time.RFC3339), nil
	delete(status, "persistentVolumeClaims")
	notCompleted(status)
	stored := at(status, "storedWorkflowTemplateSpec")
	for _, s := range []map[string]any{spec, stored} {
		delete(s, "shutdown")
		if isZero(s["activeDeadlineSeconds"]) {
			delete(s, "activeDeadlineSeconds")
		}
		if s != nil {
			if err := setParameters(s, o.parameters); err != nil {
				return err
			}
		}
	}
	return nil
}

// notCompleted sets the condition Completed.
func notCompleted(status map[string]any) {
	kept := slices.DeleteFunc(slices.Clone(list(status, "conditions")), func(v any) bool {
		c, ok := v.(map[string]any)
		return ok && text(c, "type") == "Completed"
	})
	status["conditions"] = append(kept, map[string]any{"type": "Completed", "status": "False"})
}

func isZero(v any) bool {
	switch n := v.(type) {
	case int64:
		return n == 0
	case float64:
		return n == 0
	case string:
		return n == "0"
	}
	return false
}

// setParameters puts arguments before those of a spec, and over those of the
// same name.
func setParameters(spec map[string]any, ps []parameter) error {
	if len(ps) == 0 {
		return nil
	}
	given := map[string]bool{}
	var all []any
	for _, p := range ps {
		given[p.Name] = true
		all = append(all, map[string]any{"name": p.Name, "value": p.Value})
	}
	for _, v := range list(spec, "arguments", "parameters") {
		if p, ok := v.(map[string]any); !ok || !given[text(p, "name")] {
			all = append(all, v)
		}
	}
	return unstructured.SetNestedSlice(spec, all, "arguments", "parameters")
}
