package eventbus

import (
	"context"
	"strconv"
	"testing"
	"time"
)

func TestJanitorRemovesWhatIsOldAndProcessed(t *testing.T) {
	b := embedded(t, Limits{MaxAge: time.Nanosecond})
	ctx := t.Context()
	to, other := Address{"s", "e"}, Address{"s", "other"}
	early := ConsumerConfig{Sensor: "s", Trigger: "early", From: []Address{to}}
	late := ConsumerConfig{Sensor: "s", Trigger: "late", From: []Address{other}}
	for _, c := range []ConsumerConfig{early, late} {
		if err := b.EnsureConsumer(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	put := func(a Address, from, n int) {
		t.Helper()
		for i := range n {
			if err := b.Publish(ctx, a, strconv.Itoa(from+i), example()); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := func() uint64 {
		t.Helper()
		s, err := b.js.Stream(ctx, b.names.events)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.FirstSeq
	}
	clean := func() {
		t.Helper()
		if _, err := b.clean(ctx, false); err != nil {
			t.Fatal(err)
		}
	}
	put(to, 1, 6)     // 1..6
	put(other, 1, 2)  // 7, 8
	put(to, 100, 2)   // 9, 10
	put(other, 3, 10) // 11..20
	clean()
	if got := first(); got != 1 {
		t.Fatalf("unprocessed events are gone up to %d", got)
	}
	ack(t, b, early, 4)
	clean()
	if got := first(); got != 5 {
		t.Fatalf("first is %d, 4 are processed by all who want them", got)
	}
	ack(t, b, early, 4)
	clean()
	if got := first(); got != 7 {
		t.Fatalf("first is %d, the other consumer wants 7", got)
	}
	ack(t, b, late, 2)
	clean()
	if got := first(); got != 11 {
		t.Fatalf("first is %d, the other consumer wants 11 next", got)
	}
	ack(t, b, late, 10)
	put(to, 200, 1)
	clean()
	if got := first(); got != 21 {
		t.Fatalf("first is %d, 21 is not processed", got)
	}
	for _, c := range []ConsumerConfig{early, late} {
		if _, err := b.RemoveConsumer(ctx, c.Sensor, c.Trigger); err != nil {
			t.Fatal(err)
		}
	}
	clean()
	if got := first(); got != 22 {
		t.Fatalf("first is %d, without consumers everything counts as processed", got)
	}
}

func TestJanitorKeepsYoungHistory(t *testing.T) {
	b := embedded(t, Limits{})
	for i := range 10 {
		if err := b.Publish(t.Context(), Address{"s", "e"}, strconv.Itoa(i), example()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.clean(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if u, err := b.Usage(t.Context()); err != nil || u.Events != 10 {
		t.Fatalf("usage %+v, %v", u, err)
	}
}

func TestJanitorStaysBelowTheLimit(t *testing.T) {
	b := embedded(t, Limits{MaxMsgs: 100})
	for i := range 95 {
		if err := b.Publish(t.Context(), Address{"s", "e"}, strconv.Itoa(i), example()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.clean(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	u, err := b.Usage(t.Context())
	if err != nil || u.Events < 70 || u.Events > 75 {
		t.Fatalf("usage %+v, %v", u, err)
	}
}

// ack processes n messages of a consumer.
func ack(t *testing.T, b *Bus, c ConsumerConfig, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	left := n
	err := b.Consume(ctx, c, 1, func(_ context.Context, d *Delivery) {
		if left == 0 {
			// Not at once: a purge makes the server forget what it was about to
			// deliver again, until AckWait.
			if err := d.Retry(50 * time.Millisecond); err != nil {
				t.Error(err)
			}
			return
		}
		if err := d.DoneSync(); err != nil {
			t.Error(err)
		}
		if left--; left == 0 {
			cancel()
		}
	})
	if err != nil || left > 0 {
		t.Fatalf("%d left, %v", left, err)
	}
}
