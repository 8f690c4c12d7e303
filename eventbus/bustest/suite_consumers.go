package bustest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

func full(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{Limits: eventbus.Limits{MaxBytes: 1 << 20}})
	ensure(t, b, trigger)
	data := large(20 << 10)
	put := func(i int) error {
		e := Event(fmt.Sprintf("%05d", i))
		e.DataEncoded = []byte(data)
		return b.Publish(t.Context(), hook, e.ID(), e)
	}
	stored := 0
	var err error
	for err == nil && stored < 1000 {
		if err = put(stored); err == nil {
			stored++
		}
	}
	wantError(t, err, eventbus.ErrFull)
	if stored < 40 {
		t.Fatalf("full after %d events", stored)
	}
	// Dead letters and state have room of their own.
	if err := b.DeadLetters().Put(t.Context(), letter("full", "sensor", time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := b.State().Put(t.Context(), "key", []byte(data)); err != nil {
		t.Fatal(err)
	}
	wantError(t, put(stored), eventbus.ErrFull)
	// A few are done: there is room again, for no more than those.
	c := consume(t, b, trigger, 1)
	first := c.done(10)
	want(t, "first", first, ids("", 10))
	c.stop()
	eventually(t, "there is room", func() bool { return put(stored) == nil })
	again := 1
	for err = nil; err == nil && again < 1000; again++ {
		err = put(stored + again)
	}
	again--
	wantError(t, err, eventbus.ErrFull)
	if again < 1 || again > 12 {
		t.Fatalf("%d events found room in place of 10", again)
	}
	c = consume(t, b, trigger, 1)
	want(t, "nothing was lost", c.done(stored+again-10), ids("", stored+again)[10:])
	c.stop()
	// Everything is processed: any number finds room now.
	for i := range 3 * stored {
		if err := put(10000 + i); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		if i%10 == 9 {
			drain(t, b)
		}
	}
}

// drain acknowledges what is there.
func drain(t *testing.T, b *eventbus.Bus) {
	t.Helper()
	stop := start(t, b, trigger, 16, func(_ context.Context, d *eventbus.Delivery) {
		if err := d.DoneSync(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "all are done", func() bool {
		infos, err := b.Consumers(t.Context())
		return err == nil && infos[0].Waiting+infos[0].InWork == 0
	})
	stop()
}

func changeConsumer(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	ensure(t, b, trigger)
	publish(t, b, hook, "1")
	more := trigger
	more.From = []eventbus.Address{hook, tick, hook}
	ensure(t, b, more)
	ensure(t, b, more)
	publish(t, b, tick, "2")
	c := consume(t, b, more, 4)
	want(t, "ids", c.done(2), []string{"1", "2"})
	c.stop()
	less := trigger
	less.From = []eventbus.Address{tick}
	ensure(t, b, less)
	publish(t, b, hook, "3")
	publish(t, b, tick, "4")
	c = consume(t, b, less, 4)
	want(t, "ids", c.done(1), []string{"4"})
	c.nothing(100 * time.Millisecond)
}

func removeConsumer(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	_, err := b.RemoveConsumer(t.Context(), "no", "such")
	wantError(t, err, eventbus.ErrNotFound)
	ensure(t, b, trigger)
	publish(t, b, hook, ids("x", 5)...)
	c := consume(t, b, trigger, 1)
	if err := c.next().DoneSync(); err != nil {
		t.Fatal(err)
	}
	if err := c.next().Retry(time.Hour); err != nil {
		t.Fatal(err)
	}
	c.stop()
	for _, from := range trigger.From {
		listeners(t, b, from, 1)
	}
	listeners(t, b, eventbus.Address{Source: trigger.From[0].Source, Event: "of nobody"}, 0)
	dropped, err := b.RemoveConsumer(t.Context(), trigger.Sensor, trigger.Trigger)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "dropped", dropped, 4)
	// In a cluster it is missed for a moment.
	eventually(t, "the end of the consumer", func() bool {
		infos, err := b.Consumers(t.Context())
		return err == nil && len(infos) == 0
	})
}

func listeners(t *testing.T, b *eventbus.Bus, of eventbus.Address, n int) {
	t.Helper()
	got, err := b.Listeners(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "listeners of "+of.Source+"/"+of.Event, got, n)
}

func lostConsumer(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{})
	ensure(t, b, trigger)
	c := consume(t, b, trigger, 4)
	publish(t, b, hook, "1")
	want(t, "ids", c.done(1), []string{"1"})
	if _, err := b.RemoveConsumer(t.Context(), trigger.Sensor, trigger.Trigger); err != nil {
		t.Fatal(err)
	}
	publish(t, b, hook, "2", "3")
	want(t, "ids", c.done(2), []string{"2", "3"})
}

func look(t *testing.T, env Env) {
	b := open(t, env, eventbus.Config{Limits: eventbus.Limits{MaxBytes: 1 << 20}})
	ensure(t, b, trigger)
	other := eventbus.ConsumerConfig{Sensor: "another", Trigger: "t", From: []eventbus.Address{tick}}
	ensure(t, b, other)
	before := time.Now().Add(-time.Minute)
	publish(t, b, hook, ids("x", 5)...)
	c := consume(t, b, trigger, 1)
	c.next()
	var infos []eventbus.ConsumerInfo
	eventually(t, "one in work", func() bool {
		var err error
		infos, err = b.Consumers(t.Context())
		return err == nil && len(infos) == 2 && infos[1].InWork+infos[1].Waiting == 5 && infos[1].InWork > 0
	})
	want(t, "sensors", infos[0].Sensor+" "+infos[1].Sensor, "another sensor")
	if infos[1].Oldest.Before(before) || !infos[0].Oldest.IsZero() {
		t.Fatalf("oldest: %+v", infos)
	}
	if err := b.DeadLetters().Put(t.Context(), letter("one", "s", time.Now())); err != nil {
		t.Fatal(err)
	}
	u, err := b.Usage(t.Context())
	if err != nil || u.Events != 5 || u.Bytes <= 0 || u.MaxBytes != 1<<20 || u.DeadLetters != 1 {
		t.Fatalf("usage: %+v, %v", u, err)
	}
}

func apart(t *testing.T, env Env) {
	l := env.Link(t)
	buses := []*eventbus.Bus{
		join(t, l, eventbus.Config{Namespace: "one", Name: "default"}),
		join(t, l, eventbus.Config{Namespace: "two", Name: "default"}),
		join(t, l, eventbus.Config{Namespace: "one", Name: "other"}),
	}
	var consumers []*consumer
	for _, b := range buses {
		ensure(t, b, trigger)
		consumers = append(consumers, consume(t, b, trigger, 4))
	}
	for i, b := range buses {
		publish(t, b, hook, fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for i, c := range consumers {
		wg.Go(func() {
			d := <-c.c
			if d.Event.ID() != fmt.Sprint(i) {
				t.Errorf("bus %d got %s", i, d.Event.ID())
			}
			if err := d.Done(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range consumers {
		c.nothing(50 * time.Millisecond)
	}
}
