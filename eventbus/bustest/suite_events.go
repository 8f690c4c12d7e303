package bustest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"

	"github.com/signalbox-events/signalbox/eventbus"
)

func roundTrip(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	c := consume(t, b, trigger, 1)
	ensure(t, b, trigger)
	e := Event("1")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.SetExtension("text", "line one\r\nline two: \"100 %\" – größer")
	e.SetDataSchema("https://example.com/schema?a=b")
	e.DataEncoded = []byte{0, 1, 2, 0xff, '\r', '\n'}
	e.DataBase64 = true
	before := time.Now().Add(-time.Minute)
	if err := b.Publish(t.Context(), hook, "1", e); err != nil {
		t.Fatal(err)
	}
	d := c.next()
	want(t, "event", d.Event.String(), e.String())
	if !bytes.Equal(d.Event.Data(), e.Data()) || !d.Event.DataBase64 {
		t.Fatalf("data: %q", d.Event.Data())
	}
	want(t, "from", d.From, hook)
	want(t, "deliveries", d.Deliveries, 1)
	if d.Seq == 0 || d.Stored.Before(before) || d.Err != nil || d.Redrive != "" {
		t.Fatalf("delivery: %+v", d)
	}
	if err := d.Done(); err != nil {
		t.Fatal(err)
	}
	if err := d.Retry(0); err == nil {
		t.Fatal("a message was settled twice")
	}
}

func dedupe(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	both := eventbus.ConsumerConfig{Sensor: "s", Trigger: "t", From: []eventbus.Address{hook, tick}}
	ensure(t, b, both)
	long := large(400)
	publish(t, b, hook, "a", "a", long, long+"1", long)
	publish(t, b, tick, "a", "a")
	if err := b.Publish(t.Context(), tick, "", Event("b")); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), tick, "", Event("b")); err != nil {
		t.Fatal(err)
	}
	c := consume(t, b, both, 4)
	want(t, "ids", c.done(6), []string{"a", "a", "b", "b", long, long + "1"})
	c.nothing(100 * time.Millisecond)
}

func anyName(t *testing.T, env Env) {
	for _, name := range []string{
		"my.event.v1", "with space", "größe/ü", "*", ">", "100%", "a_b", "tab\there", `back\slash`, large(120), "", "new\nline",
	} {
		t.Run("name="+strings.ToValidUTF8(name[:min(len(name), 12)], "?"), func(t *testing.T) {
			b := open(t, env, eventbus.Config{Namespace: name, Name: "bus." + name})
			a := eventbus.Address{Source: name, Event: name}
			config := eventbus.ConsumerConfig{Sensor: name, Trigger: name, From: []eventbus.Address{a, {Source: "x", Event: name}}}
			ensure(t, b, config)
			publish(t, b, a, "id "+name)
			publish(t, b, eventbus.Address{Source: "x" + name, Event: "x"}, "other")
			c := consume(t, b, config, 1)
			d := c.next()
			want(t, "from", d.From, a)
			want(t, "id", d.Event.ID(), Event("id "+name).ID())
			if err := d.DoneSync(); err != nil {
				t.Fatal(err)
			}
			infos, err := b.Consumers(t.Context())
			if err != nil || len(infos) != 1 || infos[0].Sensor != name || infos[0].Trigger != name {
				t.Fatalf("consumers: %+v, %v", infos, err)
			}
			if _, err := b.State().Put(t.Context(), name+"/"+name, []byte("v")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func fromNowOn(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	publish(t, b, hook, "before")
	ensure(t, b, trigger)
	publish(t, b, hook, "after")
	want(t, "ids", consume(t, b, trigger, 4).done(1), []string{"after"})
}

func whileAway(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	c := consume(t, b, trigger, 4)
	ensure(t, b, trigger)
	publish(t, b, hook, "1")
	c.done(1)
	c.stop()
	publish(t, b, hook, ids("away", 300)...)
	want(t, "ids", consume(t, b, trigger, 8).done(300), ids("away", 300))
}

func retryLater(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	ensure(t, b, trigger)
	c := consume(t, b, trigger, 4)
	publish(t, b, hook, "1")
	start, waits := time.Now(), []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond}
	var sum time.Duration
	for i, wait := range waits {
		d := c.next()
		want(t, "deliveries", d.Deliveries, i+1)
		if err := d.Retry(wait); err != nil {
			t.Fatal(err)
		}
		sum += wait
	}
	d := c.next()
	if passed := time.Since(start); passed < sum {
		t.Fatalf("came after %v, want %v at least", passed, sum)
	}
	if err := d.DoneSync(); err != nil {
		t.Fatal(err)
	}
	info, err := b.Consumers(t.Context())
	if err != nil || info[0].InWork+info[0].Waiting != 0 || !info[0].Oldest.IsZero() {
		t.Fatalf("consumers: %+v, %v", info, err)
	}
}

func crash(t *testing.T, env Env) {
	dying := env.Link(t)
	b1 := join(t, dying, eventbus.Config{AckWait: time.Second})
	b2 := open(t, env, eventbus.Config{AckWait: time.Second})
	ensure(t, b1, trigger)
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}, 10), make(chan error, 1)
	go func() {
		ended <- b1.Consume(ctx, trigger, 4, func(context.Context, *eventbus.Delivery) { begun <- struct{}{} })
	}()
	publish(t, b2, hook, ids("x", 4)...)
	for range 4 {
		<-begun
	}
	// The link breaks without a word about the four messages.
	if err := dying.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("Consume says nothing about a link that is closed")
	}
	cancel()
	c := consume(t, b2, trigger, 8)
	for range 4 {
		d := c.next()
		want(t, "deliveries", d.Deliveries, 2)
		if err := d.Done(); err != nil {
			t.Fatal(err)
		}
	}
}

func handBack(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{AckWait: time.Minute})
	ensure(t, b, trigger)
	publish(t, b, hook, ids("x", 20)...)
	first := consume(t, b, trigger, 2)
	held := first.next()
	stopped := make(chan struct{})
	go func() { defer close(stopped); first.stop() }()
	second := consume(t, b, trigger, 32)
	got := map[string]bool{held.Event.ID(): true}
	if err := held.DoneSync(); err != nil {
		t.Fatal(err)
	}
	for len(got) < 20 {
		var d *eventbus.Delivery
		select {
		case d = <-first.c: // its second handler, if it had begun
		case d = <-second.c:
		case <-time.After(patience):
			t.Fatalf("only %d of 20 came, AckWait is a minute", len(got))
		}
		got[d.Event.ID()] = true
		if err := d.Done(); err != nil {
			t.Fatal(err)
		}
	}
	<-stopped
}

func longWork(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{AckWait: 600 * time.Millisecond})
	ensure(t, b, trigger)
	// One is in work and one waits behind it: both are kept.
	var calls atomic.Int32
	var done sync.WaitGroup
	done.Add(3)
	start(t, b, trigger, 2, func(ctx context.Context, d *eventbus.Delivery) {
		calls.Add(1)
		pause(ctx, 1500*time.Millisecond)
		if err := d.DoneSync(); err != nil {
			t.Error(err)
		}
		done.Done()
	})
	publish(t, b, hook, "1", "2", "3")
	done.Wait()
	want(t, "calls", calls.Load(), 3)
}

func sharing(t *testing.T, env Env) {
	b1, b2 := open(t, env, eventbus.Config{}), open(t, env, eventbus.Config{})
	ensure(t, b1, trigger)
	const n = 400
	var mu sync.Mutex
	seen, by := map[string]int{}, [2]int{}
	for i, b := range []*eventbus.Bus{b1, b2} {
		start(t, b, trigger, 4, func(ctx context.Context, d *eventbus.Delivery) {
			pause(ctx, time.Millisecond)
			mu.Lock()
			seen[d.Event.ID()]++
			by[i]++
			mu.Unlock()
			if err := d.Done(); err != nil {
				t.Error(err)
			}
		})
	}
	publish(t, b1, hook, ids("x", n)...)
	eventually(t, "everything is done", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == n
	})
	mu.Lock()
	defer mu.Unlock()
	if by[0] == 0 || by[1] == 0 || by[0]+by[1] != n {
		t.Fatalf("shares %v of %d", by, n)
	}
}

func inFlight(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	ensure(t, b, trigger)
	publish(t, b, hook, ids("x", 100)...)
	var now, most, total atomic.Int32
	start(t, b, trigger, 5, func(ctx context.Context, d *eventbus.Delivery) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		pause(ctx, 2*time.Millisecond)
		now.Add(-1)
		if err := d.Done(); err != nil {
			t.Error(err)
		}
		total.Add(1)
	})
	eventually(t, "everything is done", func() bool { return total.Load() == 100 })
	want(t, "most at once", most.Load(), 5)
}

func panics(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	ensure(t, b, trigger)
	done := make(chan int, 1)
	start(t, b, trigger, 1, func(_ context.Context, d *eventbus.Delivery) {
		if d.Deliveries == 1 {
			panic("boom")
		}
		if err := d.Done(); err != nil {
			t.Error(err)
		}
		done <- d.Deliveries
	})
	publish(t, b, hook, "1")
	select {
	case n := <-done:
		want(t, "deliveries", n, 2)
	case <-time.After(patience):
		t.Fatal("the message did not come again")
	}
}

func undecodable(t *testing.T, env Env) {
	l := env.Link(t)
	b := join(t, l, eventbus.Config{Namespace: "raw", Name: "raw"})
	ensure(t, b, trigger)
	c := consume(t, b, trigger, 1)
	m := &nats.Msg{Subject: "events.raw.raw.webhook.example", Data: []byte("not an \xff event"), Header: nats.Header{"Ce-Id": {"x"}}}
	if err := l.PublishRaw(m); err != nil {
		t.Fatal(err)
	}
	d := c.next()
	if d.Err == nil || d.Event == nil || !bytes.Equal(d.Event.Data(), m.Data) {
		t.Fatalf("delivery: %+v", d)
	}
	want(t, "from", d.From, hook)
	letter := &eventbus.DeadLetter{
		ID: "undecodable-1", Sensor: "sensor", Trigger: "trigger", Reason: d.Err.Error(),
		Events: map[string]eventbus.DeadEvent{"dep": {From: d.From, Event: d.Event}},
	}
	if err := b.DeadLetters().Put(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if err := d.DoneSync(); err != nil {
		t.Fatal(err)
	}
	kept, err := b.DeadLetters().Get(t.Context(), letter.ID)
	if err != nil || !bytes.Equal(kept.Events["dep"].Event.Data(), m.Data) {
		t.Fatalf("kept %+v, %v", kept, err)
	}
}

func tooLarge(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	e := Event("1")
	e.DataEncoded = []byte(large(9 << 20))
	wantError(t, b.Publish(t.Context(), hook, "1", e), eventbus.ErrTooLarge)
	e = Event("2")
	e.SetExtension("long", large(70<<10))
	wantError(t, b.Publish(t.Context(), hook, "2", e), eventbus.ErrTooLarge)
	e = Event("3")
	e.DataEncoded = []byte(large(7 << 20))
	if err := b.Publish(t.Context(), hook, "3", e); err != nil {
		t.Fatal(err)
	}
	broken := event.New()
	if err := b.Publish(t.Context(), hook, "4", &broken); err == nil {
		t.Fatal("an event without id, type and source was stored")
	}
}
