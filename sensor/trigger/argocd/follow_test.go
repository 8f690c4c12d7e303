package argocd_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argocd"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// following is what the sensor would hand to Await.
func (l *lab) following(in trigger.Input, r trigger.Result) trigger.Following {
	l.t.Helper()
	if r.Follow == nil {
		l.t.Fatalf("there is nothing to follow: %s", r.Summary)
	}
	return trigger.Following{ID: in.ID, Namespace: in.Namespace, Sensor: in.Sensor, Trigger: in.Trigger, Ref: r.Follow, Since: time.Now()}
}

type awaited struct {
	trigger.Outcome
	err error
}

// await runs Await beside the test, in a trigger made anew.
func (l *lab) await(ctx context.Context, config string, f trigger.Following) <-chan awaited {
	return awaitBy(ctx, l.build(config), f)
}

func awaitBy(ctx context.Context, tr trigger.Trigger, f trigger.Following) <-chan awaited {
	done := make(chan awaited, 1)
	go func() {
		o, err := argocd.Kind.Follow.Await(ctx, tr, f)
		done <- awaited{o, err}
	}()
	return done
}

func (l *lab) outcome(done <-chan awaited, failed bool, want string) trigger.Outcome {
	l.t.Helper()
	select {
	case a := <-done:
		if a.err != nil || a.Failed != failed || !strings.HasPrefix(a.Summary, want) {
			l.t.Errorf("got  %q, failed: %v, %v\nwant %q", a.Summary, a.Failed, a.err, want)
		}
		return a.Outcome
	case <-time.After(20 * time.Second):
		l.t.Fatal("the outcome does not come")
		return trigger.Outcome{}
	}
}

const follow = "follow: {emit: true}"

func TestFollow(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns)
	for _, tc := range []struct {
		name, config, more string
		// before, while and after the trigger is fired and followed.
		before, during, after func(app string)
		failed                bool
		want                  string
	}{
		{name: "succeeds", config: "{" + follow + ", sync: {revision: main}}", want: "APP: Succeeded, Synced, Healthy at "},
		{name: "fails", config: "{" + follow + "}", before: func(string) { cd.Fail("one or more objects failed") }, failed: true, want: "APP: Failed, OutOfSync, "},
		{
			name: "becomes healthy late", config: "{" + follow + "}", before: func(string) { cd.Health("Progressing") },
			during: func(app string) { l.until(app, synced); cd.Health("Healthy") }, want: "APP: Succeeded, Synced, Healthy at ",
		},
		{name: "stays degraded", config: "{" + follow + "}", before: func(string) { cd.Health("Degraded") }, failed: true, want: "APP: Succeeded, Synced, Degraded at "},
		{name: "without health", config: "{" + follow + ", followHealth: false}", before: func(string) { cd.Health("Degraded") }, want: "APP: Succeeded, "},
		{name: "dry run", config: "{" + follow + ", sync: {dryRun: true}}", want: "APP: Succeeded, OutOfSync, Missing at "},
		{name: "picked up late", config: "{" + follow + "}", before: func(string) { cd.Ignore() }, after: func(string) { cd.Attend() }, want: "APP: Succeeded, Synced, Healthy at "},
		{name: "missed but in the history", config: "{" + follow + ", sync: {revision: " + one + "}}", after: func(app string) {
			l.until(app, rested)
			l.patch(app, "{operation: {sync: {}}, status: {operationState: null}}")
			l.until(app, func(o map[string]any) bool { return len(l.history(app)) == 2 && rested(o) })
		}, want: "APP: Succeeded, Synced, Healthy at aaaaaaa (another operation has followed before the end of this one was seen; entry 0 of the history says that it succeeded)"},
		{name: "missed and failed", config: "{" + follow + "}", before: func(string) { cd.Fail("x") }, after: func(app string) {
			l.until(app, phase("Failed"))
			cd.Fail("")
			l.patch(app, "{operation: {sync: {}}, status: {operationState: null}}")
			l.until(app, phase("Succeeded"))
		}, failed: true, want: "APP: "},
		{name: "deleted", config: "{" + follow + "}", before: func(string) { cd.Hold() }, during: func(app string) {
			if err := l.api.Delete(t.Context(), app, deleteNow); err != nil {
				l.t.Error(err)
			}
		}, failed: true, want: "APP: the application was deleted"},
		{name: "rollback", more: twice, config: "{" + follow + ", operation: rollback}", want: "APP: Succeeded, OutOfSync, Healthy at aaaaaaa"},
		{name: "refresh", config: "{" + follow + ", operation: refresh}", want: "APP: OutOfSync, Missing at "},
		{name: "hard refresh", config: "{" + follow + ", operation: hardRefresh}", want: "APP: OutOfSync, Missing at "},
		{name: "set", config: "{" + follow + ", operation: set, set: {targetRevision: v9}}", want: "APP: OutOfSync, Missing at "},
		{name: "set and sync", config: "{" + follow + ", set: {images: ['a:2']}}", want: "APP: Succeeded, Synced, Healthy at "},
		{
			name: "set and sync of a chart", more: "{spec: {source: {chart: c, path: null}}}", config: "{" + follow + ", set: {helm: {valuesObject: {a: 1}}}}",
			want: "APP: Succeeded, Synced, Healthy at ",
		},
		{
			name: "refresh with auto-sync", more: "{spec: {syncPolicy: {automated: {}}}}", config: "{" + follow + ", operation: refresh}",
			before: func(app string) {
				l.until(app, func(o map[string]any) bool { return synced(o) && rested(o) })
				cd.Head("main", two)
			},
			want: "APP: Succeeded, Synced, Healthy at bbbbbbb",
		},
		{
			name: "set with auto-sync", more: "{spec: {syncPolicy: {automated: {}}}}", config: "{" + follow + ", operation: set, set: {targetRevision: v9, images: ['a:2']}}",
			want: "APP: Succeeded, Synced, Healthy at ",
		},
		{
			name: "set with auto-sync that fails", more: "{spec: {syncPolicy: {automated: {}}}}", config: "{" + follow + ", operation: set, set: {targetRevision: v9}}",
			before: func(app string) {
				l.until(app, func(o map[string]any) bool { return synced(o) && rested(o) })
				cd.Fail("broken")
			},
			failed: true, want: "APP: Failed, OutOfSync, Healthy at ",
		},
		{name: "terminate", more: "{operation: {sync: {}}}", config: "{" + follow + ", operation: terminate}", before: func(app string) {
			cd.Hold()
			l.until(app, phase("Running"))
		}, want: "APP: Failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.t = t
			app := "app-" + strings.ReplaceAll(tc.name, " ", "-")
			cd.Fail("")
			cd.Health("Healthy")
			cd.Release()
			cd.Attend()
			if tc.more == "" {
				tc.more = "{}"
			}
			if strings.Contains(tc.more, "operation") {
				cd.Hold()
			}
			l.app(app, tc.more)
			if tc.before != nil {
				tc.before(app)
			}
			config := "{name: " + app + ", " + tc.config[1:]
			in := l.input(1)
			r, err := l.build(config).Fire(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if tc.after != nil {
				tc.after(app)
			}
			done := l.await(t.Context(), config, l.following(in, r))
			if tc.during != nil {
				tc.during(app)
			}
			out := l.outcome(done, tc.failed, strings.ReplaceAll(tc.want, "APP", app))
			if details := out.Details["applications"].([]any); details[0].(map[string]any)["name"] != app {
				t.Errorf("details are %v", details)
			}
			// It can be asked again, by anybody, and nothing has been changed.
			again := l.outcome(l.await(t.Context(), config, l.following(in, r)), tc.failed, "")
			if tc.name == "succeeds" && again.Summary != out.Summary {
				t.Errorf("%s, and then %s", out.Summary, again.Summary)
			}
		})
	}
}

func synced(o map[string]any) bool {
	s, _, _ := unstructuredString(o, "status", "sync", "status")
	return s == "Synced"
}

// TestNotBegun has no controller: what is being waited for is told at the end.
func TestNotBegun(t *testing.T) {
	l := newLab(t)
	l.app("shop")
	config := "{name: shop, " + follow + "}"
	in := l.input(1)
	r := l.fire(l.build(config), in, "sync of shop started")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	a := <-l.await(ctx, config, l.following(in, r))
	if !errors.Is(a.err, context.DeadlineExceeded) || !strings.Contains(a.err.Error(), "and Argo CD has not begun it: is its controller running, and is it in charge of the namespace "+l.ns) {
		t.Errorf("%v", a.err)
	}
}

// TestFollowedByAnother has the process that follows die, and another go on, which
// also fires the same again.
func TestFollowedByAnother(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns, argotest.CDHeld())
	cd.Health("Progressing")
	for _, tc := range []struct{ name, more, config, first, again, want string }{
		{"sync", "{}", "{" + follow + "}", "sync of APP started", "sync of APP was started by an earlier attempt", "APP: Succeeded, Synced, Healthy at "},
		{"rollback", twice, "{" + follow + ", operation: rollback}", "rollback of APP to 4 (aaaaaaa) started", "rollback of APP was started by an earlier attempt", "APP: Succeeded, OutOfSync, Healthy at aaaaaaa"},
		{"refresh", "{}", "{" + follow + ", operation: refresh}", "refresh of APP asked for", "refresh of APP was asked for by an earlier attempt", "APP: OutOfSync, Missing at "},
		{"hard-refresh", "{}", "{" + follow + ", operation: hardRefresh}", "refresh of APP asked for", "refresh of APP was asked for by an earlier attempt", "APP: OutOfSync, Missing at "},
		{"set", "{}", "{" + follow + ", operation: set, set: {targetRevision: v9}}", "APP changed", "APP was changed by an earlier attempt", "APP: OutOfSync, Missing at "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.t = t
			app := "app-" + tc.name
			cd.Hold()
			l.app(app, tc.more)
			l.until(app, rested)
			if !strings.Contains(tc.config, "rollback") && strings.Contains(tc.config, "operation") {
				cd.Ignore()
			}
			config := "{name: " + app + ", " + tc.config[1:]
			in := l.input(1)
			r := l.fire(l.build(config), in, strings.ReplaceAll(tc.first, "APP", app))
			ctx, cancel := context.WithCancel(t.Context())
			first := l.await(ctx, config, l.following(in, r))
			cancel()
			if a := <-first; !errors.Is(a.err, context.Canceled) {
				t.Errorf("%q, %v", a.Summary, a.err)
			}
			cd.Attend()
			cd.Release()
			l.until(app, func(o map[string]any) bool {
				asked, _, _ := unstructuredString(o, "metadata", "annotations", "argocd.argoproj.io/refresh")
				return rested(o) && asked == ""
			})
			cd.Health("Healthy")
			l.outcome(l.await(t.Context(), config, l.following(in, r)), false, strings.ReplaceAll(tc.want, "APP", app))
			// The record may not have been kept either.
			in.Since = time.Now()
			r = l.fire(l.build(config), in, strings.ReplaceAll(tc.again, "APP", app))
			l.outcome(l.await(t.Context(), config, l.following(in, r)), false, strings.ReplaceAll(tc.want, "APP", app))
		})
	}
}

func TestFollowSeveral(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns)
	cd.Hold()
	for _, name := range []string{"a", "b"} {
		l.app(name, "{metadata: {labels: {team: x}}}")
	}
	config := "{selector: team=x, " + follow + "}"
	in := l.input(1)
	r := l.fire(l.build(config), in, "sync of a started (and 1 more)")
	done := l.await(t.Context(), config, l.following(in, r))
	cd.Release()
	out := l.outcome(done, false, "sync of 2 applications succeeded: a: Succeeded, Synced, Healthy at ")
	raw, err := json.Marshal(out.Details)
	if err != nil || strings.Count(string(raw), `"health":"Healthy"`) != 2 || strings.Count(string(raw), `"phase":"Succeeded"`) != 2 {
		t.Errorf("details are %s, %v", raw, err)
	}
}

func TestBadRecord(t *testing.T) {
	l := newLab(t)
	a := <-l.await(t.Context(), "{name: a}", trigger.Following{Ref: json.RawMessage(`[]`)})
	if !trigger.IsPermanent(a.err) {
		t.Errorf("%v", a.err)
	}
}
