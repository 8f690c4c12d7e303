package kube_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/signalbox-events/signalbox/test/kube"
)

func TestObjectsOutliveTheAPIServer(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	if _, err := client(t, c.Config()).CoreV1().ConfigMaps(ns).Create(t.Context(), configMap("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.StopAPI(t)
	if !away(t, c.Config()) {
		t.Error("an answer from a stopped API")
	}
	c.StartAPI(t)
	if err := get(t, c.Config(), ns, "a"); err != nil {
		t.Error(err)
	}
}

func TestStoppedAPIRunsAgainAfterTheTest(t *testing.T) {
	c := kube.Start(t)
	t.Run("stop", func(t *testing.T) { c.StopAPI(t) })
	if err := get(t, c.Config(), "default", "a"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

func TestWatchFromBeforeACompactionIsGone(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	maps := client(t, c.Config()).CoreV1().ConfigMaps(ns)
	first, err := maps.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	from := metav1.ListOptions{ResourceVersion: first.ResourceVersion}
	next := func() watch.Event {
		w, err := maps.Watch(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		return <-w.ResultChan()
	}
	if _, err := maps.Create(t.Context(), configMap("b"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Type != watch.Added {
		t.Fatalf("before: %+v", e)
	}
	c.Compact(t)
	e := next()
	if err := apierrors.FromObject(e.Object); e.Type != watch.Error || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("after: %s %v", e.Type, err)
	}
}

func TestLineIsCutAndMended(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	line := c.Line(t)
	over := line.Over(c.Config())
	w, err := client(t, over).CoreV1().ConfigMaps(ns).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if err := get(t, over, ns, "a"); !apierrors.IsNotFound(err) {
		t.Fatalf("before: %v", err)
	}
	line.Cut()
	for e := range w.ResultChan() { // ends with the connection
		t.Logf("%s %T", e.Type, e.Object)
	}
	if !away(t, over) {
		t.Error("an answer over a line that is cut")
	}
	if err := get(t, c.Config(), ns, "a"); !apierrors.IsNotFound(err) {
		t.Errorf("beside the line: %v", err)
	}
	line.Mend()
	if err := get(t, over, ns, "a"); !apierrors.IsNotFound(err) {
		t.Errorf("mended: %v", err)
	}
}
