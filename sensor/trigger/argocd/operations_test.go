package argocd_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	one = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	two = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// twice is an application with a history of two entries.
const twice = `{status: {sync: {status: Synced}, history: [
	{id: 4, revision: ` + one + `, deployedAt: "2026-01-01T00:00:00Z", source: {repoURL: https://github.com/acme/shop, path: deploy, targetRevision: v1}},
	{id: 5, revision: ` + two + `, deployedAt: "2026-01-02T00:00:00Z", source: {repoURL: https://github.com/acme/shop, path: deploy, targetRevision: v2}}]}}`

const runningNow = `{operation: {sync: {}}, status: {operationState: {phase: Running, startedAt: "2026-01-01T00:00:00Z", operation: {sync: {}}}}}`

const multi = `{spec: {source: null, sources: [{repoURL: https://github.com/acme/a, path: x}, {repoURL: https://charts, chart: c, targetRevision: 1.0.0, name: chart, helm: {parameters: [{name: a, value: b}, {name: c, value: d}]}}]}}`

// TestObject has each operation leave the object as it should be.
func TestObject(t *testing.T) {
	l := newLab(t)
	for name, tc := range map[string]struct {
		more, config, summary string
		want                  map[string]string
	}{
		"sync": {
			more:    `{spec: {syncPolicy: {syncOptions: [CreateNamespace=true], retry: {limit: 5}}}, status: {operationState: {phase: Running, startedAt: "2026-01-01T00:00:00Z", operation: {sync: {prune: true}}}}}`,
			config:  "{}",
			summary: "sync of NAME started",
			want: map[string]string{
				"operation/sync": "{syncOptions: [CreateNamespace=true]}", "operation/retry": "{limit: 5}",
				"operation/initiatedBy": "{username: signalbox}", "status/operationState": "null",
			},
		},
		"sync of a revision": {
			config:  "{sync: {revision: '" + one + "', prune: true, resources: [{kind: Service, name: s, namespace: there}], syncOptions: [Replace=true], force: true}}",
			summary: "sync of NAME at aaaaaaa started",
			want: map[string]string{
				"operation/sync":  "{revision: '" + one + `', prune: true, resources: [{kind: Service, name: s, namespace: there}], syncOptions: [Replace=true], syncStrategy: {hook: {force: true}}}`,
				"operation/retry": "null",
			},
		},
		"sync of several sources": {
			more: multi, config: "{sync: {revisions: ['" + one + "', '']}}", summary: "sync of NAME at aaaaaaa, started",
			want: map[string]string{"operation/sync/revisions": "['" + one + "', '']"},
		},
		"sync with auto-sync": {
			more: "{spec: {syncPolicy: {automated: {selfHeal: true}}}}", config: "{sync: {revision: v1}}",
			summary: "sync of NAME at v1 started; auto-sync with selfHeal undoes the sync unless targetRevision leads to the same revision",
			want:    map[string]string{"operation/sync": "{revision: v1}"},
		},
		"set and sync": {
			more:    "{spec: {source: {kustomize: {images: ['shop:1', 'other=x:1']}}}}",
			config:  "{set: {images: ['shop:2', 'new@sha256:aa'], replicas: [{name: web, count: '3'}]}}",
			summary: "sync of NAME started",
			want: map[string]string{
				"spec/source/kustomize": "{images: ['shop:2', 'other=x:1', 'new@sha256:aa'], replicas: [{name: web, count: 3}]}",
				"operation/sync":        "{}", "spec/source/path": "deploy",
			},
		},
		"set a chart": {
			more:    multi,
			config:  `{operation: set, set: {sourceName: chart, targetRevision: 2.0.0, helm: {parameters: [{name: c, value: "{{ .Input.dep.data.text }}", forceString: true}], values: "a: 1", valuesObject: {image: {tag: "{{ .Input.dep.data.body.a }}"}, n: 3}}}}`,
			summary: "NAME changed",
			want: map[string]string{
				"spec/sources": `[{repoURL: https://github.com/acme/a, path: x}, {repoURL: https://charts, chart: c, targetRevision: 2.0.0, name: chart,
					helm: {parameters: [{name: a, value: b}, {name: c, value: "number 1 <&>", forceString: true}], values: "a: 1", valuesObject: {a: 1, n: 3, image: {tag: x}}}}]`,
				"operation": "null",
			},
		},
		"set and take away": {
			more:    "{spec: {source: {chart: c, path: null, helm: {valuesObject: {a: {b: 1, c: 2}, d: [1]}}}}}",
			config:  "{operation: set, set: {helm: {valuesObject: {a: {b: null}, d: [2]}}}}",
			summary: "NAME changed",
			want:    map[string]string{"spec/source/helm/valuesObject": "{a: {c: 2}, d: [2]}"},
		},
		"set what is set": {
			config: "{operation: set, set: {targetRevision: main}}", summary: "NAME is so already",
			want: map[string]string{"spec/source/targetRevision": "main"},
		},
		"refresh": {
			config: "{operation: refresh}", summary: "refresh of NAME asked for",
			want: map[string]string{"operation": "null"},
		},
		"hard refresh": {
			config: "{operation: hardRefresh}", summary: "refresh of NAME asked for",
			want: map[string]string{"operation": "null"},
		},
		"rollback": {
			more: twice, config: "{operation: rollback}", summary: "rollback of NAME to 4 (aaaaaaa) started",
			want: map[string]string{
				"operation/sync": "{revision: '" + one + "', source: {repoURL: https://github.com/acme/shop, path: deploy, targetRevision: v1}, syncStrategy: {apply: {}}}",
			},
		},
		"rollback with auto-sync": {
			more: "{spec: {syncPolicy: {automated: {prune: true}}}}", config: "{operation: rollback, rollback: {to: '5'}, disableAutoSync: true, sync: {prune: true}}",
			summary: "rollback of NAME to 5 (bbbbbbb) started; auto-sync was turned off",
			want:    map[string]string{"operation/sync/prune": "true", "spec/syncPolicy/automated": "{enabled: false, prune: true}"},
		},
		"rollback after a failure": {
			more:   `{status: {operationState: {phase: Failed, startedAt: "2026-01-01T00:00:00Z", operation: {sync: {}}, syncResult: {revision: abc, source: {repoURL: r}}}}}`,
			config: "{operation: rollback}", summary: "rollback of NAME to 5 (bbbbbbb) started",
		},
		"terminate": {
			more: runningNow, config: "{operation: terminate}", summary: "operation of NAME is being ended",
			want: map[string]string{"status/operationState/phase": "Terminating"},
		},
		"terminate nothing": {config: "{operation: terminate}", summary: "no operation of NAME is running"},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			app := "app-" + strings.ReplaceAll(name, " ", "-")
			more := []string{}
			if strings.HasPrefix(name, "rollback") {
				more = append(more, twice)
			}
			if tc.more != "" {
				more = append(more, tc.more)
			}
			l.app(app, more...)
			in := l.input(1)
			in.Since = in.Since.Add(-time.Minute)
			if name == "terminate" {
				in.Since = time.Now()
			}
			l.fire(l.build("{name: "+app+", "+tc.config[1:]), in, strings.ReplaceAll(tc.summary, "NAME", app))
			o := l.get(app)
			has(t, o, tc.want)
			if strings.Contains(tc.summary, "started") && o.GetAnnotations()["signalbox.dev/firing"] != in.ID {
				t.Errorf("annotations are %v", o.GetAnnotations())
			}
			if how := map[string]string{"refresh": "normal", "hard refresh": "hard"}[name]; how != "" {
				at, err := time.Parse(time.RFC3339Nano, o.GetAnnotations()["argocd.argoproj.io/refresh-timestamp"])
				if o.GetAnnotations()["argocd.argoproj.io/refresh"] != how || err != nil || time.Since(at) > time.Minute {
					t.Errorf("annotations are %v, %v", o.GetAnnotations(), err)
				}
			}
		})
	}
}

// TestConflict has somebody else write between reading and writing.
func TestConflict(t *testing.T) {
	l := newLab(t)
	l.app("shop")
	left := 2
	l.wire.set(nil, func(r *http.Request) {
		if r.Method == http.MethodGet && left > 0 {
			left--
			l.patch("shop", "{metadata: {labels: {n: '"+string(rune('0'+left))+"'}}}")
		}
	})
	l.fire(l.build("{name: shop}"), l.input(1), "sync of shop started")
	if left != 0 || len(l.wire.writes()) != 1 {
		t.Errorf("%d left, %s", left, l.wire.writes())
	}
	// An operation that begins in between is not lost.
	l.app("other")
	busy := true
	l.wire.set(nil, func(r *http.Request) {
		if r.Method == http.MethodGet && busy {
			busy = false
			l.patch("other", "{operation: {info: [{name: by, value: other}], sync: {}}}")
		}
	})
	l.isBusy(l.build("{name: other}"), l.input(1), "sync of other: another operation has been asked for, and Argo CD has not begun it")
	has(t, l.get("other"), map[string]string{"operation/info": "[{name: by, value: other}]"})
}

func TestRefused(t *testing.T) {
	l := newLab(t)
	l.app("one", `{spec: {syncPolicy: {automated: {}}}, status: {sync: {status: Synced}, history: [{id: 1, revision: a, deployedAt: "2026-01-01T00:00:00Z"}]}}`)
	l.app("many", multi)
	l.app("skipped", `{metadata: {annotations: {argocd.argoproj.io/skip-reconcile: "true"}}}`)
	l.app("going", `{metadata: {finalizers: [example.com/it]}}`)
	if err := l.api.Delete(t.Context(), "going", deleteNow); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		config, want string
		permanent    bool
	}{
		{"{name: none}", `sync of none: applications.argoproj.io "none" not found`, false},
		{"{name: going}", "sync of going: it is being deleted", false},
		{"{name: skipped, operation: refresh}", "refresh of skipped: Argo CD does nothing about it while", false},
		{"{name: one, operation: rollback}", "rollback of one: auto-sync is on, which does not go with a rollback: set disableAutoSync: true", false},
		{"{name: one, operation: rollback, disableAutoSync: true}", "rollback of one: its history has nothing but what is deployed now", false},
		{"{name: one, operation: rollback, disableAutoSync: true, rollback: {to: '9'}}", "rollback of one: its history has no entry 9; it has 1 to 1", false},
		{"{name: many, operation: rollback}", "rollback of many: it has no history", false},
		{"{name: many, sync: {revision: a}}", "sync of many: it has 2 sources: give sync.revisions", false},
		{"{name: one, sync: {revisions: [a]}, disableAutoSync: true}", "sync of one: it has one source: give sync.revision", false},
		{"{name: many, sync: {revisions: [a]}}", "sync of many: it has 2 sources, and sync.revisions has 1", false},
		{"{name: many, operation: set, set: {targetRevision: a}}", "set of many: it has 2 sources: give set.sourceName", false},
		{"{name: many, operation: set, set: {sourcePosition: 3, targetRevision: a}}", "set of many: it has 2 sources, and none at position 3", false},
		{"{name: many, operation: set, set: {sourceName: x, targetRevision: a}}", `set of many: it has no source "x"`, false},
		{"{name: many, operation: set, set: {sourceName: chart, images: ['a:1']}}", "set of many: its source is a chart", false},
		{"{name: one, sync: {revision: '{{ .Input.dep.data.none }}'}}", "sync.revision: ", true},
		{"{name: one, sync: {revision: '{{ .Input.dep.data.none | default \"\" }}'}}", "sync.revision: the events make it empty", true},
		{"{affectedBy: {dependency: none}}", `affectedBy: the event of "none": there is none`, true},
		{"{affectedBy: {dependency: dep}}", `affectedBy: the event of "dep": its data has neither`, true},
		{"{name: one, operation: set, set: {replicas: [{name: a, count: '{{ .Input.dep.data.text }}'}]}}", `set of one: set.replicas: "number 1 <&>" is no number`, false},
	} {
		_ = l.fails(l.build(tc.config), l.input(1), tc.permanent, tc.want)
	}
	if w := l.wire.writes(); len(w) != 0 {
		t.Errorf("written: %s", w)
	}
}

// TestSeveral acts on all that are selected, and tells which could not be acted on.
func TestSeveral(t *testing.T) {
	l := newLab(t)
	l.app("a", "{metadata: {labels: {team: x}}}")
	l.app("b", "{metadata: {labels: {team: x}}}", runningNow)
	l.app("c", "{metadata: {labels: {team: x}}, spec: {project: other}}")
	l.app("d", "{metadata: {labels: {team: z1}}}")
	tr := l.build("{selector: team=x}")
	l.isBusy(tr, l.input(1), "sync of b: another operation is in progress since 2026-01-01T00:00:00Z")
	if n := len(l.wire.writes()); n != 2 {
		t.Errorf("%d writes", n)
	}
	l.patch("b", "{operation: null, status: {operationState: {phase: Succeeded}}}")
	r := l.fire(tr, l.input(1), "sync of a was started by an earlier attempt (and 2 more)")
	b, _ := json.Marshal(r.Details)
	want := `{"applications":[{"did":"found","name":"a","namespace":"NS"},{"did":"started","name":"b","namespace":"NS"},{"did":"found","name":"c","namespace":"NS"}],"operation":"sync"}`
	if string(b) != strings.ReplaceAll(want, "NS", l.ns) || r.Follow != nil {
		t.Errorf("details are %s", b)
	}
	l.fire(l.build("{project: other, operation: refresh}"), l.input(2), "refresh of c asked for")
	l.fire(l.build("{selector: team=z}"), l.input(2), "no application is selected")
	l.use(l.kube.Config()) // it takes a ClusterRole
	l.fire(l.build("{name: d, namespace: '*', operation: refresh}"), l.input(2), "refresh of d asked for")
	_ = l.fails(l.build("{name: d, selector: team=x}"), l.input(2), false, "sync of d: there is no application d that is asked for")
}

// TestOlderVersions has an API that does not know how to turn auto-sync off.
func TestOlderVersions(t *testing.T) {
	l := newLab(t)
	l.app("shop", twice, "{spec: {syncPolicy: {automated: {prune: true}}}}")
	first := true
	l.wire.set(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && first {
			first = false
			l.patch("shop", "{metadata: {labels: {a: b}}}")
			return answerWith(r, l.get("shop").Object), nil
		}
		return nil, nil
	}, nil)
	l.fire(l.build("{name: shop, operation: rollback, disableAutoSync: true}"), l.input(1), "rollback of shop to 4 (aaaaaaa) started; auto-sync was turned off")
	has(t, l.get("shop"), map[string]string{"spec/syncPolicy": "{}", "operation/sync/revision": "'" + one + "'"})
}
