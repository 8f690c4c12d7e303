package pipelines_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/internal/gitrepo/gitrepotest"
	"github.com/signalbox-events/signalbox/test/argotest"
	"github.com/signalbox-events/signalbox/test/registry"
)

const values = `# What is deployed of the shop.
replicas: 2 # enough

image:
  repository: registry.example.com/acme/shop
  tag: "1.0.0" # set by the pipeline
`

// trace logs the events between the steps.
const trace = `
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: trace}
spec:
  dependencies:
    - {name: image, eventSourceName: registry, eventName: pushed}
    - {name: committed, eventSourceName: release, eventName: commit.succeeded}
    - {name: synced, eventSourceName: deploy, eventName: sync.succeeded}
  triggers:
    - template: {name: log, conditions: image || committed || synced, log: {}}
`

// From the push of an image to the message, and the process killed on the way.
func TestImageToDeploy(t *testing.T) {
	l := newLine(t, "argocd")
	repo := gitrepotest.New(t, "acme/deployments")
	repo.Commit(t, "refs/heads/main", "begin", map[string]string{"shop/values.yaml": values})
	git := repo.Serve(t)
	repo.Configure("http.receivepack=true")
	git.Only("signalbox", "glpat-or-whatever-your-host-calls-it")
	argotest.PlayCD(t, l.cluster.Config(), "argocd")
	l.create("applications", "argocd", `
kind: Application
metadata: {name: shop}
spec:
  project: default
  source: {repoURL: "`+git.Repository+`", path: shop, targetRevision: main}
  destination: {server: https://kubernetes.default.svc, namespace: shop}
`)
	l.example("image-to-deploy", "http://127.0.0.1:8080/acme/deployments.git", git.Repository)
	l.manifest("trace", trace)
	l.start()
	images := registry.Start(t, registry.Options{Notify: "http://" + l.addr + "/registry", Authorization: "Bearer s3cr3t"})

	images.Push(t, "acme/shop:1.4.2")
	images.Push(t, "acme/shop:latest") // no release
	images.Push(t, "acme/other:1.4.3") // another image
	l.until("the message", func() bool { return len(l.messages()) > 0 })
	tip := repo.At(t, "refs/heads/main")
	if got := repo.Git(t, "", "show", tip+":shop/values.yaml"); got != strings.TrimSpace(strings.Replace(values, `"1.0.0"`, `"1.4.2"`, 1)) {
		t.Errorf("committed:\n%s", got)
	}
	app := l.get("applications", "argocd", "shop")
	if got := text(app, "status", "operationState", "syncResult", "revision"); got != strings.TrimSpace(tip) {
		t.Errorf("synced to %s, the commit is %s", got, tip)
	}

	// Every step names the one before it.
	message := repo.Git(t, "", "log", "-1", "--format=%B", tip)
	commit := regexp.MustCompile(`(?m)^Signalbox-Firing: ([0-9a-f]{32})$`).FindStringSubmatch(message)
	event := regexp.MustCompile(`(?m)^Signalbox-Event: registry/(\S+)$`).FindStringSubmatch(message)
	if commit == nil || event == nil {
		t.Fatalf("the commit says:\n%s", message)
	}
	info := text(app, "status", "operationState", "operation", "info")
	sync := regexp.MustCompile(`name:signalbox value:([0-9a-f]{32})`).FindStringSubmatch(info)
	if sync == nil {
		t.Fatalf("the operation says %s", info)
	}
	log := l.process.Log()
	for what, want := range map[string]string{
		"the event that came":    `dependencyName=image eventContext.id=` + event[1],
		"the commit's outcome":   `\"firing\":\"` + commit[1] + `\"`,
		"what it comes from":     `\"events\":{\"image\":{\"id\":\"` + event[1] + `\"`,
		"what the sync comes of": `\"events\":{\"committed\":{\"id\":\"` + commit[1] + `\"`,
		"the sync's outcome":     `\"firing\":\"` + sync[1] + `\"`,
		"the firing of the sync": "firing=" + sync[1],
		"that of the commit":     "firing=" + commit[1],
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not tell %s: %s", what, want)
		}
	}

	// Killed while Argo CD is at work, and started again.
	l.process.Kill()
	l.start()
	images.Push(t, "acme/shop:1.5.0")
	l.until("the second commit", func() bool { return repo.At(t, "refs/heads/main") != tip })
	l.process.Kill()
	l.start()
	l.until("the second message", func() bool { return len(l.messages()) > 1 })
	time.Sleep(500 * time.Millisecond) // for what must not come
	if got := l.messages(); !slices.Equal(got, []string{"shop 1.4.2 is deployed", "shop 1.5.0 is deployed"}) {
		t.Errorf("people heard %q", got)
	}
	if n := strings.TrimSpace(repo.Git(t, "", "rev-list", "--count", "refs/heads/main")); n != "3" {
		t.Errorf("%s commits, want the first and two", n)
	}
	if got := len(l.history("shop")); got != 2 {
		t.Errorf("%d syncs: %v", got, l.history("shop"))
	}
}

func (l *line) history(app string) []string {
	l.Helper()
	var out []string
	h, _ := l.get("applications", "argocd", app).Object["status"].(map[string]any)["history"].([]any)
	for _, e := range h {
		out = append(out, fmt.Sprint(e.(map[string]any)["revision"]))
	}
	return out
}

// A sync that fails, and a commit that cannot be made, are told.
func TestDeployThatFails(t *testing.T) {
	l := newLine(t, "argocd")
	repo := gitrepotest.New(t, "acme/deployments")
	repo.Commit(t, "refs/heads/main", "begin", map[string]string{"shop/values.yaml": values})
	git := repo.Serve(t)
	repo.Configure("http.receivepack=true")
	argotest.PlayCD(t, l.cluster.Config(), "argocd").Fail("a hook failed")
	l.create("applications", "argocd", `
kind: Application
metadata: {name: shop}
spec:
  project: default
  source: {repoURL: "`+git.Repository+`", path: shop, targetRevision: main}
  destination: {server: https://kubernetes.default.svc, namespace: shop}
`)
	l.example("image-to-deploy", "http://127.0.0.1:8080/acme/deployments.git", git.Repository)
	l.start()
	l.signalbox("send", "distribution", "--file", "../../examples/image-to-deploy/pushed.json", "--secret", "s3cr3t", "--url", "http://"+l.addr+"/registry")
	l.until("the message", func() bool { return len(l.messages()) > 0 })
	if got := l.messages()[0]; !strings.HasPrefix(got, "shop is not deployed: 1.4.2: ") || !strings.Contains(got, "a hook failed") {
		t.Errorf("people heard %q", got)
	}
}
