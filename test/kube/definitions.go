package kube

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Define applies definitions of kinds, which args name as those of kubectl apply
// do, and returns when the API server serves all that it has.
func (c *Cluster) Define(t testing.TB, args ...string) {
	t.Helper()
	if _, stderr, err := c.Kubectl(t, append([]string{"apply", "--server-side"}, args...)...); err != nil {
		t.Fatal(err, stderr)
	}
	c.Established(t)
}

// Established waits until the API server serves every kind that is defined.
//
// kubectl wait does not do: it fails where a definition has no status yet.
func (c *Cluster) Established(t testing.TB) {
	t.Helper()
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	definitions := api.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		list, err := definitions.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var waiting []string
		for _, crd := range list.Items {
			if !established(&crd) {
				waiting = append(waiting, crd.GetName())
			}
		}
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute these are not served: %v", waiting)
		}
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" {
			return c["status"] == string(metav1.ConditionTrue)
		}
	}
	return false
}
