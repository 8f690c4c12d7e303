package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/controller"
	"github.com/signalbox-events/signalbox/internal/controller/bus"
	"github.com/signalbox-events/signalbox/internal/controller/workload"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
	"github.com/signalbox-events/signalbox/test/kube"
)

const (
	system  = "signalbox-system"
	account = "signalbox-controller"
)

func apply(t *testing.T, c *kube.Cluster, args ...string) string {
	t.Helper()
	out, stderr, err := c.Kubectl(t, append([]string{"apply"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stderr, "Warning") {
		t.Errorf("kubectl apply %s: %s", strings.Join(args, " "), stderr)
	}
	return out
}

// versions are the resourceVersions of what the manifest has, by name.
func versions(t *testing.T, c *kube.Cluster, args ...string) string {
	t.Helper()
	out, _, err := c.Kubectl(t, append([]string{"get", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func removeWebhook(t *testing.T, c *kube.Cluster) {
	t.Helper()
	api, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.Background(), "signalbox", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestInstallAppliesTwiceWithoutAChange(t *testing.T) {
	c := kube.Start(t)
	file := filepath.Join(configDir, "install.yaml")
	apply(t, c, "--server-side", "-f", file)
	removeWebhook(t, c)
	c.Established(t)
	before := versions(t, c, "-f", file)
	if n := strings.Count(before, "\n"); n < 18 {
		t.Fatalf("%d objects:\n%s", n, before)
	}
	apply(t, c, "--server-side", "-f", file)
	if now := versions(t, c, "-f", file); now != before {
		t.Errorf("changed by the second time:\n%s\n%s", before, now)
	}
}

// People who do not know of --server-side get there too.
func TestInstallAppliesOnTheClientsSide(t *testing.T) {
	c := kube.Start(t, kube.Own())
	file := filepath.Join(configDir, "install.yaml")
	apply(t, c, "-f", file)
	c.Established(t)
	before := versions(t, c, "-f", file)
	if out := apply(t, c, "-f", file); strings.Contains(out, "configured") || versions(t, c, "-f", file) != before {
		t.Errorf("changed by the second time:\n%s", out)
	}
}

func TestNamespaceInstallApplies(t *testing.T) {
	c := kube.Start(t)
	ns := c.Namespace(t)
	file := filepath.Join(configDir, "namespace-install.yaml")
	apply(t, c, "-n", ns, "--server-side", "-f", file)
	c.Established(t)
	before := versions(t, c, "-n", ns, "-f", file)
	apply(t, c, "-n", ns, "--server-side", "-f", file)
	if now := versions(t, c, "-n", ns, "-f", file); now != before {
		t.Errorf("changed by the second time:\n%s\n%s", before, now)
	}
	who := "system:serviceaccount:" + ns + ":" + account
	may(t, c, who, ns, map[string]bool{"create deployments.apps": true, "get secrets": true, "create leases.coordination.k8s.io": true})
	may(t, c, who, c.Namespace(t), map[string]bool{"create deployments.apps": false, "get secrets": false, "list sensors.argoproj.io": false})
}

// may checks rights: "VERB RESOURCE[.GROUP][/SUBRESOURCE][:NAME]".
func may(t *testing.T, c *kube.Cluster, who, namespace string, rights map[string]bool) {
	t.Helper()
	api, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	for right, want := range rights {
		verb, what, _ := strings.Cut(right, " ")
		what, name, _ := strings.Cut(what, ":")
		what, sub, _ := strings.Cut(what, "/")
		resource, group, _ := strings.Cut(what, ".")
		review := &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
			User: who, Groups: []string{"system:serviceaccounts", "system:authenticated"},
			ResourceAttributes: &authzv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: name,
			},
		}}
		review, err := api.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed != want {
			t.Errorf("%s in %q may %s: %v", who, namespace, right, review.Status.Allowed)
		}
	}
}

func TestControllerHasFewRights(t *testing.T) {
	c := kube.Start(t)
	apply(t, c, "--server-side", "-f", filepath.Join(configDir, "install.yaml"))
	removeWebhook(t, c)
	who := "system:serviceaccount:" + system + ":" + account
	may(t, c, who, c.Namespace(t), map[string]bool{
		"list pods": true, "get pods": false, "create pods": false, "delete pods": true, "create pods/exec": false, "get pods/log": false,
		"get nodes": false, "list namespaces": false, "create serviceaccounts/token": false,
		"create roles.rbac.authorization.k8s.io": false, "create rolebindings.rbac.authorization.k8s.io": false,
		"create sensors.argoproj.io": false, "delete sensors.argoproj.io": false, "update eventbus.argoproj.io": false,
		"delete persistentvolumeclaims": false, "create jobs.batch": true, "list jobs.batch": false, "patch jobs.batch": false, "create daemonsets.apps": false,
		"deletecollection secrets": false, "get leases.coordination.k8s.io": false, "impersonate users": false,
	})
	may(t, c, who, system, map[string]bool{
		"update leases.coordination.k8s.io:signalbox-controller": true, "update leases.coordination.k8s.io:other": false,
		"update secrets:signalbox-webhook": true, "update secrets:other": false,
	})
	may(t, c, who, "", map[string]bool{
		"patch validatingwebhookconfigurations.admissionregistration.k8s.io:signalbox": true,
		"patch validatingwebhookconfigurations.admissionregistration.k8s.io:other":     false,
		"create validatingwebhookconfigurations.admissionregistration.k8s.io":          false,
		"patch customresourcedefinitions.apiextensions.k8s.io":                         false,
		"list nodes": false,
	})
}

// refusals notes what the controller logs when the API server refuses it something.
type refusals struct {
	mu   sync.Mutex
	said []string
}

func (r *refusals) Write(line []byte) (int, error) {
	if text := string(line); strings.Contains(text, "forbidden") || strings.Contains(text, "cannot ") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.said = append(r.said, text)
	}
	return len(line), nil
}

const objects = `
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: default, finalizers: [eventbus-controller]}
spec: {jetstream: {replicas: 3}}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hook, finalizers: [eventsource-controller]}
spec:
  service: {ports: [{port: 12000, targetPort: 12000}]}
  webhook: {push: {endpoint: /push, port: "12000", method: POST}}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: act, finalizers: [sensor-controller]}
spec:
  dependencies: [{name: d, eventSourceName: hook, eventName: push}]
  triggers: [{template: {name: t, log: {}}}]
`

// The controller does its work with the rights that the manifest gives it, as
// the account that the manifest has.
func TestControllerWorksWithItsRights(t *testing.T) {
	c := kube.Start(t)
	apply(t, c, "--server-side", "-f", filepath.Join(configDir, "install.yaml"))
	removeWebhook(t, c)
	c.Established(t)
	ns := c.Namespace(t)
	refused := &refusals{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		done <- controller.Run(ctx, rest.CopyConfig(c.ServiceAccount(t, system, account)), controller.Options{
			Image: "signalbox:test", Namespace: system, LeaderElect: true, MetricsAddr: "0", HealthAddr: "0",
			Sources: sources.Kinds, Triggers: triggers.Kinds,
			Log: slog.New(slog.NewTextHandler(refused, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}, bus.Setup, workload.Setup)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	defer stop()
	if _, _, err := c.KubectlAs(t, c.Config(), objects, "-n", ns, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"statefulset/eventbus-default", "service/eventbus-default", "secret/eventbus-default-client", "poddisruptionbudget/eventbus-default",
		"deployment/hook-eventsource", "service/hook-eventsource-svc", "configmap/hook-eventsource", "deployment/act-sensor",
	}
	eventually(t, func() error {
		_, _, err := c.Kubectl(t, append([]string{"-n", ns, "get"}, want...)...)
		return err
	})
	eventually(t, func() error {
		out, _, err := c.Kubectl(t, "-n", ns, "get", "eventbus,eventsources,sensors", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.finalizers}{.status.conditions[0].type}{"\n"}{end}`)
		if err == nil && (strings.Contains(out, "controller") || strings.Count(out, "Deployed")+strings.Count(out, "Configured")+strings.Count(out, "Provided") < 3) {
			err = fmt.Errorf("not yet:\n%s", out)
		}
		return err
	})
	eventually(t, func() error {
		out, _, err := c.Kubectl(t, "-n", ns, "get", "events.events.k8s.io", "-o", "name")
		if err == nil && out == "" {
			err = fmt.Errorf("no events")
		}
		return err
	})
	if _, _, err := c.Kubectl(t, "-n", ns, "delete", "eventbus,eventsources,sensors", "--all", "--timeout=30s"); err != nil {
		t.Error(err)
	}
	stop()
	for _, w := range c.Writes(t, began) {
		if strings.HasSuffix(w.User, ":"+account) && (w.Code == 401 || w.Code == 403) {
			t.Errorf("refused: %+v", w)
		}
	}
	if len(refused.said) > 0 {
		t.Errorf("refused: %s", strings.Join(refused.said, ""))
	}
}

func eventually(t *testing.T, ok func() error) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %v", err)
		}
	}
}
