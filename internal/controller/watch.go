package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

// For begins a controller of one of the three kinds that is woken by changes of
// its objects and of their children of the kinds given, such as &corev1.Service{}.
func For(mgr manager.Manager, kind string, children ...client.Object) (*builder.Builder, error) {
	b := builder.ControllerManagedBy(mgr).Named(strings.ToLower(kind)).
		For(Object(kind), builder.WithPredicates(Wanted()))
	for _, child := range children {
		gvk, err := mgr.GetClient().GroupVersionKindFor(child)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		b = b.Owns(apply.Watched(gvk))
	}
	return b, nil
}

// Wanted passes changes of what users say of an object, and of its deletion; a
// change of the status, which is ours, is none.
func Wanted() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := e.ObjectOld, e.ObjectNew
		return before.GetUID() != now.GetUID() ||
			before.GetGeneration() != now.GetGeneration() ||
			before.GetDeletionTimestamp().IsZero() != now.GetDeletionTimestamp().IsZero() ||
			!maps.Equal(before.GetLabels(), now.GetLabels()) ||
			!maps.Equal(before.GetAnnotations(), now.GetAnnotations()) ||
			!slices.Equal(before.GetFinalizers(), now.GetFinalizers())
	}}
}
