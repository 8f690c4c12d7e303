package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Watched is an empty object of a kind of children, in the form in which the
// cache is to hold it: whole where the controller needs the status, otherwise
// metadata only.
func Watched(gvk schema.GroupVersionKind) client.Object {
	switch gvk {
	case appsv1.SchemeGroupVersion.WithKind("Deployment"):
		return &appsv1.Deployment{}
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		return &appsv1.StatefulSet{}
	}
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(gvk)
	return m
}

// watchedList is a list of what Watched gives, and how to get at its items.
func watchedList(gvk schema.GroupVersionKind) (client.ObjectList, func() []client.Object) {
	switch gvk {
	case appsv1.SchemeGroupVersion.WithKind("Deployment"):
		l := &appsv1.DeploymentList{}
		return l, func() []client.Object { return pointers[appsv1.Deployment](l.Items) }
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		l := &appsv1.StatefulSetList{}
		return l, func() []client.Object { return pointers[appsv1.StatefulSet](l.Items) }
	}
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	return l, func() []client.Object { return pointers[metav1.PartialObjectMetadata](l.Items) }
}

func pointers[T any, P interface {
	*T
	client.Object
}](items []T) []client.Object {
	out := make([]client.Object, len(items))
	for i := range items {
		out[i] = P(&items[i])
	}
	return out
}
