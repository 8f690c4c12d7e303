package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// fieldManager owns the fields that the trigger writes.
	fieldManager = "signalbox"
	// requestTimeout bounds one request to the API.
	requestTimeout = 30 * time.Second
	// rounds is how often an object is read and written anew because somebody
	// else was faster.
	rounds = 5
)

// target is the object of an action in the cluster.
type target struct {
	*action
	api       dynamic.ResourceInterface
	namespace string // "" if the kind has none
}

// target finds out what the API calls the object's kind, and whether it is one
// with namespaces.
func (a *actor) target(ctx context.Context, act *action) (*target, error) {
	mapper, err := a.env.Kubernetes.Mapper()
	if err != nil {
		return nil, err
	}
	client, err := a.env.Kubernetes.Dynamic()
	if err != nil {
		return nil, err
	}
	gvk := act.object.GroupVersionKind()
	mapping, err := within(ctx, func() (*meta.RESTMapping, error) { return mapper.RESTMapping(gvk.GroupKind(), gvk.Version) })
	if err != nil {
		return nil, err
	}
	t := &target{action: act, api: client.Resource(mapping.Resource)}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if t.namespace = act.object.GetNamespace(); t.namespace == "" {
			t.namespace = act.in.Namespace
		}
		t.api = client.Resource(mapping.Resource).Namespace(t.namespace)
	} else {
		act.object.SetNamespace("")
	}
	return t, nil
}

// within stops waiting for f, which knows no context, when ctx is done. f goes
// on until the client's own time-outs end it, and its result is dropped.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// String is KIND NAMESPACE/NAME.
func (t *target) String() string {
	s := strings.ToLower(t.object.GetKind()) + " "
	if t.namespace != "" {
		s += t.namespace + "/"
	}
	return s + t.object.GetName()
}

// perform does it, and says what it did.
func (t *target) perform(ctx context.Context) (string, error) {
	switch t.conf.Operation {
	case opCreate:
		return t.create(ctx)
	case opDelete:
		return t.remove(ctx)
	}
	for round := 1; ; round++ {
		did, err := t.change(ctx)
		again := apierrors.IsConflict(err) || errors.Is(err, errGone) || errors.Is(err, errAppeared)
		if !again || round == rounds {
			return did, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Duration(round) * time.Duration(10+rand.IntN(20)) * time.Millisecond):
		}
	}
}

// The object came or went between two requests.
var (
	errGone     = errors.New("somebody has deleted the object meanwhile")
	errAppeared = errors.New("somebody has created the object meanwhile")
)

func (t *target) change(ctx context.Context) (string, error) {
	if t.conf.PatchStrategy == string(types.ApplyPatchType) && t.conf.Operation == opPatch {
		return "applied", t.apply(ctx)
	}
	old, err := t.get(ctx)
	switch {
	case apierrors.IsNotFound(err) && !t.conf.live() && !t.conf.json():
		_, err := t.post(ctx, t.object)
		if apierrors.IsAlreadyExists(err) {
			err = errAppeared
		}
		return "created", err
	case err != nil:
		return "", err
	case (t.conf.live() || t.conf.json()) && old.GetAnnotations()[annotationFiring] == t.in.ID:
		return "found an earlier attempt's change of", nil
	case t.conf.Operation == opUpdate:
		return "updated", t.update(ctx, old)
	default:
		return "patched", t.patchIt(ctx, old)
	}
}

func (t *target) create(ctx context.Context) (string, error) {
	o := t.object.DeepCopy()
	setLabel(o, labelTime, strconv.FormatInt(time.Now().UnixMilli(), 10))
	_, err := t.post(ctx, o)
	if !apierrors.IsAlreadyExists(err) {
		return "created", err
	}
	old, getErr := t.get(ctx)
	switch {
	case getErr != nil:
		return "", fmt.Errorf("it exists already, but cannot be looked at: %w", getErr)
	case old.GetAnnotations()[annotationFiring] == t.in.ID:
		return "found an earlier attempt's", nil
	case old.GetAnnotations()[annotationFiring] != "":
		return "", fmt.Errorf("it exists already, made by other events: %w", err)
	default:
		return "", fmt.Errorf("it exists already, made by somebody else: %w", err)
	}
}

// update puts the object over the one that is there. A live object is the one
// that is there, with the parameters.
func (t *target) update(ctx context.Context, old *unstructured.Unstructured) error {
	if t.conf.live() {
		raw, err := old.MarshalJSON()
		if err != nil {
			return trigger.Permanent(err)
		}
		if raw, err = t.params.Apply(raw, t.in.Events); err != nil {
			return trigger.Permanent(err)
		}
		if old, err = decode(raw); err != nil {
			return trigger.Permanent(fmt.Errorf("after its parameters were applied: %w", err))
		}
		setFiring(old, t.in.ID)
	} else {
		merge(old.Object, t.object.DeepCopy().Object)
	}
	_, err := request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return t.api.Update(ctx, old, metav1.UpdateOptions{FieldManager: fieldManager})
	})
	return gone(err)
}

// patchIt sends a merge patch, a strategic one, or a JSON patch. With a JSON
// patch goes the firing's id, and the version that it was made for: what is sent
// a second time would do more than the first time.
func (t *target) patchIt(ctx context.Context, old *unstructured.Unstructured) error {
	var body any = t.object.Object
	if t.conf.json() {
		ops := []any{map[string]any{"op": "replace", "path": "/metadata/resourceVersion", "value": old.GetResourceVersion()}}
		if old.GetAnnotations() == nil {
			ops = append(ops, map[string]any{"op": "add", "path": "/metadata/annotations", "value": map[string]any{}})
		}
		ops = append(ops, map[string]any{"op": "add", "path": "/metadata/annotations/" + strings.ReplaceAll(annotationFiring, "/", "~1"), "value": t.in.ID})
		body = append(ops, t.patch...)
	}
	return t.sendPatch(ctx, types.PatchType(t.conf.PatchStrategy), body, metav1.PatchOptions{FieldManager: fieldManager})
}

func (t *target) apply(ctx context.Context) error {
	force := true
	return t.sendPatch(ctx, types.ApplyPatchType, t.object.Object, metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
}

func (t *target) sendPatch(ctx context.Context, how types.PatchType, body any, opts metav1.PatchOptions) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return trigger.Permanent(err)
	}
	_, err = request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return t.api.Patch(ctx, t.object.GetName(), how, raw, opts)
	})
	return gone(err)
}

func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

func (t *target) remove(ctx context.Context) (string, error) {
	_, err := request(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.api.Delete(ctx, t.object.GetName(), metav1.DeleteOptions{})
	})
	if apierrors.IsNotFound(err) {
		return "found deleted:", nil
	}
	return "deleted", err
}

func (t *target) get(ctx context.Context) (*unstructured.Unstructured, error) {
	return request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return t.api.Get(ctx, t.object.GetName(), metav1.GetOptions{})
	})
}

func (t *target) post(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return request(ctx, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return t.api.Create(ctx, o, metav1.CreateOptions{FieldManager: fieldManager})
	})
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

// await looks at the object until it has the policy's labels.
func (t *target) await(ctx context.Context, p *v1alpha1.K8SResourcePolicy) error {
	if len(p.Labels) == 0 {
		return nil
	}
	backoff := p.Backoff
	if backoff == nil {
		backoff = &v1alpha1.Backoff{}
	}
	for look := 1; ; look++ {
		o, err := t.get(ctx)
		if err != nil {
			return fmt.Errorf("look for the labels of the policy: %w", err)
		}
		lack := ""
		for name, value := range p.Labels {
			if has, ok := o.GetLabels()[name]; !ok || has != value {
				lack = name + "=" + value
			}
		}
		switch {
		case lack == "":
			return nil
		case look < backoff.Attempts():
		case p.ErrorOnBackoffTimeout:
			return fmt.Errorf("it has not got the label %s", lack)
		default:
			return nil
		}
		timer := time.NewTimer(backoff.Wait(look, rand.Float64()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// explain adds what was done to what, the wait that the API asked for, and
// whether another attempt can do better.
//
// Permanent is only what depends on the request alone: an object that does not
// fit its schema, or is too large. What people can mend while the retryStrategy
// runs (a role, a resource definition, an object in the way) is not.
func (t *target) explain(err error) error {
	verb := t.conf.Operation
	out := fmt.Errorf("%s %s: %w", verb, t, err)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		out = trigger.After(out, min(time.Duration(seconds)*time.Second, v1alpha1.MaxWait))
	}
	switch {
	case apierrors.IsRequestEntityTooLargeError(err), apierrors.IsUnsupportedMediaType(err), verb == opCreate && apierrors.IsInvalid(err):
		out = trigger.Permanent(out)
	}
	return out
}
