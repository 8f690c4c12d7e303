package notify

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const basic = `
to: [{url: "ntfy://one/topic"}]
title: Sync failed
message: "{{ .Event.data.app }} {{ .Event.data.n }}"
group:
  key: "{{ .Event.data.app }}"
`

func TestTimeline(t *testing.T) {
	type act struct {
		at  time.Duration
		dep string
	}
	m := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
	for name, c := range map[string]struct {
		more string
		acts []act
		want []string
	}{
		"one firing is one message, and the group ends after the interval": {
			acts: []act{{0, "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ended: failed false, 1"},
		},
		"further ones make one summary": {
			acts: []act{{0, "fail"}, {m(1), "fail"}, {m(2), "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ntfy (one) summary: shop: 2 more, 3 since", "10m0s ended: failed false, 3"},
		},
		"one further one is told as it is": {
			acts: []act{{0, "fail"}, {m(1), "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ntfy (one) firing: shop 1", "10m0s ended: failed false, 2"},
		},
		"wait collects before the first message": {
			more: "  wait: 30s", acts: []act{{0, "fail"}, {m(0.2), "fail"}, {m(1), "fail"}},
			want: []string{"30s ntfy (one) summary: shop: 2 since", "5m30s ntfy (one) firing: shop 2", "10m30s ended"},
		},
		"what comes after the end is a new group": {
			acts: []act{{0, "fail"}, {m(6), "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ended", "6m0s ntfy (one) firing: shop 1", "11m0s ended: failed false, 1"},
		},
		"an event resolves": {
			more: "  resolvedBy: [ok]", acts: []act{{0, "fail"}, {m(20), "ok"}},
			want: []string{"0s ntfy (one) firing: shop 0", "20m0s ntfy (one) resolved: shop: Resolved after 20m0s: 1 in all", "20m0s ended: failed false, 1"},
		},
		"nothing is resolved if nothing was said": {
			more: "  resolvedBy: [ok]\n  wait: 1m", acts: []act{{0, "fail"}, {m(0.5), "ok"}},
			want: []string{"30s ended: failed false, 1"},
		},
		"what should have been said at once is said, though it was resolved at once": {
			more: "  resolvedBy: [ok]", acts: []act{{0, "fail"}, {0, "ok"}},
			want: []string{"0s ntfy (one) firing: shop 0", "0s ntfy (one) resolved", "0s ended: failed false, 1"},
		},
		"quiet resolves": {
			more: "  resolveAfter: 10m", acts: []act{{0, "fail"}, {m(1), "fail"}, {m(2), "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ntfy (one) summary: shop: 2 more", "12m0s ntfy (one) resolved: shop: Nothing new since", "12m0s ended: failed false, 3"},
		},
		"reminders until it is resolved": {
			more: "  resolvedBy: [ok]\n  repeat: 1h", acts: []act{{0, "fail"}, {m(150), "ok"}},
			want: []string{
				"0s ntfy (one) firing: shop 0", "1h0m0s ntfy (one) reminder: shop: Not resolved after 1h0m0s: 1 since",
				"2h0m0s ntfy (one) reminder", "2h30m0s ntfy (one) resolved: shop: Resolved after 2h30m0s", "2h30m0s ended",
			},
		},
		"below the threshold nothing is sent": {
			more: `  threshold: "3 in 10m"`, acts: []act{{0, "fail"}, {m(1), "fail"}, {m(10.5), "fail"}},
			want: []string{"20m30s ended: failed false, 2"},
		},
		"the threshold counts within its time": {
			more: `  threshold: "3 in 10m"`, acts: []act{{0, "fail"}, {m(9), "fail"}, {m(11), "fail"}, {m(12), "fail"}, {m(13), "fail"}},
			want: []string{"12m0s ntfy (one) summary: shop: 3 since", "17m0s ntfy (one) firing: shop 4", "22m0s ended: failed false, 4"},
		},
		"a failure right after the end that was told begins anew": {
			more: "  resolvedBy: [ok]", acts: []act{{0, "fail"}, {m(20), "ok"}, {m(21), "fail"}, {m(22), "ok"}},
			want: []string{"0s ntfy (one) firing: shop 0", "20m0s ntfy (one) resolved", "20m0s ended", "21m0s ntfy (one) firing: shop 2", "22m0s ntfy (one) resolved", "22m0s ended: failed false, 1"},
		},
		"texts of the user": {
			more: `
  resolvedBy: [ok]
  summary: "{{ .Group.new }} of {{ .Group.count }} {{ .Input.fail.data.app }}: {{ .Group.samples | join \",\" }}"
  resolved: "{{ .Group.key }} by {{ .Input.ok.data.n }}, last {{ .Input.fail.data.n }}, {{ .Group.messages }} messages, {{ .Group.duration }}"`,
			acts: []act{{0, "fail"}, {m(1), "fail"}, {m(2), "fail"}, {m(7), "ok"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ntfy (one) summary: 2 of 3 shop: shop 1,shop 2", "7m0s ntfy (one) resolved: shop by 3, last 2, 2 messages, 7m0s", "7m0s ended"},
		},
		"a text that cannot be made is replaced": {
			more: "  summary: '{{ .Input.fail.data.nothing }}'", acts: []act{{0, "fail"}, {m(1), "fail"}, {m(2), "fail"}},
			want: []string{"0s ntfy (one) firing: shop 0", "5m0s ntfy (one) summary: shop: 2 more", "10m0s ended"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				n := w.replica(basic + c.more)
				for i, a := range c.acts {
					time.Sleep(a.at - time.Since(w.begin))
					w.fire(t.Context(), n, firingOf(a.dep, i, "shop"))
					if i+1 < len(c.acts) && c.acts[i+1].at > a.at {
						synctest.Wait()
					}
				}
				w.wg.Wait()
				// The end and what it waits for are seen within the look that is due.
				got := w.messages()
				for i := range got {
					if i >= len(c.want) || !near(got[i], c.want[i]) {
						t.Fatalf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
					}
				}
				if len(got) != len(c.want) {
					t.Errorf("got %d of %q", len(got), c.want)
				}
				w.clean()
			})
		})
	}
}

// near compares "TIME TEXT", with up to ten seconds (a look) of difference.
func near(got, want string) bool {
	gotTime, gotText, _ := strings.Cut(got, " ")
	wantTime, wantText, _ := strings.Cut(want, " ")
	g, err := time.ParseDuration(gotTime)
	w, err2 := time.ParseDuration(wantTime)
	return err == nil && err2 == nil && g >= w && g-w <= 10*time.Second && strings.HasPrefix(gotText, wantText)
}

const storm = basic + `
  resolvedBy: [ok]
  wait: 10s
`

// TestStorm is the acceptance: 500 failures with one cause, two replicas, and
// the activity is killed and taken over in the middle.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		replicas := []*notifier{w.replica(storm), w.replica(storm)}
		life, kill := context.WithCancel(t.Context())
		defer kill()
		var opened []trigger.Input
		var ref json.RawMessage
		for i := range 500 {
			in := firingOf("fail", i, "shop")
			r, err := replicas[i%2].Fire(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if r.Follow != nil {
				opened, ref = append(opened, in), r.Follow
				w.follow(life, replicas[0], in, ref)
			}
			if i%7 == 0 { // again, as after a crash before the acknowledgement
				r, err := replicas[(i+1)%2].Fire(t.Context(), in)
				if err != nil || (r.Follow != nil) != (i == 0) {
					t.Fatalf("repetition of %d: %s, %v", i, r.Follow, err)
				}
			}
			time.Sleep(time.Second)
			if i == 250 {
				kill()
				w.wg.Wait()
				time.Sleep(20 * time.Second)
				w.follow(t.Context(), replicas[1], opened[0], ref)
			}
		}
		w.fire(t.Context(), replicas[0], firingOf("ok", 1000, "shop"))
		w.wg.Wait()
		if len(opened) != 1 {
			t.Errorf("%d firings opened the group", len(opened))
		}
		got := w.messages()
		if len(got) != 4 || !strings.Contains(got[0], "summary: shop: 1") || !strings.Contains(got[1], " more, ") ||
			!strings.Contains(got[2], "resolved: shop: Resolved after 8m40s: 500 in all") || !strings.HasSuffix(got[3], "ended: failed false, 500") {
			t.Errorf("got\n  %s", strings.Join(got, "\n  "))
		}
		w.clean()
	})
}

func TestGroupsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		n := w.replica(basic)
		for i, app := range []string{"a", "b", "a"} {
			w.fire(t.Context(), n, firingOf("fail", i, app))
			synctest.Wait()
		}
		w.wg.Wait()
		w.want("0s ntfy (one) firing: a 0", "0s ntfy (one) firing: b 1", "5m0s ", "5m0s ", "10m0s ended")
		w.clean()
	})
}

func TestDeadDestination(t *testing.T) {
	two := strings.Replace(basic, `to: [`, `to: [{url: "ntfy://dead/topic"}, `, 1) + "  resolvedBy: [ok]\n"
	dead := func(alive func() bool) func(*dest, outgoing) error {
		return func(d *dest, _ outgoing) error {
			if strings.Contains(d.URL, "dead") && !alive() {
				return errors.New("connection refused")
			}
			return nil
		}
	}
	t.Run("what it has missed is told when it is back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.fail = dead(func() bool { return time.Since(w.begin) > 7*time.Minute })
			n := w.replica(two)
			for i := range 3 {
				w.fire(t.Context(), n, firingOf("fail", i, "shop"))
				synctest.Wait()
				time.Sleep(time.Second)
			}
			time.Sleep(20 * time.Minute)
			w.fire(t.Context(), n, firingOf("ok", 9, "shop"))
			w.wg.Wait()
			got := strings.Join(w.messages(), "\n")
			for _, part := range []string{
				"ntfy (one) firing: shop 0", "ntfy (one) summary: shop: 2 more", "ntfy (dead) summary: shop: 3 since",
				"ntfy (one) resolved", "ntfy (dead) resolved", "ended: failed false, 3",
			} {
				if strings.Count(got, part) != 1 {
					t.Errorf("want %q once in\n%s", part, got)
				}
			}
			if logs := w.env.Logs(); strings.Count(logs, "could not be sent") != 1 || !strings.Contains(logs, "arrive again") {
				t.Error(logs)
			}
		})
	})
	t.Run("the end waits an hour for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.fail = dead(func() bool { return false })
			n := w.replica(two)
			w.fire(t.Context(), n, firingOf("fail", 0, "shop"))
			synctest.Wait()
			time.Sleep(time.Minute)
			w.fire(t.Context(), n, firingOf("ok", 1, "shop"))
			w.wg.Wait()
			got := w.messages()
			if len(got) != 3 || !near(got[2], "1h1m0s ended: failed true, 1") {
				t.Errorf("got %q", got)
			}
			w.clean()
		})
	})
	t.Run("what it was not told is a dead letter, which can be fired again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			var alive bool
			w.fail = dead(func() bool { return alive })
			n := w.replica(two)
			opener, second, ok := firingOf("fail", 0, "shop"), firingOf("fail", 1, "shop"), firingOf("ok", 2, "shop")
			r, err := n.Fire(t.Context(), opener)
			if err != nil {
				t.Fatal(err)
			}
			w.fire(t.Context(), n, second)
			w.fire(t.Context(), n, ok)
			f := trigger.Following{ID: opener.ID, Namespace: opener.Namespace, Sensor: opener.Sensor, Trigger: opener.Trigger, Ref: r.Follow, Since: time.Now()}
			out, err := await(t.Context(), n, f)
			if err != nil || !out.Failed || !strings.HasSuffix(out.Summary, "1 of 2 destinations could not be told all: connection refused") {
				t.Fatal(out, err)
			}
			// The process dies before that is written down: nothing changes.
			if again, err := await(t.Context(), w.replica(two), f); err != nil || again.Summary != out.Summary || !again.Failed {
				t.Errorf("asked again: %v, %v", again, err)
			}
			alive = true
			w.mu.Lock()
			w.got = nil
			w.mu.Unlock()
			for _, in := range []trigger.Input{second, ok} { // only one of them is the dead letter
				if r, err := n.Fire(t.Context(), in); err != nil || r.Follow != nil {
					t.Errorf("%v, %v", r, err)
				}
			}
			w.fire(t.Context(), n, opener)
			synctest.Wait()
			if got := strings.Join(w.messages(), "\n"); !strings.Contains(got, "ntfy (dead) firing: shop 0") {
				t.Errorf("got %s", got)
			}
			w.fire(t.Context(), n, firingOf("ok", 3, "shop"))
			w.wg.Wait()
			w.clean()
		})
	})
}

// TestOrphan: the opener counted and was lost for good, so that the sensor never
// heard of the group. The next firing takes it over.
func TestOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		n := w.replica(basic)
		if _, err := n.Fire(t.Context(), firingOf("fail", 0, "shop")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * orphaned)
		w.fire(t.Context(), n, firingOf("fail", 1, "shop"))
		w.wg.Wait()
		w.want("6m0s ntfy (one) summary: shop: 2 since", "11m0s ended: failed false, 2")
	})
}

// TestRepetition: the same firing again, at any time, is counted once.
func TestRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		n := w.replica(basic)
		in := firingOf("fail", 0, "shop")
		first, err := n.Fire(t.Context(), in)
		if err != nil || first.Follow == nil {
			t.Fatal(first, err)
		}
		again, err := n.Fire(t.Context(), in)
		if err != nil || string(again.Follow) != string(first.Follow) {
			t.Errorf("killed before the reference was written down, the repetition returns %s, %v", again.Follow, err)
		}
		w.follow(t.Context(), n, in, first.Follow)
		w.wg.Wait()
		late, err := n.Fire(t.Context(), in)
		if err != nil || late.Follow != nil {
			t.Errorf("after the end of the group the repetition returns %s, %v", late.Follow, err)
		}
		w.want("0s ntfy (one) firing: shop 0", "5m0s ended: failed false, 1")
		w.clean()
	})
}

// TestRacingTheEnd fires at the very time of the end, many times: each firing is
// told, and no group is left.
func TestRacingTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		replicas := []*notifier{w.replica(basic), w.replica(basic)}
		told := 0
		w.fail = func(_ *dest, o outgoing) error { told++; return nil }
		const n = 40
		for i := range n {
			w.fire(t.Context(), replicas[i%2], firingOf("fail", i, "shop"))
			time.Sleep(defaultInterval)
		}
		w.wg.Wait()
		if told != n {
			t.Errorf("%d of %d were told:\n%s", told, n, strings.Join(w.messages(), "\n"))
		}
		w.clean()
	})
}

// TestNoteIsRetried: what was sent is sent once though the state cannot be written for a while.
func TestNoteIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		broken := &breakable{State: w.env.Env.State}
		w.env.Env.State = broken
		n := w.replica(basic)
		w.fail = func(*dest, outgoing) error { broken.until = time.Now().Add(time.Minute); return nil }
		w.fire(t.Context(), n, firingOf("fail", 0, "shop"))
		w.wg.Wait()
		w.want("0s ntfy (one) firing: shop 0", "5m0s ended: failed false, 1")
	})
}

type breakable struct {
	trigger.State
	until time.Time
}

func (b *breakable) Change(ctx context.Context, key string, f func([]byte) ([]byte, error)) error {
	if time.Now().Before(b.until) {
		return errors.New("the disk is full")
	}
	return b.State.Change(ctx, key, f)
}
