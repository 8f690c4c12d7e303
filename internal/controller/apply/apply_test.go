package apply_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

func deployment(image string) *appsv1.Deployment {
	one := int32(1)
	labels := map[string]string{"app": "x"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image, Args: []string{"a"}}}},
			},
		},
	}
}

func service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "door"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "x"},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

func TestSecondApplyWritesNothing(t *testing.T) {
	w := newWorld(t)
	wanted := []client.Object{configMap("config", "a"), deployment("one"), service()}
	if got := w.applied(wanted...); !slices.Equal(got, apply.Changed{"ConfigMap/config", "Deployment/work", "Service/door"}) {
		t.Fatalf("first: %v", got)
	}
	before := time.Now()
	for range 3 {
		if got := w.applied(wanted...); got != nil {
			t.Errorf("again: %v", got)
		}
	}
	w.restart(w.api) // the hash tells
	if got := w.applied(wanted...); got != nil {
		t.Errorf("after a restart: %v", got)
	}
	for _, write := range w.cluster.Writes(t, before) {
		if write.Namespace == w.ns {
			t.Errorf("written: %+v", write)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	w := newWorld(t)
	c := configMap("config", "a")
	c.Labels = map[string]string{"mine": "yes", apply.ManagedByLabel: "me"}
	w.applied(c)
	got := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}}
	w.get(got)
	for k, want := range map[string]string{
		"mine": "yes", apply.ManagedByLabel: "signalbox", apply.ComponentLabel: "eventbus", apply.InstanceLabel: "main",
	} {
		if got.Labels[k] != want {
			t.Errorf("label %s: %q, want %q", k, got.Labels[k], want)
		}
	}
	ref := metav1.GetControllerOf(got)
	if ref == nil || ref.UID != w.owner.GetUID() || ref.Kind != "EventBus" || ref.BlockOwnerDeletion != nil {
		t.Errorf("controller: %+v", ref)
	}
	if len(got.ManagedFields) != 1 || got.ManagedFields[0].Manager != "signalbox" || got.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("managed fields: %+v", got.ManagedFields)
	}
	if got.Annotations[apply.HashAnnotation] == "" {
		t.Error("no hash")
	}
	if len(c.Labels) != 2 || c.Namespace != "" || c.OwnerReferences != nil {
		t.Errorf("the wanted object was changed: %+v", c.ObjectMeta)
	}
}

func TestChangedWishIsWritten(t *testing.T) {
	w := newWorld(t)
	w.applied(configMap("config", "a"), deployment("one"))
	if got := w.applied(configMap("config", "b"), deployment("one")); !slices.Equal(got, apply.Changed{"ConfigMap/config"}) {
		t.Errorf("got %v", got)
	}
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}}
	w.get(c)
	if c.Data["key"] != "b" {
		t.Errorf("got %v", c.Data)
	}
}

func TestManualEdits(t *testing.T) {
	for _, test := range []struct {
		name     string
		object   client.Object
		edit     string
		reverted bool
	}{
		{"image of a Deployment", deployment("one"), `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"two"}]}}}}`, true},
		{"arguments of a Deployment", deployment("one"), `{"spec":{"template":{"spec":{"containers":[{"name":"main","args":["a","b"]}]}}}}`, true},
		{"replicas of a Deployment", deployment("one"), `{"spec":{"replicas":7}}`, true},
		{"field that we do not set", deployment("one"), `{"spec":{"minReadySeconds":7}}`, false},
		{"data of a ConfigMap", configMap("config", "a"), `{"data":{"key":"z"}}`, true},
		{"key that we do not set", configMap("config", "a"), `{"data":{"other":"z"}}`, false},
		{"port of a Service", service(), `{"spec":{"ports":[{"port":80,"targetPort":9}]}}`, true},
		{"label of ours", deployment("one"), `{"metadata":{"labels":{"app.kubernetes.io/instance":"z"}}}`, true},
		{"label of theirs", deployment("one"), `{"metadata":{"labels":{"team":"z"}}}`, false},
		{"hash", configMap("config", "a"), `{"metadata":{"annotations":{"signalbox.dev/hash":"z"}}}`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.applied(test.object)
			gvk, err := w.api.GroupVersionKindFor(test.object)
			if err != nil {
				t.Fatal(err)
			}
			if _, stderr, err := w.cluster.Kubectl(t, "patch", "-n", w.ns, gvk.Kind, test.object.GetName(), "-p", test.edit); err != nil {
				t.Fatal(err, stderr)
			}
			if got := w.applied(test.object); (got != nil) != test.reverted {
				t.Errorf("written: %v, want %v", got, test.reverted)
			}
			if got := w.applied(test.object); got != nil {
				t.Errorf("written again: %v", got)
			}
		})
	}
}

func TestNameThatIsTaken(t *testing.T) {
	for name, test := range map[string]struct{ object, owner string }{
		"by nobody's object": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {key: theirs}}`, ""},
		"by one that looks like ours": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: config, labels: {app.kubernetes.io/managed-by: signalbox}},
			data: {key: theirs}}`, ""},
		"by another owner's": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: config, ownerReferences: [
			{apiVersion: v1, kind: ConfigMap, name: else, uid: abc, controller: true}]}, data: {key: theirs}}`, "ConfigMap/else"},
		"by a former owner's of the same name": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: config, ownerReferences: [
			{apiVersion: argoproj.io/v1alpha1, kind: EventBus, name: main, uid: abc, controller: true}]}, data: {key: theirs}}`, "EventBus/main"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(test.object)
			changed, err := w.apply.Apply(t.Context(), w.owner, configMap("config", "a"), configMap("second", "a"))
			var taken *apply.ForeignError
			if !errors.As(err, &taken) || taken.Owner != test.owner || taken.Child != "ConfigMap/config" || apply.Failed(err) != apply.NameTaken {
				t.Errorf("got %v", err)
			}
			if !slices.Equal(changed, apply.Changed{"ConfigMap/second"}) {
				t.Errorf("written: %v", changed)
			}
			c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}}
			w.get(c)
			if c.Data["key"] != "theirs" {
				t.Error("it was overwritten")
			}
		})
	}
}

func TestLeftoverOfTheSameNameIsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.create(`{apiVersion: v1, kind: ConfigMap, metadata: {name: config, labels: {controller: eventbus-controller}, ownerReferences: [
		{apiVersion: argoproj.io/v1alpha1, kind: EventBus, name: main, uid: ` + string(w.owner.GetUID()) + `, controller: true}]}, data: {key: old}}`)
	if got := w.applied(configMap("config", "a")); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}}
	w.get(c)
	if c.Data["key"] != "a" || c.Labels[apply.ManagedByLabel] != "signalbox" {
		t.Errorf("got %+v", c)
	}
}

func TestCacheThatLagsBehindCausesNoWrite(t *testing.T) {
	w := newWorld(t)
	cache := &lagging{Client: w.api, old: map[string]client.Object{}}
	w.restart(cache)
	w.applied(deployment("one"))
	old := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "work"}}
	w.get(old)
	w.applied(deployment("two"))
	cache.old["work"] = old
	if got := w.applied(deployment("two")); got != nil {
		t.Errorf("written again: %v", got)
	}
	if got := w.applied(deployment("three")); len(got) != 1 {
		t.Errorf("a new wish: %v", got)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	w.applied(configMap("kept", "a"), configMap("gone", "a"), service(), deployment("one"))
	w.create(`{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs, labels: {app.kubernetes.io/managed-by: signalbox,
		app.kubernetes.io/component: eventbus, app.kubernetes.io/instance: main}}}`)
	err := w.apply.Prune(t.Context(), w.owner, []client.Object{&corev1.ConfigMap{}, &corev1.Service{}}, configMap("kept", "b"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, list := range []client.ObjectList{&corev1.ConfigMapList{}, &corev1.ServiceList{}, &appsv1.DeploymentList{}} {
		if err := w.api.List(t.Context(), list, client.InNamespace(w.ns)); err != nil {
			t.Fatal(err)
		}
		switch l := list.(type) {
		case *corev1.ConfigMapList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		case *corev1.ServiceList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		case *appsv1.DeploymentList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		}
	}
	if got := strings.Join(names, " "); got != "kept theirs work" {
		t.Errorf("left: %s", got)
	}
	if got := w.applied(configMap("gone", "a")); len(got) != 1 {
		t.Errorf("wanted again: %v", got)
	}
}

func TestRemoveLeftovers(t *testing.T) {
	w := newWorld(t)
	w.applied(configMap("ours", "a"))
	owned := `ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: EventBus, name: main, uid: ` + string(w.owner.GetUID()) + `, controller: true}]`
	w.create(`{apiVersion: v1, kind: ConfigMap, metadata: {name: left, labels: {controller: eventbus-controller}, ` + owned + `}}`)
	w.create(`{apiVersion: v1, kind: ConfigMap, metadata: {name: other, labels: {controller: eventbus-controller}}}`)
	for i, want := range []apply.Changed{{"ConfigMap/left"}, nil} {
		got, err := w.apply.RemoveLeftovers(t.Context(), w.owner, &corev1.ConfigMap{}, &appsv1.StatefulSet{})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("call %d: %v, %v", i, got, err)
		}
	}
	w.get(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ours"}})
	w.get(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	left := &corev1.ConfigMap{}
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "left"}, left); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("left: %v", err)
	}
}

func TestRemoveFinalizers(t *testing.T) {
	w := newWorld(t)
	u := w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: old, finalizers: [eventbus-controller, example.com/mine]},
		spec: {jetstream: {version: latest}}}`)
	for i, want := range []bool{true, false} {
		got, err := w.apply.RemoveFinalizers(t.Context(), u)
		if err != nil || got != want {
			t.Errorf("call %d: %v, %v", i, got, err)
		}
	}
	w.get(u)
	if f := u.GetFinalizers(); !slices.Equal(f, []string{"example.com/mine"}) {
		t.Errorf("left: %v", f)
	}
}
