package bus

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestStuckUpdate has an update that waits for pods of the template before, which
// cannot start.
func TestStuckUpdate(t *testing.T) {
	w := newWorld(t)
	w.create(mainBus)
	w.reconcile("main")
	for name, p := range map[string]struct{ revision, status string }{
		"eventbus-main-0": {"old", `{phase: Pending, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}`},
		"eventbus-main-1": {"old", `{phase: Running, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 0, state: {running: {}}}]}`},
		"eventbus-main-2": {"new", `{phase: Pending, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}`},
		"eventbus-main-3": {"old", `{phase: Pending, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]}`},
		"eventbus-main-5": {"old", `{phase: Running, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}}]}`},
		"eventbus-main-6": {"old", `{phase: Running, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 1, state: {waiting: {reason: ImagePullBackOff}}}]}`},
		"eventbus-main-7": {"old", `{phase: Running, containerStatuses: [{name: main, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull}}, lastState: {terminated: {exitCode: 1}}}]}`},
		"eventbus-main-4": {"old", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable}]}`},
	} {
		w.create(`{apiVersion: v1, kind: Pod, metadata: {name: ` + name + `, labels: {app.kubernetes.io/managed-by: signalbox,
			app.kubernetes.io/component: eventbus, app.kubernetes.io/instance: main, controller-revision-hash: ` + p.revision + `}}, spec: {containers: [{name: main, image: i}]}}`)
		patch, err := yaml.YAMLToJSON([]byte("{status: " + p.status + "}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, trouble, err := w.cluster.Kubectl(t, "patch", "pod", "-n", w.ns, name, "--subresource=status", "--type=merge", "-p", string(patch)); err != nil {
			t.Fatal(trouble)
		}
	}
	left := func() (names []string) {
		t.Helper()
		pods := &corev1.PodList{}
		if err := w.Reader.List(t.Context(), pods); err != nil {
			t.Fatal(err)
		}
		for _, p := range pods.Items {
			if p.Namespace == w.ns && p.DeletionTimestamp == nil {
				names = append(names, p.Name[len(p.Name)-1:])
			}
		}
		return names
	}
	update := func(current string) {
		t.Helper()
		s := named[appsv1.StatefulSet]("eventbus-main")
		w.get(s)
		s.Status.CurrentRevision, s.Status.UpdateRevision = current, "new"
		s.Status.ObservedGeneration, s.Status.Replicas = s.Generation, 3
		if err := w.Status().Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		w.reconcile("main")
	}
	now := time.Now()
	w.Now = func() time.Time { return now }
	update("old")
	if n := len(left()); n != 8 {
		t.Errorf("%d pods are left while they are young", n)
	}
	now = now.Add(time.Hour)
	update("new")
	if n := len(left()); n != 8 {
		t.Errorf("%d pods are left though nothing is being updated", n)
	}
	update("old")
	if got := strings.Join(left(), ""); got != "123567" {
		t.Errorf("left: %s", got)
	}
}
