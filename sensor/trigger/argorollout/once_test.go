package argorollout_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
	"github.com/signalbox-events/signalbox/test/argotest"
)

var errKilled = errors.New("killed")

// dieAt makes the n-th PATCH fail for the trigger, before or after the API has done it.
func (l *lab) dieAt(n int, after bool) {
	count := 0
	die := func(*http.Request) error {
		if count++; count == n {
			return errKilled
		}
		return nil
	}
	l.wire.set(func(w *wire) {
		if w.patches, w.before, w.after = nil, nil, nil; after {
			w.after = die
		} else {
			w.before = die
		}
	})
}

// TestOnce fires each operation twice: the process dies the first time, right
// before or after a patch, the controller and somebody else act, and then it is fired again.
func TestOnce(t *testing.T) {
	const update = "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}"
	for name, tc := range map[string]struct {
		config  string
		prepare func(l *lab, p *argotest.Rollouts)
		// settle is when the controller has acted on all of it.
		settle  func(p *argotest.Rollouts)
		patches int
		fields  map[string]string
	}{
		"setImage": {
			"{operation: setImage, name: web, setImage: {container: app, image: 'app:2'}}", nil,
			func(p *argotest.Rollouts) { pausedAt(p, "web", 1) }, 1,
			map[string]string{"spec.template.spec.containers.0.image": `"app:2"`, "metadata.generation": "2"},
		},
		"promote": {
			"{operation: promote, name: web}",
			func(l *lab, p *argotest.Rollouts) { l.merge(rollouts, "web", update); pausedAt(p, "web", 1) },
			func(p *argotest.Rollouts) { pausedAt(p, "web", 3) }, 1,
			map[string]string{"status.currentStepIndex": "3"},
		},
		"promote, unpausing": {
			"{operation: promote, name: web}",
			func(l *lab, p *argotest.Rollouts) {
				l.merge(rollouts, "web", update)
				pausedAt(p, "web", 1)
				l.merge(rollouts, "web", "{spec: {paused: true}}")
				p.Await("web", "paused by hand", is(map[string]string{"status.message": `"manually paused"`}))
			},
			func(p *argotest.Rollouts) { pausedAt(p, "web", 3) }, 2,
			map[string]string{"status.currentStepIndex": "3", "spec.paused": "false"},
		},
		"promoteFull": {
			"{operation: promoteFull, name: web}",
			func(l *lab, p *argotest.Rollouts) { l.merge(rollouts, "web", update); pausedAt(p, "web", 1) },
			func(p *argotest.Rollouts) { healthy(p, "web") }, 1,
			map[string]string{"status.phase": `"Healthy"`},
		},
		"abort": {
			"{operation: abort, name: web}",
			func(l *lab, p *argotest.Rollouts) { l.merge(rollouts, "web", update); pausedAt(p, "web", 1) },
			func(p *argotest.Rollouts) {
				p.Await("web", "aborted", is(map[string]string{"status.phase": `"Degraded"`}))
			}, 1,
			map[string]string{"status.phase": `"Degraded"`},
		},
		"retry": {
			"{operation: retry, name: web}",
			func(l *lab, p *argotest.Rollouts) {
				l.merge(rollouts, "web", update)
				pausedAt(p, "web", 1)
				l.merge(rollouts, "web", "{status: {abort: true}}", "status")
				p.Await("web", "aborted", is(map[string]string{"status.phase": `"Degraded"`}))
			},
			func(p *argotest.Rollouts) { pausedAt(p, "web", 1) }, 1,
			map[string]string{"status.phase": `"Paused"`},
		},
		"pause": {
			"{operation: pause, name: web}", nil,
			func(p *argotest.Rollouts) {
				p.Await("web", "paused", is(map[string]string{"status.phase": `"Paused"`}))
			}, 1,
			map[string]string{"spec.paused": "true", "metadata.generation": "2"},
		},
		"resume": {
			"{operation: resume, name: web}",
			func(l *lab, p *argotest.Rollouts) {
				l.merge(rollouts, "web", "{spec: {paused: true}}")
				p.Await("web", "paused", is(map[string]string{"status.phase": `"Paused"`}))
			},
			func(p *argotest.Rollouts) { healthy(p, "web") }, 1,
			map[string]string{"spec.paused": "false", "metadata.generation": "3"},
		},
		"restart": {
			"{operation: restart, name: web}", nil,
			func(p *argotest.Rollouts) { healthy(p, "web") }, 1,
			map[string]string{"metadata.generation": "2"},
		},
		"undo": {
			"{operation: undo, name: web}",
			func(l *lab, p *argotest.Rollouts) {
				l.merge(rollouts, "web", "{spec: {strategy: {canary: {steps: []}}, template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
				healthy(p, "web")
			},
			func(p *argotest.Rollouts) { healthy(p, "web") }, 1,
			map[string]string{"spec.template.spec.containers.0.image": `"app:1"`, "metadata.generation": "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for die := 1; die <= tc.patches; die++ {
				for _, after := range []bool{true, false} {
					l := newLab(t)
					p := l.play()
					l.canary("web", steps)
					healthy(p, "web")
					if tc.prepare != nil {
						tc.prepare(l, p)
					}
					l.dieAt(die, after)
					if _, err := l.build(tc.config).Fire(t.Context(), l.input(1)); !errors.Is(err, errKilled) || trigger.IsPermanent(err) {
						t.Fatalf("got %v", err)
					}
					if after && die == tc.patches {
						tc.settle(p)
						l.merge(rollouts, "web", "{metadata: {annotations: {signalbox.dev/firing: another}}}")
					}
					r, err := l.build(tc.config).Fire(t.Context(), l.input(1))
					if err != nil || !strings.HasPrefix(r.Summary, "found an earlier attempt's work: ") {
						t.Errorf("died at %d, after: %v: got %q, %v", die, after, r.Summary, err)
					}
					tc.settle(p)
					if _, err := l.build(tc.config).Fire(t.Context(), l.input(1)); err != nil {
						t.Error(err)
					}
					if sent := l.wire.sent(); len(sent) != tc.patches {
						t.Errorf("died at %d, after: %v: %d patches, want %d: %v", die, after, len(sent), tc.patches, sent)
					}
					tc.settle(p)
					l.wantFields(l.get(rollouts, "web"), tc.fields)
				}
			}
		})
	}
}

// TestPromoteOthersMeanwhile has two firings and an old one that comes back.
func TestPromoteOthersMeanwhile(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", "[{pause: {}}, {pause: {}}, {pause: {}}, {pause: {}}]")
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 0)
	l.dieAt(1, true)
	tr := l.build("{operation: promote, name: web}")
	if _, err := tr.Fire(t.Context(), l.input(1)); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	pausedAt(p, "web", 1)
	l.fire("{operation: promote, name: web}", 2, "promoted step 2 of 4 of rollout NS/web")
	pausedAt(p, "web", 2)
	l.fire("{operation: promote, name: web}", 1, "found an earlier attempt's work: promoted step 1 of 4 of rollout NS/web")
	l.fire("{operation: promote, name: web}", 2, "found an earlier attempt's work: promoted step 2 of 4 of rollout NS/web")
	pausedAt(p, "web", 2)
}

// TestMark has somebody else take back what was done, before the repetition.
func TestMark(t *testing.T) {
	l := newLab(t)
	l.canary("web", steps)
	l.merge(rollouts, "web", "{spec: {paused: false}}")
	l.dieAt(1, true)
	const config = "{operation: pause, name: web}"
	if _, err := l.build(config).Fire(t.Context(), l.input(1)); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	l.merge(rollouts, "web", "{spec: {paused: false}}")
	l.fire(config, 1, "found an earlier attempt's work: paused rollout NS/web")
	l.wantFields(l.get(rollouts, "web"), map[string]string{"spec.paused": "false"})
}

// TestFaster has somebody else promote, or roll out another version, between look and patch.
func TestFaster(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	hash := at(l.get(rollouts, "web"), "status", "currentPodHash")
	first := true
	l.wire.set(func(w *wire) {
		w.before = func(*http.Request) error {
			if first {
				first = false
				l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:3'}]}}}}")
				p.Await("web", "paused again", func(o *unstructured.Unstructured) bool {
					return at(o, "status", "currentPodHash") != hash && at(o, "status", "phase") == `"Paused"`
				})
			}
			return nil
		}
	})
	r, err := l.build("{operation: promote, name: web, expect: {podHash: "+hash+"}}").Fire(t.Context(), l.input(1))
	if err != nil || !strings.Contains(r.Summary, "nothing to do") || len(l.wire.sent()) != 0 {
		t.Errorf("got %v, %v, %v", r, err, l.wire.sent())
	}
}

// TestBusyController is down when a version is set and promoted.
func TestBusyController(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	p.Hold()
	l.merge(rollouts, "web", "{status: {pauseConditions: null}}", "status") // somebody promotes
	result := make(chan error, 1)
	tr := l.build("{operation: promote, name: web, expect: {step: '1'}}")
	go func() {
		r, err := tr.Fire(t.Context(), l.input(1))
		if err == nil && !strings.Contains(r.Summary, "it is at step") {
			err = errors.New(r.Summary)
		}
		result <- err
	}()
	p.Go()
	if err := <-result; err != nil {
		t.Error(err)
	}
	pausedAt(p, "web", 3)
}

// TestHostileRollout has fields of wrong types, where the API lets them through.
func TestHostileRollout(t *testing.T) {
	l := newLab(t)
	l.canary("web", steps)
	answer := ""
	l.wire.set(func(w *wire) {
		w.answer = func(r *http.Request) (*http.Response, error) { return reply(r, http.StatusOK, answer), nil }
	})
	for _, answer = range []string{
		`{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"web"},"spec":[],"status":{}}`,
		`{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"web"},"status":{"observedGeneration":7}}`,
		`{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"web"},"status":{"pauseConditions":{"a":1},"currentStepIndex":"x"}}`,
		`{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[1,null,"a"]}},"strategy":{"canary":{"steps":[null,5]}}},"status":{"currentStepIndex":-1}}`,
		`[]`, `{`,
	} {
		for n, op := range []string{"setImage, setImage: {container: app, image: a}", "pause, expect: {paused: true}", "undo"} {
			if r, err := l.build("{name: web, onNothing: fail, operation: "+op+"}").Fire(t.Context(), l.input(n)); err == nil && !strings.HasPrefix(op, "pause") {
				t.Errorf("%s with %s: %v", op, answer, r)
			}
		}
	}
}

// TestRefused is told that nothing was done, and somebody else acts before the repetition.
func TestRefused(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.canary("web", steps)
	healthy(p, "web")
	l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}")
	pausedAt(p, "web", 1)
	l.wire.set(func(w *wire) {
		w.answer = func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPatch {
				return nil, nil
			}
			return reply(r, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"rollouts/status is forbidden","reason":"Forbidden","code":403}`), nil
		}
	})
	const config = "{operation: promote, name: web, expect: {step: '1'}}"
	l.fails(config, 1, "promote rollout NS/web: rollouts/status is forbidden")
	l.wire.set(func(w *wire) { w.answer = nil })
	l.merge(rollouts, "web", "{status: {pauseConditions: null}}", "status") // somebody promotes
	pausedAt(p, "web", 3)
	l.fire(config, 1, "nothing to do for rollout NS/web: it is at step 3, not at 1")
}

func TestWithoutAPI(t *testing.T) {
	_, err := triggertest.Build(t, kindOf, "{operation: pause, name: web}", triggertest.NewEnv(t)).Fire(t.Context(), triggertest.Input(1))
	if err == nil || trigger.IsPermanent(err) || !strings.HasPrefix(err.Error(), "pause rollout default/web: there is no Kubernetes API") {
		t.Errorf("got %v", err)
	}
}
