package bus

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/test/kube"
)

// The library that watches metadata leaves a goroutine behind where an event comes
// while it stops.
func TestMain(m *testing.M) {
	os.Exit(kube.Run(m, goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")))
}

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a namespace and a Reconciler that nobody wakes.
type world struct {
	*testing.T
	cluster *kube.Cluster
	api     client.Client
	ns      string
	now     time.Time
	events  *events.FakeRecorder
	*Reconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := kube.Start(t)
	api, err := client.New(c.Config(), client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	installCRDs(t, c, api)
	w := &world{T: t, cluster: c, api: api, ns: c.Namespace(t), now: start, events: events.NewFakeRecorder(100)}
	now := func() time.Time { return w.now }
	w.Reconciler = &Reconciler{
		Options: controller.Options{
			Image: "signalbox:test", Now: now, Log: slog.New(slog.DiscardHandler),
			Applier: apply.New(apply.Config{Client: api, Reader: api, Recorder: w.events, Now: now}),
		},
		Client: api, Reader: api,
	}
	return w
}

func installCRDs(t *testing.T, c *kube.Cluster, api client.Client) {
	t.Helper()
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if api.Get(t.Context(), client.ObjectKey{Name: "sensors.argoproj.io"}, crd) == nil {
		return
	}
	c.Define(t, "-k", "../../../config/crd")
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	if u.GetKind() == "" {
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindEventBus))
	}
	return u
}

// create makes an object; an EventBus if it does not say.
func (w *world) create(text string) *unstructured.Unstructured {
	w.Helper()
	u := object(w.T, text)
	u.SetNamespace(w.ns)
	if err := w.api.Create(w.Context(), u); err != nil {
		w.Fatal(err)
	}
	return u
}

// update sets the spec of an EventBus.
func (w *world) update(name, spec string) {
	w.Helper()
	u := controller.Object(v1alpha1.KindEventBus)
	u.SetName(name)
	w.get(u)
	u.Object["spec"] = object(w.T, spec).Object["spec"]
	if err := w.api.Update(w.Context(), u); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(o client.Object) {
	w.Helper()
	o.SetNamespace(w.ns)
	if err := w.api.Get(w.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		w.Fatal(err)
	}
}

func (w *world) has(o client.Object) bool {
	w.Helper()
	err := w.api.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: o.GetName()}, o)
	if client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	return err == nil
}

func named[T any, P interface {
	*T
	client.Object
}](name string) P {
	o := P(new(T))
	o.SetName(name)
	return o
}

func (w *world) reconcile(name string) (reconcile.Result, v1alpha1.EventBusStatus) {
	w.Helper()
	res, err := w.Reconcile(w.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: w.ns, Name: name}})
	if err != nil {
		w.Fatal(err)
	}
	return res, w.status(name)
}

func (w *world) status(name string) v1alpha1.EventBusStatus {
	w.Helper()
	u := controller.Object(v1alpha1.KindEventBus)
	u.SetName(name)
	w.get(u)
	var s v1alpha1.EventBusStatus
	have, _, _ := unstructured.NestedMap(u.Object, "status")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(have, &s); err != nil {
		w.Fatal(err)
	}
	return s
}

func condition(s v1alpha1.EventBusStatus, aspect string) v1alpha1.Condition {
	for _, c := range s.Conditions {
		if c.Type == aspect {
			return c
		}
	}
	return v1alpha1.Condition{}
}

// run has the pods of a StatefulSet be ready, as nobody else would.
func (w *world) run(name string, ready int32) {
	w.Helper()
	s := named[appsv1.StatefulSet](name)
	w.get(s)
	s.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: s.Generation, Replicas: *s.Spec.Replicas, ReadyReplicas: ready, UpdatedReplicas: *s.Spec.Replicas,
		CurrentRevision: "r", UpdateRevision: "r",
	}
	if err := w.api.Status().Update(w.Context(), s); err != nil {
		w.Fatal(err)
	}
}

// written are the changes in the namespace since a time, by whomever.
func (w *world) written(since time.Time) []string {
	w.Helper()
	var all []string
	for _, write := range w.cluster.Writes(w.T, since) {
		if write.Namespace == w.ns && write.Resource != "events" {
			all = append(all, strings.TrimSpace(write.Verb+" "+write.Resource+"/"+write.Name+" "+write.Subresource))
		}
	}
	return all
}

func (w *world) eventually(what string, ok func(context.Context) bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(w.Context()); {
		if time.Now().After(end) {
			w.Fatalf("never: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func requestOf(o client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)}
}
