package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// takenWait is how often a name that is taken is looked at again: nothing tells
// when it gets free.
const takenWait = 30 * time.Second

// Reconciler makes what EventBus objects ask for.
type Reconciler struct {
	controller.Options
	client.Client
	// Reader reads from the API server itself.
	Reader client.Reader
}

// Setup adds the reconciler of EventBus objects, and what removes deleted sensors
// from their buses.
func Setup(mgr manager.Manager, o controller.Options) error {
	r := &Reconciler{Options: o, Client: mgr.GetClient(), Reader: mgr.GetAPIReader()}
	b, err := controller.For(mgr, v1alpha1.KindEventBus, children()...)
	if err != nil {
		return err
	}
	if err := b.Complete(r); err != nil {
		return err
	}
	return setupSweep(mgr, r)
}

func children() []client.Object {
	return []client.Object{
		&appsv1.StatefulSet{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.Secret{}, &policyv1.PodDisruptionBudget{},
	}
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	u := controller.Object(v1alpha1.KindEventBus)
	if err := r.Get(ctx, req.NamespacedName, u); err != nil {
		if apierrors.IsNotFound(err) {
			u.SetNamespace(req.Namespace)
			u.SetName(req.Name)
			r.Applier.Forget(u)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, err
	}
	if removed, err := r.Applier.RemoveFinalizers(ctx, u); err != nil || removed {
		return reconcile.Result{}, err // the change brings us back
	}
	if !u.GetDeletionTimestamp().IsZero() {
		return reconcile.Result{}, nil
	}
	run := &reconciliation{Reconciler: r, object: u, conditions: apply.NewConditions(u)}
	err := run.reconcile(ctx)
	run.status.Status, run.status.State = run.conditions.Status(), run.conditions.State()
	err = errors.Join(err, r.Applier.Status(ctx, u, run.status))
	if apply.NamespaceEnds(err) {
		return reconcile.Result{}, nil
	}
	return run.result, err
}

// reconciliation is one run for one object.
type reconciliation struct {
	*Reconciler
	object     *unstructured.Unstructured
	conditions *apply.Conditions
	status     v1alpha1.EventBusStatus
	result     reconcile.Result
}

// reconcile returns the errors after which it is to be tried again.
func (r *reconciliation) reconcile(ctx context.Context) error {
	live, err := r.statefulSet(ctx)
	if err != nil {
		return err
	}
	bus, warnings, err := r.decode()
	if err != nil {
		return r.invalid(live, err)
	}
	if x := bus.Spec.JetStreamExotic; x != nil {
		if live != nil {
			return r.invalid(live, v1alpha1.Invalid("spec.jetstreamExotic", "this EventBus runs as pods, which hold events").
				Hinted("make another EventBus, and delete this one when its events are processed"))
		}
		r.status.Config.JetStream = x
		r.conditions.True(apply.Configured, apply.Succeeded, "%s", told("the bus is a server of yours", warnings))
		r.conditions.True(apply.Deployed, apply.Skipped, "nothing is deployed for a server of yours")
		return nil
	}
	p, err := newPlan(bus, live)
	if err != nil {
		return r.invalid(live, err)
	}
	r.status.Config.JetStream = p.config(r.object)
	r.configured(p, warnings)
	return r.deploy(ctx, p)
}

// decode checks the object as lint does.
func (r *reconciliation) decode() (*v1alpha1.EventBus, []string, error) {
	raw, err := json.Marshal(r.object.Object)
	if err != nil {
		return nil, nil, err
	}
	o, found := manifest.Check(raw, r.Manifest(r.object.GetNamespace()))
	if err := v1alpha1.Fatal(found); err != nil {
		return nil, nil, err
	}
	if o == nil || o.EventBus == nil {
		return nil, nil, errors.New("cannot be read as an EventBus")
	}
	var warnings []string
	for _, p := range v1alpha1.Problems(found) {
		warnings = append(warnings, p.Error())
	}
	return o.EventBus, warnings, nil
}

// invalid reports a manifest that cannot be had. What runs goes on, and is used.
func (r *reconciliation) invalid(live *appsv1.StatefulSet, err error) error {
	var problems []string
	for _, p := range v1alpha1.Problems(err) {
		problems = append(problems, p.Error())
	}
	r.conditions.False(apply.Configured, apply.InvalidSpec, "%s", strings.Join(problems, "; "))
	if live == nil {
		r.conditions.False(apply.Deployed, apply.InvalidSpec, "nothing is deployed for an invalid spec")
		return nil
	}
	r.status.Config = configOf(r.object)
	r.pods(live)
	return nil
}

// configOf is the config that the status has.
func configOf(u *unstructured.Unstructured) v1alpha1.BusConfig {
	var c v1alpha1.BusConfig
	have, _, _ := unstructured.NestedMap(u.Object, "status", "config")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(have, &c); err != nil {
		return v1alpha1.BusConfig{} // somebody else wrote it
	}
	return c
}

// configured says what of the manifest is not honoured.
func (r *reconciliation) configured(p *plan, warnings []string) {
	if len(warnings)+len(p.ignored) > 0 {
		r.Applier.Event(r.object, true, "Ignored", "%s", strings.Join(append(warnings, p.ignored...), "; "))
	}
	if len(p.refused) > 0 {
		r.conditions.False(apply.Configured, apply.ShrinkRefused, "%s", strings.Join(p.refused, "; "))
		return
	}
	text := "the manifest is valid"
	if p.volume == nil {
		text += "; the events are not on persistent volumes"
	}
	r.conditions.True(apply.Configured, apply.Succeeded, "%s", told(text, append(warnings, p.ignored...)))
}

func told(text string, more []string) string {
	return strings.Join(append([]string{text}, more...), "; ")
}

func (r *reconciliation) deploy(ctx context.Context, p *plan) error {
	due, err := r.secrets(ctx, r.object)
	if err == nil {
		err = r.write(ctx, p)
	}
	if err != nil {
		r.conditions.False(apply.Deployed, apply.Failed(err), "%s", err)
		var taken *apply.ForeignError
		if errors.As(err, &taken) {
			r.result.RequeueAfter = takenWait
			return nil
		}
		return err
	}
	live, err := r.statefulSet(ctx)
	if err != nil {
		return err
	}
	r.result.RequeueAfter = max(due.Sub(r.Now()), time.Second)
	if !r.pods(live) {
		return r.unstick(ctx, live)
	}
	left, err := r.Applier.RemoveLeftovers(ctx, r.object, &appsv1.StatefulSet{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.Secret{})
	if len(left) > 0 {
		r.Applier.Event(r.object, false, "Removed", "what Argo Events made for this bus: %s", strings.Join(left, ", "))
	}
	return err
}

func (r *reconciliation) write(ctx context.Context, p *plan) error {
	wanted, err := p.objects(r.object, &r.Options)
	if err != nil {
		return err
	}
	if _, err := r.Applier.Apply(ctx, r.object, wanted...); err != nil {
		return err
	}
	return r.Applier.Prune(ctx, r.object, []client.Object{&policyv1.PodDisruptionBudget{}}, wanted...)
}

// statefulSet is the object's own, as the cache has it; nil if there is none.
func (r *reconciliation) statefulSet(ctx context.Context) (*appsv1.StatefulSet, error) {
	s := &appsv1.StatefulSet{}
	err := r.Get(ctx, client.ObjectKey{Namespace: r.object.GetNamespace(), Name: controller.BusName(r.object.GetName())}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the StatefulSet: %w", err)
	case !metav1.IsControlledBy(s, r.object):
		return nil, nil
	}
	return s, nil
}

// pods sets the condition Deployed by the pods, and tells whether all are ready.
func (r *reconciliation) pods(live *appsv1.StatefulSet) bool {
	if live == nil { // not in the cache yet
		r.conditions.False(apply.Deployed, apply.PodsNotReady, "the StatefulSet has just been made")
		return false
	}
	want := int32(1)
	if live.Spec.Replicas != nil {
		want = *live.Spec.Replicas
	}
	s := live.Status
	r.status.Pods = fmt.Sprintf("%d/%d", s.ReadyReplicas, want)
	updated := s.UpdatedReplicas >= want && s.UpdateRevision == s.CurrentRevision
	switch {
	case s.ObservedGeneration < live.Generation || s.ReadyReplicas < want:
		r.conditions.False(apply.Deployed, apply.PodsNotReady, "%d of %d pods ready", s.ReadyReplicas, want)
		return false
	case !updated:
		r.conditions.True(apply.Deployed, apply.Succeeded, "%d of %d pods ready, %d updated", s.ReadyReplicas, want, s.UpdatedReplicas)
		return false
	}
	r.conditions.True(apply.Deployed, apply.Succeeded, "%d of %d pods ready", s.ReadyReplicas, want)
	return true
}
