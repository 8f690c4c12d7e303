package argotest

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (s *WorkflowServer) create(w http.ResponseWriter, namespace string, rest []string, body map[string]any) {
	if body["namespace"] != namespace {
		s.t.Errorf("the body's namespace is %v", body["namespace"])
	}
	wf := &unstructured.Unstructured{Object: objectAt(body, "workflow")}
	dry, _ := body["serverDryRun"].(bool)
	if len(rest) > 0 && rest[0] == "submit" {
		s.only(body, "namespace", "resourceKind", "resourceName", "submitOptions")
		from := s.templates[str(body, "resourceKind")+"/"+namespace+"/"+str(body, "resourceName")]
		if str(body, "resourceKind") == "ClusterWorkflowTemplate" {
			from = s.templates["ClusterWorkflowTemplate//"+str(body, "resourceName")]
		}
		if from == nil {
			complain(w, http.StatusNotFound, 5, fmt.Sprintf("%s %q not found", body["resourceKind"], body["resourceName"]))
			return
		}
		o := objectAt(body, "submitOptions")
		wf.Object = s.submitted(from, namespace, o)
		dry, _ = o["serverDryRun"].(bool)
	} else {
		s.only(body, "namespace", "workflow", "serverDryRun", "createOptions")
	}
	if wf.Object == nil || wf.GetName() == "" {
		complain(w, http.StatusBadRequest, 3, "workflow has no name")
		return
	}
	if s.workflows[namespace+"/"+wf.GetName()] != nil {
		complain(w, http.StatusConflict, 6, fmt.Sprintf("workflows.argoproj.io %q already exists", wf.GetName()))
		return
	}
	if !dry {
		s.add(wf)
	}
	reply(w, wf.Object)
}

// submitted is the workflow that the server makes of a template.
func (s *WorkflowServer) submitted(from *unstructured.Unstructured, namespace string, o map[string]any) map[string]any {
	s.only(o, "name", "generateName", "entryPoint", "parameters", "serviceAccount", "labels", "annotations", "serverDryRun")
	metadata := map[string]any{"name": o["name"], "generateName": o["generateName"], "namespace": namespace}
	wf := map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata}
	const prefix = "workflows.argoproj.io/"
	switch from.GetKind() {
	case "CronWorkflow":
		wf["spec"] = (&unstructured.Unstructured{Object: objectAt(from.Object, "spec", "workflowSpec")}).DeepCopy().Object
		set(wf, from.GetName(), "metadata", "labels", prefix+"cron-workflow")
		set(wf, time.Now().UTC().Format(time.RFC3339), "metadata", "annotations", prefix+"scheduled-time")
	case "ClusterWorkflowTemplate":
		wf["spec"] = map[string]any{"workflowTemplateRef": map[string]any{"name": from.GetName(), "clusterScope": true}}
		set(wf, from.GetName(), "metadata", "labels", prefix+"cluster-workflow-template")
	default:
		wf["spec"] = map[string]any{"workflowTemplateRef": map[string]any{"name": from.GetName()}}
		set(wf, from.GetName(), "metadata", "labels", prefix+"workflow-template")
	}
	for path, text := range map[string]string{"labels": str(o, "labels"), "annotations": str(o, "annotations")} {
		for pair := range strings.SplitSeq(text, ",") {
			name, value, _ := strings.Cut(pair, "=")
			set(wf, value, "metadata", path, name)
		}
	}
	if v := str(o, "entryPoint"); v != "" {
		set(wf, v, "spec", "entrypoint")
	}
	if v := str(o, "serviceAccount"); v != "" {
		set(wf, v, "spec", "serviceAccountName")
	}
	override(wf, texts(o["parameters"]))
	return wf
}

// override puts parameters, as name=value, before those of a workflow.
func override(wf map[string]any, parameters []string) {
	given := map[string]bool{}
	var all []any
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		given[name] = true
		all = append(all, map[string]any{"name": name, "value": value})
	}
	for _, v := range listAt(wf, "spec", "arguments", "parameters") {
		if p, ok := v.(map[string]any); ok && !given[str(p, "name")] {
			all = append(all, p)
		}
	}
	if len(given) > 0 {
		set(wf, all, "spec", "arguments", "parameters")
	}
}

func (s *WorkflowServer) operate(w http.ResponseWriter, wf *unstructured.Unstructured, operation string, body map[string]any) {
	if body["name"] != wf.GetName() || body["namespace"] != wf.GetNamespace() {
		s.t.Errorf("the body says %v/%v", body["namespace"], body["name"])
	}
	over := ended(str(objectAt(wf.Object, "status"), "phase"))
	refuse := func(message string) { complain(w, http.StatusBadRequest, 3, message) }
	switch operation {
	case "retry":
		s.only(body, "name", "namespace", "restartSuccessful", "nodeFieldSelector", "parameters")
		if again, _ := body["restartSuccessful"].(bool); !over || !again && str(objectAt(wf.Object, "status"), "phase") == "Succeeded" {
			refuse("workflow must be Failed/Error to retry")
			return
		}
		s.retry(wf, body)
	case "resume":
		s.only(body, "name", "namespace", "nodeFieldSelector")
		if body["nodeFieldSelector"] == nil {
			delete(objectAt(wf.Object, "spec"), "suspend")
		}
		s.suspended(wf, body, "Succeeded")
	case "suspend":
		s.only(body, "name", "namespace")
		if over {
			refuse("cannot suspend completed workflows")
			return
		}
		set(wf.Object, true, "spec", "suspend")
	case "stop", "terminate":
		if operation == "stop" {
			s.only(body, "name", "namespace", "nodeFieldSelector", "message")
		} else {
			s.only(body, "name", "namespace")
		}
		switch {
		case body["nodeFieldSelector"] != nil:
			s.suspended(wf, body, "Failed")
		case over:
			refuse("cannot shutdown a completed workflow")
			return
		case operation == "stop":
			set(wf.Object, "Stop", "spec", "shutdown")
		default:
			set(wf.Object, "Terminate", "spec", "shutdown")
		}
	default:
		s.t.Errorf("there is no operation %s", operation)
	}
	reply(w, wf.Object)
}

// retry keeps of the nodes those that have succeeded, but for those that are
// selected to run again.
func (s *WorkflowServer) retry(wf *unstructured.Unstructured, body map[string]any) {
	again, _ := body["restartSuccessful"].(bool)
	kept := map[string]any{}
	for id, v := range objectAt(wf.Object, "status", "nodes") {
		if n, ok := v.(map[string]any); ok && n["phase"] == "Succeeded" && (!again || !s.selected(n, body)) {
			kept[id] = n
		}
	}
	wf.Object["status"] = map[string]any{"phase": "", "startedAt": time.Now().UTC().Format(time.RFC3339Nano), "nodes": kept}
	delete(objectAt(wf.Object, "spec"), "shutdown")
	override(wf.Object, texts(body["parameters"]))
}

// selected tells whether a node is one that the body selects. Only one key=value
// is understood.
func (s *WorkflowServer) selected(n, body map[string]any) bool {
	selector := str(body, "nodeFieldSelector")
	if selector == "" {
		return true
	}
	key, value, ok := strings.Cut(selector, "=")
	if !ok || strings.ContainsAny(selector, ",!") {
		s.t.Errorf("this server does not know the selector %s", selector)
	}
	return n[key] == value
}

// suspended ends the suspend nodes that the body selects.
func (s *WorkflowServer) suspended(wf *unstructured.Unstructured, body map[string]any, phase string) {
	for _, v := range objectAt(wf.Object, "status", "nodes") {
		n, ok := v.(map[string]any)
		if !ok || n["type"] != "Suspend" || n["phase"] != "Running" || !s.selected(n, body) {
			continue
		}
		n["phase"], n["finishedAt"] = phase, time.Now().UTC().Format(time.RFC3339)
		if message := str(body, "message"); message != "" {
			n["message"] = message
		}
	}
}

// Play brings all workflows on as their controller does: to the end, unless they
// wait for somebody.
func (s *WorkflowServer) Play() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range sortedKeys(s.workflows) {
		wf := s.workflows[key]
		status := objectAt(wf.Object, "status")
		if ended(str(status, "phase")) {
			continue
		}
		status = maps.Clone(status)
		if status == nil {
			status = map[string]any{}
		}
		wf.Object["status"] = status
		status["phase"] = "Running"
		shutdown := str(objectAt(wf.Object, "spec"), "shutdown")
		if suspended, _ := objectAt(wf.Object, "spec")["suspend"].(bool); suspended && shutdown == "" {
			continue
		}
		phase, message := "Succeeded", ""
		for _, v := range objectAt(status, "nodes") {
			n, _ := v.(map[string]any)
			switch {
			case n["phase"] == "Failed" && phase != "Running":
				phase, message = "Failed", str(n, "message")
			case n["type"] == "Suspend" && n["phase"] == "Running":
				phase = "Running"
			}
		}
		if shutdown != "" {
			phase, message = "Failed", fmt.Sprintf("Stopped with strategy '%s'", shutdown)
		}
		if ended(phase) {
			status["phase"], status["message"], status["finishedAt"] = phase, message, time.Now().UTC().Format(time.RFC3339)
		}
	}
}
