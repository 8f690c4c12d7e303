package pipelines_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/test/argotest"
)

const template = `
kind: WorkflowTemplate
metadata: {name: build}
spec:
  entrypoint: main
  arguments: {parameters: [{name: repository, value: none}, {name: revision, value: none}]}
  templates: [{name: main, container: {image: "golang:1", command: [make]}}]
`

func TestPushToWorkflow(t *testing.T) {
	l := newLine(t, "ci")
	var revision string
	argotest.PlayWorkflows(t, l.cluster.Config(), "ci", argotest.PodEnds(func(p argotest.PodRun) argotest.PodEnd {
		revision = p.Arguments["revision"]
		return argotest.PodEnd{}
	}))
	l.create("workflowtemplates", "ci", template)
	l.example("push-to-workflow")
	l.start()
	for range 2 { // the host sends it twice
		l.signalbox("send", "github", "--file", "../../examples/push-to-workflow/push.json", "--secret", "s3cr3t", "--id", "push-1", "--url", "http://"+l.addr+"/github")
	}
	l.until("the outcome", func() bool { return strings.Contains(l.process.Log(), `\"outcome\":\"succeeded\"`) })
	all := l.list("workflows", "ci", "build-")
	if len(all) != 1 {
		t.Fatalf("workflows: %v", all)
	}
	if got := text(&all[0], "spec", "arguments", "parameters"); !strings.Contains(got, "0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645") {
		t.Errorf("built with %s", got)
	}
	if revision != "0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645" {
		t.Errorf("the pod saw revision %q", revision)
	}
}

func TestWorkflowRetry(t *testing.T) {
	l := newLine(t, "ci")
	argotest.PlayWorkflows(t, l.cluster.Config(), "ci", argotest.PodEnds(func(p argotest.PodRun) argotest.PodEnd {
		// The first build is well at its second time, the second never.
		if p.Times > 1 && strings.HasPrefix(p.Workflow, "flaky") {
			return argotest.PodEnd{}
		}
		return argotest.PodEnd{Phase: "Failed", Message: "exit code 2"}
	}))
	l.create("workflowtemplates", "ci", strings.Replace(template, "{name: build}", "{name: flaky}", 1))
	l.create("workflowtemplates", "ci", strings.Replace(template, "{name: build}", "{name: broken}", 1))
	l.example("workflow-retry")
	l.start()
	l.signalbox("send", "--url", "http://"+l.addr+"/build", "--data", `{"template":"flaky"}`)
	l.until("the retried workflow", func() bool {
		all := l.list("workflows", "ci", "flaky-")
		return len(all) == 1 && text(&all[0], "status", "phase") == "Succeeded"
	})
	l.signalbox("send", "--url", "http://"+l.addr+"/build", "--data", `{"template":"broken"}`)
	l.until("the message", func() bool { return len(l.messages()) > 0 })
	time.Sleep(300 * time.Millisecond) // for what must not come
	if got := l.messages(); len(got) != 1 || !strings.HasPrefix(got[0], "broken-") || !strings.Contains(got[0], "has failed twice") {
		t.Errorf("people heard %q", got)
	}
}

func TestNightly(t *testing.T) {
	l := newLine(t, "ci")
	argotest.PlayWorkflows(t, l.cluster.Config(), "ci", argotest.PodEnds(func(argotest.PodRun) argotest.PodEnd {
		return argotest.PodEnd{Phase: "Failed", Message: "no space left"}
	}))
	l.create("cronworkflows", "ci", `
kind: CronWorkflow
metadata: {name: backup}
spec:
  schedules: ["0 0 1 1 *"]
  suspend: true
  workflowSpec:
    entrypoint: main
    templates: [{name: main, container: {image: "backup:1"}}]
`)
	l.example("nightly", "schedule: 0 2 * * *", "interval: 2s")
	l.start()
	l.until("the message", func() bool { return len(l.messages()) > 0 })
	if got := l.messages()[0]; !strings.HasPrefix(got, "The backup of last night: failed: ") {
		t.Errorf("people heard %q", got)
	}
}

func TestAppHealth(t *testing.T) {
	l := newLine(t, "argocd")
	l.create("applications", "argocd", `
kind: Application
metadata: {name: shop}
spec:
  project: default
  source: {repoURL: "https://example.com/acme/deployments", path: shop}
  destination: {server: https://kubernetes.default.svc, namespace: shop}
status:
  health: {status: Healthy}
  sync: {status: Synced}
`)
	l.example("app-health")
	l.start()
	become := func(health, sync string) {
		t.Helper()
		l.patch("applications", "argocd", "shop", `{"status":{"health":{"status":"`+health+`"},"sync":{"status":"`+sync+`"}}}`)
	}
	become("Degraded", "Synced")
	l.until("the first message", func() bool { return len(l.messages()) > 0 })
	become("Degraded", "OutOfSync")
	become("Healthy", "OutOfSync")
	become("Healthy", "Synced")
	l.until("the last message", func() bool {
		return slices.Contains(l.messages(), "argocd/shop is well again") || len(l.messages()) > 1
	})
	time.Sleep(300 * time.Millisecond) // for what must not come
	got := l.messages()
	if len(got) != 2 || got[0] != "shop: shop is Synced and Degraded" || !strings.HasSuffix(got[1], "argocd/shop is well again") {
		t.Errorf("people heard %q", got)
	}
}

func TestRolloutPromote(t *testing.T) {
	for name, tc := range map[string]struct {
		rollout string // of its own: nothing collects the ReplicaSets here
		status  int
		done    func(o *unstructured.Unstructured, before string) bool
	}{
		"well": {"web", http.StatusOK, func(o *unstructured.Unstructured, before string) bool {
			stable := text(o, "status", "stableRS")
			return text(o, "status", "phase") == "Healthy" && stable != before && stable == text(o, "status", "currentPodHash")
		}},
		"not well": {"api", http.StatusPreconditionFailed, func(o *unstructured.Unstructured, _ string) bool {
			return text(o, "status", "abort") == "true"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "shop")
			l.answer = func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(tc.status) }
			player := argotest.PlayRollouts(t, l.cluster.Config(), "shop")
			l.create("rollouts", "shop", `
kind: Rollout
metadata: {name: `+tc.rollout+`}
spec:
  replicas: 2
  selector: {matchLabels: {app: `+tc.rollout+`}}
  template:
    metadata: {labels: {app: `+tc.rollout+`}}
    spec: {containers: [{name: web, image: "web:1"}]}
  strategy: {canary: {steps: [{setWeight: 20}, {pause: {}}]}}
`)
			first := player.Await(tc.rollout, "healthy", func(o *unstructured.Unstructured) bool { return text(o, "status", "phase") == "Healthy" })
			l.example("rollout-promote")
			l.start()
			l.patch("rollouts", "shop", tc.rollout, `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`)
			player.Await(tc.rollout, name, func(o *unstructured.Unstructured) bool { return tc.done(o, text(first, "status", "stableRS")) })
			if asked := l.requests(); len(asked) == 0 || !strings.HasPrefix(asked[0], `/canary {"rollout":"`+tc.rollout+`","podHash":`) {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func TestJenkins(t *testing.T) {
	l := newLine(t)
	l.answer = func(w http.ResponseWriter, r *http.Request, _ string) {
		if user, token, _ := r.BasicAuth(); user != "deployer" || token != "11d0c5f1e7" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if len(l.asked) == 1 { // it is starting
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}
	l.example("jenkins", "duration: 5s", "duration: 50ms")
	l.start()
	l.signalbox("send", "github", "--file", "../../examples/jenkins/push.json", "--secret", "s3cr3t", "--url", "http://"+l.addr+"/github")
	l.until("the outcome", func() bool { return strings.Contains(l.process.Log(), `\"status\":201`) })
	want := "/job/shop-api/buildWithParameters REVISION=0b7e3aa41c1d9c2f8a6b5e4d3c2b1a0918273645&BRANCH=main"
	if got := l.requests(); !slices.Equal(got, []string{want, want}) {
		t.Errorf("Jenkins was asked %q", got)
	}
}
