package argoworkflow

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	labelOfWorkflow  = "workflows.argoproj.io/workflow"
	annotationNodeID = "workflows.argoproj.io/node-id"

	// podsGone is how long one attempt waits until pods are gone, which have 30 s
	// to end by themselves as a rule.
	podsGone = 45 * time.Second
	// podsMost is how long it may take in all.
	podsMost = 10 * time.Minute
	// podsLook is the time between two looks.
	podsLook = 500 * time.Millisecond
)

// deletePods deletes the pods of nodes and waits until they are gone: the
// controller would take a pod that is left over for that of the new attempt, and
// wait for ever.
func (k *kubeAPI) deletePods(ctx context.Context, wf *unstructured.Unstructured, ids map[string]bool) error {
	if len(ids) == 0 {
		return nil
	}
	api := k.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(wf.GetNamespace())
	deleted := map[types.UID]bool{}
	for end := time.Now().Add(podsGone); ; {
		left, err := podsOf(ctx, api, wf, ids)
		if err != nil {
			return fmt.Errorf("list its pods: %w", err)
		}
		for _, pod := range left {
			if uid := pod.GetUID(); !deleted[uid] {
				_, err := request(ctx, func(ctx context.Context) (struct{}, error) {
					return struct{}{}, api.Delete(ctx, pod.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
				})
				if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
					return fmt.Errorf("delete its pod %s: %w", pod.GetName(), err)
				}
				deleted[uid] = true
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return trigger.Postpone(fmt.Errorf("its pod %s is being deleted, but not gone after %v", left[0].GetName(), podsGone), podsGone/5, podsMost)
		}
		timer := time.NewTimer(podsLook / 10)
		if len(deleted) > 0 && time.Until(end) < podsGone-podsLook {
			timer.Reset(podsLook)
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// podsOf are the pods that are there of nodes of a workflow.
func podsOf(ctx context.Context, api dynamic.ResourceInterface, wf *unstructured.Unstructured, ids map[string]bool) ([]*unstructured.Unstructured, error) {
	opts := metav1.ListOptions{LabelSelector: labelOfWorkflow + "=" + wf.GetName(), Limit: page}
	var pods []*unstructured.Unstructured
	for {
		l, err := request(ctx, func(ctx context.Context) (*unstructured.UnstructuredList, error) { return api.List(ctx, opts) })
		if err != nil {
			return nil, err
		}
		for i := range l.Items {
			if ids[l.Items[i].GetAnnotations()[annotationNodeID]] {
				pods = append(pods, &l.Items[i])
			}
		}
		if opts.Continue = l.GetContinue(); opts.Continue == "" {
			return pods, nil
		}
	}
}
