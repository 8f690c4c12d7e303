package gitcommit

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

// seat is a firing with a state that it shares with others.
func seat(state trigger.State, firing string, minute int) *job {
	return &job{
		plan: &plan{firing: firing, when: time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC)},
		env:  trigger.Env{State: state},
	}
}

func TestClaims(t *testing.T) {
	const target = "f image.tag"
	ctx := t.Context()
	state := triggertest.NewState()
	older, newer := seat(state, "older", 1), seat(state, "newer", 2)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(older.claim(ctx, target, false))
	// The older one may be about to push, so that nothing is certain yet.
	if err := newer.claim(ctx, target, true); !errors.Is(err, errPending) {
		t.Errorf("settled while another one is about to push: %v", err)
	}
	must(newer.claim(ctx, target, false))
	if err := older.claim(ctx, target, false); !errors.Is(err, errLost) {
		t.Errorf("claimed what a newer event has: %v", err)
	}
	if s, err := older.look(ctx, []string{"other", target}); err != nil || s.by != "newer" {
		t.Errorf("look %+v, %v", s, err)
	}
	must(newer.unclaim(ctx, target))
	must(older.claim(ctx, target, false))
	must(older.confirm(ctx, target, "abc"))
	must(newer.claim(ctx, target, false))
	must(newer.unclaim(ctx, target)) // back to what was done before
	if s, err := older.look(ctx, []string{target}); err != nil || !s.done || s.commit != "abc" {
		t.Errorf("look %+v, %v", s, err)
	}
	must(newer.claim(ctx, target, true))
	must(older.confirm(ctx, target, "late")) // changes nothing any more
	if s, err := newer.look(ctx, []string{target}); err != nil || !s.done || s.commit != "" {
		t.Errorf("look %+v, %v", s, err)
	}

	// Equally new: the later one wins, and once only.
	one, two := seat(state, "one", 5), seat(state, "two", 5)
	must(one.claim(ctx, target, false))
	must(two.claim(ctx, target, false))
	if err := one.claim(ctx, target, false); !errors.Is(err, errLost) {
		t.Errorf("claimed again: %v", err)
	}
}

func TestOldClaimsAreRemoved(t *testing.T) {
	state := triggertest.NewState()
	j := seat(state, "newer", 2)
	put := func(key string, age time.Duration) {
		err := state.Change(t.Context(), key, func([]byte) ([]byte, error) {
			return json.Marshal(claim{Firing: "x", Done: true, At: time.Now().Add(-age)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		if err := j.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys, err := state.Keys(t.Context(), targetPrefix)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	for n := range mostTargets {
		put(targetPrefix+fmt.Sprint(n), 2*keepTargets)
	}
	if n := count(); n != mostTargets {
		t.Errorf("%d are left although they were few", n)
	}
	put(targetPrefix+"more", 2*keepTargets)
	if n := count(); n != mostTargets+1-prunedAtOnce {
		t.Errorf("%d are left", n)
	}
	for n := range mostTargets {
		put(targetPrefix+fmt.Sprint(n), time.Hour)
	}
	put(targetPrefix+"more", time.Hour)
	if n := count(); n != mostTargets+1 {
		t.Errorf("%d young ones are left", n)
	}
}

func TestClaimOfTheDeadEnds(t *testing.T) {
	state := triggertest.NewState()
	j := seat(state, "newer", 2)
	key, _ := j.key("x")
	for age, want := range map[time.Duration]error{time.Second: errPending, claimLife + time.Second: nil} {
		err := state.Change(t.Context(), key, func([]byte) ([]byte, error) {
			return json.Marshal(claim{Firing: "older", Time: j.plan.when.Add(-time.Minute), At: time.Now().Add(-age)})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.claim(t.Context(), "x", true); !errors.Is(err, want) {
			t.Errorf("after %v: %v", age, err)
		}
	}
}
