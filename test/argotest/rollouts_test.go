package argotest_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/kube"
)

// TestRollouts plays an update with the definitions of ours, which accept anything.
func TestRollouts(t *testing.T) {
	c := kube.Start(t, kube.Own())
	c.Define(t, "-f", "crds/argo.yaml")
	ns := c.Namespace(t)
	p := argotest.PlayRollouts(t, c.Config(), ns)
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	api := client.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}).Namespace(ns)
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(`
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  strategy: {canary: {steps: [{setWeight: 20}, {pause: {}}, {pause: {duration: 1s}}]}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: "app:1"}]}}
`), &o.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := func(body string, sub ...string) {
		t.Helper()
		if _, err := api.Patch(t.Context(), "web", types.MergePatchType, []byte(body), metav1.PatchOptions{}, sub...); err != nil {
			t.Fatal(err)
		}
	}
	status := func(name string, want any) func(*unstructured.Unstructured) bool {
		return func(o *unstructured.Unstructured) bool {
			v, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", name)
			return v == want
		}
	}
	first, _, _ := unstructured.NestedString(p.Await("web", "healthy", status("phase", "Healthy")).Object, "status", "currentPodHash")
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"app:2"}]}}}}`)
	p.Await("web", "paused", status("phase", "Paused"))
	patch(`{"status":{"abort":true}}`, "status")
	p.Await("web", "aborted", status("phase", "Degraded"))
	patch(`{"status":{"abort":false}}`, "status")
	p.Await("web", "paused again", status("currentStepIndex", int64(1)))
	// What is done to the status before the spec is lost.
	patch(`{"spec":{"paused":true}}`)
	p.Await("web", "paused by hand", status("message", "manually paused"))
	patch(`{"status":{"pauseConditions":null}}`, "status")
	p.Await("web", "as before", status("controllerPause", false))
	patch(`{"spec":{"paused":false}}`)
	p.Await("web", "paused once more", status("message", "CanaryPauseStep"))
	patch(`{"status":{"pauseConditions":null}}`, "status")
	o = p.Await("web", "healthy", status("phase", "Healthy"))
	if hash, _, _ := unstructured.NestedString(o.Object, "status", "stableRS"); hash == first || hash == "" {
		t.Errorf("the stable version is %q", hash)
	}
}
