package eventbus_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/bustest"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

var address = eventbus.Address{Source: "webhook", Event: "example"}

// BenchmarkPublish is 64 publishers at once, with each way to be sure that a
// message is on disk. Compare the ways with each other, within one run.
func BenchmarkPublish(b *testing.B) {
	for _, way := range []struct {
		name  string
		fsync server.Fsync
		// serverSyncs has the server fsync each message, as a server for clients of
		// other machines does.
		serverSyncs bool
	}{
		{"no fsync", server.Fsync{Every: time.Minute}, false},
		{"group fsync", server.Fsync{Always: true}, false},
		{"fsync by the server", server.Fsync{Always: true}, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			s := bustest.Server(b, func(c *server.Config) {
				c.Fsync = way.fsync
				if way.serverSyncs {
					c.Embedded, c.Users = false, []server.User{{Name: "u", Password: "p"}}
				}
			})
			bus := bustest.Open(b, bustest.Link(b, s), eventbus.Config{})
			var n atomic.Int64
			b.ReportAllocs()
			parallel(b, 64, func() {
				id := strconv.FormatInt(n.Add(1), 10)
				if err := bus.Publish(b.Context(), address, id, bustest.Event(id)); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// parallel runs b.N calls by n goroutines.
func parallel(b *testing.B, n int, f func()) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				f()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkThrough is publishing, consuming and acknowledging side by side.
func BenchmarkThrough(b *testing.B) {
	bus := bustest.New(b)
	c := eventbus.ConsumerConfig{Sensor: "s", Trigger: "t", From: []eventbus.Address{address}}
	if err := bus.EnsureConsumer(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var done atomic.Int64
	all, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- bus.Consume(ctx, c, 64, func(_ context.Context, d *eventbus.Delivery) {
			if err := d.DoneSync(); err != nil {
				b.Error(err)
			}
			if done.Add(1) == int64(b.N) {
				close(all)
			}
		})
	}()
	var n atomic.Int64
	b.ReportAllocs()
	parallel(b, 64, func() {
		id := strconv.FormatInt(n.Add(1), 10)
		if err := bus.Publish(b.Context(), address, id, bustest.Event(id)); err != nil {
			b.Error(err)
		}
	})
	<-all
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkClientAlone is the library's own asynchronous publish of the same bytes:
// what Publish costs beyond that is ours.
func BenchmarkClientAlone(b *testing.B) {
	s := bustest.Server(b)
	bustest.Open(b, bustest.Link(b, s), eventbus.Config{})
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.User().Name, s.User().Password))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	body := bustest.Event("1").Data()
	b.ReportAllocs()
	parallel(b, 64, func() {
		if _, err := nc.Request("events.test.default.webhook.example", body, time.Second); err != nil {
			b.Error(err)
		}
	})
}

// TestIdleConsumers shows what 500 triggers cost that have nothing to do.
func TestIdleConsumers(t *testing.T) {
	const n = 500
	bus := bustest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	memory, goroutines := heap(), runtime.NumGoroutine()
	var wg sync.WaitGroup
	seen := make(chan string, n)
	for i := range n {
		c := eventbus.ConsumerConfig{Sensor: strconv.Itoa(i), Trigger: "t", From: []eventbus.Address{address}}
		wg.Go(func() {
			err := bus.Consume(ctx, c, 64, func(_ context.Context, d *eventbus.Delivery) {
				seen <- c.Sensor
				if err := d.Done(); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	deadline := time.After(20 * time.Second)
	for {
		infos, err := bus.Consumers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(infos) == n {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d consumers of %d", len(infos), n)
		}
	}
	t.Logf("per idle consumer, both sides: %d KiB of heap, %.1f goroutines",
		(heap()-memory)/n/1024, float64(runtime.NumGoroutine()-goroutines)/n)
	// All of them are awake for the first event.
	if err := bus.Publish(t.Context(), address, "1", bustest.Event("1")); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		select {
		case <-seen:
		case <-deadline:
			t.Fatalf("%d of %d got the event", i, n)
		}
	}
	cancel()
	wg.Wait()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
