package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReconcile(t *testing.T) {
	theirs := Hook{ID: "1", URL: "https://ci.example.com", Active: true}
	tests := map[string]struct {
		have []Hook
		want string
	}{
		"none":                  {nil, "create a one"},
		"somebody else's":       {[]Hook{theirs}, "create a one"},
		"with our URL":          {[]Hook{theirs, with(func(*Hook) {})}, "update a 7 one"},
		"twice":                 {[]Hook{with(func(*Hook) {}), with(func(h *Hook) { h.ID = "8" })}, "delete a 8; update a 7 one"},
		"a panic is survived":   {nil, ""},
		"more settings than we": {[]Hook{with(func(h *Hook) { h.Settings["more"] = "x" })}, "update a 7 one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("a")
				w.host.hooks["a"] = tt.have
				w.host.panics = strings.Contains(name, "panic")
				w.during(t, func() {
					settle()
					if got := w.host.done(); got != tt.want {
						t.Errorf("did %s, want %s", got, tt.want)
					}
					w.host.change(func() { w.host.panics = false })
					time.Sleep(25 * time.Minute)
					if got := w.host.done(); got != "" && tt.want != "" {
						t.Errorf("later: %s", got)
					}
				})
				for _, h := range w.host.hooks["a"] {
					if h.URL == url && w.host.secret[h.ID] != "one" {
						t.Errorf("hook %s is signed with %q", h.ID, w.host.secret[h.ID])
					}
				}
				if strings.Contains(string(w.state.value[memoryKey]), "one") {
					t.Error("the secret is remembered")
				}
			})
		})
	}
}

func TestDrift(t *testing.T) {
	tests := map[string]struct {
		change func(*Hook)
		mended bool
	}{
		"nothing":             {func(*Hook) {}, false},
		"order of events":     {func(h *Hook) { h.Events = []string{"tag", "push", "push"} }, false},
		"more settings":       {func(h *Hook) { h.Settings["more"] = "x" }, false},
		"an event less":       {func(h *Hook) { h.Events = []string{"push"} }, true},
		"switched off":        {func(h *Hook) { h.Active = false }, true},
		"another setting":     {func(h *Hook) { h.Settings["tls"] = "no" }, true},
		"a setting less":      {func(h *Hook) { h.Settings = nil }, true},
		"sent somewhere else": {func(h *Hook) { h.URL = "https://elsewhere.example.com" }, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("a")
				w.during(t, func() {
					settle()
					w.host.done()
					w.host.change(func() {
						h := wanted()
						h.ID = "new1"
						tt.change(&h)
						w.host.hooks["a"] = []Hook{h}
					})
					time.Sleep(12 * time.Minute)
					want := ""
					if tt.mended {
						want = "update a new1 "
					}
					if got := w.host.done(); got != want {
						t.Errorf("did %q, want %q", got, want)
					}
				})
			})
		})
	}
}

func TestOwnComparisonOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a")
		w.keeper.SameEvents = func(have, _ []string) bool { return slices.Contains(have, "*") }
		w.during(t, func() {
			settle()
			w.host.done()
			w.host.change(func() { w.host.hooks["a"][0].Events = []string{"*"} })
			time.Sleep(12 * time.Minute)
			if got := w.host.done(); got != "" {
				t.Errorf("did %q", got)
			}
		})
	})
}

func TestSecretChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a", "b")
		w.during(t, func() {
			settle()
			w.host.done()
			w.safe.set("two")
			time.Sleep(5 * time.Second)
			if got := w.host.done(); got != "update a new1 two; update b new2 two" && got != "update a new2 two; update b new1 two" {
				t.Errorf("did %q", got)
			}
			w.safe.set("") // for a moment
			time.Sleep(time.Minute)
			w.safe.set("two")
			time.Sleep(time.Minute)
			if got := w.host.done(); got != "" {
				t.Errorf("did %q", got)
			}
			if n := strings.Count(w.log.String(), "secret cannot be read"); n != 1 {
				t.Errorf("complained %d times:\n%s", n, w.log)
			}
		})
		// While nobody kept them, it changed again.
		w.safe.set("three")
		w.during(t, func() {
			settle()
			if got := w.host.done(); strings.Count(got, "three") != 2 {
				t.Errorf("did %q", got)
			}
		})
	})
}

func TestNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a")
		w.keeper.Keys = nil
		w.during(t, func() {
			time.Sleep(25 * time.Minute)
			if got := w.host.done(); got != "create a " {
				t.Errorf("did %q", got)
			}
		})
	})
}

func TestOneTargetFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a", "b", "c")
		w.host.fail["b"] = errors.New("404 Not Found")
		w.during(t, func() {
			settle()
			if got := w.host.done(); got != "create a one; create c one" {
				t.Errorf("did %q", got)
			}
			time.Sleep(30 * time.Minute)
			if n := strings.Count(w.log.String(), "404"); n == 0 || n > 12 {
				t.Errorf("complained %d times:\n%s", n, w.log)
			}
			w.host.change(func() { delete(w.host.fail, "b") })
			time.Sleep(7 * time.Minute)
			if got := w.host.done(); got != "create b one" {
				t.Errorf("did %q", got)
			}
		})
	})
}

func TestLimitHoldsAllBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a", "b", "c", "d", "e", "f", "g", "h")
		until := time.Now().Add(40 * time.Minute)
		for range 4 {
			w.host.limits = append(w.host.limits, fmt.Errorf("list: %w", &Limited{Until: until, Cause: errors.New("403")}))
		}
		w.during(t, func() {
			time.Sleep(40*time.Minute - time.Second)
			if got := w.host.done(); got != "" || w.host.listed() > 0 {
				t.Errorf("did %q and %d lists", got, w.host.listed())
			}
			time.Sleep(2 * time.Second)
			if got := w.host.done(); strings.Count(got, "create") != 8 {
				t.Errorf("did %q", got)
			}
		})
		if w.host.most > atOnce {
			t.Errorf("%d at once", w.host.most)
		}
	})
}

func TestTargetsChange(t *testing.T) {
	for _, remove := range []bool{false, true} {
		t.Run(fmt.Sprintf("delete %v", remove), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("a", "b")
				w.keeper.DeleteOnFinish = remove
				var failing atomic.Bool
				w.keeper.Targets = func(context.Context) ([]string, error) {
					if failing.Load() {
						return nil, errors.New("no list")
					}
					return w.targets, nil
				}
				w.during(t, func() { settle() })
				w.host.done()
				id := w.host.hooks["a"][0].ID
				w.targets = []string{"b", "c"}
				failing.Store(true)
				w.during(t, func() {
					settle()
					if got := w.host.done(); got != "" {
						t.Errorf("without a list: %q", got)
					}
					failing.Store(false)
					time.Sleep(time.Minute)
				})
				want := "create c one"
				if remove {
					want += "; delete a " + id
				}
				if got := w.host.done(); got != want {
					t.Errorf("did %q, want %q", got, want)
				}
				// Finish takes all that there are, those that stayed too.
				if err := w.keeper.Finish(t.Context()); err != nil {
					t.Fatal(err)
				}
				for target, left := range w.host.hooks {
					if len(left) > 0 {
						t.Errorf("%s: %v", target, left)
					}
				}
			})
		})
	}
}

func TestFinishNamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a", "b", "c")
		w.during(t, func() { settle() })
		w.host.fail["b"] = errors.New("401 Unauthorized")
		w.host.limits = []error{&Limited{Until: time.Now().Add(20 * time.Second), Cause: errors.New("429")}}
		begin := time.Now()
		err := w.keeper.Finish(t.Context())
		if err == nil || !strings.Contains(err.Error(), "b: list the hooks: 401") || strings.Contains(err.Error(), "a:") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took < 20*time.Second {
			t.Errorf("did not wait: %s", took)
		}
		if len(w.host.hooks["a"])+len(w.host.hooks["c"]) > 0 || len(w.host.hooks["b"]) != 1 {
			t.Errorf("left: %v", w.host.hooks)
		}
		delete(w.host.fail, "b")
		// Nothing is remembered, and the hook has another URL by now: only its URL
		// could tell.
		w.state.err = errors.New("no bus")
		if err := w.keeper.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "no bus") {
			t.Errorf("got %v", err)
		}
		if len(w.host.hooks["b"]) > 0 {
			t.Error("a hook with our URL is left")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.state.err = nil
		w.host.limits = []error{&Limited{Until: time.Now().Add(time.Hour), Cause: errors.New("429")}}
		if err := w.keeper.Finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStateIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a")
		w.state.err = errors.New("no bus")
		w.during(t, func() {
			time.Sleep(time.Minute)
			if got := w.host.done(); got != "" {
				t.Errorf("did %q without knowing what is there", got)
			}
			w.state.mu.Lock()
			w.state.err = nil
			w.state.mu.Unlock()
			time.Sleep(2 * time.Minute)
			if got := w.host.done(); got != "create a one" {
				t.Errorf("did %q", got)
			}
		})
		w.state.value[memoryKey] = []byte(`{"hooks":[`)
		w.during(t, func() {
			settle()
			if got := w.host.done(); got != "update a new1 one" {
				t.Errorf("after what is remembered was spoilt: %q", got)
			}
		})
	})
}

func TestBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
		fail := func(context.Context) error { return broken }
		boom := func(context.Context) error { panic("boom") }
		serves := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return errors.New("ended")
			case <-time.After(time.Minute):
				return nil
			}
		}
		for name, tt := range map[string]struct {
			serve, keep func(context.Context) error
			want        string
			after       time.Duration
		}{
			"serving fails":               {fail, wait, "broken", 0},
			"keeping fails":               {serves, fail, "broken", time.Minute},
			"keeping panics":              {serves, boom, "panic: boom", time.Minute},
			"serving ends before keeping": {serves, wait, "<nil>", time.Minute},
			"keeping ends first":          {serves, func(context.Context) error { return nil }, "<nil>", time.Minute},
		} {
			begin := time.Now()
			err := Beside(t.Context(), tt.serve, tt.keep)
			if fmt.Sprint(err) != tt.want || time.Since(begin) != tt.after {
				t.Errorf("%s: %v after %s", name, err, time.Since(begin))
			}
		}
	})
}
