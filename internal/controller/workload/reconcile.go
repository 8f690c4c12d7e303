package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// later is when something is tried again that nobody tells of.
const later = time.Minute

// reconciler makes the children of one kind of object, EventSource or Sensor,
// what they are to be.
type reconciler struct {
	kind string
	opts controller.Options
	// client reads from the cache, reader from the API server.
	client client.Client
	reader client.Reader
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	u := controller.Object(r.kind)
	if err := r.client.Get(ctx, req.NamespacedName, u); err != nil {
		if apierrors.IsNotFound(err) {
			u.SetNamespace(req.Namespace)
			u.SetName(req.Name)
			r.opts.Applier.Forget(u)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read %s %s: %w", r.kind, req.NamespacedName, err)
	}
	if _, err := r.opts.Applier.RemoveFinalizers(ctx, u); err != nil {
		return reconcile.Result{}, err
	}
	if u.GetDeletionTimestamp() != nil {
		return r.finish(ctx, u) // the children go with it
	}
	result, err := r.object(ctx, u)
	if ctx.Err() != nil || apply.NamespaceEnds(err) {
		return reconcile.Result{}, nil // the controller ends, and the next one goes on; or there is nothing to go on with
	}
	return result, err
}

func (r *reconciler) object(ctx context.Context, u *unstructured.Unstructured) (reconcile.Result, error) {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("%s %s: %w", r.kind, u.GetName(), err)
	}
	o, err := manifest.Check(raw, r.opts.Manifest(u.GetNamespace()))
	if o == nil {
		return reconcile.Result{}, fmt.Errorf("%s %s: %w", r.kind, u.GetName(), err)
	}
	problems := v1alpha1.Problems(err)
	if warnings := ofSeverity(problems, v1alpha1.Warning); len(warnings) > 0 && isNew(u) {
		r.opts.Applier.Event(u, true, "Warnings", "%s", summary(warnings))
	}
	c := apply.NewConditions(u)
	held := provided(c, o, problems, r.opts)
	var bus *Bus
	if held == (hold{}) {
		if err := r.guard(ctx, u, o); err != nil {
			return reconcile.Result{}, err
		}
		if bus, held, err = r.bus(ctx, o); err != nil {
			return reconcile.Result{}, err
		}
	}
	var children *Children
	if held == (hold{}) {
		if children, err = Build(o, bus, r.opts); err != nil {
			held = hold{apply.InvalidSpec, summary(v1alpha1.Problems(err))}
		}
	}
	live, err := r.deployment(ctx, o)
	if err != nil {
		return reconcile.Result{}, err
	}
	if children == nil {
		return reconcile.Result{}, r.held(ctx, u, o, c, held, live)
	}
	return r.write(ctx, u, o, c, children, live)
}

// held tells why nothing is written. What has been goes on.
func (r *reconciler) held(ctx context.Context, u *unstructured.Unstructured, o *manifest.Object, c *apply.Conditions, held hold, live *appsv1.Deployment) error {
	p := podsOf(live, false)
	if live == nil {
		p.want = 0
	} else {
		held.message += fmt.Sprintf("\nwhat was deployed before goes on: %s", p)
	}
	c.False(apply.Deployed, held.reason, "%s", held.message)
	return r.opts.Applier.Status(ctx, u, statusOf(u, o, c, p, nil))
}

// write writes the children and the status.
func (r *reconciler) write(ctx context.Context, u *unstructured.Unstructured, o *manifest.Object, c *apply.Conditions, children *Children, live *appsv1.Deployment) (reconcile.Result, error) {
	now := *children
	if wait, err := r.waits(ctx, u, children.Service, podsOf(live, false)); err != nil {
		return reconcile.Result{}, err
	} else if wait {
		now.Service = nil
	}
	var errs []error
	written := false
	for _, child := range now.list() {
		changed, err := r.child(ctx, u, child)
		if _, ok := child.(*appsv1.Deployment); ok && changed {
			written = true
		}
		if _, ok := child.(*corev1.Service); ok && isOwn(o, err) {
			err, now.Service = nil, nil
		}
		errs = append(errs, err)
	}
	failed := errors.Join(errs...)
	p := podsOf(live, written)
	switch {
	case failed != nil:
		c.False(apply.Deployed, apply.Failed(failed), "%v", failed)
	default:
		p.deployed(c)
	}
	failed = errors.Join(failed, r.tidy(ctx, u, children, p))
	err := r.opts.Applier.Status(ctx, u, statusOf(u, o, c, p, children))
	if refused(failed) && err == nil {
		// Another try at once would not change anything; somebody has to.
		return reconcile.Result{RequeueAfter: later}, nil
	}
	return reconcile.Result{}, errors.Join(failed, err)
}

// isOwn tells whether the user has made a Service of the name of the one that
// would be made unasked. Argo Events makes none of the ports of webhooks, so
// that many have their own; it selects our pods by Argo Events' labels.
func isOwn(o *manifest.Object, err error) bool {
	var taken *apply.ForeignError
	asked := o.EventSource != nil && o.EventSource.Spec.Service != nil && len(o.EventSource.Spec.Service.Ports) > 0
	return errors.As(err, &taken) && taken.Owner == "" && !asked
}

// refused tells of errors that are told in the status and that time may mend,
// but hardly soon.
func refused(err error) bool {
	var taken *apply.ForeignError
	return errors.As(err, &taken) || apierrors.IsInvalid(err)
}

// child writes one child. Of a Service some changes are only possible by
// making it anew.
func (r *reconciler) child(ctx context.Context, owner *unstructured.Unstructured, child client.Object) (bool, error) {
	changed, err := r.opts.Applier.Apply(ctx, owner, child)
	svc, ok := child.(*corev1.Service)
	if !ok || (err != nil && !apierrors.IsInvalid(err)) || (err == nil && len(changed) == 0) {
		return len(changed) > 0, err
	}
	live := &corev1.Service{}
	if get := r.reader.Get(ctx, client.ObjectKey{Namespace: owner.GetNamespace(), Name: svc.Name}, live); get != nil {
		return len(changed) > 0, errors.Join(err, client.IgnoreNotFound(get))
	}
	headless := svc.Spec.ClusterIP == corev1.ClusterIPNone
	same := headless == (live.Spec.ClusterIP == corev1.ClusterIPNone) &&
		(headless || svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == live.Spec.ClusterIP)
	if same || !metav1.IsControlledBy(live, owner) {
		return len(changed) > 0, err
	}
	if err := r.client.Delete(ctx, live, client.Preconditions{UID: &live.UID}); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete Service/%s, to change its clusterIP: %w", svc.Name, err)
	}
	_, err = r.opts.Applier.Apply(ctx, owner, child)
	return true, err
}

// waits tells whether a Service has to wait for pods: Argo Events' own Service
// of the same name leads to Argo Events' pods, which serve until ours do.
func (r *reconciler) waits(ctx context.Context, owner client.Object, svc *corev1.Service, p pods) (bool, error) {
	if svc == nil || p.done {
		return false, nil
	}
	key := client.ObjectKey{Namespace: owner.GetNamespace(), Name: svc.Name}
	live := apply.Watched(corev1.SchemeGroupVersion.WithKind("Service"))
	err := r.client.Get(ctx, key, live) // has ours only
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	if err = r.reader.Get(ctx, key, live); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return live.GetLabels()[apply.ManagedByLabel] != apply.Manager && metav1.IsControlledBy(live, owner), nil
}

// tidy removes what is not wanted any more.
func (r *reconciler) tidy(ctx context.Context, owner client.Object, children *Children, p pods) error {
	var unwanted []client.Object
	if children.Service == nil && r.kind == v1alpha1.KindEventSource {
		unwanted = append(unwanted, &corev1.Service{})
	}
	if children.Ingress == nil && r.kind == v1alpha1.KindEventSource {
		unwanted = append(unwanted, &netv1.Ingress{})
	}
	if children.Budget == nil {
		unwanted = append(unwanted, &policyv1.PodDisruptionBudget{})
	}
	errs := []error{r.opts.Applier.Prune(ctx, owner, unwanted)}
	if p.done {
		left := []client.Object{&appsv1.Deployment{}}
		if children.Service == nil {
			left = append(left, &corev1.Service{}) // otherwise it has become ours
		}
		_, err := r.opts.Applier.RemoveLeftovers(ctx, owner, left...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// bus finds the EventBus of an object.
func (r *reconciler) bus(ctx context.Context, o *manifest.Object) (*Bus, hold, error) {
	u := controller.Object(v1alpha1.KindEventBus)
	key := client.ObjectKey{Namespace: o.Namespace, Name: busName(o)}
	err := r.client.Get(ctx, key, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, hold{apply.EventBusNotFound, fmt.Sprintf("there is no EventBus %q in namespace %s", key.Name, key.Namespace)}, nil
	case err != nil:
		return nil, hold{}, fmt.Errorf("read EventBus %s: %w", key, err)
	}
	b, err := BusOf(u)
	if err != nil {
		return nil, hold{apply.EventBusNotReady, err.Error()}, nil
	}
	return b, hold{}, nil
}

func busName(o *manifest.Object) string {
	if o.EventSource != nil {
		return o.EventSource.Spec.Bus()
	}
	return o.Sensor.Spec.Bus()
}

// deployment is the Deployment as the cache has it; nil if there is none.
func (r *reconciler) deployment(ctx context.Context, o *manifest.Object) (*appsv1.Deployment, error) {
	live := &appsv1.Deployment{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: deploymentName(r.kind, o.Name)}, live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the Deployment of %s: %w", o.ID, err)
	}
	return live, nil
}
