package kube_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/signalbox-events/signalbox/test/kube"
)

func TestWritesAreCounted(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	before := time.Now()
	api := client(t, c.Config()).CoreV1()
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	if _, err := api.ConfigMaps(ns).Create(t.Context(), configMap("dry"), dry); err != nil {
		t.Fatal(err)
	}
	made, err := api.ConfigMaps(ns).Create(t.Context(), configMap("a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // neither changes it
		if _, err := api.ConfigMaps(ns).Update(t.Context(), made, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.Pods(ns).Create(t.Context(), pod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	status := []byte(`{"status":{"phase":"Running"}}`)
	if _, err := api.Pods(ns).Patch(t.Context(), "p", types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	stranger := client(t, c.User(t, "stranger")).CoreV1().ConfigMaps(ns)
	if err := stranger.Delete(t.Context(), "a", metav1.DeleteOptions{}); err == nil {
		t.Fatal("a stranger may delete")
	}
	between := time.Now()
	as := c.Config()
	as.Impersonate.UserName = "ann"
	if err := client(t, as).CoreV1().ConfigMaps(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err == nil {
		t.Fatal("ann may delete")
	}

	one := kube.Write{User: kube.Admin, Namespace: ns, Resource: "configmaps", Name: "a"}
	with := func(change func(*kube.Write)) kube.Write {
		w := one
		change(&w)
		return w
	}
	last := with(func(w *kube.Write) { w.Verb, w.Code, w.User = "delete", 403, "ann" })
	want := []kube.Write{
		with(func(w *kube.Write) { w.Verb, w.Code = "create", 201 }),
		with(func(w *kube.Write) { w.Verb, w.Code = "update", 200 }),
		with(func(w *kube.Write) { w.Verb, w.Code = "update", 200 }),
		with(func(w *kube.Write) { w.Verb, w.Code, w.Resource, w.Name = "create", 201, "pods", "p" }),
		with(func(w *kube.Write) {
			w.Verb, w.Code, w.Resource, w.Name, w.Subresource = "patch", 200, "pods", "p", "status"
		}),
		with(func(w *kube.Write) { w.Verb, w.Code, w.User = "delete", 403, "stranger" }),
		last,
	}
	check := func(since time.Time, want []kube.Write) {
		t.Helper()
		got := c.Writes(t, since)
		for i := range got {
			if got[i].Time.Before(since.Truncate(time.Microsecond)) {
				t.Errorf("%+v is from before %s", got[i], since)
			}
			got[i].Time = time.Time{}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	check(before, want)
	check(between, []kube.Write{last})
	c.Restart(t)
	check(before, want)
}
