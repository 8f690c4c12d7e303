package workload

import (
	"cmp"
	"context"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
)

// Setup adds the reconcilers of EventSources and Sensors. It is a controller.Setup.
func Setup(mgr manager.Manager, o controller.Options) error {
	for _, kind := range []string{v1alpha1.KindEventSource, v1alpha1.KindSensor} {
		r := &reconciler{kind: kind, opts: o, client: mgr.GetClient(), reader: mgr.GetAPIReader()}
		b, err := controller.For(mgr, kind, childKinds(kind)...)
		if err != nil {
			return err
		}
		b = b.Watches(controller.Object(v1alpha1.KindEventBus), handler.EnqueueRequestsFromMapFunc(r.ofBus),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: busChanged}))
		if err := b.Complete(r); err != nil {
			return err
		}
	}
	return nil
}

func childKinds(kind string) []client.Object {
	kinds := []client.Object{&appsv1.Deployment{}, &corev1.ConfigMap{}, &policyv1.PodDisruptionBudget{}}
	if kind == v1alpha1.KindEventSource {
		kinds = append(kinds, &corev1.Service{}, &netv1.Ingress{})
	}
	return kinds
}

// busChanged tells whether those who use the bus have to know.
func busChanged(e event.UpdateEvent) bool {
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
		e.ObjectOld.GetUID() != e.ObjectNew.GetUID() ||
		!reflect.DeepEqual(busConfig(e.ObjectOld), busConfig(e.ObjectNew))
}

func busConfig(o client.Object) any {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	status, ok := u.Object["status"].(map[string]any)
	if !ok {
		return nil
	}
	return status["config"]
}

// ofBus are the objects that use an EventBus.
func (r *reconciler) ofBus(ctx context.Context, bus client.Object) []reconcile.Request {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(r.kind + "List"))
	if err := r.client.List(ctx, list, client.InNamespace(bus.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		r.opts.Log.ErrorContext(ctx, "objects of an EventBus cannot be listed", "eventbus", bus.GetName(), "kind", r.kind, "error", err)
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		o := &list.Items[i]
		spec, _ := o.Object["spec"].(map[string]any)
		name, _ := spec["eventBusName"].(string)
		if cmp.Or(name, v1alpha1.DefaultEventBusName) == bus.GetName() {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}})
		}
	}
	return out
}
