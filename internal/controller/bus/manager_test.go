package bus

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

// manager runs the whole controller in the namespace until the test ends.
func (w *world) manager() {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() {
		done <- controller.Run(ctx, w.cluster.Config(), controller.Options{
			Image: "signalbox:test", Namespaces: []string{w.ns}, Namespace: w.ns,
			MetricsAddr: "0", HealthAddr: "0", LeaderElect: true, Log: slog.New(slog.DiscardHandler),
		}, Setup)
	}()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
}

func (w *world) eventuallyState(name, state string) {
	w.Helper()
	w.eventually(name+" is "+state, func(context.Context) bool { return w.status(name).State == state })
}

// Nothing of this namespace but an invalid object is wrong, and that one holds
// up no other.
func TestController(t *testing.T) {
	w := newWorld(t)
	w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: good-1}, spec: {jetstream: {version: latest}}}`)
	bad := w.undecodable("bad")
	w.manager()
	w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: good-2}, spec: {jetstream: {version: latest}}}`)
	for _, name := range []string{"good-1", "good-2"} {
		w.eventually(name, func(context.Context) bool { return w.has(named[appsv1.StatefulSet]("eventbus-" + name)) })
		w.run("eventbus-"+name, 3)
		w.eventuallyState(name, "Ready")
	}
	w.eventuallyState(bad, apply.InvalidSpec)

	t.Log("a manual edit is reverted, without anybody's waking the controller")
	config := named[corev1.ConfigMap]("eventbus-good-1")
	w.get(config)
	want := config.Data["eventbus.yaml"]
	config.Data["eventbus.yaml"] = "spoilt"
	if err := w.api.Update(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	w.eventually("reverted", func(context.Context) bool { w.get(config); return config.Data["eventbus.yaml"] == want })

	t.Log("what is deleted comes back")
	secret := named[corev1.Secret]("eventbus-good-1-sensor")
	w.get(secret)
	uid := secret.UID
	if err := w.api.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.eventually("back", func(context.Context) bool { return w.has(secret) && secret.UID != uid })

	t.Log("a name that nobody has any more is no matter")
	bus := controller.Object("EventBus")
	bus.SetName("good-2")
	w.get(bus)
	if err := w.api.Delete(t.Context(), bus); err != nil {
		t.Fatal(err)
	}
	w.eventually("gone", func(context.Context) bool { return !w.has(bus) })
}

// undecodable stores an object that the schema does not allow, as an older
// CRD did.
func (w *world) undecodable(name string) string {
	w.Helper()
	const crd = "eventbus.argoproj.io"
	set := func(preserve string) {
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec","value":%s}]`, preserve)
		if _, stderr, err := w.cluster.Kubectl(w.T, "patch", "crd", crd, "--type=json", "-p", patch); err != nil {
			w.Fatal(err, stderr)
		}
	}
	schema, stderr, err := w.cluster.Kubectl(w.T, "get", "crd", crd, "-o", "jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec}")
	if err != nil {
		w.Fatal(err, stderr)
	}
	set(`{"type":"object","x-kubernetes-preserve-unknown-fields":true}`)
	u := object(w.T, `{apiVersion: argoproj.io/v1alpha1, kind: EventBus, spec: {jetstream: {version: 12, replicas: many}}}`)
	u.SetName(name)
	u.SetNamespace(w.ns)
	w.eventually("the schema allows it", func(ctx context.Context) bool { return w.api.Create(ctx, u.DeepCopy()) == nil })
	set(schema)
	probe := object(w.T, `{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: probe}, spec: {jetstream: {version: 12}}}`)
	probe.SetNamespace(w.ns)
	w.eventually("the schema is back", func(ctx context.Context) bool {
		return w.api.Create(ctx, probe.DeepCopy(), client.DryRunAll) != nil
	})
	return name
}

func TestTwoControllersTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.manager()
	w.manager()
	w.create(mainBus)
	w.eventually("made", func(context.Context) bool { return w.has(named[appsv1.StatefulSet]("eventbus-main")) })
	w.run("eventbus-main", 3)
	w.eventuallyState("main", "Ready")
	patches := 0
	for _, write := range w.cluster.Writes(t, time.Now().Add(-time.Hour)) {
		if write.Namespace == w.ns && write.Resource == "statefulsets" && write.Subresource == "" {
			patches++
		}
	}
	if patches != 1 {
		t.Errorf("the StatefulSet was written %d times", patches)
	}
}
