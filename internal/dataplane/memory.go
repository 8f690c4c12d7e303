package dataplane

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is what may be allocated between two collections of garbage at
// least. A small process would collect many times a second under load.
const headroom = 48 << 20

// tuneMemory sets how often garbage is collected by what is live now: a small
// process takes its ease, a large one keeps to the default. The user's GOGC
// wins, and so does GOMEMLIMIT.
func tuneMemory() {
	forgetStart()
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.FreeOSMemory() // collects, and gives back what starting took
	setPercent()
}

func setPercent() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := uint64(leastPercent)
	if n := max(live[0].Value.Uint64(), 1); n < headroom {
		percent = min(headroom*100/n, 500)
	}
	debug.SetGCPercent(int(percent)) //nolint:gosec // at most 500
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(max(eager, 2*live[0].Value.Uint64()))) //nolint:gosec // no machine has that much
	}
}

// eager is from where on memory that is free is given back to the system at once.
// It is never so near to what is live that collecting would take all the time.
const eager = 144 << 20

// leastPercent is where a large process is collected more often than by default:
// while senders fill the memory that bodies may take, it must not double.
const leastPercent = 33

// followMemory sets it anew after each collection, until ctx is done: a burst of
// large requests makes a small process large within a moment.
func followMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	var again func(*cycle)
	again = func(c *cycle) {
		if ctx.Err() == nil {
			setPercent()
			runtime.SetFinalizer(c, again)
		}
	}
	runtime.SetFinalizer(&cycle{}, again)
}

// cycle is garbage, which is found once in each collection.
type cycle struct{ _ [16]byte }
