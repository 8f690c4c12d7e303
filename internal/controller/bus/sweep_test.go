package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/sensor"
)

// onBus gives a trigger a consumer with an event that waits, and state.
func onBus(t *testing.T, bus *eventbus.Bus, sensorName, triggerName string) {
	t.Helper()
	from := eventbus.Address{Source: "source", Event: sensorName + triggerName}
	err := bus.EnsureConsumer(t.Context(), eventbus.ConsumerConfig{Sensor: sensorName, Trigger: triggerName, From: []eventbus.Address{from}})
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(t.Context(), from, sensorName+triggerName, bustest.Event(sensorName+triggerName)); err != nil {
		t.Fatal(err)
	}
	key := "sensor/" + eventbus.KeyLevel(sensorName) + "/" + eventbus.KeyLevel(triggerName) + "/join"
	if _, err := bus.State().Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func remains(t *testing.T, bus *eventbus.Bus) string {
	t.Helper()
	all, err := sensor.OnBus(t.Context(), bus)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Sensor+":"+r.Trigger)
	}
	return strings.Join(names, " ")
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	main := w.create(mainBus)
	w.create(`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, metadata: {name: kept}, spec: {eventBusName: main, dependencies: [], triggers: []}}`)
	pod := w.create(`{apiVersion: v1, kind: Pod, metadata: {name: last, labels: {app.kubernetes.io/managed-by: signalbox,
		app.kubernetes.io/component: sensor, app.kubernetes.io/instance: ending}}, spec: {containers: [{name: main, image: i}]}}`)
	bus := bustest.New(t)
	for _, s := range []string{"kept", "ending", "deleted"} {
		onBus(t, bus, s, "one")
		onBus(t, bus, s, "with/slash 100%")
	}
	if _, err := bus.State().Put(t.Context(), "sensor/only-state/t/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.State().Put(t.Context(), "source/deleted/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	away := true
	s := &sweep{Reconciler: w.Reconciler, open: func(context.Context, *unstructured.Unstructured) (*eventbus.Bus, func(), error) {
		if away {
			return nil, nil, errors.New("away")
		}
		return bus, func() {}, nil
	}}
	run := func() (soon bool) {
		t.Helper()
		res, err := s.Reconcile(t.Context(), requestOf(main))
		if err != nil {
			t.Fatal(err)
		}
		return res.RequeueAfter == sweepSoon
	}
	if !run() {
		t.Error("a bus that is away is not tried again soon")
	}
	away = false
	if !run() {
		t.Error("pods are left, and nobody looks again soon")
	}
	const kept = "kept:one kept:with/slash 100%"
	if got, want := remains(t, bus), "ending:one ending:with/slash 100% "+kept; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	text := <-w.events.Events
	for _, want := range []string{"trigger one of sensor deleted, which is gone, with 1 events", "sensor only-state, which is gone, with 0 events"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	keys, err := bus.State().Keys(t.Context(), "")
	if err != nil || !slices.Contains(keys, "source/deleted/x") || len(keys) != 5 {
		t.Errorf("state: %q, %v", keys, err)
	}
	if _, _, err := w.cluster.Kubectl(t, "delete", "pod", "-n", w.ns, pod.GetName(), "--grace-period=0", "--force"); err != nil {
		t.Fatal(err)
	}
	if run() {
		t.Error("there is nothing to wait for")
	}
	if got := remains(t, bus); got != kept {
		t.Errorf("left: %s", got)
	}
}

func TestSweepIsNotForServersOfTheUser(t *testing.T) {
	w := newWorld(t)
	u := w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main}, spec: {jetstreamExotic: {url: "nats://mine:4222"}}}`)
	s := &sweep{Reconciler: w.Reconciler, open: func(context.Context, *unstructured.Unstructured) (*eventbus.Bus, func(), error) {
		t.Error("opened")
		return nil, nil, errors.New("no")
	}}
	if res, err := s.Reconcile(t.Context(), requestOf(u)); err != nil || res.RequeueAfter != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
}

// TestSweepOfChangedSensors has a trigger taken out of a sensor and a sensor moved
// to another bus. Both stay as they are until the new version is deployed.
func TestSweepOfChangedSensors(t *testing.T) {
	w := newWorld(t)
	main := w.create(mainBus)
	sensors := map[string]*unstructured.Unstructured{}
	for name, spec := range map[string]string{
		"changed": "eventBusName: main, triggers: [{template: {name: stays, log: {}}}]",
		"moved":   "eventBusName: other, triggers: [{template: {name: stays, log: {}}}]",
		"invalid": "eventBusName: main, triggers: [{template: {name: stays, conditions: nobody, log: {}}}]",
	} {
		sensors[name] = w.create(`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, metadata: {name: ` + name + `},
			spec: {dependencies: [{name: d, eventSourceName: s, eventName: e}], ` + spec + `}}`)
	}
	bus := bustest.New(t)
	for name := range sensors {
		onBus(t, bus, name, "stays")
		onBus(t, bus, name, "goes")
	}
	s := &sweep{Reconciler: w.Reconciler, open: func(context.Context, *unstructured.Unstructured) (*eventbus.Bus, func(), error) {
		return bus, func() {}, nil
	}}
	run := func() {
		t.Helper()
		if _, err := s.Reconcile(t.Context(), requestOf(main)); err != nil {
			t.Fatal(err)
		}
	}
	run()
	const before = "changed:goes changed:stays invalid:goes invalid:stays moved:goes moved:stays"
	if got := remains(t, bus); got != before {
		t.Errorf("not deployed yet, and left: %s", got)
	}
	for name, u := range sensors {
		valid := "True"
		if name == "invalid" {
			valid = "False"
		}
		patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Deployed","status":"True","observedGeneration":%[1]d},
			{"type":"TriggersProvided","status":"%[2]s","observedGeneration":%[1]d}]}}`, u.GetGeneration(), valid)
		if _, trouble, err := w.cluster.Kubectl(t, "patch", "sensor", "-n", w.ns, name, "--subresource=status", "--type=merge", "-p", patch); err != nil {
			t.Fatal(trouble)
		}
	}
	run()
	if got, want := remains(t, bus), "changed:stays invalid:goes invalid:stays"; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
}
