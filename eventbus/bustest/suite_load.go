package bustest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

const (
	loadPublishers = 8
	loadEach       = 250
)

// Survive checks that nothing is lost when disturb, which runs in the middle of
// steady publishing and consuming, takes the bus away and brings it back. What
// Publish refused is published again, as sources do.
func Survive(t *testing.T, env Env, disturb func()) {
	t.Helper()
	config := eventbus.Config{Namespace: "load", Name: t.Name()}
	out, in := open(t, env, config), open(t, env, config)
	ensure(t, in, trigger)

	var mu sync.Mutex
	seen := map[string]int{}
	start(t, in, trigger, 16, func(_ context.Context, d *eventbus.Delivery) {
		if d.Err != nil {
			t.Error(d.Err)
			return
		}
		mu.Lock()
		seen[d.Event.ID()]++
		mu.Unlock()
		// If this fails the message comes again, which is no loss.
		_ = d.DoneSync()
	})

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var wg sync.WaitGroup
	var published, refused atomic.Int64
	for p := range loadPublishers {
		wg.Go(func() {
			for i := range loadEach {
				id := fmt.Sprintf("%d-%d", p, i)
				for out.Publish(ctx, hook, id, Event(id)) != nil {
					refused.Add(1)
					if ctx.Err() != nil {
						t.Error("cannot publish any more")
						return
					}
					pause(ctx, 10*time.Millisecond)
				}
				published.Add(1)
			}
		})
	}
	const all = loadPublishers * loadEach
	eventually(t, "a third is published", func() bool { return published.Load() > all/3 })
	disturb()
	wg.Wait()
	eventually(t, "everything arrives", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == all
	})
	mu.Lock() // not until the end: the handlers of what comes again need it
	twice := 0
	for _, n := range seen {
		twice += n - 1
	}
	mu.Unlock()
	t.Logf("%d events, %d delivered again, %d publishes refused", all, twice, refused.Load())
	eventually(t, "everything is acknowledged", func() bool {
		infos, err := in.Consumers(ctx)
		return err == nil && len(infos) == 1 && infos[0].Waiting+infos[0].InWork == 0
	})
}
