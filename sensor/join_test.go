package sensor_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const both = `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  - {name: b, eventSourceName: src, eventName: b}
  triggers:
  - template: {name: t, probe: {}}
`

func wantIDs(t *testing.T, in trigger.Input, want map[string]string) {
	t.Helper()
	if got := ids(in); !maps.Equal(got, want) {
		t.Errorf("fired with %v, want %v", got, want)
	}
}

// remembered waits until an event waits for its condition.
func remembered(t *testing.T, bus *eventbus.Bus, id string) {
	t.Helper()
	eventually(t, "remembered "+id, func() bool {
		b, _, err := bus.State().Get(t.Context(), "sensor/s/t/join")
		return err == nil && strings.Contains(string(b), `"id":"`+id+`"`)
	})
}

func TestJoinTakesTheLatestOfEach(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, both, p)
	publish(t, bus, "src", "a", "a1", `{}`)
	publish(t, bus, "src", "a", "a2", `{}`)
	remembered(t, bus, "a2")
	publish(t, bus, "src", "b", "b1", `{}`)
	wantIDs(t, p.inputs(t, 1)[0], map[string]string{"a": "a2", "b": "b1"})
	idle(t, bus)
	publish(t, bus, "src", "b", "b2", `{}`) // everything was forgotten
	remembered(t, bus, "b2")
	publish(t, bus, "src", "a", "a3", `{}`)
	wantIDs(t, p.inputs(t, 2)[1], map[string]string{"a": "a3", "b": "b2"})
	idle(t, bus)
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
}

func TestJoinSurvivesRestart(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	s := start(t, bus, both, p)
	publish(t, bus, "src", "a", "a1", `{}`)
	remembered(t, bus, "a1")
	idle(t, bus)
	s.stop()
	publish(t, bus, "src", "b", "b1", `{}`)
	start(t, bus, both, p)
	wantIDs(t, p.inputs(t, 1)[0], map[string]string{"a": "a1", "b": "b1"})
	idle(t, bus)
}

func TestJoinAlternativeBranch(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  - {name: b, eventSourceName: src, eventName: b}
  - {name: c, eventSourceName: src, eventName: c}
  triggers:
  - template: {name: t, conditions: (a && b) || c, probe: {}}
`, p)
	publish(t, bus, "src", "a", "a1", `{}`)
	remembered(t, bus, "a1")
	publish(t, bus, "src", "c", "c1", `{}`)
	// The remembered a comes along, although c alone was enough.
	wantIDs(t, p.inputs(t, 1)[0], map[string]string{"a": "a1", "c": "c1"})
	idle(t, bus)
}

func TestJoinRetriesAndDeadLetters(t *testing.T) {
	bus := bustest.New(t)
	var broken atomic.Bool
	broken.Store(true)
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		if broken.Load() {
			return errRefused
		}
		return nil
	}}
	start(t, bus, both+"    retryStrategy: {steps: 2, duration: 1ms}\n", p)
	publish(t, bus, "src", "a", "a1", `{}`)
	publish(t, bus, "src", "b", "b1", `{}`)
	eventually(t, "a dead letter", func() bool { return len(letters(t, bus)) == 1 })
	idle(t, bus)
	l, err := bus.DeadLetters().Get(t.Context(), letters(t, bus)[0].ID)
	if err != nil || len(l.Events) != 2 {
		t.Fatalf("dead letter %+v, %v", l, err)
	}
	broken.Store(false)
	redrive(t, bus, l.ID)
	eventually(t, "no dead letter", func() bool { return len(letters(t, bus)) == 0 })
	wantIDs(t, p.inputs(t, 3)[2], map[string]string{"a": "a1", "b": "b1"})
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
}

func TestJoinForgetsWhenItsConditionChanges(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	s := start(t, bus, both, p)
	publish(t, bus, "src", "a", "a1", `{}`)
	remembered(t, bus, "a1")
	idle(t, bus)
	s.stop()
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  - {name: b, eventSourceName: src, eventName: b}
  triggers:
  - template: {name: t, conditions: b && a, probe: {}}
`, p)
	publish(t, bus, "src", "b", "b1", `{}`)
	remembered(t, bus, "b1")
	p.inputs(t, 0)
	publish(t, bus, "src", "a", "a2", `{}`)
	wantIDs(t, p.inputs(t, 1)[0], map[string]string{"a": "a2", "b": "b1"})
	idle(t, bus)
}

func TestJoinOfReplicasUsesEachEventOnce(t *testing.T) {
	bus, p, q := bustest.New(t), &probe{}, &probe{}
	start(t, bus, both, p)
	start(t, bus, both, q)
	const n = 60
	for i := range n {
		publish(t, bus, "src", "a", fmt.Sprint("a", i), `{}`)
		publish(t, bus, "src", "b", fmt.Sprint("b", i), `{}`)
	}
	idle(t, bus)
	used := map[string]int{}
	for _, in := range append(p.inputs(t, p.count()), q.inputs(t, q.count())...) {
		if len(in.Events) != 2 {
			t.Errorf("fired with %v", ids(in))
		}
		for _, e := range in.Events {
			used[e.ID()]++
		}
	}
	for id, times := range used {
		if times > 1 {
			t.Errorf("event %s was used %d times", id, times)
		}
	}
	if len(used) == 0 {
		t.Error("nothing fired")
	}
}

func TestNamesMayHoldAnything(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, `
metadata: {name: s.with.dots}
spec:
  dependencies:
  - {name: 1.a b, eventSourceName: src.x, eventName: push to main}
  - {name: ä/b, eventSourceName: src.x, eventName: "a.*.>"}
  triggers:
  - template: {name: t/1 .x, probe: {}}
`, p)
	publish(t, bus, "src.x", "push to main", "1", `{}`)
	publish(t, bus, "src.x", "a.*.>", "2", `{}`)
	wantIDs(t, p.inputs(t, 1)[0], map[string]string{"1.a b": "1", "ä/b": "2"})
	idle(t, bus)
}
