package sensor_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

func TestRetriesKeepTheID(t *testing.T) {
	bus := bustest.New(t)
	var calls atomic.Int32
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		if calls.Add(1) < 3 {
			return errRefused
		}
		return nil
	}}
	r := start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {}}
    retryStrategy: {steps: 5, duration: 20ms, factor: 2, jitter: 0}
`, p)
	publish(t, bus, "src", "a", "1", `{}`)
	fired := p.inputs(t, 3)
	for i, in := range fired {
		if in.ID != fired[0].ID || in.Attempt != i+1 {
			t.Errorf("attempt %d: id %s, attempt %d", i, in.ID, in.Attempt)
		}
	}
	idle(t, bus)
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
	if ls := letters(t, bus); len(ls) != 0 {
		t.Errorf("dead letters %v", ls)
	}
	// The first failure is told, the same one again is not.
	if text := r.log.String(); strings.Count(text, "attempt failed, and is made again") != 1 || !strings.Contains(text, "attempt=1 of=5") {
		t.Errorf("logged:\n%s", text)
	}
}

func TestDeadLetterAndRedrive(t *testing.T) {
	bus := bustest.New(t)
	var broken atomic.Bool
	broken.Store(true)
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		if broken.Load() {
			return errRefused
		}
		return nil
	}}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a, transform: {jq: '{got: .n}'}}
  triggers:
  - template: {name: t, probe: {text: x}}
    retryStrategy: {steps: 3, duration: 1ms}
`, p)
	publish(t, bus, "src", "a", "1", `{"n":5}`)
	eventually(t, "a dead letter", func() bool { return len(letters(t, bus)) == 1 })
	idle(t, bus)
	l, err := bus.DeadLetters().Get(t.Context(), letters(t, bus)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if l.Sensor != "s" || l.Trigger != "t" || l.AttemptCount != 3 || len(l.Attempts) != 3 || l.Reason != "refused" || l.Unevaluated {
		t.Errorf("dead letter %+v", l)
	}
	if e := l.Events["a"]; e.Event.ID() != "1" || string(e.Event.Data()) != `{"n":5}` || e.From != (eventbus.Address{Source: "src", Event: "a"}) {
		t.Errorf("event of the dead letter %+v", e)
	}
	if l.Action == nil || !strings.Contains(l.Action.Spec, `"text":"x"`) {
		t.Errorf("action of the dead letter %+v", l.Action)
	}

	// Still broken: the letter stays, and tells of the new attempts too.
	redrive(t, bus, l.ID)
	eventually(t, "more attempts", func() bool {
		now, err := bus.DeadLetters().Get(t.Context(), l.ID)
		return err == nil && now.AttemptCount == 6
	})

	broken.Store(false)
	redrive(t, bus, l.ID)
	eventually(t, "no dead letter", func() bool { return len(letters(t, bus)) == 0 })
	fired := p.inputs(t, 7)
	for _, in := range fired {
		if in.ID != l.ID || string(in.Events["a"].Data()) != `{"got":5}` {
			t.Errorf("fired with id %s, data %s", in.ID, in.Events["a"].Data())
		}
	}
	idle(t, bus)
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
}

func redrive(t *testing.T, bus *eventbus.Bus, id string) {
	t.Helper()
	if err := bus.DeadLetters().Redrive(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestPermanentErrorIsNotRetried(t *testing.T) {
	bus := bustest.New(t)
	p := &probe{answer: func(context.Context, string, trigger.Input) error { return trigger.Permanent(errRefused) }}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {}}
    retryStrategy: {steps: 5, duration: 1ms}
`, p)
	publish(t, bus, "src", "a", "1", `{}`)
	eventually(t, "a dead letter", func() bool { return len(letters(t, bus)) == 1 })
	p.inputs(t, 1)
	idle(t, bus)
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	bus := bustest.New(t)
	p := &probe{answer: func(context.Context, string, trigger.Input) error { panic("boom") }}
	start(t, bus, one, p)
	publish(t, bus, "src", "a", "1", `{}`)
	eventually(t, "a dead letter", func() bool { return len(letters(t, bus)) == 1 })
	if l := letters(t, bus)[0]; !strings.Contains(l.Reason, "boom") || l.AttemptCount != 1 {
		t.Errorf("dead letter %+v", l)
	}
	idle(t, bus)
}

func TestDLQTrigger(t *testing.T) {
	bus := bustest.New(t)
	var dlqCalls atomic.Int32
	p := &probe{answer: func(_ context.Context, text string, _ trigger.Input) error {
		if text == "main" || (text == "dlq" && dlqCalls.Add(1) == 1) {
			return errRefused
		}
		return nil
	}}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {text: main}}
    retryStrategy: {steps: 2, duration: 1ms}
    dlqTrigger:
      template: {name: rescue, probe: {text: dlq}}
      retryStrategy: {steps: 3, duration: 1ms}
`, p)
	publish(t, bus, "src", "a", "1", `{}`)
	fired := p.inputs(t, 4)
	want := []string{"t", "t", "rescue", "rescue"}
	for i, in := range fired {
		if in.Trigger != want[i] || ids(in)["a"] != "1" {
			t.Errorf("call %d: trigger %s with %v", i, in.Trigger, ids(in))
		}
	}
	idle(t, bus)
	ls := letters(t, bus)
	if len(ls) != 1 || ls[0].AttemptCount != 2 {
		t.Errorf("dead letters %+v", ls)
	}
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
}

func TestTransformErrorIsADeadLetter(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	const broken = `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a, transform: {jq: '.n'}}
  triggers:
  - template: {name: t, probe: {}}
`
	s := start(t, bus, broken, p)
	publish(t, bus, "src", "a", "1", `{"n":5}`)
	eventually(t, "a dead letter", func() bool { return len(letters(t, bus)) == 1 })
	l := letters(t, bus)[0]
	if !l.Unevaluated || !strings.Contains(l.Reason, "transform") {
		t.Errorf("dead letter %+v", l)
	}
	idle(t, bus)
	s.stop()
	start(t, bus, strings.Replace(broken, "'.n'", "'{n: .n}'", 1), p)
	redrive(t, bus, l.ID)
	if in := p.inputs(t, 1)[0]; string(in.Events["a"].Data()) != `{"n":5}` {
		t.Errorf("fired with %s", in.Events["a"].Data())
	}
	eventually(t, "no dead letter", func() bool { return len(letters(t, bus)) == 0 })
	idle(t, bus)
}
