package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Namespace makes a namespace that pods can be created in, and deletes it with
// everything in it at the end of the test. Finalizers do not hold that up.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if ns, err = api.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	t.Cleanup(func() { c.DeleteNamespace(t, ns.Name) })
	if err := createServiceAccount(ctx, api, ns.Name, "default"); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// DeleteNamespace deletes a namespace with everything in it, as the
// controllers of a whole cluster would, and objects that wait for a finalizer
// too. A namespace that is not there is no error.
func (c *Cluster) DeleteNamespace(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := deleteNamespace(ctx, c.admin, name); err != nil {
		t.Errorf("delete the namespace %s: %v", name, err)
	}
}

func deleteNamespace(ctx context.Context, config *rest.Config, name string) error {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // of resources that are deprecated
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	// From now on nothing can be created in it.
	err = api.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	resources, err := deletable(api.Discovery())
	if err != nil {
		return err
	}
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, r := range resources {
		group.Go(func() error {
			if err := deleteAll(ctx2, objects.Resource(r).Namespace(name)); err != nil {
				return fmt.Errorf("%s: %w", r.Resource, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err = api.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// deletable lists the resources of namespaces that can be deleted.
func deletable(d discovery.DiscoveryInterface) ([]schema.GroupVersionResource, error) {
	lists, err := discovery.ServerPreferredNamespacedResources(d)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	var found []schema.GroupVersionResource
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "deletecollection") && !strings.Contains(r.Name, "/") {
				found = append(found, gv.WithResource(r.Name))
			}
		}
	}
	return found, nil
}

// deleteAll deletes all objects of a resource, whatever their finalizers.
func deleteAll(ctx context.Context, objects metadata.ResourceInterface) error {
	now, background := int64(0), metav1.DeletePropagationBackground
	how := metav1.DeleteOptions{GracePeriodSeconds: &now, PropagationPolicy: &background}
	for ctx.Err() == nil {
		err := objects.DeleteCollection(ctx, how, metav1.ListOptions{})
		if apierrors.IsNotFound(err) { // the resource has gone, with its CRD
			return nil
		} else if err != nil {
			return err
		}
		left, err := objects.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) || err == nil && len(left.Items) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		for _, o := range left.Items {
			if len(o.Finalizers) == 0 {
				continue
			}
			_, err := objects.Patch(ctx, o.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return errors.Join(ctx.Err(), errors.New("objects are left"))
}
