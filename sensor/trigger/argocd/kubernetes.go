package argocd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

var applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

const (
	fieldManager = "signalbox"
	pageSize     = 250
)

// kubernetes implements backend with the Kubernetes API. Nothing there refuses
// anything, so each write is for the version of the application that was read.
type kubernetes struct{ client dynamic.Interface }

func (k *kubernetes) of(namespace string) dynamic.ResourceInterface {
	return k.client.Resource(applications).Namespace(namespace)
}

func (k *kubernetes) get(ctx context.Context, namespace, name string) (*application, error) {
	o, err := within(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.of(namespace).Get(ctx, name, metav1.GetOptions{})
	})
	if err != nil {
		return nil, explain(err)
	}
	return &application{o}, nil
}

func (k *kubernetes) list(ctx context.Context, r *request) ([]*application, error) {
	namespace := r.conf.Namespace
	if namespace == everywhere {
		namespace = ""
	}
	opts := metav1.ListOptions{LabelSelector: r.conf.Selector, Limit: pageSize}
	if r.named() {
		opts.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, r.conf.Name).String()
	}
	var all []*application
	for {
		page, err := within(ctx, func(ctx context.Context) (*unstructured.UnstructuredList, error) {
			return k.of(namespace).List(ctx, opts)
		})
		if err != nil {
			return nil, explain(err)
		}
		for i := range page.Items {
			all = append(all, &application{&page.Items[i]})
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return all, nil
		}
	}
}

// patch sends a merge patch for the version that app is.
func (k *kubernetes) patch(ctx context.Context, app *application, patch map[string]any) (*application, error) {
	meta, _ := patch["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		patch["metadata"] = meta
	}
	meta["resourceVersion"] = app.GetResourceVersion()
	raw, err := json.Marshal(patch)
	if err != nil {
		return nil, trigger.Permanent(err)
	}
	o, err := within(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return k.of(app.GetNamespace()).Patch(ctx, app.GetName(), types.MergePatchType, raw, metav1.PatchOptions{FieldManager: fieldManager})
	})
	switch {
	case apierrors.IsConflict(err):
		return nil, fmt.Errorf("%w: %w", errStale, err)
	case apierrors.IsInvalid(err): // the schema does not have it so
		return nil, trigger.Permanent(err)
	case err != nil:
		return nil, explain(err)
	}
	return &application{o}, nil
}

// beginPatch is the patch that begins an operation. The state of the last one is
// removed, as Argo CD would take it up again if it looks unfinished.
func (r *request) beginPatch(app *application, spec, operation map[string]any) map[string]any {
	patch := map[string]any{
		"metadata":  map[string]any{"annotations": signed(app, r.mark.id)},
		"operation": operation,
		"status":    map[string]any{"operationState": nil},
	}
	if spec != nil {
		patch["spec"] = spec
	}
	return patch
}

func (k *kubernetes) earlier(context.Context, *request, *application) (bool, error) {
	return false, nil // the operation has the firing's id
}

func (k *kubernetes) begin(ctx context.Context, r *request, app *application, spec, operation map[string]any, _ *entry) error {
	_, err := k.patch(ctx, app, r.beginPatch(app, spec, operation))
	return err
}

func (k *kubernetes) terminate(ctx context.Context, app *application) error {
	_, err := k.patch(ctx, app, terminatePatch())
	return err
}

func terminatePatch() map[string]any {
	return map[string]any{"status": map[string]any{"operationState": map[string]any{"phase": phaseTerminating}}}
}

func (k *kubernetes) refresh(ctx context.Context, r *request, app *application) error {
	patch := r.refreshPatch(app)
	annotations := patch["metadata"].(map[string]any)["annotations"].(map[string]any)
	annotations[annotationStamp] = time.Now().UTC().Format(time.RFC3339Nano)
	_, err := k.patch(ctx, app, patch)
	return err
}

func (r *request) refreshPatch(app *application) map[string]any {
	annotations := signed(app, r.mark.id)
	annotations[annotationRefresh] = howFresh(r.hard())
	return map[string]any{"metadata": map[string]any{"annotations": annotations}}
}

func (r *request) hard() bool { return r.conf.Operation == opHardRefresh }

func howFresh(hard bool) string {
	if hard {
		return "hard"
	}
	return "normal"
}

func (k *kubernetes) change(ctx context.Context, app *application, patch map[string]any) (*application, error) {
	return k.patch(ctx, app, patch)
}

func (k *kubernetes) until(ctx context.Context, namespace, name string, look func(*application) (bool, error)) error {
	return cluster.Until(ctx, k.of(namespace), name, func(o *unstructured.Unstructured) (bool, error) {
		return look(&application{o})
	})
}

// explain adds the wait that the API asked for.
func explain(err error) error {
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		return trigger.After(err, min(time.Duration(seconds)*time.Second, v1alpha1.MaxWait))
	}
	return err
}

// selects tells whether labels are selected; an empty selector selects all.
func selects(selector string, of map[string]string) (bool, error) {
	s, err := labels.Parse(selector)
	if err != nil {
		return false, trigger.Permanent(fmt.Errorf("selector: %w", err))
	}
	return s.Matches(labels.Set(of)), nil
}
