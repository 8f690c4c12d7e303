package workload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) {
	// The library's: a watch that is stopped while it has something to tell.
	left := goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")
	os.Exit(kube.Run(m, left))
}

// world is a namespace of a real API server with a controller.
type world struct {
	*testing.T
	cluster *kube.Cluster
	api     client.Client
	ns      string
	stop    func()
	// config is what the controller connects with.
	config *rest.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := kube.Start(t)
	api, err := client.New(c.Config(), client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	install(t, c, api)
	return &world{T: t, cluster: c, api: api, ns: c.Namespace(t), config: c.Config()}
}

// install makes the kinds known to the API server, once.
func install(t *testing.T, c *kube.Cluster, api client.Client) {
	t.Helper()
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	for _, name := range []string{"eventbus", "eventsources", "sensors"} {
		full := name + ".argoproj.io"
		if api.Get(t.Context(), client.ObjectKey{Name: full}, crd) == nil {
			continue
		}
		c.Define(t, "-f", "../../../config/crd/argoproj.io_"+name+".yaml")
	}
}

// start runs a controller that knows nothing yet.
func (w *world) start(change ...func(*controller.Options)) {
	w.Helper()
	opts := options()
	for _, f := range change {
		f(&opts)
	}
	opts.Namespaces = []string{w.ns}
	opts.MetricsAddr, opts.HealthAddr = "0", "0"
	opts.Log = slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	mgr, err := controller.New(w.config, opts, Setup)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
	w.Cleanup(w.stop)
}

func (w *world) create(text string) *unstructured.Unstructured {
	w.Helper()
	u := object(w.T, text)
	u.SetNamespace(w.ns)
	u.SetResourceVersion("")
	u.SetUID("")
	status, has := u.Object["status"]
	if err := w.api.Create(w.Context(), u); err != nil {
		w.Fatal(err)
	}
	if has && u.GetKind() == v1alpha1.KindEventBus {
		u.Object["status"] = status
		if err := w.api.Status().Update(w.Context(), u); err != nil {
			w.Fatal(err)
		}
	}
	return u
}

// edit changes an object as a user does.
func (w *world) edit(kind, name, patch string) {
	w.Helper()
	u := controller.Object(kind)
	u.SetNamespace(w.ns)
	u.SetName(name)
	if err := w.api.Patch(w.Context(), u, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

// get reads an object; false if it is not there.
func (w *world) get(o client.Object, name string) bool {
	w.Helper()
	err := w.api.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, o)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatal(err)
	}
	return err == nil
}

func (w *world) until(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not so: %s", what)
		}
	}
}

// condition is "STATUS REASON: MESSAGE" of an object's newest generation; empty
// if there is none.
func (w *world) condition(kind, name, aspect string) string {
	w.Helper()
	u := controller.Object(kind)
	if !w.get(u, name) {
		return ""
	}
	for _, c := range before[v1alpha1.Status](u).Conditions {
		if c.Type == aspect && c.ObservedGeneration == u.GetGeneration() {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

// wants waits for a condition.
func (w *world) wants(kind, name, aspect, want string) {
	w.Helper()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got = w.condition(kind, name, aspect); strings.HasPrefix(got, want) {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s %s: %s is %q, want %q", kind, name, aspect, got, want)
		}
	}
}

// ready says of a Deployment what its controller would.
func (w *world) ready(name string) {
	w.Helper()
	d := &appsv1.Deployment{}
	w.until("there is the Deployment "+name, func() bool { return w.get(d, name) })
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
	if err := w.api.Status().Update(w.Context(), d); err != nil {
		w.Fatal(err)
	}
}

// writes are those to our objects and their children.
func (w *world) writes(since time.Time) []string {
	w.Helper()
	var out []string
	for _, wr := range w.cluster.Writes(w.T, since) {
		if wr.Namespace == w.ns && wr.Resource != "events" {
			out = append(out, fmt.Sprintf("%s %s/%s %s: %d", wr.Verb, wr.Resource, wr.Subresource, wr.Name, wr.Code))
		}
	}
	return out
}

// events are the notes of events on an object.
func (w *world) events(name, reason string) []string {
	w.Helper()
	list := &eventsv1.EventList{}
	if err := w.api.List(w.Context(), list, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Name == name && e.Reason == reason {
			out = append(out, e.Note)
		}
	}
	return out
}

// quiet waits until nothing has been written for a while.
func (w *world) quiet() {
	w.Helper()
	last := time.Now()
	w.until("the controller is quiet", func() bool {
		if len(w.writes(last)) > 0 {
			last = time.Now()
		}
		return time.Since(last) > 700*time.Millisecond
	})
}

func (w *world) bus() { w.Helper(); w.create(managedBus) }

func foreignService(owner *unstructured.Unstructured, ns, name string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}}
	s.Spec = corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 12000}}, Selector: map[string]string{"owner-name": "shop"}}
	if owner != nil {
		s.Labels = map[string]string{"controller": "eventsource-controller"}
		s.OwnerReferences = []metav1.OwnerReference{reference(owner)}
	}
	return s
}

func reference(owner *unstructured.Unstructured) metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes}
}

// argoDeployment is one that Argo Events' controller made for owner.
func argoDeployment(owner *unstructured.Unstructured, ns string) *appsv1.Deployment {
	labels := map[string]string{"controller": "eventsource-controller", "eventsource-name": owner.GetName(), "owner-name": owner.GetName()}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{GenerateName: owner.GetName() + "-eventsource-", Namespace: ns, Labels: labels}}
	d.OwnerReferences = []metav1.OwnerReference{reference(owner)}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.com/other"}}
	return d
}

var deployed = apply.Deployed
