package trigger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/triggertest"
)

func TestMemory(t *testing.T) {
	ctx := t.Context()
	add := func(t *testing.T, m trigger.Memory[int], id string, n int) {
		t.Helper()
		if err := m.Change(ctx, id, func(old int) (int, error) { return old + n, nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, m trigger.Memory[int], id string, n int) {
		t.Helper()
		if got, err := m.Get(ctx, id); err != nil || got != n {
			t.Errorf("%s is %d (%v), want %d", id, got, err, n)
		}
	}
	t.Run("values by id and name", func(t *testing.T) {
		state := triggertest.NewState()
		m := trigger.Memory[int]{State: state, Name: "sent", Keep: time.Hour}
		other := trigger.Memory[int]{State: state, Name: "other", Keep: time.Hour}
		want(t, m, "ab1", 0)
		add(t, m, "ab1", 1)
		add(t, m, "ab1", 2)
		add(t, m, "ab2", 5)
		want(t, m, "ab1", 3)
		want(t, m, "ab2", 5)
		want(t, m, "ab3", 0)
		want(t, other, "ab1", 0)
	})
	t.Run("an error changes nothing", func(t *testing.T) {
		m := trigger.Memory[int]{State: triggertest.NewState(), Name: "sent", Keep: time.Hour}
		add(t, m, "ab", 1)
		no := errors.New("no")
		if err := m.Change(ctx, "ab", func(int) (int, error) { return 7, no }); !errors.Is(err, no) {
			t.Errorf("got %v", err)
		}
		if err := m.Change(ctx, "ab", func(int) (int, error) { return 7, trigger.ErrKeep }); err != nil {
			t.Errorf("got %v", err)
		}
		want(t, m, "ab", 1)
	})
	t.Run("without a state", func(t *testing.T) {
		var m trigger.Memory[int]
		add(t, m, "ab", 1)
		want(t, m, "ab", 0)
	})
	t.Run("what is old is forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := trigger.Memory[int]{State: triggertest.NewState(), Name: "sent", Keep: time.Hour}
			add(t, m, "ab1", 1)
			time.Sleep(40 * time.Minute)
			add(t, m, "ab2", 1)
			time.Sleep(40 * time.Minute)
			add(t, m, "ab3", 1)
			want(t, m, "ab1", 0)
			want(t, m, "ab2", 1)
			want(t, m, "ab3", 1)
		})
	})
	t.Run("the oldest of too many are forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := trigger.Memory[int]{State: triggertest.NewState(), Name: "sent", Keep: 24 * time.Hour}
			for i := range 510 {
				add(t, m, fmt.Sprintf("ab%d", i), 1)
				time.Sleep(time.Second)
			}
			want(t, m, "ab9", 0)
			want(t, m, "ab10", 1)
			want(t, m, "ab509", 1)
		})
	})
	t.Run("the oldest of too much are forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			state := triggertest.NewState()
			m := trigger.Memory[string]{State: state, Name: "sent", Keep: time.Hour}
			for i := range 20 {
				if err := m.Change(ctx, fmt.Sprintf("ab%d", i), func(string) (string, error) { return strings.Repeat("x", 40<<10), nil }); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			raw, err := state.Get(ctx, "sent/ab")
			if err != nil || len(raw) > 300<<10 {
				t.Errorf("%d bytes, %v", len(raw), err)
			}
			for id, want := range map[string]int{"ab0": 0, "ab18": 40 << 10, "ab19": 40 << 10} {
				if got, err := m.Get(ctx, id); err != nil || len(got) != want {
					t.Errorf("%s has %d bytes, want %d (%v)", id, len(got), want, err)
				}
			}
		})
	})
	t.Run("what cannot be read is nothing", func(t *testing.T) {
		state := triggertest.NewState()
		if err := state.Change(ctx, "sent/ab", func([]byte) ([]byte, error) { return []byte(`["x"`), nil }); err != nil {
			t.Fatal(err)
		}
		m := trigger.Memory[int]{State: state, Name: "sent", Keep: time.Hour}
		want(t, m, "ab", 0)
		add(t, m, "ab", 1)
		want(t, m, "ab", 1)
	})
}
