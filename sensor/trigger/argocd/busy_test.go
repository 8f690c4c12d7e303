package argocd_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// info is the value of an item of the info of the operation, or of the last one.
func info(o *unstructured.Unstructured, name string) string {
	items, ok, _ := unstructured.NestedSlice(o.Object, "operation", "info")
	if !ok {
		items, _, _ = unstructured.NestedSlice(o.Object, "status", "operationState", "operation", "info")
	}
	for _, v := range items {
		if m := v.(map[string]any); m["name"] == name {
			return m["value"].(string)
		}
	}
	return ""
}

func (l *lab) history(name string) (revisions []string) {
	l.t.Helper()
	entries, _, _ := unstructured.NestedSlice(l.get(name).Object, "status", "history")
	for _, v := range entries {
		revisions = append(revisions, v.(map[string]any)["revision"].(string)[:7])
	}
	return revisions
}

func (l *lab) wantHistory(name, want string) {
	l.t.Helper()
	if got := strings.Join(l.history(name), " "); got != want {
		l.t.Errorf("the history is %s, want %s", got, want)
	}
}

// revisionOf has input n sync to a commit.
const revisionOf = `sync: {revision: '{{ printf "%040d" .Input.dep.data.number }}'}`

func TestWait(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns, argotest.CDHeld())
	l.app("shop")
	tr := l.build("{name: shop, " + revisionOf + "}")
	l.fire(tr, l.input(1), "sync of shop at 0000000 started")
	l.until("shop", phase("Running"))
	second := l.input(2)
	l.isBusy(tr, second, "sync of shop: another operation is in progress since ")
	if got := info(l.get("shop"), "signalbox"); got != l.input(1).ID {
		t.Errorf("the operation is that of %s", got)
	}
	cd.Release()
	l.until("shop", rested)
	l.fire(tr, second, "sync of shop at 0000000 started")
	l.until("shop", rested)
	if n := len(l.history("shop")); n != 2 {
		t.Errorf("%d syncs", n)
	}
}

// TestCoalesce has many firings wait for one operation.
func TestCoalesce(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns, argotest.CDHeld())
	const busy = "sync of shop: another operation is in progress since "
	for _, tc := range []struct {
		name, config string
		// order in which the waiting ones get their turn, and what becomes of them.
		order []int
		want  []string
		syncs int
	}{
		{"unpinned, the newest first", "{onBusy: coalesce}", []int{4, 2, 3}, []string{
			"sync of shop started", "sync of shop joined that of firing ID4", "sync of shop joined that of firing ID4",
		}, 2},
		{"pinned, the newest first", "{onBusy: coalesce, " + revisionOf + "}", []int{4, 2, 3}, []string{
			"sync of shop at 0000000 started", "sync of shop superseded by firing ID4", "sync of shop superseded by firing ID4",
		}, 2},
		{"pinned, the newest is not lost", "{onBusy: coalesce, " + revisionOf + "}", []int{3, 2, 4}, []string{
			"sync of shop at 0000000 started", "sync of shop superseded by firing ID3", "sync of shop at 0000000 started",
		}, 3},
		{"waiting, an older one does not undo a newer one", "{" + revisionOf + "}", []int{4, 3}, []string{
			"sync of shop at 0000000 started", "sync of shop superseded by firing ID4",
		}, 2},
		{"waiting, each syncs", "{}", []int{3, 2}, []string{"sync of shop started", "sync of shop started"}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.t = t
			app := "app-" + strings.NewReplacer(" ", "-", ",", "").Replace(tc.name)
			cd.Hold()
			l.app(app)
			tr := l.build("{name: " + app + ", " + tc.config[1:])
			if _, err := tr.Fire(t.Context(), l.input(1)); err != nil {
				t.Fatal(err)
			}
			l.until(app, phase("Running"))
			inputs := map[int]trigger.Input{}
			for _, n := range tc.order {
				inputs[n] = l.input(n)
				l.isBusy(tr, inputs[n], strings.Replace(busy, "shop", app, 1))
			}
			cd.Release()
			for i, n := range tc.order {
				l.until(app, rested)
				want := strings.ReplaceAll(tc.want[i], "shop", app)
				for k, in := range inputs {
					want = strings.ReplaceAll(want, "ID"+string(rune('0'+k)), in.ID)
				}
				l.fire(tr, inputs[n], want)
			}
			l.until(app, rested)
			if n := len(l.history(app)); n != tc.syncs {
				t.Errorf("%d syncs, want %d", n, tc.syncs)
			}
		})
	}
}

// TestOthers has another trigger do the same, and something newer: it covers nothing.
func TestOthers(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns)
	for _, config := range []string{"{name: shop, onBusy: coalesce}", "{name: shop, onBusy: coalesce, " + revisionOf + "}"} {
		cd.Hold()
		l.app("shop", "{operation: {sync: {}}}")
		l.until("shop", phase("Running"))
		tr := l.build(config)
		in := l.input(1)
		l.isBusy(tr, in, "sync of shop: another operation is in progress since ")
		cd.Release()
		l.until("shop", rested)
		if _, err := tr.Fire(t.Context(), l.otherFiring(2)); err != nil {
			t.Fatal(err)
		}
		l.until("shop", rested)
		r, err := tr.Fire(t.Context(), in)
		if err != nil || !strings.HasSuffix(r.Summary, " started") {
			t.Errorf("%q, %v", r.Summary, err)
		}
		if err := l.api.Delete(t.Context(), "shop", deleteNow); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplay fires an old event on purpose, after a newer one: it acts.
func TestReplay(t *testing.T) {
	l := newLab(t)
	argotest.PlayCD(t, l.kube.Config(), l.ns)
	l.app("shop")
	tr := l.build("{name: shop, onBusy: coalesce, " + revisionOf + "}")
	l.fire(tr, l.input(2), "sync of shop at 0000000 started")
	l.until("shop", rested)
	l.fire(tr, l.input(1), "sync of shop at 0000000 started")
	l.until("shop", rested)
	if n := len(l.history("shop")); n != 2 {
		t.Errorf("%d syncs", n)
	}
}

func TestReplace(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns, argotest.CDHeld())
	cd.LoseTerminations(1)
	l.app("shop", runningNow)
	l.until("shop", phase("Running"))
	tr := l.build("{name: shop, onBusy: replace, sync: {revision: " + one + "}}")
	in := l.input(1)
	for deadline := time.Now().Add(20 * time.Second); ; {
		r, err := tr.Fire(t.Context(), in)
		if err == nil {
			if r.Summary != "sync of shop at aaaaaaa started" {
				t.Error(r.Summary)
			}
			break
		}
		if wait, _, ok := trigger.Postponed(err); !ok || wait != 2*time.Second || time.Now().After(deadline) {
			t.Fatal(err)
		}
		l.until("shop", func(o map[string]any) bool { return phase("Running")(o) || rested(o) })
	}
	cd.Release()
	l.until("shop", rested)
	l.wantHistory("shop", "aaaaaaa")
}

func TestFailIfBusy(t *testing.T) {
	l := newLab(t)
	l.app("shop", runningNow)
	err := l.fails(l.build("{name: shop, onBusy: fail}"), l.input(1), false, "sync of shop: another operation is in progress since 2026-01-01T00:00:00Z")
	if _, _, ok := trigger.Postponed(err); ok {
		t.Error("it waits")
	}
}

// TestTerminate ends an operation although the controller overlooks it at first.
func TestTerminate(t *testing.T) {
	l := newLab(t)
	cd := argotest.PlayCD(t, l.kube.Config(), l.ns, argotest.CDHeld())
	cd.LoseTerminations(2)
	l.app("shop", "{operation: {sync: {}}}")
	l.until("shop", phase("Running"))
	l.fire(l.build("{name: shop, operation: terminate}"), l.input(1), "operation of shop has ended")
	has(t, l.until("shop", rested), map[string]string{"status/operationState/phase": "Failed", "status/operationState/message": "Operation terminated"})

	l.patch("shop", "{operation: {sync: {}}}")
	l.until("shop", phase("Running"))
	late := l.input(2)
	late.Since = late.Since.Add(-time.Hour)
	l.fire(l.build("{name: shop, operation: terminate}"), late, "the operation of shop began after this firing and goes on")

	cd.Ignore()
	l.app("other", "{operation: {sync: {}}}")
	l.isBusy(l.build("{name: other, operation: terminate}"), l.input(3), "terminate of other: an operation has been asked for, and Argo CD has not begun it")
}
