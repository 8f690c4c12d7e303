package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

const (
	// stuckAfter is how old a pod is that is not merely about to start.
	stuckAfter = 30 * time.Second
	// stuckLook is how often a bus is looked at that is not ready.
	stuckLook = 10 * time.Second
)

// hopeless are the reasons for which a container waits that its pod's template
// is to blame for.
var hopeless = []string{
	"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// unstick removes pods of an earlier template that cannot start. A rolling update
// replaces one pod and waits until it is ready; but a member of a bus is not
// ready before most of the others run. So an image that cannot be had would stay for
// ever, even after it has been mended. A pod whose container has run is not
// touched: without volumes, what it has stored would go with it.
func (r *reconciliation) unstick(ctx context.Context, live *appsv1.StatefulSet) error {
	if live == nil || live.Status.UpdateRevision == live.Status.CurrentRevision {
		return nil
	}
	r.result.RequeueAfter = min(r.result.RequeueAfter, stuckLook)
	pods := &corev1.PodList{}
	labels := apply.LabelsOf(v1alpha1.KindEventBus, r.object.GetName())
	if err := r.Reader.List(ctx, pods, client.InNamespace(live.Namespace), client.MatchingLabels(labels)); err != nil {
		return fmt.Errorf("list the bus's pods: %w", err)
	}
	var errs []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		why := stuck(pod)
		if why == "" || pod.Labels[appsv1.ControllerRevisionHashLabelKey] == live.Status.UpdateRevision ||
			r.Now().Sub(pod.CreationTimestamp.Time) < stuckAfter {
			continue
		}
		err := r.Delete(ctx, pod, client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion})
		switch {
		case err == nil:
			r.Applier.Event(r.object, true, "PodReplaced", "pod %s could not start (%s) and held up the update", pod.Name, why)
		case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err):
			errs = append(errs, fmt.Errorf("replace pod %s: %w", pod.Name, err))
		}
	}
	return errors.Join(errs...)
}

// stuck says why a pod cannot start; empty if it has run, or may yet.
func stuck(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return ""
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.RestartCount > 0 || c.State.Waiting == nil || c.LastTerminationState.Terminated != nil {
			return ""
		}
		if w := c.State.Waiting; w != nil && slices.Contains(hopeless, w.Reason) {
			return w.Reason
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason
		}
	}
	return ""
}
