package sensor_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const one = `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {}}
`

func TestEachEventFiresOnce(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, one, p)
	for i := range 50 {
		publish(t, bus, "src", "a", fmt.Sprint(i), `{"n":1}`)
	}
	publish(t, bus, "src", "a", "7", `{"n":1}`) // the id is known already
	publish(t, bus, "src", "other", "x", `{}`)  // nobody listens
	seen := map[string]bool{}
	for _, in := range p.inputs(t, 50) {
		if seen[in.ID] || in.Attempt != 1 || in.Sensor != "s" || in.Trigger != "t" || string(in.Events["a"].Data()) != `{"n":1}` {
			t.Errorf("fired with %+v", in)
		}
		seen[in.ID] = true
	}
	idle(t, bus)
	if left := stateLeft(t, bus); len(left) > 0 {
		t.Errorf("state left: %v", left)
	}
}

func TestTransformThenFilter(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, `
spec:
  dependencies:
  - name: a
    eventSourceName: src
    eventName: a
    transform: {jq: '{ok: (.n > 1)}'}
    filters: {data: [{path: ok, type: bool, value: ["true"]}]}
  triggers:
  - template: {name: t, probe: {}}
`, p)
	publish(t, bus, "src", "a", "1", `{"n":1}`)
	publish(t, bus, "src", "a", "2", `{"n":2}`)
	in := p.inputs(t, 1)[0]
	if in.Events["a"].ID() != "2" || string(in.Events["a"].Data()) != `{"ok":true}` {
		t.Errorf("fired with %s %s", in.Events["a"].ID(), in.Events["a"].Data())
	}
	idle(t, bus)
}

func TestConditionWithoutAndFiresForEachDependency(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  - {name: b, eventSourceName: src, eventName: b}
  - {name: also-a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, conditions: a || b || also-a, probe: {}}
`, p)
	publish(t, bus, "src", "a", "1", `{}`)
	publish(t, bus, "src", "b", "2", `{}`)
	got := map[string]bool{}
	for _, in := range p.inputs(t, 3) {
		got[fmt.Sprint(ids(in))] = true
	}
	for _, want := range []string{"map[a:1]", "map[also-a:1]", "map[b:2]"} {
		if !got[want] {
			t.Errorf("no firing with %s, got %v", want, got)
		}
	}
	idle(t, bus)
}

func TestOneOfSeveralFiringsIsRetriedAlone(t *testing.T) {
	bus := bustest.New(t)
	var failed atomic.Int32
	p := &probe{answer: func(_ context.Context, _ string, in trigger.Input) error {
		if in.Events["b"] != nil && failed.Add(1) <= 2 {
			return errRefused
		}
		return nil
	}}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: x}
  - {name: b, eventSourceName: src, eventName: x}
  triggers:
  - template: {name: t, conditions: a || b, probe: {}}
    retryStrategy: {steps: 5, duration: 10ms}
`, p)
	publish(t, bus, "src", "x", "1", `{}`)
	count := map[string]int{}
	for _, in := range p.inputs(t, 4) {
		for dep := range in.Events {
			count[dep]++
		}
	}
	if !maps.Equal(count, map[string]int{"a": 1, "b": 3}) {
		t.Errorf("fired %v", count)
	}
	idle(t, bus)
	eventually(t, "state gone", func() bool { return len(stateLeft(t, bus)) == 0 })
}

func TestParametersOfTheTemplate(t *testing.T) {
	bus := bustest.New(t)
	texts := make(chan string, 10)
	p := &probe{answer: func(_ context.Context, text string, _ trigger.Input) error { texts <- text; return nil }}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {text: hello}}
    parameters:
    - {src: {dependencyName: a, dataKey: name}, dest: probe.text, operation: append}
    - {src: {dependencyName: a, dataKey: must, value: ok}, dest: probe.must}
`, p)
	publish(t, bus, "src", "a", "1", `{"name":" Ann"}`)
	publish(t, bus, "src", "a", "2", `{"name":" Bob"}`)
	got := map[string]bool{<-texts: true, <-texts: true}
	if !got["hello Ann"] || !got["hello Bob"] {
		t.Errorf("fired with %v", got)
	}
	publish(t, bus, "src", "a", "3", `{"nothing":1}`)
	publish(t, bus, "src", "a", "4", `{"name":"x","must":"fail"}`)
	eventually(t, "two dead letters", func() bool { return len(letters(t, bus)) == 2 })
	for _, l := range letters(t, bus) {
		if !strings.Contains(l.Reason, "parameters") || l.AttemptCount != 1 {
			t.Errorf("dead letter %+v", l)
		}
	}
	p.inputs(t, 2)
	idle(t, bus)
}

func TestRateLimitLetsABurstPassAndHoldsTheRest(t *testing.T) {
	bus, p := bustest.New(t), &probe{}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {}}
    rateLimit: {unit: Hour, requestsPerUnit: 1}
`, p)
	for i := range 14 {
		publish(t, bus, "src", "a", fmt.Sprint(i), `{}`)
	}
	p.inputs(t, 11) // ten saved slots and the one that is due
	eventually(t, "three that wait", func() bool { return len(stateLeft(t, bus)) == 3 })
	infos, err := bus.Consumers(t.Context())
	if err != nil || len(infos) != 1 || infos[0].InWork != 3 {
		t.Errorf("consumers %+v, %v", infos, err)
	}
}

func TestMaxInFlight(t *testing.T) {
	bus := bustest.New(t)
	var now, most atomic.Int32
	release := make(chan struct{})
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		most.Store(max(most.Load(), now.Add(1)))
		<-release
		now.Add(-1)
		return nil
	}}
	start(t, bus, `
spec:
  dependencies:
  - {name: a, eventSourceName: src, eventName: a}
  triggers:
  - template: {name: t, probe: {}}
    maxInFlight: 3
`, p)
	for i := range 12 {
		publish(t, bus, "src", "a", fmt.Sprint(i), `{}`)
	}
	eventually(t, "three at once", func() bool { return now.Load() == 3 })
	settle()
	close(release)
	p.inputs(t, 12)
	idle(t, bus)
	if n := most.Load(); n != 3 {
		t.Errorf("%d at once", n)
	}
}

func TestStopLetsActionsComeToTheirEnd(t *testing.T) {
	bus := bustest.New(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	p := &probe{answer: func(ctx context.Context, _ string, _ trigger.Input) error {
		close(begun)
		<-finish
		return ctx.Err()
	}}
	s := start(t, bus, one, p)
	publish(t, bus, "src", "a", "1", `{}`)
	<-begun
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	settle()
	select {
	case <-stopped:
		t.Fatal("stopped before the action ended")
	default:
	}
	close(finish)
	<-stopped
	idle(t, bus)
	p.inputs(t, 1)
}

func TestReplicasShareTheWork(t *testing.T) {
	bus, p, q := bustest.New(t), &probe{}, &probe{}
	start(t, bus, one, p)
	start(t, bus, one, q)
	for i := range 200 {
		publish(t, bus, "src", "a", fmt.Sprint(i), `{}`)
	}
	eventually(t, "200 firings", func() bool { return p.count()+q.count() >= 200 })
	idle(t, bus)
	if p.count()+q.count() != 200 {
		t.Errorf("fired %d + %d times", p.count(), q.count())
	}
}
