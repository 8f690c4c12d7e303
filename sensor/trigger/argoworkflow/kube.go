package argoworkflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// fieldManager owns the fields that the trigger writes.
	fieldManager = "signalbox"
	// requestTimeout bounds one request.
	requestTimeout = 30 * time.Second
	// rounds is how often a workflow is read and written anew because somebody
	// else was faster.
	rounds = 8
	// page is how many workflows are listed at once.
	page = 200
)

func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: apiGroup, Version: "v1alpha1", Resource: name}
}

// kubeAPI implements backend with the Kubernetes API.
type kubeAPI struct{ client dynamic.Interface }

func (k *kubeAPI) workflows(namespace string) dynamic.ResourceInterface {
	return k.client.Resource(resource("workflows")).Namespace(namespace)
}

// request bounds the time of one request.
func request[T any](ctx context.Context, send func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	v, err := send(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", requestTimeout, context.DeadlineExceeded)
	}
	return v, err
}

func (k *kubeAPI) get(ctx context.Context, namespace, name, _ string) (*unstructured.Unstructured, error) {
	return request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.workflows(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

func (k *kubeAPI) list(ctx context.Context, namespace string, o *options) ([]*unstructured.Unstructured, error) {
	opts := metav1.ListOptions{LabelSelector: o.selector, FieldSelector: o.fields, Limit: page}
	if o.instance != "" {
		if opts.LabelSelector != "" {
			opts.LabelSelector += ","
		}
		opts.LabelSelector += labelInstance + "=" + o.instance
	}
	var all []*unstructured.Unstructured
	for {
		l, err := request(ctx, func(ctx context.Context) (*unstructured.UnstructuredList, error) {
			return k.workflows(namespace).List(ctx, opts)
		})
		if err != nil {
			return nil, err
		}
		for i := range l.Items {
			wf := named(l.Items[i].GetNamespace(), l.Items[i].GetName())
			wf.SetAnnotations(l.Items[i].GetAnnotations())
			all = append(all, wf)
		}
		if opts.Continue = l.GetContinue(); opts.Continue == "" {
			return all, nil
		}
	}
}

func (k *kubeAPI) create(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	wf = wf.DeepCopy()
	setLabel(wf, labelTime, strconv.FormatInt(time.Now().UnixMilli(), 10))
	opts := metav1.CreateOptions{FieldManager: fieldManager}
	did := past(act.operation)
	if act.options.serverDryRun {
		opts.DryRun, did = []string{metav1.DryRunAll}, "dry run:"
	}
	if act.operation == opSubmit && !act.options.lax {
		opts.FieldValidation = metav1.FieldValidationStrict
	}
	made, err := request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.workflows(wf.GetNamespace()).Create(ctx, wf, opts)
	})
	if apierrors.IsAlreadyExists(err) {
		old, getErr := k.get(ctx, wf.GetNamespace(), wf.GetName(), "")
		return act.madeBefore(old, err, getErr)
	}
	if apierrors.IsBadRequest(err) { // it has fields that nobody knows
		err = trigger.Permanent(err)
	}
	return made, did, err
}

// madeBefore looks at the workflow that is there where one was to be made.
func (act *action) madeBefore(old *unstructured.Unstructured, err, getErr error) (*unstructured.Unstructured, string, error) {
	switch {
	case getErr != nil:
		return nil, "", fmt.Errorf("it exists already, but cannot be looked at: %w", getErr)
	case old.GetAnnotations()[annotationFiring] == act.in.ID:
		return old, "found an earlier attempt's", nil
	case old.GetAnnotations()[annotationFiring] != "":
		return nil, "", fmt.Errorf("it exists already, made or changed by other events: %w", err)
	default:
		return nil, "", fmt.Errorf("it exists already, made by somebody else: %w", err)
	}
}

func (k *kubeAPI) submitFrom(ctx context.Context, act *action) (*unstructured.Unstructured, string, error) {
	var in dynamic.ResourceInterface
	switch act.fromKind {
	case kindClusterTemplate:
		in = k.client.Resource(resource("clusterworkflowtemplates"))
	case kindCron:
		in = k.client.Resource(resource("cronworkflows")).Namespace(act.namespace)
	default:
		in = k.client.Resource(resource("workflowtemplates")).Namespace(act.namespace)
	}
	from, err := request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return in.Get(ctx, act.fromName, metav1.GetOptions{})
	})
	switch {
	case apierrors.IsForbidden(err) && act.fromKind != kindCron: // the controller will see whether it is there
	case err != nil:
		return nil, "", fmt.Errorf("read %s %s: %w", act.fromKind, act.fromName, err)
	case act.fromKind == kindCron:
		if err := act.fromCron(from, time.Now()); err != nil {
			return nil, "", fmt.Errorf("CronWorkflow %s: %w", act.fromName, err)
		}
	}
	return k.create(ctx, act, act.object)
}

func (k *kubeAPI) change(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	for round := 1; ; round++ {
		changed, did, err := k.try(ctx, act, wf)
		if err == nil || round == rounds || !apierrors.IsConflict(err) && !failedTest(err) {
			return changed, did, err
		}
		timer := time.NewTimer(time.Duration(round) * time.Duration(10+rand.IntN(20)) * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, "", ctx.Err()
		case <-timer.C:
		}
		if wf, err = k.get(ctx, wf.GetNamespace(), wf.GetName(), ""); err != nil {
			return nil, "", err
		}
	}
}

// failedTest tells that a test of a JSON patch has failed: 422 without causes.
func failedTest(err error) bool {
	var s apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &s) {
		return false
	}
	d := s.Status().Details
	return d == nil || len(d.Causes) == 0
}

func (k *kubeAPI) try(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	if wf.GetAnnotations()[annotationFiring] == act.in.ID {
		return wf, "found an earlier attempt's change of", nil
	}
	switch {
	case act.operation == opRetry:
		return k.retry(ctx, act, wf)
	case act.operation == opResume, act.operation == opStop && act.options.hasNodes:
		ops, err := act.nodePatch(wf, time.Now())
		if err != nil {
			return nil, "", err
		}
		if len(ops) == 0 {
			return wf, "found nothing to resume in", nil
		}
		return k.patch(ctx, act, wf, types.JSONPatchType, ops)
	}
	did, err := act.already(wf)
	if err != nil || did != "" {
		return wf, did, err
	}
	return k.patch(ctx, act, wf, types.MergePatchType, act.patch())
}

func (k *kubeAPI) patch(ctx context.Context, act *action, wf *unstructured.Unstructured, how types.PatchType, body any) (*unstructured.Unstructured, string, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, "", err
	}
	changed, err := request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.workflows(wf.GetNamespace()).Patch(ctx, wf.GetName(), how, raw, metav1.PatchOptions{FieldManager: fieldManager})
	})
	return changed, past(act.operation), err
}

func (k *kubeAPI) retry(ctx context.Context, act *action, wf *unstructured.Unstructured) (*unstructured.Unstructured, string, error) {
	next, err := retryOf(wf, &act.options, time.Now())
	if err != nil {
		return nil, "", err
	}
	if err := k.deletePods(ctx, wf, next.pods); err != nil {
		return nil, "", err
	}
	setAnnotation(next.workflow, annotationFiring, act.in.ID)
	changed, err := request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.workflows(wf.GetNamespace()).Update(ctx, next.workflow, metav1.UpdateOptions{FieldManager: fieldManager})
	})
	return changed, past(act.operation), err
}

func (k *kubeAPI) wait(ctx context.Context, namespace, name, _ string, look func(*unstructured.Unstructured) (bool, error)) error {
	return cluster.Until(ctx, k.workflows(namespace), name, look)
}
