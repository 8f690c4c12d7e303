package apply_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/controller/apply"
)

func (w *world) status(ready bool, reason, message string) v1alpha1.EventBusStatus {
	c := apply.NewConditions(w.owner)
	c.True(apply.Configured, apply.Succeeded, "fine")
	if ready {
		c.True(apply.Deployed, reason, "%s", message)
	} else {
		c.False(apply.Deployed, reason, "%s", message)
	}
	return v1alpha1.EventBusStatus{Status: c.Status()}
}

func (w *world) writeStatus(s v1alpha1.EventBusStatus) v1alpha1.EventBusStatus {
	w.Helper()
	if err := w.apply.Status(w.Context(), w.owner, s); err != nil {
		w.Fatal(err)
	}
	return w.readStatus()
}

func (w *world) readStatus() v1alpha1.EventBusStatus {
	w.Helper()
	live := w.owner.DeepCopy()
	w.get(live)
	var s v1alpha1.EventBusStatus
	have, _, _ := unstructured.NestedMap(live.Object, "status")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(have, &s); err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) eventTexts() []string {
	var all []string
	for len(w.events.Events) > 0 {
		all = append(all, <-w.events.Events)
	}
	return all
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	w.apply.Now = func() time.Time { return now }
	first := w.writeStatus(w.status(false, apply.PodsNotReady, "0 of 3"))
	if len(first.Conditions) != 2 || first.Conditions[0].Type != "Configured" || first.Conditions[1].LastTransitionTime != "2030-01-01T00:00:00Z" ||
		first.Conditions[0].ObservedGeneration != w.owner.GetGeneration() || w.owner.GetGeneration() == 0 {
		t.Fatalf("got %+v", first)
	}
	if got := w.eventTexts(); len(got) != 1 || got[0] != "Normal PodsNotReady Deployed: 0 of 3" {
		t.Errorf("events %q", got)
	}

	before := time.Now()
	now = now.Add(time.Hour)
	w.writeStatus(w.status(false, apply.PodsNotReady, "0 of 3")) // owner is as it was before the first write
	w.get(w.owner)
	w.writeStatus(w.status(false, apply.PodsNotReady, "0 of 3"))
	for _, write := range w.cluster.Writes(t, before) {
		if write.Namespace == w.ns {
			t.Errorf("written: %+v", write)
		}
	}

	other := w.writeStatus(w.status(false, apply.PodsNotReady, "1 of 3"))
	if c := other.Conditions[1]; c.Message != "1 of 3" || c.LastTransitionTime != "2030-01-01T00:00:00Z" {
		t.Errorf("got %+v", c)
	}
	w.get(w.owner)
	ready := w.writeStatus(w.status(true, apply.Succeeded, "3 of 3"))
	if c := ready.Conditions; c[1].LastTransitionTime != "2030-01-01T01:00:00Z" || c[0].LastTransitionTime != "2030-01-01T00:00:00Z" {
		t.Errorf("got %+v", c)
	}
	if got := w.eventTexts(); len(got) != 1 || got[0] != "Normal Succeeded Deployed: 3 of 3" {
		t.Errorf("events %q", got)
	}
	w.get(w.owner)
	w.writeStatus(w.status(false, apply.NameTaken, "taken"))
	if got := w.eventTexts(); len(got) != 1 || !strings.HasPrefix(got[0], "Warning NameTaken") {
		t.Errorf("events %q", got)
	}
}

func TestStatusOfAnotherController(t *testing.T) {
	w := newWorld(t)
	w.owner.Object["status"] = map[string]any{
		"config": map[string]any{"nats": map[string]any{"url": "nats://old"}},
		"conditions": []any{
			map[string]any{"type": "Configured", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
			map[string]any{"type": "Deployed", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
		},
	}
	if err := w.api.Status().Update(t.Context(), w.owner); err != nil {
		t.Fatal(err)
	}
	got := w.writeStatus(w.status(false, apply.PodsNotReady, "0 of 3"))
	if got.Config.NATS != nil {
		t.Errorf("config is left: %+v", got.Config)
	}
	if c := got.Conditions; c[0].LastTransitionTime != "2020-01-01T00:00:00Z" || c[1].LastTransitionTime == "2020-01-01T00:00:00Z" {
		t.Errorf("got %+v", c)
	}
}

func TestStatusIsNotWrittenToANewObjectOfTheName(t *testing.T) {
	w := newWorld(t)
	old := w.owner.DeepCopy()
	if err := w.api.Delete(t.Context(), w.owner); err != nil {
		t.Fatal(err)
	}
	w.owner = w.create(`{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: main}, spec: {jetstream: {version: latest}}}`)
	if err := w.apply.Status(t.Context(), old, w.status(true, apply.Succeeded, "")); err == nil {
		t.Error("no error")
	}
	if got := w.readStatus(); len(got.Conditions) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestEventsAreNotRepeated(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.apply.Event(w.owner, true, "Ignored", "a %s", "b")
	}
	w.apply.Event(w.owner, true, "Ignored", "%s", strings.Repeat("long ", 1000))
	got := w.eventTexts()
	if len(got) != 2 || got[0] != "Warning Ignored a b" || len(got[1]) > 1100 {
		t.Errorf("got %q", got)
	}
	w.apply.Forget(w.owner)
	w.apply.Event(w.owner, false, "Ignored", "a b")
	if got := w.eventTexts(); len(got) != 1 {
		t.Errorf("after Forget: %q", got)
	}
}

func TestConditions(t *testing.T) {
	o := &unstructured.Unstructured{}
	c := apply.NewConditions(o)
	c.True(apply.Deployed, apply.Succeeded, "")
	if !c.Ready() || c.State() != "Ready" {
		t.Error("not ready")
	}
	c.Unknown(apply.Configured, "Later", "")
	c.False(apply.Deployed, apply.PodsNotReady, "")
	if c.Ready() || c.State() != "Later" || len(c.Status().Conditions) != 2 {
		t.Errorf("got %+v", c.Status())
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("abcdefghi-", 10)
	for _, test := range []struct {
		name string
		most int
		want string
	}{
		{"short", 63, "short"},
		{"with.dots", 63, "with-dots-" + apply.Name("with.dots", 63)[10:]},
		{long[:50], 50, long[:50]},
	} {
		if got := apply.Name(test.name, test.most); got != test.want {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	a, b := apply.Name(long+"a", 63), apply.Name(long+"b", 63)
	if a == b || len(a) > 63 || len(b) > 63 || apply.Name("with.dots", 63) == apply.Name("with-dots", 63) {
		t.Errorf("%s %s", a, b)
	}
	if v := apply.LabelValue("with.dots"); v != "with.dots" {
		t.Errorf("got %s", v)
	}
}
