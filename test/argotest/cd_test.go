package argotest_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

// TestPlayCD has the life of an operation be as that of the real controller, with
// the real definitions and with our own.
func TestPlayCD(t *testing.T) {
	c := kube.Start(t, kube.Own())
	argotest.Define(t, c)
	t.Run("theirs", func(t *testing.T) { playCD(t, c) })
	c.Define(t, "--force-conflicts", "-f", "crds/argo.yaml")
	t.Run("ours", func(t *testing.T) { playCD(t, c) })
}

func playCD(t *testing.T, c *kube.Cluster) {
	k := cluster.Of(c.Config())
	t.Cleanup(k.Close)
	client, err := k.Dynamic()
	if err != nil {
		t.Fatal(err)
	}
	ns := c.Namespace(t)
	api := client.Resource(argotest.Applications).Namespace(ns)
	cd := argotest.PlayCD(t, c.Config(), ns, argotest.CDTakes(20*time.Millisecond), argotest.CDHeld())
	_, err = api.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "shop"},
		"spec": map[string]any{
			"project": "default", "destination": map[string]any{"name": "here"},
			"source": map[string]any{"repoURL": "https://example.com/shop", "targetRevision": "main"},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch := func(text string) {
		t.Helper()
		if _, err := api.Patch(t.Context(), "shop", types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	text := func(o *unstructured.Unstructured, path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, path...)
		return s
	}
	// until looks at all states on the way.
	until := func(so func(o *unstructured.Unstructured) bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var last *unstructured.Unstructured
		err := cluster.Until(ctx, api, "shop", func(o *unstructured.Unstructured) (bool, error) {
			last = o
			_, asked := o.Object["operation"]
			phase := text(o, "status", "operationState", "phase")
			if asked && (phase == "Succeeded" || phase == "Failed") {
				t.Errorf("it is over and the operation is there: %v", o.Object)
			}
			return so(o), nil
		})
		if err != nil {
			t.Fatalf("%v: %v", err, last)
		}
	}
	until(func(o *unstructured.Unstructured) bool {
		return text(o, "status", "sync", "status") == "OutOfSync" && text(o, "status", "health", "status") == "Missing"
	})
	patch(`{"operation":{"info":[{"name":"a","value":"b"}],"sync":{}}}`)
	until(func(o *unstructured.Unstructured) bool {
		return text(o, "status", "operationState", "phase") == "Running"
	})
	// What is written over it is lost.
	patch(`{"operation":{"info":[{"name":"lost","value":"it"}]}}`)
	cd.Release()
	until(func(o *unstructured.Unstructured) bool {
		history, _, _ := unstructured.NestedSlice(o.Object, "status", "history")
		if text(o, "status", "operationState", "phase") == "Succeeded" && len(history) != 1 {
			t.Errorf("the history comes later than the end")
		}
		return text(o, "status", "sync", "status") == "Synced" && text(o, "status", "health", "status") == "Healthy"
	})
	o, err := api.Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if items, _, _ := unstructured.NestedSlice(o.Object, "status", "operationState", "operation", "info"); len(items) != 1 || items[0].(map[string]any)["name"] != "a" {
		t.Errorf("the operation was %v", items)
	}
	cd.Hold()
	patch(`{"operation":{"sync":{}},"status":{"operationState":null}}`)
	until(func(o *unstructured.Unstructured) bool {
		return text(o, "status", "operationState", "phase") == "Running"
	})
	patch(`{"status":{"operationState":{"phase":"Terminating"}}}`)
	until(func(o *unstructured.Unstructured) bool {
		return text(o, "status", "operationState", "message") == "Operation terminated"
	})
	patch(`{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"hard"}}}`)
	until(func(o *unstructured.Unstructured) bool { return len(o.GetAnnotations()) == 0 })
	// Auto-sync follows the branch.
	cd.Release()
	patch(`{"spec":{"syncPolicy":{"automated":{}}}}`)
	const next = "cccccccccccccccccccccccccccccccccccccccc"
	cd.Head("main", next)
	until(func(o *unstructured.Unstructured) bool {
		return text(o, "status", "operationState", "syncResult", "revision") == next && text(o, "status", "sync", "status") == "Synced"
	})
}

func TestPlayCDServer(t *testing.T) {
	s := argotest.PlayCDServer(t)
	s.Put(map[string]any{"metadata": map[string]any{"name": "shop", "namespace": "argocd"}, "spec": map[string]any{"project": "p"}})
	for _, tc := range []struct {
		method, path, token, contentType string
		want                             int
	}{
		{"GET", "/applications/shop", "wrong", "", http.StatusUnauthorized},
		{"GET", "/applications/shop", s.Token, "", http.StatusOK},
		{"GET", "/applications/none", s.Token, "", http.StatusForbidden},
		{"GET", "/applications/none?project=p", s.Token, "", http.StatusNotFound},
		{"DELETE", "/applications/shop/operation", s.Token, "", http.StatusUnsupportedMediaType},
		{"DELETE", "/applications/shop/operation", s.Token, "application/json", http.StatusBadRequest},
		{"POST", "/applications/shop/sync", s.Token, "application/json", http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+"/api/v1"+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tc.token)
		if tc.contentType != "" {
			r.Header.Set("Content-Type", tc.contentType)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s %s is %s", tc.method, tc.path, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
