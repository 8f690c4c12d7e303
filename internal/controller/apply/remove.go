package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Prune deletes the children of owner of these kinds, such as &corev1.Service{},
// that are none of keep.
func (a *Applier) Prune(ctx context.Context, owner client.Object, kinds []client.Object, keep ...client.Object) error {
	var errs []error
	kept := map[childKey]bool{}
	for _, k := range keep {
		gvk, err := a.Client.GroupVersionKindFor(k)
		if err != nil {
			return err
		}
		kept[childKey{gvk.GroupKind(), k.GetName()}] = true
	}
	for _, kind := range kinds {
		gvk, err := a.Client.GroupVersionKindFor(kind)
		if err != nil {
			return err
		}
		names, err := a.children(ctx, owner, gvk)
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", gvk.Kind, err))
			continue
		}
		for _, o := range names {
			key := childKey{gvk.GroupKind(), o.GetName()}
			if kept[key] {
				continue
			}
			errs = append(errs, a.remove(ctx, gvk, o))
			a.memory.dropChild(owner, key)
		}
	}
	return errors.Join(errs...)
}

// children are those of owner in the cache, in the form in which it has them.
func (a *Applier) children(ctx context.Context, owner client.Object, gvk schema.GroupVersionKind) ([]client.Object, error) {
	list, items := watchedList(gvk)
	err := a.Client.List(ctx, list, client.InNamespace(owner.GetNamespace()), client.MatchingLabels(Labels(owner)))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(items(), func(o client.Object) bool { return !metav1.IsControlledBy(o, owner) }), nil
}

func (a *Applier) remove(ctx context.Context, gvk schema.GroupVersionKind, o client.Object) error {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(gvk)
	m.SetNamespace(o.GetNamespace())
	m.SetName(o.GetName())
	uid := o.GetUID()
	err := a.Client.Delete(ctx, m, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // a conflict: another object by now
		return fmt.Errorf("delete %s/%s: %w", gvk.Kind, o.GetName(), err)
	}
	return nil
}

// argoControllers are values of the label controller on what Argo Events makes.
var argoControllers = []string{"eventbus-controller", "eventsource-controller", "sensor-controller"}

// freshFor is how long a look for leftovers counts. Nothing makes new ones.
const freshFor = time.Minute

// leftovers are what another controller made for our objects: by owner, looked
// up for all at once.
type leftovers struct {
	mu    sync.Mutex
	kinds map[schema.GroupVersionKind]*leftoversOfKind
}

type leftoversOfKind struct {
	looked time.Time
	by     map[types.UID][]*metav1.PartialObjectMetadata
}

// RemoveLeftovers deletes what Argo Events made for owner, of these kinds, and
// is not in use by the controller now. It returns what it deleted. Call it when
// what takes their place works.
func (a *Applier) RemoveLeftovers(ctx context.Context, owner client.Object, kinds ...client.Object) (Changed, error) {
	a.left.mu.Lock()
	defer a.left.mu.Unlock()
	var changed Changed
	var errs []error
	for _, kind := range kinds {
		gvk, err := a.Client.GroupVersionKindFor(kind)
		if err != nil {
			return changed, err
		}
		found, err := a.lookForLeftovers(ctx, gvk)
		if err != nil {
			errs = append(errs, fmt.Errorf("look for what Argo Events left: %w", err))
			continue
		}
		for _, o := range found.by[owner.GetUID()] {
			if err := a.remove(ctx, gvk, o); err != nil {
				errs = append(errs, err)
				continue
			}
			changed = append(changed, gvk.Kind+"/"+o.Name)
		}
		delete(found.by, owner.GetUID())
	}
	return changed, errors.Join(errs...)
}

// lookForLeftovers needs the lock.
func (a *Applier) lookForLeftovers(ctx context.Context, gvk schema.GroupVersionKind) (*leftoversOfKind, error) {
	if f := a.left.kinds[gvk]; f != nil && a.Now().Sub(f.looked) < freshFor {
		return f, nil
	}
	theirs, err := labels.NewRequirement("controller", selection.In, argoControllers)
	if err != nil {
		return nil, err
	}
	notOurs, err := labels.NewRequirement(ManagedByLabel, selection.NotEquals, []string{Manager})
	if err != nil {
		return nil, err
	}
	namespaces := a.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	f := &leftoversOfKind{looked: a.Now(), by: map[types.UID][]*metav1.PartialObjectMetadata{}}
	for _, ns := range namespaces {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		selector := client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*theirs, *notOurs)}
		if err := a.Reader.List(ctx, list, client.InNamespace(ns), selector); err != nil {
			return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
		}
		for i := range list.Items {
			if ref := metav1.GetControllerOf(&list.Items[i]); ref != nil {
				f.by[ref.UID] = append(f.by[ref.UID], &list.Items[i])
			}
		}
	}
	if a.left.kinds == nil {
		a.left.kinds = map[schema.GroupVersionKind]*leftoversOfKind{}
	}
	a.left.kinds[gvk] = f
	return f, nil
}

// argoFinalizers are those that Argo Events puts on our kinds.
var argoFinalizers = []string{"eventbus-controller", "eventsource-controller", "sensor-controller"}

// RemoveFinalizers takes Argo Events' finalizers off obj, which nobody would do
// otherwise. It tells whether there were any.
func (a *Applier) RemoveFinalizers(ctx context.Context, obj *unstructured.Unstructured) (bool, error) {
	all := obj.GetFinalizers()
	keep := slices.DeleteFunc(slices.Clone(all), func(f string) bool { return slices.Contains(argoFinalizers, f) })
	if len(keep) == len(all) {
		return false, nil
	}
	before := obj.DeepCopy()
	obj.SetFinalizers(keep)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := a.Client.Patch(ctx, obj, patch, client.FieldOwner(Manager))
	if err != nil && !apierrors.IsNotFound(err) {
		return true, fmt.Errorf("remove Argo Events' finalizer: %w", err)
	}
	return true, nil
}
