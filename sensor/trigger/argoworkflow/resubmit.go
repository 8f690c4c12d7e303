package argoworkflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// resubmitted is the new workflow that is made of an old one.
func (act *action) resubmitted(old *unstructured.Unstructured, now time.Time) (*unstructured.Unstructured, error) {
	o := &act.options
	prefix := old.GetGenerateName()
	if prefix == "" {
		prefix = old.GetName() + "-"
	}
	// Several may be made at once, of one prefix.
	sum := sha256.Sum256([]byte(old.GetNamespace() + "/" + old.GetName() + "/" + act.in.ID))
	wf := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kindWorkflow,
		"metadata": map[string]any{"name": generated(prefix, hex.EncodeToString(sum[:])), "generateName": prefix, "namespace": old.GetNamespace()},
	}}
	spec := (&unstructured.Unstructured{Object: at(old.Object, "spec")}).DeepCopy().Object
	if spec == nil {
		spec = map[string]any{}
	}
	delete(spec, "shutdown")
	if isZero(spec["activeDeadlineSeconds"]) {
		delete(spec, "activeDeadlineSeconds")
	}
	wf.Object["spec"] = spec
	if err := setParameters(spec, o.parameters); err != nil {
		return nil, fmt.Errorf("set its parameters: %w", err)
	}
	labels := old.GetLabels()
	for name := range labels {
		if strings.HasPrefix(name, labelCreator) || slices.Contains([]string{labelPhase, labelCompleted, labelArchiving, labelTime}, name) {
			delete(labels, name)
		}
	}
	wf.SetLabels(labels)
	setLabel(wf, labelResubmitted, asLabel(old.GetName()))
	wf.SetAnnotations(old.GetAnnotations())
	wf.SetOwnerReferences(old.GetOwnerReferences())
	act.mark(wf)
	if !o.memoized {
		return wf, nil
	}
	status, err := memoized(old, wf.GetName(), now)
	if err != nil {
		return nil, err
	}
	wf.Object["status"] = status
	return wf, nil
}

// memoized is the status that makes a workflow skip what an old one has done.
func memoized(old *unstructured.Unstructured, name string, now time.Time) (map[string]any, error) {
	if phase := text(old.Object, "status", "phase"); phase != phaseFailed && phase != phaseError {
		return nil, fmt.Errorf("%w: it is %s, and only what has failed can be resubmitted with --memoized", errNotNow, phaseName(phase))
	}
	all, _, err := readNodes(old)
	if err != nil {
		return nil, err
	}
	r := retrier{workflow: old.GetName(), all: all}
	renamed := func(n node) string {
		rest, ok := strings.CutPrefix(n.get("name"), old.GetName())
		if !ok {
			return n.get("name")
		}
		return name + rest
	}
	ids := map[string]string{} // new ids by old ones
	for id, n := range all {
		if !r.ofExit(n) {
			ids[id] = nodeID(name, renamed(n))
		}
	}
	stamp := now.UTC().Format(time.RFC3339)
	nodes := map[string]any{}
	for id, newID := range ids {
		n := all[id].copied()
		pod := n.get("type") == typePod
		switch {
		case pod && !n.failed():
			n["type"], n["phase"], n["message"] = typeSkipped, phaseSkipped, "original pod: "+id
			n["startedAt"], n["finishedAt"] = stamp, stamp
		case n.get("type") == typeSkipped && !r.succeededBelow(id, nil):
			continue
		default:
			n["phase"] = phasePending
			delete(n, "message")
			n["startedAt"], n["finishedAt"] = stamp, nil
		}
		n["id"], n["name"] = newID, renamed(n)
		if b, ok := ids[n.get("boundaryID")]; ok {
			n["boundaryID"] = b
		}
		for _, key := range []string{"children", "outboundNodes"} {
			var to []string
			for _, c := range n.ids(key) {
				if translated, ok := ids[c]; ok {
					to = append(to, translated)
				}
			}
			n.setIDs(key, to)
		}
		nodes[newID] = map[string]any(n)
	}
	status := map[string]any{
		"phase": "", "startedAt": nil, "finishedAt": nil,
		"conditions": []any{map[string]any{"type": "Completed", "status": "False"}},
	}
	if len(nodes) > 0 {
		status["nodes"] = nodes
	}
	if stored := at(old.Object, "status", "storedTemplates"); stored != nil {
		status["storedTemplates"] = (&unstructured.Unstructured{Object: stored}).DeepCopy().Object
	}
	return status, nil
}
