package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

// Env is a bus under test.
type Env struct {
	// Link makes a new connection to the bus.
	Link func(t testing.TB) *eventbus.Link
}

// Run checks that a bus keeps what package eventbus promises.
func Run(t *testing.T, env Env) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Env)
	}{
		{"an event arrives as it was published", roundTrip},
		{"an id is stored once in its address", dedupe},
		{"any name will do", anyName},
		{"a new consumer gets what comes from now on", fromNowOn},
		{"a consumer gets what came while nobody listened", whileAway},
		{"a message comes again after the wait asked for", retryLater},
		{"a crashed process's messages go to another", crash},
		{"what is fetched and not begun is handed back", handBack},
		{"work that takes longer than AckWait is done once", longWork},
		{"two processes share the work", sharing},
		{"no more than inFlight at once", inFlight},
		{"a panic is a retry", panics},
		{"a message nobody can decode is handed over", undecodable},
		{"a message that is too large is refused", tooLarge},
		{"a full bus refuses, and takes again", full},
		{"a consumer changes in place", changeConsumer},
		{"a removed consumer says what it drops", removeConsumer},
		{"a consumer that is lost is made again", lostConsumer},
		{"consumers and usage can be seen", look},
		{"buses on one server are apart", apart},
		{"state is changed by compare and set", state},
		{"state keys are levels of any text", stateKeys},
		{"dead letters are kept whole", deadLetters},
		{"dead letters are listed by filter", deadList},
		{"a dead letter is fired again", redrive},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			c.test(t, env)
		})
	}
}

// open gives each test a bus of its own on the shared server.
func open(t testing.TB, env Env, c eventbus.Config) *eventbus.Bus {
	t.Helper()
	return join(t, env.Link(t), c)
}

func join(t testing.TB, l *eventbus.Link, c eventbus.Config) *eventbus.Bus {
	t.Helper()
	if c.Name == "" {
		c.Namespace, c.Name = "suite", t.Name()
	}
	if c.AckWait == 0 {
		c.AckWait = 2 * time.Second
	}
	return Open(t, l, c)
}

var (
	hook    = eventbus.Address{Source: "webhook", Event: "example"}
	tick    = eventbus.Address{Source: "calendar", Event: "tick"}
	trigger = eventbus.ConsumerConfig{Sensor: "sensor", Trigger: "trigger", From: []eventbus.Address{hook}}
)

func publish(t testing.TB, b *eventbus.Bus, to eventbus.Address, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Publish(t.Context(), to, id, Event(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func ensure(t testing.TB, b *eventbus.Bus, c eventbus.ConsumerConfig) {
	t.Helper()
	if err := b.EnsureConsumer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// consumer is a running Consume whose deliveries the test takes one by one.
type consumer struct {
	t    testing.TB
	c    chan *eventbus.Delivery
	stop func()
}

// consume starts one; each handler waits until the test has taken its delivery.
func consume(t testing.TB, b *eventbus.Bus, config eventbus.ConsumerConfig, inFlight int) *consumer {
	t.Helper()
	c := &consumer{t: t, c: make(chan *eventbus.Delivery)}
	quit := make(chan struct{})
	stop := start(t, b, config, inFlight, func(_ context.Context, d *eventbus.Delivery) {
		select {
		case c.c <- d:
		case <-quit:
			if err := d.Retry(0); err != nil {
				t.Error(err)
			}
		}
	})
	c.stop = sync.OnceFunc(func() { close(quit); stop() })
	t.Cleanup(c.stop)
	return c
}

// start runs Consume until the function it returns, or the end of the test.
func start(t testing.TB, b *eventbus.Bus, config eventbus.ConsumerConfig, inFlight int, handle func(context.Context, *eventbus.Delivery)) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Consume(ctx, config, inFlight, handle) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Consume does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func (c *consumer) next() *eventbus.Delivery {
	c.t.Helper()
	select {
	case d := <-c.c:
		return d
	case <-time.After(patience):
		c.t.Fatal("no message came")
		return nil
	}
}

// done takes n messages, acknowledges them and returns their ids, sorted.
func (c *consumer) done(n int) []string {
	c.t.Helper()
	var ids []string
	for range n {
		d := c.next()
		if err := d.DoneSync(); err != nil {
			c.t.Fatal(err)
		}
		ids = append(ids, d.Event.ID())
	}
	slices.Sort(ids)
	return ids
}

// nothing checks that no message comes for a while.
func (c *consumer) nothing(d time.Duration) {
	c.t.Helper()
	select {
	case m := <-c.c:
		c.t.Fatalf("a message came that should not: %v", m.Event)
	case <-time.After(d):
	}
}

func want(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Fatalf("%s: got %v, want %v", what, got, wanted)
	}
}

func wantError(t testing.TB, got, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Fatalf("got error %v, want one that wraps %q", got, wanted)
	}
}

// eventually polls until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		pause(t.Context(), 10*time.Millisecond)
	}
}

func ids(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return list
}

// large is an incompressible-looking text of n bytes.
func large(n int) string { return strings.Repeat("x", n) }
