package sensor_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const following = `
metadata: {name: s}
spec:
  dependencies: [{name: d, eventSourceName: hook, eventName: push}]
  triggers:
    - template:
        name: t
        probe: {text: a, follow: {timeout: 30s, emit: true, payload: [{src: {dependencyName: d, dataKey: "n", useRawData: true}, dest: number}]}}
`

// outcomesOf collects the events that tell outcomes of sensor s's trigger t.
func outcomesOf(t *testing.T, bus *eventbus.Bus) func() map[string][]*event.Event {
	t.Helper()
	var mu sync.Mutex
	got := map[string][]*event.Event{}
	conf := eventbus.ConsumerConfig{Sensor: "other", Trigger: "told"}
	for _, name := range []string{"succeeded", "failed", "timedout"} {
		conf.From = append(conf.From, eventbus.Address{Source: "s", Event: "t." + name})
	}
	if err := bus.EnsureConsumer(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = bus.Consume(ctx, conf, 1, func(_ context.Context, d *eventbus.Delivery) {
			mu.Lock()
			got[d.From.Event] = append(got[d.From.Event], d.Event)
			mu.Unlock()
			_ = d.Done()
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return func() map[string][]*event.Event {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(got)
	}
}

// onlyOne waits for one event of a name and for nothing else.
func onlyOne(t *testing.T, told func() map[string][]*event.Event, name string) (*event.Event, map[string]any) {
	t.Helper()
	eventually(t, name, func() bool { return len(told()[name]) > 0 })
	settle()
	if got := told(); len(got) != 1 || len(got[name]) != 1 {
		t.Fatalf("told %v", got)
	}
	e := told()[name][0]
	var data map[string]any
	if err := json.Unmarshal(e.Data(), &data); err != nil {
		t.Fatal(err)
	}
	return e, data
}

func followLeft(t *testing.T, bus *eventbus.Bus) []string {
	t.Helper()
	return slices.DeleteFunc(stateLeft(t, bus), func(k string) bool { return !strings.Contains(k, "/follow/") })
}

func TestOutcomeAtOnce(t *testing.T) {
	bus := bustest.New(t)
	told := outcomesOf(t, bus)
	p := &probe{}
	r := start(t, bus, following, p)
	publish(t, bus, "hook", "push", "1", `{"n":7}`)
	e, data := onlyOne(t, told, "t.succeeded")
	eventually(t, "the metric", func() bool {
		return testutil.ToFloat64(r.metrics.Outcomes.WithLabelValues("default", "s", "t", "succeeded")) == 1
	})
	in := p.inputs(t, 1)[0]
	want := map[string]any{"outcome": "succeeded", "kind": "probe", "namespace": "default", "sensor": "s", "trigger": "t", "firing": in.ID, "summary": "probed"}
	for k, v := range want {
		if data[k] != v {
			t.Errorf("%s is %v, want %v", k, data[k], v)
		}
	}
	if e.ID() != in.ID || e.Type() != "outcome" || e.Subject() != "s.t.succeeded" || e.Extensions()[trigger.ExtHops] != "1" {
		t.Errorf("told by %v", e)
	}
	caused, _ := data["events"].(map[string]any)["d"].(map[string]any)
	if caused["id"] != "1" || data["payload"].(map[string]any)["number"] != 7.0 || data["details"].(map[string]any)["text"] != "a" {
		t.Errorf("data %v", data)
	}
	if left := followLeft(t, bus); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestFollowingOutlivesTheProcess(t *testing.T) {
	bus := bustest.New(t)
	told := outcomesOf(t, bus)
	began := make(chan trigger.Following, 10)
	p := &probe{await: func(ctx context.Context, _ string, f trigger.Following) (trigger.Outcome, error) {
		began <- f
		<-ctx.Done()
		return trigger.Outcome{}, ctx.Err()
	}}
	first := start(t, bus, following, p)
	publish(t, bus, "hook", "push", "1", `{"n":7}`)
	f := <-began
	idle(t, bus) // nothing is held up by what is followed
	if string(f.Ref) != `{"run":1}` || f.ID != p.inputs(t, 1)[0].ID || f.Trigger != "t" {
		t.Errorf("followed %+v", f)
	}
	eventually(t, "status", func() bool { return first.Status()[0].Following == 1 })
	first.stop()
	if len(told()) > 0 || len(followLeft(t, bus)) != 1 {
		t.Fatalf("told %v, left %v", told(), followLeft(t, bus))
	}
	// The template has changed since: what is followed keeps its own.
	p2 := &probe{await: func(_ context.Context, text string, _ trigger.Following) (trigger.Outcome, error) {
		return trigger.Outcome{Failed: true, Summary: "broke " + text, Details: map[string]any{"phase": "Failed"}}, nil
	}}
	start(t, bus, strings.Replace(following, "text: a", "text: b", 1), p2)
	_, data := onlyOne(t, told, "t.failed")
	if data["summary"] != "broke a" || data["details"].(map[string]any)["phase"] != "Failed" || data["details"].(map[string]any)["text"] != "a" {
		t.Errorf("data %v", data)
	}
	eventually(t, "empty state", func() bool { return len(followLeft(t, bus)) == 0 })
	if p2.count() > 0 {
		t.Error("fired again")
	}
}

// An action whose time ran out while no process was there is looked at all the same.
func TestTakenUpTooLate(t *testing.T) {
	bus := bustest.New(t)
	told := outcomesOf(t, bus)
	waits := func(ctx context.Context, _ string, _ trigger.Following) (trigger.Outcome, error) {
		<-ctx.Done()
		return trigger.Outcome{}, ctx.Err()
	}
	p := &probe{await: waits}
	first := start(t, bus, following, p)
	publish(t, bus, "hook", "push", "1", `{"n":7}`)
	eventually(t, "the record", func() bool { return len(followLeft(t, bus)) == 1 })
	first.stop()
	key := followLeft(t, bus)[0]
	raw, revision, err := bus.State().Get(t.Context(), key)
	var record map[string]any
	if err == nil {
		err = json.Unmarshal(raw, &record)
	}
	if err != nil {
		t.Fatal(err)
	}
	record["since"] = time.Now().Add(-time.Hour)
	if raw, err = json.Marshal(record); err == nil {
		_, err = bus.State().Update(t.Context(), key, raw, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	start(t, bus, following, &probe{await: func(ctx context.Context, _ string, _ trigger.Following) (trigger.Outcome, error) {
		return trigger.Outcome{Summary: "ended long ago"}, ctx.Err()
	}})
	if _, data := onlyOne(t, told, "t.succeeded"); data["summary"] != "ended long ago" {
		t.Errorf("data %v", data)
	}
}

func TestErrorsOfAwait(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout string
		await   func(ctx context.Context, call int) (trigger.Outcome, error)
		want    string
		summary string
	}{
		"passes": {"30s", func(_ context.Context, n int) (trigger.Outcome, error) {
			return trigger.Outcome{Summary: "good"}, map[bool]error{true: errRefused}[n == 1]
		}, "t.succeeded", "good"},
		"for ever": {"30s", func(context.Context, int) (trigger.Outcome, error) {
			return trigger.Outcome{}, trigger.Permanent(errRefused)
		}, "t.failed", "refused"},
		"panics": {"100ms", func(context.Context, int) (trigger.Outcome, error) { panic("ouch") }, "t.timedout", "no outcome within 100ms: panic: ouch"},
		"too slow": {"100ms", func(ctx context.Context, _ int) (trigger.Outcome, error) {
			<-ctx.Done()
			return trigger.Outcome{}, ctx.Err()
		}, "t.timedout", "no outcome within 100ms"},
		"never any": {"100ms", func(context.Context, int) (trigger.Outcome, error) { return trigger.Outcome{}, errRefused }, "t.timedout", "no outcome within 100ms: refused"},
	} {
		t.Run(name, func(t *testing.T) {
			bus := bustest.New(t)
			told := outcomesOf(t, bus)
			var mu sync.Mutex
			calls := 0
			p := &probe{await: func(ctx context.Context, _ string, _ trigger.Following) (trigger.Outcome, error) {
				mu.Lock()
				calls++
				n := calls
				mu.Unlock()
				return tc.await(ctx, n)
			}}
			start(t, bus, strings.Replace(following, "timeout: 30s", "timeout: "+tc.timeout, 1), p)
			publish(t, bus, "hook", "push", "1", `{"n":7}`)
			if _, data := onlyOne(t, told, tc.want); data["summary"] != tc.summary {
				t.Errorf("summary %q, want %q", data["summary"], tc.summary)
			}
		})
	}
}

func TestDeadLettersHaveFailed(t *testing.T) {
	bus := bustest.New(t)
	told := outcomesOf(t, bus)
	var mu sync.Mutex
	refuse := true
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		mu.Lock()
		defer mu.Unlock()
		if refuse {
			return trigger.Permanent(errRefused)
		}
		return nil
	}}
	start(t, bus, following, p)
	publish(t, bus, "hook", "push", "1", `{"n":7}`)
	if _, data := onlyOne(t, told, "t.failed"); data["summary"] != "refused" || data["payload"].(map[string]any)["number"] != 7.0 {
		t.Errorf("data %v", data)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if err := bus.DeadLetters().Redrive(t.Context(), letters(t, bus)[0].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "success", func() bool { return len(told()["t.succeeded"]) == 1 })
}

// What a kind that acts while it is followed could not do is a dead letter.
func TestActsWhileFollowed(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		lost bool // the event is too large to be kept
	}{"fired again": {`{"n":7}`, false}, "too large to be fired again": {`{"n":7,"x":"` + strings.Repeat("x", 600<<10) + `"}`, true}} {
		t.Run(name, func(t *testing.T) {
			bus := bustest.New(t)
			told := outcomesOf(t, bus)
			var mu sync.Mutex
			failing := true
			p := &probe{acts: true, await: func(context.Context, string, trigger.Following) (trigger.Outcome, error) {
				mu.Lock()
				defer mu.Unlock()
				return trigger.Outcome{Failed: failing, Summary: map[bool]string{true: "nobody was told"}[failing]}, nil
			}}
			start(t, bus, following, p)
			publish(t, bus, "hook", "push", "1", tc.data)
			onlyOne(t, told, "t.failed")
			in := p.inputs(t, 1)[0]
			all := letters(t, bus)
			if len(all) != 1 || all[0].ID != in.ID || all[0].Reason != "nobody was told" || all[0].AttemptCount != 1 {
				t.Fatalf("letters %+v", all)
			}
			letter, err := bus.DeadLetters().Get(t.Context(), in.ID)
			if err != nil || len(letter.Events) == 0 != tc.lost {
				t.Fatalf("the letter has %d events, %v", len(letter.Events), err)
			}
			if tc.lost {
				return
			}
			mu.Lock()
			failing = false
			mu.Unlock()
			if err := bus.DeadLetters().Redrive(t.Context(), in.ID); err != nil {
				t.Fatal(err)
			}
			eventually(t, "success", func() bool { return len(told()["t.succeeded"]) == 1 })
			if in := p.inputs(t, 2)[1]; in.Events["d"] == nil {
				t.Errorf("fired again with %+v", in)
			}
			eventually(t, "no letter", func() bool { return len(letters(t, bus)) == 0 })
		})
	}
}

func TestLoopOfOutcomesEnds(t *testing.T) {
	bus := bustest.New(t)
	p := &probe{}
	loop := strings.Replace(following, "eventSourceName: hook, eventName: push", "eventSourceName: s, eventName: t.succeeded", 1)
	start(t, bus, loop, p)
	publish(t, bus, "s", "t.succeeded", "1", `{"n":7}`)
	eventually(t, "dead letter", func() bool { return len(letters(t, bus)) == 1 })
	settle()
	if n := p.count(); n != trigger.MaxHops {
		t.Errorf("fired %d times", n)
	}
	if l := letters(t, bus); !strings.Contains(l[0].Reason, "stopped a loop") {
		t.Errorf("letter %v", l)
	}
}

func TestPostponed(t *testing.T) {
	bus := bustest.New(t)
	p := &probe{answer: func(_ context.Context, _ string, in trigger.Input) error {
		if time.Since(in.Since) < 300*time.Millisecond {
			return trigger.Postpone(errors.New("busy"), 20*time.Millisecond, time.Minute)
		}
		return nil
	}}
	start(t, bus, plain, p)
	publish(t, bus, "hook", "push", "1", `{}`)
	eventually(t, "calls", func() bool { return p.count() > 3 })
	idle(t, bus)
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.fired {
		if in.Attempt != 1 || !in.Since.Equal(p.fired[0].Since) && in.Since.Sub(p.fired[0].Since).Abs() > time.Microsecond {
			t.Errorf("attempt %d since %v, want 1 since %v", in.Attempt, in.Since, p.fired[0].Since)
		}
	}
	if l, left := letters(t, bus), stateLeft(t, bus); len(l)+len(left) > 0 {
		t.Errorf("letters %v, left %v", l, left)
	}
}

const plain = `
metadata: {name: s}
spec:
  dependencies: [{name: d, eventSourceName: hook, eventName: push}]
  triggers: [{template: {name: t, probe: {text: a}}}]
`

func TestPostponedForTooLong(t *testing.T) {
	bus := bustest.New(t)
	p := &probe{answer: func(context.Context, string, trigger.Input) error {
		return trigger.Postpone(errors.New("busy"), 20*time.Millisecond, 200*time.Millisecond)
	}}
	start(t, bus, plain, p)
	publish(t, bus, "hook", "push", "1", `{}`)
	eventually(t, "dead letter", func() bool { return len(letters(t, bus)) == 1 })
	if l := letters(t, bus)[0]; l.Reason != "busy" || l.AttemptCount != 1 {
		t.Errorf("letter %+v", l)
	}
}

// Two replicas: one follows, and nothing is told twice.
func TestReplicasFollowOnce(t *testing.T) {
	bus := bustest.New(t)
	told := outcomesOf(t, bus)
	var mu sync.Mutex
	awaited := map[string]int{}
	await := func(_ context.Context, _ string, f trigger.Following) (trigger.Outcome, error) {
		mu.Lock()
		awaited[f.ID]++
		mu.Unlock()
		return trigger.Outcome{Summary: "good"}, nil
	}
	a, b := &probe{await: await}, &probe{await: await}
	start(t, bus, following, a)
	start(t, bus, following, b)
	for _, id := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20") {
		publish(t, bus, "hook", "push", id, `{"n":7}`)
	}
	eventually(t, "20 outcomes", func() bool { return len(told()["t.succeeded"]) == 20 })
	eventually(t, "empty state", func() bool { return len(followLeft(t, bus)) == 0 })
	settle()
	mu.Lock()
	defer mu.Unlock()
	if n := len(told()["t.succeeded"]); n != 20 || len(awaited) != 20 || a.count()+b.count() != 20 {
		t.Errorf("%d told, %d followed, %d and %d fired", n, len(awaited), a.count(), b.count())
	}
	for id, n := range awaited {
		if n != 1 {
			t.Errorf("%s was followed %d times", id, n)
		}
	}
}

func TestState(t *testing.T) {
	bus := bustest.New(t)
	got := make(chan trigger.State, 1)
	p := &probe{onFire: func(t *probeTrigger) { got <- t.env.State }}
	start(t, bus, plain, p)
	publish(t, bus, "hook", "push", "1", `{}`)
	s, ctx := <-got, t.Context()
	if b, err := s.Get(ctx, "a/b"); b != nil || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if err := s.Change(ctx, "a/b é", func(b []byte) ([]byte, error) { return append(b, 'x'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if b, err := s.Get(ctx, "a/b é"); len(b) != 40 || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if err := s.Change(ctx, "a/b é", func([]byte) ([]byte, error) { return nil, trigger.ErrKeep }); err != nil {
		t.Error(err)
	}
	if err := s.Change(ctx, "a/b é", func([]byte) ([]byte, error) { return nil, errRefused }); !errors.Is(err, errRefused) {
		t.Error(err)
	}
	if keys, err := s.Keys(ctx, "a/"); err != nil || !slices.Equal(keys, []string{"a/b é"}) {
		t.Errorf("keys %q, %v", keys, err)
	}
	for range 2 {
		if err := s.Change(ctx, "a/b é", func([]byte) ([]byte, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
	}
	if keys, err := s.Keys(ctx, ""); err != nil || len(keys) > 0 {
		t.Errorf("keys %q, %v", keys, err)
	}
}
