package bustest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

func state(t *testing.T, env Env) {
	ctx := t.Context()
	s := open(t, env, eventbus.Config{}).State()
	_, _, err := s.Get(ctx, "k")
	wantError(t, err, eventbus.ErrNotFound)
	first, err := s.Create(ctx, "k", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(ctx, "k", []byte("x"))
	wantError(t, err, eventbus.ErrConflict)
	second, err := s.Update(ctx, "k", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d, %v", second, first, err)
	}
	_, err = s.Update(ctx, "k", []byte("x"), first)
	wantError(t, err, eventbus.ErrConflict)
	value, revision, err := s.Get(ctx, "k")
	if err != nil || string(value) != "2" || revision != second {
		t.Fatalf("got %q revision %d, %v", value, revision, err)
	}
	if _, err = s.Put(ctx, "k", nil); err != nil {
		t.Fatal(err)
	}
	if value, _, err = s.Get(ctx, "k"); err != nil || len(value) != 0 {
		t.Fatalf("got %q, %v", value, err)
	}
	for range 2 {
		if err := s.Delete(ctx, "k"); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = s.Get(ctx, "k")
	wantError(t, err, eventbus.ErrNotFound)
	_, err = s.Update(ctx, "k", []byte("x"), second)
	wantError(t, err, eventbus.ErrConflict)
	if _, err = s.Create(ctx, "k", []byte{0, 255}); err != nil {
		t.Fatal(err)
	}
	if value, _, err = s.Get(ctx, "k"); err != nil || !bytes.Equal(value, []byte{0, 255}) {
		t.Fatalf("got %q, %v", value, err)
	}
	// What has been replaced meanwhile is not dropped.
	third, err := s.Create(ctx, "dropped", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := s.Update(ctx, "dropped", []byte("2"), third)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(ctx, "dropped", third); err != nil {
		t.Fatal(err)
	}
	if value, _, err = s.Get(ctx, "dropped"); err != nil || string(value) != "2" {
		t.Fatalf("got %q, %v", value, err)
	}
	if err := s.Drop(ctx, "dropped", fourth); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Get(ctx, "dropped")
	wantError(t, err, eventbus.ErrNotFound)
	if value, _, err = s.Get(ctx, "k"); err != nil || len(value) == 0 {
		t.Fatalf("another key has gone: %q, %v", value, err)
	}
	// Of many who create one wins.
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() { _, results[i] = s.Create(ctx, "race", []byte(fmt.Sprint(i))) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
			continue
		}
		wantError(t, err, eventbus.ErrConflict)
	}
	want(t, "winners", won, 1)
}

func stateKeys(t *testing.T, env Env) {
	ctx := t.Context()
	s := open(t, env, eventbus.Config{}).State()
	keys := []string{"join/a.b/1", "join/a.b/2", "join/a/1", "join/a b/ü", "join", "joint/1", "lease//x", "*/>/%"}
	for _, k := range keys {
		if _, err := s.Put(ctx, k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range keys {
		if v, _, err := s.Get(ctx, k); err != nil || string(v) != k {
			t.Fatalf("key %q: %q, %v", k, v, err)
		}
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"", keys},
		{"join", []string{"join", "join/a b/ü", "join/a.b/1", "join/a.b/2", "join/a/1"}},
		{"join/", []string{"join", "join/a b/ü", "join/a.b/1", "join/a.b/2", "join/a/1"}},
		{"join/a.b", []string{"join/a.b/1", "join/a.b/2"}},
		{"lease//x", []string{"lease//x"}},
		{"none", nil},
	} {
		got, err := s.Keys(ctx, c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		want(t, "keys below "+c.prefix, got, c.want)
	}
}

func letter(id, sensor string, at time.Time) *eventbus.DeadLetter {
	return &eventbus.DeadLetter{
		ID: id, Namespace: "ns", Sensor: sensor, Trigger: "trigger", Time: at.UTC(), Reason: "no luck",
		Attempts:     []eventbus.Attempt{{Time: at.UTC(), Error: "first"}},
		AttemptCount: 1,
		Action:       &eventbus.Rendered{Kind: "http", Spec: `{"url":"http://example.com"}`},
		Events:       map[string]eventbus.DeadEvent{"dep": {From: hook, Event: Event(id)}},
	}
}

func deadLetters(t *testing.T, env Env) {
	ctx := t.Context()
	d := open(t, env, eventbus.Config{}).DeadLetters()
	at := time.Now()
	one := letter("0123456789abcdef", "my.sensor", at)
	binary := Event("bin")
	binary.DataEncoded, binary.DataBase64 = []byte{0, 255}, true
	one.Events["dep ü.x"] = eventbus.DeadEvent{From: eventbus.Address{Source: "a b", Event: "ü"}, Event: binary}
	other := letter("01234567ffffffff", "s", at)
	for _, l := range []*eventbus.DeadLetter{one, other} {
		if err := d.Put(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.Get(ctx, "nothing-like-it")
	wantError(t, err, eventbus.ErrNotFound)
	_, err = d.Get(ctx, "*")
	wantError(t, err, eventbus.ErrNotFound)
	_, err = d.Get(ctx, "0123")
	wantError(t, err, eventbus.ErrNotFound)
	if _, err = d.Get(ctx, "01234567"); err == nil {
		t.Fatal("an ambiguous prefix found something")
	}
	got, err := d.Get(ctx, "0123456789a")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "reason", got.Reason, one.Reason)
	want(t, "action", *got.Action, *one.Action)
	want(t, "attempts", got.Attempts, one.Attempts)
	want(t, "events", len(got.Events), 2)
	for name, e := range one.Events {
		want(t, "from", got.Events[name].From, e.From)
		want(t, "event", got.Events[name].Event.String(), e.Event.String())
	}
	one.Reason = "still no luck"
	if err := d.Put(ctx, one); err != nil {
		t.Fatal(err)
	}
	if got, err = d.Get(ctx, one.ID); err != nil || got.Reason != one.Reason {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := d.Drop(ctx, one.ID); err != nil {
		t.Fatal(err)
	}
	_, err = d.Get(ctx, one.ID)
	wantError(t, err, eventbus.ErrNotFound)
	wantError(t, d.Drop(ctx, one.ID), eventbus.ErrNotFound)
	if _, err = d.Get(ctx, "01234567"); err != nil {
		t.Fatal(err)
	}
}

func deadList(t *testing.T, env Env) {
	ctx := t.Context()
	d := open(t, env, eventbus.Config{}).DeadLetters()
	list := func(f eventbus.DeadFilter) []string {
		t.Helper()
		letters, err := d.List(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range letters {
			if l.Events != nil || l.Reason == "" {
				t.Fatalf("listed: %+v", l)
			}
			ids = append(ids, l.ID)
		}
		return ids
	}
	want(t, "empty", list(eventbus.DeadFilter{}), []string(nil))
	now := time.Now()
	const n = 300
	for i := range n {
		sensor := "even"
		if i%2 == 1 {
			sensor = "odd"
		}
		if err := d.Put(ctx, letter(fmt.Sprintf("%05d", i), sensor, now.Add(time.Duration(i-n)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "all", list(eventbus.DeadFilter{}), ids("", n))
	want(t, "newest", list(eventbus.DeadFilter{Limit: 3}), []string{"00297", "00298", "00299"})
	want(t, "of a sensor", list(eventbus.DeadFilter{Sensor: "odd", Limit: 2}), []string{"00297", "00299"})
	want(t, "of a trigger", len(list(eventbus.DeadFilter{Trigger: "trigger"})), n)
	want(t, "of no trigger", len(list(eventbus.DeadFilter{Trigger: "x"})), 0)
	want(t, "since", list(eventbus.DeadFilter{Since: now.Add(-2 * time.Second)}), []string{"00298", "00299"})
}

func redrive(t *testing.T, env Env) {
	ctx := t.Context()
	b := open(t, env, eventbus.Config{})
	d := b.DeadLetters()
	dead := letter("0123456789", trigger.Sensor, time.Now())
	if err := d.Put(ctx, dead); err != nil {
		t.Fatal(err)
	}
	wantError(t, d.Redrive(ctx, "no-such-letter"), eventbus.ErrNotFound)
	wantError(t, d.Redrive(ctx, dead.ID), eventbus.ErrNotFound) // no consumer
	ensure(t, b, trigger)
	other := eventbus.ConsumerConfig{Sensor: "other", Trigger: "t", From: trigger.From}
	ensure(t, b, other)
	c, bystander := consume(t, b, trigger, 1), consume(t, b, other, 1)
	for range 2 { // fired again, failed, and fired again
		if err := d.Redrive(ctx, dead.ID[:8]); err != nil {
			t.Fatal(err)
		}
		m := c.next()
		want(t, "redrive", m.Redrive, dead.ID)
		if m.Event != nil || m.Err != nil {
			t.Fatalf("delivery: %+v", m)
		}
		if err := m.DoneSync(); err != nil {
			t.Fatal(err)
		}
		got, err := d.Get(ctx, dead.ID)
		if err != nil || got.Redriven.IsZero() || len(got.Events) != 1 {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	bystander.nothing(50 * time.Millisecond)
	if err := d.Drop(ctx, dead.ID); err != nil {
		t.Fatal(err)
	}
	c.nothing(50 * time.Millisecond)
}
