package argorollout_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/test/argotest"
)

func firing(n int) string { return `"` + strings.Repeat("0", 26) + "abc00" + string(rune('0'+n)) + `"` }

func TestSetImage(t *testing.T) {
	l := newLab(t)
	l.canary("web", steps)
	l.fire("{operation: setImage, name: web, setImage: {container: app, image: 'app:{{ .Input.dep.data.number }}.0'}}", 2, "set the image app:2.0 of rollout NS/web")
	o := l.get(rollouts, "web")
	l.wantFields(o, map[string]string{
		"spec.template.spec.containers.0.image": `"app:2.0"`, "spec.template.spec.containers.1.image": `"side:1"`, "spec.template.spec.initContainers.0.image": `"init:1"`,
		"metadata.annotations": `{"signalbox.dev/firing":` + firing(2) + `}`, "metadata.generation": "2",
	})
	l.fire("{operation: setImage, name: web, setImage: {container: init, image: 'init:2'}}", 3, "set the image init:2 of rollout NS/web")
	l.fire("{operation: setImage, name: web, setImage: {container: '*', image: 'all:1'}}", 4, "set the image all:1 of rollout NS/web")
	l.wantFields(l.get(rollouts, "web"), map[string]string{
		"spec.template.spec.containers.0.image": `"all:1"`, "spec.template.spec.containers.1.image": `"all:1"`, "spec.template.spec.initContainers.0.image": `"all:1"`,
	})
	r := l.fire("{operation: setImage, name: web, setImage: {container: '*', image: 'all:1'}, onNothing: fail}", 5, "nothing to do for rollout NS/web: it has the image all:1 already")
	if r.Details["effect"] != "nothing" {
		t.Errorf("got %v", r.Details)
	}
	l.fails("{operation: setImage, name: web, setImage: {image: 'all:1'}}", 6, "setImage rollout NS/web: it has 2 containers: name one")
	l.fails("{operation: setImage, name: web, setImage: {container: db, image: 'all:1'}}", 6, "setImage rollout NS/web: it has no container db")
	l.fails("{operation: setImage, name: none, setImage: {image: 'all:1'}}", 6, "setImage rollout NS/none: there is no such Rollout")
	if err := l.failure("{operation: setImage, name: web, setImage: {container: app, image: '{{ .Input.dep.data.text }}'}}", 6, `setImage rollout: setImage.image: "number 6 <&>" is no image`); !trigger.IsPermanent(err) {
		t.Error("it is tried again")
	}
}

func TestPromote(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	first := at(healthy(p, "web"), "status", "currentPodHash")
	l.fire("{operation: promote, name: web}", 0, "nothing to do for rollout NS/web: it is not paused, and no update is going on")
	l.fails("{operation: promote, name: web, onNothing: fail}", 0, "promote rollout NS/web: nothing to do: it is not paused")
	l.fire("{operation: setImage, name: web, setImage: {container: app, image: 'app:2'}}", 1, "set the image app:2 of rollout NS/web")
	o := pausedAt(p, "web", 1)
	hash := at(o, "status", "currentPodHash")
	l.fire("{operation: promote, name: web, expect: {podHash: "+first+"}}", 2, "nothing to do for rollout NS/web: it is at version "+strings.Trim(hash, `"`)+", not at "+strings.Trim(first, `"`))
	l.fire("{operation: promote, name: web, expect: {step: '{{ add .Input.dep.data.number 1 }}'}}", 2, "nothing to do for rollout NS/web: it is at step 1, not at 3")
	p.Hold()
	l.fire("{operation: promote, name: web, expect: {podHash: "+hash+", step: '1', paused: true}}", 3, "promoted step 2 of 5 of rollout NS/web")
	l.wantFields(l.get(rollouts, "web"), map[string]string{"status.pauseConditions": "null", "status.controllerPause": "true", "status.currentStepIndex": "1"})
	p.Go()
	pausedAt(p, "web", 3)
	l.fire("{operation: promote, name: web}", 4, "promoted step 4 of 5 of rollout NS/web")
	l.wantFields(healthy(p, "web"), map[string]string{"status.stableRS": hash, "metadata.annotations": `{"signalbox.dev/firing":` + firing(1) + `}`})
}

// TestPromoteUnpauses has a pause by hand on top of that of a step.
func TestPromoteUnpauses(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	l.fire("{operation: pause, name: web}", 1, "paused rollout NS/web")
	p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`, "spec.paused": "true"}))
	l.fire("{operation: pause, name: web}", 2, "nothing to do for rollout NS/web: it is paused already")
	l.fire("{operation: promote, name: web}", 3, "unpaused and promoted rollout NS/web")
	pausedAt(p, "web", 3)
	l.fire("{operation: pause, name: web}", 4, "paused rollout NS/web")
	p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`}))
	l.fire("{operation: resume, name: web}", 5, "resumed rollout NS/web")
	healthy(p, "web")
	l.fire("{operation: resume, name: web}", 6, "nothing to do for rollout NS/web: it is not paused")
	l.fire("{operation: pause, name: web}", 7, "paused rollout NS/web")
	p.Await("web", "paused by hand", is(map[string]string{"status.phase": `"Paused"`}))
	l.fire("{operation: resume, name: web}", 8, "resumed rollout NS/web")
	l.wantFields(healthy(p, "web"), map[string]string{"spec.paused": "false"})
}

// TestPromoteWaits has the controller away when spec.paused is taken back: it would
// take back what is done to the status meanwhile.
func TestPromoteWaits(t *testing.T) {
	for _, operation := range []string{"promote", "promoteFull", "resume"} {
		t.Run(operation, func(t *testing.T) {
			l := newLab(t)
			p := l.play()
			l.canary("web", steps)
			healthy(p, "web")
			l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
			pausedAt(p, "web", 1)
			l.merge(rollouts, "web", "{spec: {paused: true}}")
			p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`}))
			p.Hold()
			unpaused, waits := false, make(chan struct{})
			l.wire.set(func(w *wire) {
				w.after = func(*http.Request) error { unpaused = true; return nil }
				w.answer = func(r *http.Request) (*http.Response, error) {
					select {
					case <-waits:
						return nil, nil
					default:
					}
					if strings.HasSuffix(r.URL.Path, "/status") {
						t.Error("the status is changed before the controller has seen spec.paused")
						close(waits)
					} else if unpaused && r.URL.Query().Get("watch") != "" {
						close(waits)
					}
					return nil, nil
				}
			})
			done := make(chan error, 1)
			tr := l.build("{operation: " + operation + ", name: web}")
			go func() {
				_, err := tr.Fire(t.Context(), l.input(1))
				done <- err
			}()
			<-waits
			p.Go()
			if err := <-done; err != nil {
				t.Error(err)
			}
			p.Await("web", "further on", func(o *unstructured.Unstructured) bool {
				return at(o, "spec", "paused") == "false" && at(o, "status", "currentStepIndex") != "1"
			})
		})
	}
}

func TestPromoteAnalysis(t *testing.T) {
	l := newLab(t)
	phase := make(chan string, 1)
	phase <- "Running"
	p := l.play(argotest.WithAnalysis(func(string, int) string { s := <-phase; phase <- s; return s }))
	l.canary("web", "[{analysis: {templates: [{templateName: a}]}}, {pause: {}}, {analysis: {templates: [{templateName: a}]}}, {pause: {}}]")
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	p.Await("web", "analysed", is(map[string]string{"status.canary.currentStepAnalysisRunStatus.status": `"Running"`, "status.phase": `"Progressing"`}))
	l.fire("{operation: promote, name: web, expect: {paused: true}}", 1, "nothing to do for rollout NS/web: it is not paused")
	l.fire("{operation: promote, name: web}", 2, "skipped step 1 of 4 of rollout NS/web")
	pausedAt(p, "web", 1)
	<-phase
	phase <- "Inconclusive"
	l.fire("{operation: promote, name: web}", 3, "promoted step 2 of 4 of rollout NS/web")
	p.Await("web", "inconclusive", is(map[string]string{"status.message": `"InconclusiveAnalysisRun"`}))
	p.Hold()
	l.fire("{operation: promote, name: web}", 4, "promoted step 3 of 4, after an inconclusive analysis, of rollout NS/web")
	l.wantFields(l.get(rollouts, "web"), map[string]string{"status.pauseConditions": "null", "status.controllerPause": "false", "status.currentStepIndex": "3"})
	p.Go()
	pausedAt(p, "web", 3)
}

func TestAbortRetryPromoteFull(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	stable := at(healthy(p, "web"), "status", "stableRS")
	l.fire("{operation: abort, name: web}", 0, "nothing to do for rollout NS/web: no update is going on")
	l.fire("{operation: retry, name: web}", 0, "nothing to do for rollout NS/web: no update is aborted")
	l.fire("{operation: promoteFull, name: web}", 0, "nothing to do for rollout NS/web: no update is going on")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	l.fire("{operation: abort, name: web}", 1, "aborted the update of rollout NS/web")
	o := p.Await("web", "aborted", is(map[string]string{"status.phase": `"Degraded"`}))
	l.wantFields(o, map[string]string{"status.abort": "true", "status.currentStepIndex": "0", "status.stableRS": stable})
	l.fire("{operation: abort, name: web}", 2, "nothing to do for rollout NS/web: its update is aborted already")
	l.fire("{operation: promote, name: web}", 2, "nothing to do for rollout NS/web: its update is aborted; retry it, or use promoteFull")
	l.fire("{operation: retry, name: web}", 3, "retried the update of rollout NS/web")
	l.wantFields(pausedAt(p, "web", 1), map[string]string{"status.abort": "false", "status.abortedAt": "null"})
	l.fire("{operation: promoteFull, name: web}", 4, "fully promoted rollout NS/web")
	if healthy(p, "web"); at(l.get(rollouts, "web"), "status", "stableRS") == stable {
		t.Error("it is not promoted")
	}
}

func TestPromoteFullUnpauses(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	l.merge(rollouts, "web", "{spec: {paused: true}}")
	p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`}))
	l.fire("{operation: promoteFull, name: web}", 1, "fully promoted rollout NS/web")
	l.wantFields(healthy(p, "web"), map[string]string{"spec.paused": "false"})
}

func TestRestart(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.fire("{operation: restart, name: web}", 1, "restarted rollout NS/web")
	o := p.Await("web", "restarted", func(o *unstructured.Unstructured) bool { return at(o, "status", "restartedAt") != "null" })
	var s string
	if err := json.Unmarshal([]byte(at(o, "spec", "restartAt")), &s); err != nil {
		t.Fatal(err)
	}
	if when, err := time.Parse(time.RFC3339, s); err != nil || when.Location() != time.UTC || time.Since(when) > time.Minute {
		t.Errorf("it is restarted at %s: %v", s, err)
	}
	l.wantFields(o, map[string]string{"metadata.annotations": `{"signalbox.dev/firing":` + firing(1) + `}`})
}

func TestUndo(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", "[]")
	l.fails("{operation: undo, name: web, undo: {revision: '7'}}", 0, "undo rollout NS/web: there is no revision 7 any more")
	healthy(p, "web")
	l.fails("{operation: undo, name: web}", 0, "undo rollout NS/web: there is no revision before the current one")
	hashes := []string{at(l.get(rollouts, "web"), "status", "stableRS")}
	for _, v := range []string{"2", "3"} {
		l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:"+v+"'}]}}}}")
		hashes = append(hashes, at(healthy(p, "web"), "status", "stableRS"))
	}
	l.fire("{operation: undo, name: web, undo: {revision: '3'}}", 1, "nothing to do for rollout NS/web: it is at revision 3 already")
	l.fire("{operation: undo, name: web}", 2, "put revision 2 back in rollout NS/web")
	o := healthy(p, "web")
	l.wantFields(o, map[string]string{"status.stableRS": hashes[1], "spec.template.spec.containers.0.image": `"app:2"`, "spec.template.metadata.labels": `{"app":"web"}`})
	l.fire("{operation: undo, name: web, undo: {revision: '1'}}", 3, "put revision 1 back in rollout NS/web")
	l.wantFields(healthy(p, "web"), map[string]string{"status.stableRS": hashes[0], "spec.template.spec.containers.0.image": `"app:1"`})
}

func TestBlueGreen(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {selector: {matchLabels: {app: web}}, strategy: {blueGreen: {activeService: web, autoPromotionEnabled: false}}, template: "+template("app:1")+"}}")
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	p.Await("web", "paused", is(map[string]string{"status.message": `"BlueGreenPause"`}))
	l.fire("{operation: promote, name: web, expect: {step: '0', paused: true}}", 1, "promoted rollout NS/web")
	healthy(p, "web")
}

func TestWorkload(t *testing.T) {
	for kind, tc := range map[string]struct {
		at, version string
		object      string
	}{
		"Deployment":  {"spec.template", "apps/v1", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: base}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: T}}"},
		"PodTemplate": {"template", "v1", "{apiVersion: v1, kind: PodTemplate, metadata: {name: base}, template: T}"},
	} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			p := l.play()
			r := deployments
			if kind == "PodTemplate" {
				r = podTmpls
			}
			l.create(r, strings.Replace(tc.object, "T}", template("app:1")+"}", 1))
			l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {workloadRef: {apiVersion: "+tc.version+", kind: "+kind+", name: base}, strategy: {canary: {steps: "+steps+"}}}}")
			stable := at(healthy(p, "web"), "status", "stableRS")
			l.fire("{operation: setImage, name: web, setImage: {container: app, image: 'app:2'}}", 1, "set the image app:2 of rollout NS/web")
			l.wantFields(l.get(r, "base"), map[string]string{tc.at + ".spec.containers.0.image": `"app:2"`, "metadata.annotations": `{"signalbox.dev/firing":` + firing(1) + `}`})
			l.wantFields(l.get(rollouts, "web"), map[string]string{"spec.template": "null"})
			pausedAt(p, "web", 1)
			l.fire("{operation: promote, name: web}", 2, "promoted step 2 of 5 of rollout NS/web")
			pausedAt(p, "web", 3)
			l.fire("{operation: undo, name: web}", 3, "put revision 1 back in rollout NS/web")
			l.wantFields(l.get(r, "base"), map[string]string{tc.at + ".spec.containers.0.image": `"app:1"`, tc.at + ".metadata.labels": `{"app":"web"}`})
			p.Await("web", "back", is(map[string]string{"status.currentPodHash": stable, "status.phase": `"Healthy"`}))
		})
	}
	l := newLab(t)
	l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {workloadRef: {apiVersion: v1, kind: Pod, name: base}, strategy: {canary: {}}}}")
	l.fails("{operation: setImage, name: web, setImage: {image: 'app:2'}}", 1, "setImage rollout NS/web: workloadRef: a Pod of v1 has no pod template that is known")
}
