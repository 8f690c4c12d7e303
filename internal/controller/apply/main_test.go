package apply_test

import (
	"context"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/internal/controller/apply"
	"github.com/signalbox-events/signalbox/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Run(m)) }

// world is a namespace with an owner, and an Applier that knows nothing yet.
type world struct {
	*testing.T
	cluster *kube.Cluster
	api     client.Client
	ns      string
	owner   *unstructured.Unstructured
	events  *events.FakeRecorder
	apply   *apply.Applier
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := kube.Start(t)
	api, err := client.New(c.Config(), client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if api.Get(t.Context(), client.ObjectKey{Name: "eventbus.argoproj.io"}, crd) != nil {
		c.Define(t, "-f", "../../../config/crd/argoproj.io_eventbus.yaml")
	}
	w := &world{T: t, cluster: c, api: api, ns: c.Namespace(t)}
	w.owner = w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main}, spec: {jetstream: {version: latest}}}`)
	w.restart(api)
	return w
}

// restart forgets everything, as a new controller has. reader is what the cache is.
func (w *world) restart(cached client.Client) {
	w.events = events.NewFakeRecorder(100)
	w.apply = apply.New(apply.Config{Client: cached, Reader: w.api, Recorder: w.events})
}

func (w *world) create(text string) *unstructured.Unstructured {
	w.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		w.Fatal(err)
	}
	u.SetNamespace(w.ns)
	if err := w.api.Create(w.Context(), u); err != nil {
		w.Fatal(err)
	}
	return u
}

func (w *world) get(o client.Object) {
	w.Helper()
	o.SetNamespace(w.ns)
	if err := w.api.Get(w.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		w.Fatal(err)
	}
}

// applied applies and says what was written.
func (w *world) applied(wanted ...client.Object) apply.Changed {
	w.Helper()
	changed, err := w.apply.Apply(w.Context(), w.owner, wanted...)
	if err != nil {
		w.Fatal(err)
	}
	return changed
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"key": value}}
}

// lagging is a cache that shows objects as they were when it was made.
type lagging struct {
	client.Client
	old map[string]client.Object // by name; nil: not there
}

func (l *lagging) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if err := l.Client.Get(ctx, key, o, opts...); err != nil {
		return err
	}
	if old, ok := l.old[key.Name]; ok {
		o.SetResourceVersion(old.GetResourceVersion())
		o.SetGeneration(old.GetGeneration())
		o.SetAnnotations(old.GetAnnotations())
		o.SetLabels(old.GetLabels())
		o.SetOwnerReferences(old.GetOwnerReferences())
	}
	return nil
}
