package dataplane

import (
	"os"
	"runtime"
	"runtime/debug"
)

// headroom is what may be allocated between two collections of garbage at
// least. A small process would collect many times a second under load.
const headroom = 48 << 20

// tuneMemory sets how often garbage is collected by what is live now: a small
// process takes its ease, a large one keeps to the default. The user's GOGC
// wins; GOMEMLIMIT counts beside it.
func tuneMemory() {
	forgetStart()
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.FreeOSMemory() // collects, and gives back what starting took
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(int(min(max(headroom*100/max(m.HeapAlloc, 1), 100), 500)))
}
