package workload

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/eventsource/webhook"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// undoes makes webhooks with "hook" in their endpoint ask to be finished, and
// gives the controller a clock that can be put on.
func undoes(ahead *atomic.Int64) func(*controller.Options) {
	return func(o *controller.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.Sources = slices.Clone(o.Sources)
		for i := range o.Sources {
			if o.Sources[i].Name != "webhook" {
				continue
			}
			o.Sources[i].NeedsFinish = func(c kind.Config) bool { return strings.Contains(c.(*webhook.Config).Endpoint, "hook") }
			o.Sources[i].Finish = func(context.Context, kind.Config, eventsource.Env) error {
				return errors.New("the controller does not do it itself")
			}
		}
	}
}

const hooked = `    h: {port: "12000", endpoint: /hook, authSecret: {name: s, key: k}}
  template: {serviceAccountName: shopper, nodeSelector: {disk: ssd}, metadata: {labels: {mesh: "off"}}}`

// finishing is an EventSource with the finalizer, which then is deleted.
func (w *world) finishing() {
	w.Helper()
	w.create(es(hooked))
	w.until("the pods are there", func() bool { return w.get(&appsv1.Deployment{}, "shop-eventsource") })
	if f := w.finalizers(); !slices.Contains(f, Finalizer) {
		w.Fatalf("finalizers %v", f)
	}
	w.remove()
}

func (w *world) finalizers() []string {
	w.Helper()
	u := controller.Object(source)
	w.get(u, "shop")
	return u.GetFinalizers()
}

// remove deletes the EventSource.
func (w *world) remove() {
	w.Helper()
	u := controller.Object(source)
	u.SetNamespace(w.ns)
	u.SetName("shop")
	if err := w.api.Delete(w.Context(), u); err != nil {
		w.Fatal(err)
	}
}

func (w *world) gone() {
	w.Helper()
	w.until("the EventSource is gone", func() bool { return !w.get(controller.Object(source), "shop") })
}

// job waits for the Job.
func (w *world) job() *batchv1.Job {
	w.Helper()
	j := &batchv1.Job{}
	w.until("there is a Job", func() bool { return w.get(j, "shop-eventsource-finish") })
	return j
}

// ends says of the Job what its controller would.
func (w *world) ends(j *batchv1.Job, how batchv1.JobConditionType, message string) {
	w.Helper()
	now := metav1.Now()
	first := batchv1.JobSuccessCriteriaMet
	j.Status.StartTime = &now
	if how == batchv1.JobFailed {
		first = batchv1.JobFailureTarget
		j.Status.Failed = 6
	} else {
		j.Status.CompletionTime = &now
		j.Status.Succeeded = 1
	}
	for _, c := range []batchv1.JobConditionType{first, how} {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{
			Type: c, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", Message: message, LastTransitionTime: now, LastProbeTime: now,
		})
	}
	if err := w.api.Status().Update(w.Context(), j); err != nil {
		w.Fatal(err)
	}
}

func TestFinalizerFollowsTheSpec(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start(undoes(&atomic.Int64{}))
	w.create(es(""))
	w.until("the pods are there", func() bool { return w.get(&appsv1.Deployment{}, "shop-eventsource") })
	if f := w.finalizers(); len(f) > 0 {
		t.Errorf("finalizers %v that nobody needs", f)
	}
	w.edit(source, "shop", `{"metadata":{"finalizers":["example.com/theirs"]},"spec":{"webhook":{"order":{"endpoint":"/hook"}}}}`)
	w.until("the finalizer is there", func() bool { return slices.Equal(w.finalizers(), []string{"example.com/theirs", Finalizer}) })
	w.edit(source, "shop", `{"spec":{"webhook":{"order":{"endpoint":"no slash"}}}}`)
	w.wants(source, "shop", deployed, "False InvalidSpec")
	if f := w.finalizers(); len(f) != 2 {
		t.Errorf("finalizers %v of an EventSource that has errors", f)
	}
	w.edit(source, "shop", `{"spec":{"webhook":{"order":{"endpoint":"/order"}}}}`)
	w.until("the finalizer is gone", func() bool { return slices.Equal(w.finalizers(), []string{"example.com/theirs"}) })
	w.edit(source, "shop", `{"metadata":{"finalizers":null}}`)
	w.remove()
	w.gone()
	if w.get(&batchv1.Job{}, "shop-eventsource-finish") {
		t.Error("there is a Job")
	}
}

// withRights has the controller connect as the account that the manifests make,
// with the rights that they give it in one namespace.
func (w *world) withRights() {
	w.Helper()
	rules, err := os.ReadFile("../../../config/namespaced/rbac.yaml")
	if err != nil {
		w.Fatal(err)
	}
	const account = "signalbox-controller"
	text := strings.TrimRight(string(rules), "\n") + "\n  namespace: " + w.ns + "\n"
	text += "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + account + "}\n"
	if _, stderr, err := w.cluster.KubectlAs(w.T, w.cluster.Config(), text, "-n", w.ns, "apply", "-f", "-"); err != nil {
		w.Fatal(err, stderr)
	}
	w.config = w.cluster.ServiceAccount(w.T, w.ns, account)
}

func TestFinish(t *testing.T) {
	w := newWorld(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	if err := w.api.Patch(t.Context(), ns, patch); err != nil {
		t.Fatal(err)
	}
	w.withRights()
	for _, name := range []string{"default", "shopper"} {
		if err := w.api.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	w.bus()
	w.start(undoes(&atomic.Int64{}))
	w.create(es(hooked))
	d := &appsv1.Deployment{}
	w.until("the pods are there", func() bool { return w.get(d, "shop-eventsource") })
	running := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	running.Name, running.Namespace = "shop-eventsource-1", w.ns
	if err := w.api.Create(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	w.remove()
	w.wants(source, "shop", Finished, "False Finishing: waiting for 1 pods to end")
	if w.get(d, "shop-eventsource") || w.get(&batchv1.Job{}, "shop-eventsource-finish") {
		t.Error("the Deployment is left, or the Job came before the pods had ended")
	}
	if err := w.api.Delete(t.Context(), running, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	j := w.job()
	w.wants(source, "shop", Finished, "False Finishing: undoing what it has set up elsewhere: webhook.h")

	spec := j.Spec.Template.Spec
	c := spec.Containers[0]
	args := strings.Join(c.Args, " ")
	for _, want := range []string{
		"finish /etc/signalbox/manifests --namespace " + w.ns, "--bus nats://eventbus-default.team.svc:4222 --bus-managed --bus-user eventsource",
		"--secrets /etc/signalbox/secrets",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("the arguments lack %q: %s", want, args)
		}
	}
	if spec.ServiceAccountName != "shopper" || spec.NodeSelector["disk"] != "ssd" || c.Image != d.Spec.Template.Spec.Containers[0].Image || len(c.Ports) > 0 || c.LivenessProbe != nil {
		t.Errorf("it is no pod like those of the EventSource: %+v", spec)
	}
	was := map[string]bool{}
	for _, v := range d.Spec.Template.Spec.Volumes {
		was[v.Name] = true
	}
	for _, v := range spec.Volumes {
		if !was[v.Name] {
			t.Errorf("volume %s", v.Name)
		}
		delete(was, v.Name)
	}
	if len(was) > 0 {
		t.Errorf("lacks the volumes %v", was)
	}
	podLabels := labels.Set(j.Spec.Template.Labels)
	if labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(podLabels) || podLabels["owner-name"] != "" || podLabels["mesh"] != "off" {
		t.Errorf("labels %v", podLabels)
	}
	if owner := metav1.GetControllerOf(j); owner == nil || owner.Name != "shop" {
		t.Errorf("owner %v", owner)
	}
	pod := &corev1.Pod{ObjectMeta: j.Spec.Template.ObjectMeta, Spec: spec}
	pod.Name, pod.Namespace = "p", w.ns
	if err := w.api.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("not restricted: %v", err)
	}

	// Somebody's foreground deletion takes the ConfigMap; another controller goes on.
	w.stop()
	cm := &corev1.ConfigMap{}
	if !w.get(cm, "shop-eventsource") {
		t.Fatal("there is no ConfigMap")
	}
	if err := w.api.Delete(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	w.start(undoes(&atomic.Int64{}))
	w.until("the ConfigMap is there again", func() bool { return w.get(&corev1.ConfigMap{}, "shop-eventsource") })
	w.ends(w.job(), batchv1.JobComplete, "")
	w.gone()
	w.until("there is an event", func() bool { return slices.Contains(w.events("shop", Finished), "undone: webhook.h") })
}

func TestFinishFails(t *testing.T) {
	w := newWorld(t)
	w.bus()
	ahead := &atomic.Int64{}
	w.start(undoes(ahead))
	w.finishing()
	j := w.job()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "try", Namespace: w.ns, Labels: map[string]string{batchv1.JobNameLabel: j.Name}}}
	pod.Spec.Containers = []corev1.Container{{Name: container, Image: "example.com/i"}}
	if err := w.api.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, FinishedAt: metav1.Now(), Message: "{\"level\":\"WARN\"}\nsignalbox: shop/h: hook 7 of org/repo is left\n",
	}}}}
	if err := w.api.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	j.Status.Failed = 1
	if err := w.api.Status().Update(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	w.wants(source, "shop", Finished, "False FinishFails: webhook.h: failed, trying again: shop/h: hook 7 of org/repo is left")
	w.ends(j, batchv1.JobFailed, "too many tries")
	w.wants(source, "shop", Finished, "False FinishFails: webhook.h: too many tries: shop/h: hook 7 of org/repo is left")
	if got := before[v1alpha1.EventSourceStatus](w.object()).State; got != FinishFails {
		t.Errorf("state %s", got)
	}
	ahead.Store(int64(giveUp - time.Minute))
	time.Sleep(askAgain + time.Second)
	if !w.get(controller.Object(source), "shop") {
		t.Fatal("given up too early")
	}
	ahead.Store(int64(giveUp + time.Second))
	w.gone()
	w.until("there is an event", func() bool {
		return strings.Contains(strings.Join(w.events("shop", LeftBehind), ""), "hook 7 of org/repo is left")
	})
}

// A bus that is gone, and an object that has errors by now, keep nobody from trying.
func TestFinishWithoutABus(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start(undoes(&atomic.Int64{}))
	w.create(es(hooked))
	w.until("the pods are there", func() bool { return w.get(&appsv1.Deployment{}, "shop-eventsource") })
	bus := controller.Object(v1alpha1.KindEventBus)
	bus.SetNamespace(w.ns)
	bus.SetName("default")
	if err := w.api.Delete(t.Context(), bus); err != nil {
		t.Fatal(err)
	}
	w.edit(source, "shop", `{"spec":{"webhook":{"bad":{"endpoint":"no slash"}}}}`)
	w.wants(source, "shop", deployed, "False InvalidSpec")
	w.remove()
	j := w.job()
	if args := strings.Join(j.Spec.Template.Spec.Containers[0].Args, " "); strings.Contains(args, "--bus") || !strings.HasPrefix(args, "finish ") {
		t.Errorf("arguments %s", args)
	}
	cm := &corev1.ConfigMap{}
	if !w.get(cm, "shop-eventsource") || !strings.Contains(cm.Data["eventsource.json"], "/hook") || strings.Contains(cm.Data["eventsource.json"], "no slash") {
		t.Errorf("the ConfigMap is not that of the valid version: %v", cm.Data)
	}
	w.ends(j, batchv1.JobComplete, "")
	w.gone()
}

func TestFinishCannotBegin(t *testing.T) {
	w := newWorld(t)
	w.bus()
	ahead := &atomic.Int64{}
	w.start(undoes(ahead))
	theirs := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "shop-eventsource-finish", Namespace: w.ns}}
	theirs.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "example.com/i"}}}
	if err := w.api.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	w.finishing()
	w.wants(source, "shop", Finished, "False FinishFails: what it has set up elsewhere cannot be undone: webhook.h: Job/shop-eventsource-finish is there already")
	ahead.Store(int64(giveUp + time.Second))
	w.gone()
	w.until("there is an event", func() bool { return len(w.events("shop", LeftBehind)) == 1 })
	if !w.get(theirs, "shop-eventsource-finish") {
		t.Error("somebody else's Job is gone")
	}
}

// The finalizer does not hold up a namespace.
func TestFinishInANamespaceThatEnds(t *testing.T) {
	w := newWorld(t)
	w.bus()
	w.start(undoes(&atomic.Int64{}))
	w.create(es(hooked))
	w.until("the pods are there", func() bool { return slices.Contains(w.finalizers(), Finalizer) })
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if err := w.api.Delete(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	w.until("the namespace ends", func() bool {
		return w.api.Get(t.Context(), client.ObjectKeyFromObject(ns), ns) == nil && ns.DeletionTimestamp != nil
	})
	w.remove()
	w.gone()
}

func (w *world) object() *unstructured.Unstructured {
	w.Helper()
	u := controller.Object(source)
	w.get(u, "shop")
	return u
}
