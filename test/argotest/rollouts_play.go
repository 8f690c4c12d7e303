package argotest

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	podHashLabel       = "rollouts-pod-template-hash"
	revisionAnnotation = "rollout.argoproj.io/revision"
)

// play is one look at one Rollout.
type play struct {
	p      *Rollouts
	o      *unstructured.Unstructured
	status map[string]any
	hash   string
	images []string
}

// reconcile moves a Rollout on by at most one step.
func (p *Rollouts) reconcile(ctx context.Context, o *unstructured.Unstructured) error {
	status, _, _ := unstructured.NestedMap(o.Object, "status")
	if status == nil {
		status = map[string]any{}
	}
	r := &play{p: p, o: o, status: status}
	template, selector, err := r.template(ctx)
	if err != nil || template == nil {
		return err
	}
	before := runtime.DeepCopyJSON(status)
	if r.hash, err = hashOf(template); err != nil {
		return err
	}
	for _, c := range list(get(template, "spec", "containers")) {
		image, _ := get(c, "image").(string)
		r.images = append(r.images, image)
	}
	if err := r.replicaSet(ctx, template, selector); err != nil {
		return err
	}
	r.move()
	status["observedGeneration"] = strconv.FormatInt(o.GetGeneration(), 10)
	if reflect.DeepEqual(before, status) {
		return nil
	}
	o.Object["status"] = status
	_, err = p.client.Resource(rollouts).Namespace(p.namespace).UpdateStatus(ctx, o, metav1.UpdateOptions{})
	return err
}

// template is the pod template, of the Rollout or of what workloadRef names.
func (r *play) template(ctx context.Context) (template, selector map[string]any, err error) {
	selector, _ = get(r.o.Object, "spec", "selector").(map[string]any)
	ref, ok := get(r.o.Object, "spec", "workloadRef").(map[string]any)
	if !ok {
		template, _ = get(r.o.Object, "spec", "template").(map[string]any)
		return template, selector, nil
	}
	gv, err := schema.ParseGroupVersion(text(ref["apiVersion"]))
	if err != nil {
		return nil, nil, err
	}
	resource := map[string]string{"Deployment": "deployments", "ReplicaSet": "replicasets", "PodTemplate": "podtemplates"}[text(ref["kind"])]
	w, err := r.p.client.Resource(gv.WithResource(resource)).Namespace(r.p.namespace).Get(ctx, text(ref["name"]), metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	r.status["workloadObservedGeneration"] = strconv.FormatInt(w.GetGeneration(), 10)
	if resource == "podtemplates" {
		template, _ = w.Object["template"].(map[string]any)
		return template, map[string]any{"matchLabels": get(template, "metadata", "labels")}, nil
	}
	template, _ = get(w.Object, "spec", "template").(map[string]any)
	selector, _ = get(w.Object, "spec", "selector").(map[string]any)
	return template, selector, nil
}

func hashOf(template map[string]any) (string, error) {
	b, err := json.Marshal(get(template, "spec"))
	if err != nil {
		return "", err
	}
	h := fnv.New32a()
	_, _ = h.Write(b)
	return fmt.Sprintf("%08x", h.Sum32()), nil
}

// replicaSet sees to it that the version has one, with the highest revision.
func (r *play) replicaSet(ctx context.Context, template, selector map[string]any) error {
	if r.status["currentPodHash"] == r.hash {
		return nil
	}
	api := r.p.client.Resource(replicaSets).Namespace(r.p.namespace)
	all, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	highest := int64(0)
	var own *unstructured.Unstructured
	for i := range all.Items {
		rs := &all.Items[i]
		if !metav1.IsControlledBy(rs, r.o) {
			continue
		}
		n, _ := strconv.ParseInt(rs.GetAnnotations()[revisionAnnotation], 10, 64)
		highest = max(highest, n)
		same, err := hashOf(bareTemplate(rs))
		if err != nil {
			return err
		}
		// The API fills defaults in, so that a template that was put back has another hash.
		if rs.GetLabels()[podHashLabel] == r.hash || same == r.hash {
			own, r.hash = rs, rs.GetLabels()[podHashLabel]
		}
	}
	if r.status["currentPodHash"] == r.hash {
		return nil
	}
	annotations := map[string]string{revisionAnnotation: strconv.FormatInt(highest+1, 10)}
	if own != nil && own.GetAnnotations()[revisionAnnotation] == strconv.FormatInt(highest, 10) {
		return nil
	}
	if own != nil {
		own.SetAnnotations(annotations)
		_, err := api.Update(ctx, own, metav1.UpdateOptions{})
		return err
	}
	rs := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet"}}
	rs.SetName(r.o.GetName() + "-" + r.hash)
	rs.SetAnnotations(annotations)
	rs.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(r.o, r.o.GroupVersionKind())})
	template, selector = runtime.DeepCopyJSON(template), runtime.DeepCopyJSON(selector)
	labels, _ := get(template, "metadata", "labels").(map[string]any)
	matched, _ := get(selector, "matchLabels").(map[string]any)
	if labels == nil || matched == nil {
		return fmt.Errorf("rollout %s has no labels for its pods", r.o.GetName())
	}
	own2 := map[string]string{podHashLabel: r.hash}
	for k, v := range labels {
		own2[k] = text(v)
	}
	rs.SetLabels(own2)
	labels[podHashLabel], matched[podHashLabel] = r.hash, r.hash
	rs.Object["spec"] = map[string]any{"replicas": int64(1), "selector": selector, "template": template}
	_, err = api.Create(ctx, rs, metav1.CreateOptions{})
	return err
}

func bareTemplate(rs *unstructured.Unstructured) map[string]any {
	template, _ := get(rs.Object, "spec", "template").(map[string]any)
	return template
}

// phase sets phase and message.
func (r *play) phase(phase, message string) {
	r.status["phase"] = phase
	if message == "" {
		delete(r.status, "message")
		return
	}
	r.status["message"] = message
}

func (r *play) pauses() []any { return list(r.status["pauseConditions"]) }

func (r *play) pauseFor(reason string) {
	r.status["pauseConditions"] = []any{map[string]any{"reason": reason, "startTime": now()}}
	r.status["controllerPause"] = true
	r.phase("Paused", reason)
}

func (r *play) unpause() {
	delete(r.status, "pauseConditions")
	r.status["controllerPause"] = false
}

// move is what becomes of the status.
func (r *play) move() {
	s := r.status
	steps := list(get(r.o.Object, "spec", "strategy", "canary", "steps"))
	if s["currentPodHash"] != r.hash {
		s["currentPodHash"] = r.hash
		r.unpause()
		delete(s, "abort")
		delete(s, "abortedAt")
		delete(s, "promoteFull")
		if len(steps) > 0 {
			s["currentStepIndex"] = int64(0)
		}
		if first := s["stableRS"] == nil; first || s["stableRS"] == r.hash {
			r.complete(steps)
			return
		}
		r.phase("Progressing", "more replicas need to be updated")
		return
	}
	if get(r.o.Object, "spec", "paused") == true {
		if s["controllerPause"] == true && len(r.pauses()) == 0 {
			s["controllerPause"] = false // so the end of a pause is lost
		}
		r.phase("Paused", "manually paused")
		return
	}
	if at := get(r.o.Object, "spec", "restartAt"); at != nil && s["restartedAt"] != at {
		s["restartedAt"] = at
		r.phase("Progressing", "rollout is restarting")
		return
	}
	switch {
	case s["stableRS"] == r.hash:
		delete(s, "abort")
		delete(s, "abortedAt")
		delete(s, "promoteFull")
		r.complete(steps)
	case s["promoteFull"] == true:
		delete(s, "abort")
		delete(s, "abortedAt")
		delete(s, "promoteFull")
		r.complete(steps)
	case s["abort"] == true:
		r.abort("Rollout aborted update to revision")
	case r.isBroken():
		delete(s, "abortedAt")
		r.phase("Degraded", fmt.Sprintf("ProgressDeadlineExceeded: ReplicaSet %q has timed out progressing.", r.o.GetName()+"-"+r.hash))
	case get(r.o.Object, "spec", "strategy", "canary") != nil:
		delete(s, "abortedAt")
		r.canary(steps)
	default:
		delete(s, "abortedAt")
		r.blueGreen()
	}
}

func (r *play) isBroken() bool {
	for _, image := range r.images {
		if r.p.broken(image) {
			return true
		}
	}
	return false
}

func (r *play) complete(steps []any) {
	r.unpause()
	if r.isBroken() {
		r.phase("Degraded", "ProgressDeadlineExceeded: it has timed out progressing.")
		return
	}
	r.status["stableRS"] = r.hash
	if len(steps) > 0 {
		r.status["currentStepIndex"] = int64(len(steps))
		r.weights(0)
	}
	r.phase("Healthy", "")
}

func (r *play) abort(why string) {
	r.unpause()
	if r.status["abortedAt"] == nil {
		r.status["abortedAt"] = now()
	}
	if r.status["currentStepIndex"] != nil {
		r.status["currentStepIndex"] = int64(0)
		r.weights(0)
	}
	r.phase("Degraded", "RolloutAborted: "+why)
}

func (r *play) weights(canary int64) {
	c, _ := r.status["canary"].(map[string]any)
	if c == nil {
		c = map[string]any{}
	}
	c["weights"] = map[string]any{"canary": map[string]any{"weight": canary}, "stable": map[string]any{"weight": 100 - canary}}
	r.status["canary"] = c
}

func (r *play) blueGreen() {
	switch {
	case get(r.o.Object, "spec", "strategy", "blueGreen", "autoPromotionEnabled") != false:
		r.complete(nil)
	case len(r.pauses()) > 0:
		r.phase("Paused", "BlueGreenPause")
	case r.status["controllerPause"] == true: // somebody has ended the pause
		r.complete(nil)
	default:
		r.pauseFor("BlueGreenPause")
	}
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }
