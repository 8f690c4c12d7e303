//go:build e2e

package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const system = "signalbox-system"

// TestWalk is the walk of a user. Its parts build on each other.
func TestWalk(t *testing.T) {
	u := newUser(t)
	manifest := strings.ReplaceAll(read(t, *install), placeholder, *image)
	const old, plain = "signalbox-e2e-old", "signalbox-e2e"
	namespaces := "{apiVersion: v1, kind: Namespace, metadata: {name: " + old + "}}\n---\n" +
		"{apiVersion: v1, kind: Namespace, metadata: {name: " + plain + ", labels: {pod-security.kubernetes.io/enforce: restricted}}}\n"
	if !*keep {
		t.Cleanup(func() {
			if t.Failed() {
				tell(u)
			}
			// The controller goes first: nothing may wait for it.
			u.remove("", only(manifest, func(kind string) bool { return kind != "CustomResourceDefinition" }))
			u.remove("", namespaces)
			u.remove("", only(manifest, func(kind string) bool { return kind == "CustomResourceDefinition" }))
		})
	}
	u.apply("", manifest)
	u.available(system, "signalbox-controller")
	u.apply("", namespaces)

	// The old and the edited version of the sensor.
	const either = "made-by in (hook, edited)"
	step := func(name string, do func(*user)) {
		if !t.Run(name, func(t *testing.T) { do(u.in(t)) }) {
			t.FailNow()
		}
	}
	step("an EventBus of NATS Streaming becomes a JetStream bus", func(u *user) {
		u.apply(old, `{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: default}, spec: {nats: {native: {replicas: 3, auth: token}}}}`)
		u.ready("EventBus", old, "default")
		if n := len(u.pods(old, "eventbus-name=default")); n != 3 {
			u.Errorf("%d pods", n)
		}
	})
	step("sources and sensors on it", func(u *user) { firstEvent(u, old) })
	step("a bus of one under the restricted Pod Security Standard", func(u *user) {
		u.apply(plain, `{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: default}, spec: {jetstream: {version: latest, replicas: 1}}}`)
		u.ready("EventBus", plain, "default")
		firstEvent(u, plain)
	})
	step("an edit of the sensor is followed without a restart", func(u *user) {
		before := u.pods(plain, "sensor-name=hook")
		u.apply(plain, strings.ReplaceAll(sensor, "made-by: hook", "made-by: edited"))
		u.eventually("the edit is followed", func() error {
			u.post(plain, "webhook", 12000, "/push", `{"ref":"edited"}`)
			list := u.count(plain, "made-by=edited")
			if list == 0 {
				return errNone
			}
			return nil
		})
		after := u.pods(plain, "sensor-name=hook")
		if len(after) != 1 || after[0].UID != before[0].UID || restarts(after[0]) != 0 {
			u.Error("the pod was replaced or restarted")
		}
	})
	step("a broken edit is told and the old version goes on", func(u *user) {
		u.applyUnchecked(plain, strings.ReplaceAll(sensor, "operation: create", "operation: obliterate"))
		before := u.count(plain, either)
		u.post(plain, "webhook", 12000, "/push", `{"ref":"after the broken edit"}`)
		u.eventually("the old version acts", func() error {
			if u.count(plain, either) <= before {
				return errNone
			}
			return nil
		})
	})
	step("a bus grows and keeps its data", func(u *user) {
		u.apply(plain, sensor)
		u.apply(plain, `{apiVersion: argoproj.io/v1alpha1, kind: EventBus, metadata: {name: default}, spec: {jetstream: {version: latest, replicas: 3}}}`)
		u.ready("EventBus", plain, "default")
		u.eventually("3 pods", func() error {
			for _, p := range u.pods(plain, "eventbus-name=default") {
				if !ready(p) {
					return errNone
				}
			}
			if len(u.pods(plain, "eventbus-name=default")) != 3 {
				return errNone
			}
			return nil
		})
		before := u.count(plain, either)
		u.post(plain, "webhook", 12000, "/push", `{"ref":"grown"}`)
		u.eventually("an event on the grown bus", func() error {
			if u.count(plain, either) <= before {
				return errNone
			}
			return nil
		})
	})
	step("a removed sensor leaves nothing behind", func(u *user) {
		u.remove(plain, sensor)
		u.eventually("the end of its pods", func() error {
			if len(u.pods(plain, "sensor-name=hook")) > 0 {
				return errNone
			}
			return nil
		})
	})
}

// firstEvent is a webhook and a calendar that lead to ConfigMaps.
func firstEvent(u *user, namespace string) {
	u.apply(namespace, access)
	u.apply(namespace, sources)
	u.apply(namespace, sensor)
	source := u.ready("EventSource", namespace, "webhook")
	if !strings.Contains(text(source.Object["status"]), "/push") {
		u.Errorf("the status tells no URL: %v", source.Object["status"])
	}
	u.ready("EventSource", namespace, "clock")
	u.ready("Sensor", namespace, "hook")
	for _, labels := range []string{"eventsource-name=webhook", "eventsource-name=clock", "sensor-name=hook"} {
		u.eventually("pods of "+labels, func() error {
			pods := u.pods(namespace, labels)
			if len(pods) != 1 || !ready(pods[0]) {
				return errNone
			}
			return nil
		})
	}
	u.post(namespace, "webhook", 12000, "/push", `{"ref":"refs/heads/main"}`)
	if data := u.made(namespace, "made-by=hook", 1); data[0]["ref"] != "refs/heads/main" {
		u.Errorf("made from the event: %v", data[0])
	}
	u.eventually("a tick", func() error {
		if u.count(namespace, "made-by=clock") == 0 {
			return errNone
		}
		return nil
	})
}

func ready(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func restarts(p corev1.Pod) (n int32) {
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}
