package argocd_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// dies fires, and has the process die when the API has done what the n-th request
// to write asked for, before anybody knows.
func (l *lab) dies(config string, in trigger.Input, n int) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	before := len(l.wire.writes())
	l.wire.set(nil, func(r *http.Request) {
		if r.Method == http.MethodPatch && len(l.wire.writes())-before >= n {
			cancel()
		}
	})
	defer l.wire.set(nil, nil)
	_, err := l.build(config).Fire(ctx, in)
	if err != nil && !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		l.t.Fatalf("it has not died: %v", err)
	}
}

// otherFiring is one of another trigger.
func (l *lab) otherFiring(n int) trigger.Input {
	in := l.input(n)
	in.Trigger = "other"
	return in
}

// TestKilled has the process die when the API has done what it was asked for, and
// the same fired again by the next process: at once, and when the operation is over
// and another trigger has done the like.
func TestKilled(t *testing.T) {
	const (
		over    = `{operation: null, status: {operationState: {phase: Succeeded, startedAt: "2026-01-01T00:00:00Z", operation: {sync: {}, info: null}}}}`
		next    = `{operation: {sync: {}}, status: {operationState: {phase: Running, startedAt: "2026-01-02T00:00:00Z"}}}`
		done    = `{metadata: {annotations: {argocd.argoproj.io/refresh: null, argocd.argoproj.io/refresh-timestamp: null}}}`
		image   = "spec/source/kustomize/images"
		refresh = "metadata/annotations/argocd.argoproj.io~refresh"
		helm    = "spec/source/helm"
		chart   = "{spec: {source: {chart: c, path: null}}}"
	)
	l := newLab(t)
	for _, tc := range []struct {
		name, config, more string
		// effect of the first attempt.
		effect map[string]string
		again  string
		// meanwhile is what the controller does then, and other what another firing does.
		meanwhile, other string
		later            string
		// kept is what the last attempt leaves alone.
		kept map[string]string
	}{
		{
			name: "sync", config: "{sync: {revision: '" + one + "'}}", effect: map[string]string{"operation/sync": "{revision: " + one + "}"},
			again: "sync of APP was started by an earlier attempt", meanwhile: over, other: "{sync: {revision: '" + two + "'}}",
			later: "sync of APP was started by an earlier attempt", kept: map[string]string{"operation/sync": "{revision: " + two + "}"},
		},
		{
			name: "set-and-sync", config: "{set: {targetRevision: v2}}", effect: map[string]string{"operation/sync": "{}", "spec/source/targetRevision": "v2"},
			again: "sync of APP was started by an earlier attempt", meanwhile: over, other: "{set: {targetRevision: v3}}",
			later: "sync of APP was started by an earlier attempt", kept: map[string]string{"spec/source/targetRevision": "v3"},
		},
		{
			name: "rollback", config: "{operation: rollback}", more: twice, effect: map[string]string{"operation/sync/revision": one},
			again: "rollback of APP was started by an earlier attempt", meanwhile: over, other: "{sync: {revision: '" + two + "'}}",
			later: "rollback of APP was started by an earlier attempt", kept: map[string]string{"operation/sync/revision": two},
		},
		{
			name: "set-image", config: "{operation: set, set: {images: ['a:1']}}", effect: map[string]string{image: "['a:1']", "operation": "null"},
			again: "APP was changed by an earlier attempt", other: "{operation: set, set: {images: ['a:2']}}",
			later: "APP was changed by an earlier attempt", kept: map[string]string{image: "['a:2']"},
		},
		{
			name: "set-replicas", config: "{operation: set, set: {replicas: [{name: a, count: '1'}]}}",
			effect: map[string]string{"spec/source/kustomize/replicas": "[{name: a, count: 1}]"},
			again:  "APP was changed by an earlier attempt", other: "{operation: set, set: {replicas: [{name: a, count: '2'}]}}",
			later: "APP was changed by an earlier attempt", kept: map[string]string{"spec/source/kustomize/replicas": "[{name: a, count: 2}]"},
		},
		{
			name: "set-helm", more: chart, config: "{operation: set, set: {helm: {parameters: [{name: tag, value: v1}], valuesObject: {a: 1}}}}",
			effect: map[string]string{helm: "{parameters: [{name: tag, value: v1}], valuesObject: {a: 1}}"},
			again:  "APP was changed by an earlier attempt", other: "{operation: set, set: {helm: {parameters: [{name: tag, value: v2}]}}}",
			later: "APP was changed by an earlier attempt", kept: map[string]string{helm: "{parameters: [{name: tag, value: v2}], valuesObject: {a: 1}}"},
		},
		{
			name: "refresh", config: "{operation: refresh}", effect: map[string]string{refresh: "normal"},
			again: "refresh of APP was asked for by an earlier attempt", meanwhile: done, other: "{set: {images: ['a:2']}}",
			later: "refresh of APP was asked for by an earlier attempt", kept: map[string]string{refresh: "null"},
		},
		{
			name: "hardRefresh", config: "{operation: hardRefresh}", effect: map[string]string{refresh: "hard"},
			again: "refresh of APP was asked for by an earlier attempt", meanwhile: done, other: "{operation: refresh}",
			later: "refresh of APP was asked for by an earlier attempt", kept: map[string]string{refresh: "normal"},
		},
		{
			name: "terminate", config: "{operation: terminate}", more: runningNow, effect: map[string]string{"status/operationState/phase": "Terminating"},
			again: "operation of APP is being ended", meanwhile: next,
			later: "the operation of APP that was to end has ended", kept: map[string]string{"status/operationState/phase": "Running"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.t = t
			app := "app-" + strings.ToLower(tc.name)
			if tc.more == "" {
				tc.more = "{}"
			}
			l.app(app, tc.more)
			before := len(l.wire.writes())
			config := "{name: " + app + ", " + tc.config[1:]
			in := l.input(1)
			l.dies(config, in, 1)
			has(t, l.get(app), tc.effect)

			in.Since = time.Now() // nobody has kept when the first attempt began
			l.fire(l.build(config), in, strings.ReplaceAll(tc.again, "APP", app))
			has(t, l.get(app), tc.effect)
			if n := len(l.wire.writes()) - before; n != 1 {
				t.Errorf("%d writes: %s", n, l.wire.writes()[before:])
			}

			if tc.meanwhile != "" {
				l.patch(app, tc.meanwhile)
			}
			if tc.other != "" {
				if _, err := l.build("{name: "+app+", "+tc.other[1:]).Fire(t.Context(), l.otherFiring(2)); err != nil {
					t.Fatal(err)
				}
			}
			version := l.get(app).GetResourceVersion()
			in.Since = time.Now()
			l.fire(l.build(config), in, strings.ReplaceAll(tc.later, "APP", app))
			has(t, l.get(app), tc.kept)
			if now := l.get(app).GetResourceVersion(); now != version {
				t.Errorf("it was written again: %s", l.wire.writes()[before:])
			}
		})
	}
}

// TestKilledWhileReplacing has the process die after each of the two writes.
func TestKilledWhileReplacing(t *testing.T) {
	l := newLab(t)
	l.app("shop", runningNow)
	const config = "{name: shop, onBusy: replace, sync: {revision: " + one + "}}"
	in := l.input(1)
	l.dies(config, in, 1)
	has(t, l.get("shop"), map[string]string{"status/operationState/phase": "Terminating"})
	l.isBusy(l.build(config), in, "sync of shop: another operation is in progress since ")
	l.patch("shop", `{operation: null, status: {operationState: {phase: Failed, finishedAt: "2026-01-01T00:00:01Z"}}}`)
	l.dies(config, in, 1)
	l.fire(l.build(config), in, "sync of shop was started by an earlier attempt")
	has(t, l.get("shop"), map[string]string{"operation/sync": "{revision: " + one + "}", "status/operationState": "null"})
	if w := l.wire.writes(); len(w) != 2 {
		t.Errorf("%d writes: %s", len(w), w)
	}
}

// TestKilledAmongSeveral has the process die when one of many applications has its
// operation.
func TestKilledAmongSeveral(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"a", "b", "c"} {
		l.app(name, "{metadata: {labels: {team: x}}}")
	}
	in := l.input(1)
	l.dies("{selector: team=x}", in, 1)
	if _, err := l.build("{selector: team=x}").Fire(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if n := l.get(name).GetGeneration(); n != 2 { // it grows with each write
			t.Errorf("%s is generation %d", name, n)
		}
		if got := info(l.get(name), "signalbox"); got != in.ID {
			t.Errorf("the operation of %s is that of %q", name, got)
		}
	}
}

// TestManyFirings has an application remember the last ten.
func TestManyFirings(t *testing.T) {
	l := newLab(t)
	l.app("shop", "{metadata: {annotations: {signalbox.dev/earlier-firings: '"+strings.Repeat("x", 70)+" y'}}}")
	for n := range 12 {
		in := l.input(n)
		if _, err := l.build("{name: shop, operation: set, set: {targetRevision: 'v{{ .Input.dep.data.number }}'}}").Fire(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	annotations := l.get("shop").GetAnnotations()
	var want []string
	for n := 10; n > 1; n-- {
		want = append(want, l.input(n).ID)
	}
	if annotations["signalbox.dev/firing"] != l.input(11).ID || annotations["signalbox.dev/earlier-firings"] != strings.Join(want, " ") {
		t.Errorf("annotations are %v", annotations)
	}
}

// TestServerKilled has the process die when the server has done what it was asked for.
func TestServerKilled(t *testing.T) {
	for _, tc := range []struct{ name, more, config, method, suffix, again string }{
		{"sync", "{}", "{name: shop}", "POST", "/sync", "sync of shop was started by an earlier attempt"},
		{"rollback", twice, "{name: shop, operation: rollback}", "POST", "/rollback", "rollback of shop was started by an earlier attempt"},
		{"set", "{}", "{name: shop, operation: set, set: {images: ['a:1']}}", "PATCH", "/shop", "shop was changed by an earlier attempt"},
		{"set helm", "{spec: {source: {chart: c, path: null}}}", "{name: shop, operation: set, set: {helm: {parameters: [{name: a, value: b}]}}}", "PATCH", "/shop", "shop was changed by an earlier attempt"},
		{"terminate", runningNow, "{name: shop, operation: terminate}", "DELETE", "/operation", "no operation of shop is running"},
	} {
		for _, while := range []string{"running", "done"} {
			t.Run(tc.name+" "+while, func(t *testing.T) {
				l, s := serverLab(t, argotest.CDHeld())
				l.put(s, "shop", tc.more)
				in := l.input(1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s.After(func(r *http.Request) {
					if r.Method == tc.method && strings.HasSuffix(r.URL.Path, tc.suffix) {
						cancel()
						time.Sleep(10 * time.Millisecond) // the answer comes too late
					}
				})
				if r, err := l.build(at(s, tc.config)).Fire(ctx, in); err == nil {
					t.Fatal("it has not died: ", r.Summary)
				}
				s.After(nil)
				if while == "done" {
					s.Release()
				}
				s.App("shop")
				in.Since = time.Now()
				l.fire(l.build(at(s, tc.config)), in, tc.again)
				if n := len(s.Calls()); n != 1 {
					t.Errorf("%d requests: %q", n, s.Calls())
				}
			})
		}
	}
}

// TestServerKilledBetween has the process die when the source is changed, and the
// sync not begun.
func TestServerKilledBetween(t *testing.T) {
	l, s := serverLab(t, argotest.CDHeld())
	l.put(s, "shop")
	const config = "{name: shop, set: {images: ['a:1']}}"
	in := l.input(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.After(func(r *http.Request) {
		if r.Method == http.MethodPatch {
			cancel()
			time.Sleep(10 * time.Millisecond)
		}
	})
	if r, err := l.build(at(s, config)).Fire(ctx, in); err == nil {
		t.Fatal("it has not died: ", r.Summary)
	}
	s.After(nil)
	l.fire(l.build(at(s, config)), in, "sync of shop started")
	l.fire(l.build(at(s, config)), in, "sync of shop was started by an earlier attempt")
	if n := len(s.Calls()); n != 2 {
		t.Errorf("%d requests: %q", n, s.Calls())
	}
}
