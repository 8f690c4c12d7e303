//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/signalbox-events/signalbox/internal/cluster"
)

var (
	image   = flag.String("image", "", "reference of the image; the cluster can pull it or has it")
	install = flag.String("install", "../../config/install.yaml", "manifest to install")
	keep    = flag.Bool("keep", false, "leave everything in the cluster")
	patient = flag.Duration("patience", 3*time.Minute, "how long to wait for anything")
)

// placeholder is the image in the install manifest.
const placeholder = "signalbox:latest"

// user is somebody with a kubeconfig.
type user struct {
	*testing.T
	cluster *cluster.Cluster
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
}

func newUser(t *testing.T) *user {
	t.Helper()
	if *image == "" {
		t.Fatal("say which image: -image REFERENCE (make e2e IMAGE=...)")
	}
	u := &user{T: t, cluster: cluster.OfPerson("", "", "e2e")}
	t.Cleanup(u.cluster.Close)
	var err error
	if u.dynamic, err = u.cluster.Dynamic(); err != nil {
		t.Fatal(err)
	}
	if u.mapper, err = u.cluster.Mapper(); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *user) in(t *testing.T) *user {
	own := *u
	own.T = t
	return &own
}

func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(o)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

func (u *user) resource(gvk schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	u.Helper()
	var m *meta.RESTMapping
	u.eventually("the API serves "+gvk.Kind, func() error {
		var err error
		m, err = u.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		return err
	})
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		return u.dynamic.Resource(m.Resource)
	}
	return u.dynamic.Resource(m.Resource).Namespace(namespace)
}

// apply is kubectl apply --server-side.
func (u *user) apply(namespace, text string) {
	u.Helper()
	for _, o := range parse(u.T, text) {
		ns := o.GetNamespace()
		if ns == "" {
			ns = namespace
		}
		r := u.resource(o.GroupVersionKind(), ns)
		u.eventually("apply "+o.GetKind()+" "+o.GetName(), func() error {
			_, err := r.Apply(u.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
			return err
		})
	}
}

// remove is kubectl delete, waiting.
func (u *user) remove(namespace, text string) {
	u.Helper()
	objects := parse(u.T, text)
	for i := len(objects) - 1; i >= 0; i-- {
		o := objects[i]
		ns := o.GetNamespace()
		if ns == "" {
			ns = namespace
		}
		r := u.resource(o.GroupVersionKind(), ns)
		background := metav1.DeletePropagationBackground
		err := r.Delete(context.Background(), o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			u.Errorf("delete %s %s: %v", o.GetKind(), o.GetName(), err)
			continue
		}
		u.eventually("the end of "+o.GetKind()+" "+o.GetName(), func() error {
			_, err := r.Get(context.Background(), o.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("still there: %w", err)
		})
	}
}

// eventually tries until check is nil, and logs how long it took.
func (u *user) eventually(what string, check func() error) {
	u.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			if d := time.Since(began); d > time.Second {
				u.Logf("%s: after %.1fs", what, d.Seconds())
			}
			return
		}
		if time.Since(began) > *patient {
			u.Fatalf("%s: not within %v: %v", what, *patient, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// ready waits until all conditions of one of our objects are true.
func (u *user) ready(kind, namespace, name string) *unstructured.Unstructured {
	u.Helper()
	r := u.resource(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: kind}, namespace)
	var o *unstructured.Unstructured
	u.eventually(kind+" "+name+" is ready", func() error {
		var err error
		if o, err = r.Get(u.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		if len(conditions) == 0 {
			return errors.New("no conditions yet")
		}
		for _, c := range conditions {
			if c := c.(map[string]any); c["status"] != "True" || c["observedGeneration"] != o.GetGeneration() {
				return fmt.Errorf("%v of generation %d", c, o.GetGeneration())
			}
		}
		return nil
	})
	return o
}

func (u *user) pods(namespace, labels string) []corev1.Pod {
	u.Helper()
	list, err := u.resource(corev1.SchemeGroupVersion.WithKind("Pod"), namespace).List(u.Context(), metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		u.Fatal(err)
	}
	pods := make([]corev1.Pod, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &pods[i]); err != nil {
			u.Fatal(err)
		}
	}
	return pods
}

func (u *user) available(namespace, name string) {
	u.Helper()
	r := u.resource(appsv1.SchemeGroupVersion.WithKind("Deployment"), namespace)
	u.eventually("Deployment "+name+" is available", func() error {
		o, err := r.Get(u.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		n, _, _ := unstructured.NestedInt64(o.Object, "status", "availableReplicas")
		if n < 1 {
			return errors.New("no pod is available")
		}
		return nil
	})
}

// post sends a request to a pod of an event source, through a tunnel.
func (u *user) post(namespace, source string, port int, path, body string) {
	u.Helper()
	u.eventually("a request to "+source+path, func() error {
		tunnel, err := u.cluster.Tunnel(u.Context(), namespace, "eventsource-name="+source, port)
		if err != nil {
			return err
		}
		defer func() { _ = tunnel.Close() }()
		res, err := http.Post("http://"+tunnel.Address+path, "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(answer))
		}
		return nil
	})
}

// made waits for a ConfigMap that a sensor creates, and gives its data.
func (u *user) made(namespace, labels string, n int) []map[string]any {
	u.Helper()
	var data []map[string]any
	u.eventually(fmt.Sprintf("%d ConfigMaps with %s", n, labels), func() error {
		list, err := u.resource(corev1.SchemeGroupVersion.WithKind("ConfigMap"), namespace).List(u.Context(), metav1.ListOptions{LabelSelector: labels})
		if err != nil {
			return err
		}
		if len(list.Items) != n {
			return fmt.Errorf("there are %d", len(list.Items))
		}
		data = nil
		for _, o := range list.Items {
			d, _, _ := unstructured.NestedMap(o.Object, "data")
			data = append(data, d)
		}
		return nil
	})
	return data
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
