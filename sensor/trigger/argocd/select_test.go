package argocd_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// everyOperation are configurations, and what an application has to be for them.
var everyOperation = []struct{ name, config, more string }{
	{"sync", "{}", "{}"},
	{"refresh", "{operation: refresh}", "{}"},
	{"hard-refresh", "{operation: hardRefresh}", "{}"},
	{"rollback", "{operation: rollback}", twice},
	{"terminate", "{operation: terminate}", runningNow},
	{"set-image", "{operation: set, set: {images: ['a:1']}}", "{}"},
	{"set-helm", "{operation: set, set: {helm: {parameters: [{name: a, value: b}]}}}", "{spec: {source: {chart: c, path: null}}}"},
	{"set-and-sync", "{set: {replicas: [{name: a, count: '1'}]}}", "{}"},
}

// The ways to select, and which of the applications below are meant.
var everySelection = []struct {
	name, config string
	want         []string
}{
	{"name", "name: shop", []string{"shop"}},
	{"selector", "selector: 'team=x'", []string{"other", "shop"}},
	{"project", "project: p", []string{"labelless"}},
	{"push", "affectedBy: {dependency: dep}", []string{"labelless", "shop"}},
	{"push and selector", "affectedBy: {dependency: dep}, selector: 'team in (x)'", []string{"shop"}},
	{"push and name", "affectedBy: {dependency: dep}, name: labelless", []string{"labelless"}},
}

var selectable = map[string]string{
	"shop":      "{metadata: {labels: {team: x}}}",
	"other":     "{metadata: {labels: {team: x}}, spec: {source: {repoURL: https://github.com/acme/other}}}",
	"labelless": "{spec: {project: p}}",
	"elsewhere": "{spec: {source: {targetRevision: dev}}}",
}

// TestSelection has each operation done to the applications that are selected, in
// each way, and to no others.
func TestSelection(t *testing.T) {
	for _, op := range everyOperation {
		t.Run(op.name, func(t *testing.T) {
			l := newLab(t)
			for _, by := range everySelection {
				versions := map[string]string{}
				for name, more := range selectable {
					versions[name] = l.app(name, more, op.more).GetResourceVersion()
				}
				l.selects(op.config, by.config, len(by.want))
				var got []string
				for name, before := range versions {
					if l.get(name).GetResourceVersion() != before {
						got = append(got, name)
					}
					if err := l.api.Delete(t.Context(), name, deleteNow); err != nil {
						t.Fatal(err)
					}
				}
				if slices.Sort(got); !slices.Equal(got, by.want) {
					t.Errorf("by %s: %q were written, want %q", by.name, got, by.want)
				}
			}
		})
	}
}

// TestServerSelection is the same by Argo CD's server.
func TestServerSelection(t *testing.T) {
	for _, op := range everyOperation {
		l, s := serverLab(t, argotest.CDHeld())
		for _, by := range everySelection {
			for name, more := range selectable {
				l.put(s, name, more, op.more)
			}
			s.Work()
			before := len(s.Calls())
			l.selects(at(s, op.config), by.config, len(by.want))
			var got []string
			for _, call := range s.Calls()[before:] {
				path := strings.Fields(call)[1]
				name, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/applications/"), "/")
				name, _, _ = strings.Cut(name, "?")
				got = append(got, name)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, by.want) {
				t.Errorf("%s by %s: %q were written, want %q", op.name, by.name, got, by.want)
			}
		}
	}
}

func (l *lab) selects(operation, by string, n int) {
	l.t.Helper()
	in := l.pushed(pushOf)
	in.ID += by
	r, err := l.build("{"+by+", "+operation[1:]).Fire(l.t.Context(), in)
	if err != nil {
		l.t.Fatalf("by %s: %v", by, err)
	}
	if all := r.Details["applications"].([]any); len(all) != n {
		l.t.Errorf("by %s: details are %v", by, r.Details)
	}
}

// TestServerBusy has each answer to an operation that is running.
func TestServerBusy(t *testing.T) {
	l, s := serverLab(t, argotest.CDHeld())
	running := func(name string) {
		l.put(s, name, "{operation: {sync: {}}}")
		s.Work()
	}
	const busy = ": another operation is in progress since "

	running("waits")
	wait := l.build(at(s, "{name: waits}"))
	l.isBusy(wait, l.input(1), "sync of waits"+busy)

	running("fails")
	err := l.fails(l.build(at(s, "{name: fails, onBusy: fail}")), l.input(1), false, "sync of fails"+busy)
	if _, _, ok := trigger.Postponed(err); ok {
		t.Error("it waits")
	}

	running("joins")
	coalesce := l.build(at(s, "{name: joins, onBusy: coalesce}"))
	early, late := l.input(1), l.input(2)
	l.isBusy(coalesce, early, "sync of joins"+busy)
	l.isBusy(coalesce, late, "sync of joins"+busy)

	running("replaced")
	replace := l.build(at(s, "{name: replaced, onBusy: replace, sync: {revision: "+one+"}}"))
	l.isBusy(replace, l.input(1), "sync of replaced"+busy)
	lastCall(t, s, "DELETE /api/v1/applications/replaced/operation?")
	s.Work()
	l.fire(replace, l.input(1), "sync of replaced at aaaaaaa started")

	s.Release()
	s.Work()
	l.fire(wait, l.input(1), "sync of waits started")
	l.fire(coalesce, late, "sync of joins started")
	l.fire(coalesce, early, "sync of joins joined that of firing "+late.ID)
}
