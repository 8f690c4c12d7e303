package argorollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// fieldManager owns the fields that the trigger writes.
	fieldManager = "signalbox"
	// requestTimeout bounds one request to the API.
	requestTimeout = 30 * time.Second
	// annotationFiring has the id of the last firing that changed an object.
	annotationFiring = "signalbox.dev/firing"
)

var (
	rollouts    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	templates   = schema.GroupVersionResource{Version: "v1", Resource: "podtemplates"}
)

// api is the Kubernetes API of one namespace.
type api struct {
	client    dynamic.Interface
	namespace string
}

func connect(c *cluster.Cluster, namespace string) (*api, error) {
	client, err := c.Dynamic()
	if err != nil {
		return nil, err
	}
	return &api{client, namespace}, nil
}

func (a *api) of(r schema.GroupVersionResource) dynamic.ResourceInterface {
	return a.client.Resource(r).Namespace(a.namespace)
}

func (a *api) get(ctx context.Context, r schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	return request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return a.of(r).Get(ctx, name, metav1.GetOptions{})
	})
}

func (a *api) list(ctx context.Context, r schema.GroupVersionResource, selector string) (*unstructured.UnstructuredList, error) {
	return request(ctx, func(ctx context.Context) (*unstructured.UnstructuredList, error) {
		return a.of(r).List(ctx, metav1.ListOptions{LabelSelector: selector})
	})
}

func (a *api) patch(ctx context.Context, r schema.GroupVersionResource, name string, ops []op, subresources ...string) error {
	raw, err := json.Marshal(ops)
	if err != nil {
		return trigger.Permanent(err)
	}
	_, err = request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return a.of(r).Patch(ctx, name, types.JSONPatchType, raw, metav1.PatchOptions{FieldManager: fieldManager}, subresources...)
	})
	return err
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

// overtaken tells whether a patch was refused because the object is not what it
// was made for: one of its tests fails, or somebody else was faster.
func overtaken(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsInvalid(err) && !malformed(err)
}

// refused tells whether the API has answered that it did nothing.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsTooManyRequests(err) || malformed(err)
}

// malformed tells whether the API names what is wrong with the object that a patch makes.
func malformed(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return false
	}
	d := status.Status().Details
	return d != nil && len(d.Causes) > 0
}

// explain adds what was done to what, the wait that the API asked for, and
// whether another attempt can do better.
func (o *order) explain(err error) error {
	out := fmt.Errorf("%s %s: %w", o.conf.Operation, o, err)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		out = trigger.After(out, min(time.Duration(seconds)*time.Second, v1alpha1.MaxWait))
	}
	if malformed(err) || apierrors.IsRequestEntityTooLargeError(err) {
		out = trigger.Permanent(out)
	}
	return out
}
