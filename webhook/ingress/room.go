package ingress

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// room is what requests of all ports share: the memory of their bodies, and the
// work that is done for them.
type room struct {
	limits Limits

	// used is what bodies have taken, large that part of it that is beyond the
	// first smallBody bytes of each; leaving is what will be given back by those
	// that have been given up.
	used, large           atomic.Int64
	leaving, leavingLarge atomic.Int64

	// working counts requests; the lanes are for bodies by their bytes, so that
	// what is large waits for what is large.
	working                      atomic.Int64
	smallWork, largeWork         *semaphore.Weighted
	mostSmallWork, mostLargeWork int64

	mu   sync.Mutex
	slow list.List // of *body that did not come at once, the oldest first
}

func newRoom(l Limits) *room {
	r := &room{limits: l, mostSmallWork: max(l.Memory/6, smallBody), mostLargeWork: max(l.Memory/6, smallBody)}
	r.smallWork, r.largeWork = semaphore.NewWeighted(r.mostSmallWork), semaphore.NewWeighted(r.mostLargeWork)
	return r
}

// patience is how old a slow body has to be before it is given up for others.
const patience = 500 * time.Millisecond

// take lets b have n bytes more in all.
func (r *room) take(b *body, n int64) bool {
	if r == nil {
		return true
	}
	// What is beyond smallBody is large.
	taken := b.taken.Load()
	large := max(0, taken+n-smallBody) - max(0, taken-smallBody)
	used, usedLarge := r.used.Add(n), r.large.Add(large)
	if used-r.leaving.Load() <= r.limits.Memory && (large == 0 || usedLarge-r.leavingLarge.Load() <= r.mostLarge()) || r.squeeze(b, large > 0) {
		b.taken.Store(taken + n)
		return true
	}
	r.used.Add(-n)
	r.large.Add(-large)
	return false
}

func (r *room) mostLarge() int64 { return r.limits.Memory / 12 * 7 }

// squeeze gives up the oldest slow bodies until all that is taken fits.
func (r *room) squeeze(but *body, large bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	fits := func() bool {
		return r.used.Load()-r.leaving.Load() <= r.limits.Memory && (!large || r.large.Load()-r.leavingLarge.Load() <= r.mostLarge())
	}
	now := time.Now()
	for e := r.slow.Front(); e != nil && !fits(); {
		b, next := e.Value.(*body), e.Next()
		if now.Sub(b.begun) < patience {
			break // and all behind it are younger
		}
		if b != but {
			r.giveUp(b)
		}
		e = next
	}
	return fits()
}

// giveUp makes the reading of b fail. The lock is held.
func (r *room) giveUp(b *body) {
	r.slow.Remove(b.place)
	b.place, b.givenUp = nil, true
	b.leaving = b.taken.Load()
	r.leaving.Add(b.leaving)
	r.leavingLarge.Add(max(0, b.leaving-smallBody))
	b.abort()
}

// linger notes that b does not come at once. There are as many such as there may
// be connections; the oldest is given up for one more.
func (r *room) linger(b *body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow.Len() >= r.limits.Connections {
		r.giveUp(r.slow.Front().Value.(*body))
	}
	b.place = r.slow.PushBack(b)
}

// arrived takes b, which has come whole or has failed, off the list of slow ones.
// It tells whether it had been given up.
func (r *room) arrived(b *body) (givenUp bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.place != nil {
		r.slow.Remove(b.place)
		b.place = nil
	}
	return b.givenUp
}

// giveBack returns what b has taken.
func (r *room) giveBack(b *body) {
	if b.leaving > 0 {
		r.leaving.Add(-b.leaving)
		r.leavingLarge.Add(-max(0, b.leaving-smallBody))
		b.leaving = 0
	}
	taken := b.taken.Swap(0)
	r.used.Add(-taken)
	r.large.Add(-max(0, taken-smallBody))
}

// tinyBody is a body that is not worth waiting for a turn with.
const tinyBody = 4 << 10

// turn is the right to work at a request.
type turn struct {
	room *room
	lane *semaphore.Weighted
	n    int64
}

func (t turn) end() {
	if t.lane != nil {
		t.lane.Release(t.n)
	}
	t.room.working.Add(-1)
}

// work waits for the turn of a body of n bytes: events are copies of it, and what
// is made of it on the way may be larger still. The error is an *Error.
func (r *room) work(ctx context.Context, n int64) (turn, error) {
	if r.working.Add(1) > int64(r.limits.Requests) {
		r.working.Add(-1)
		return turn{}, overloaded("too many requests are being worked at")
	}
	t := turn{room: r}
	if n <= tinyBody {
		return t, nil
	}
	lane, most := r.smallWork, r.mostSmallWork
	if n > smallBody {
		lane, most = r.largeWork, r.mostLargeWork
	}
	n = min(n, most)
	if err := lane.Acquire(ctx, n); err != nil {
		t.end()
		return turn{}, overloaded("the sender has gone")
	}
	t.lane, t.n = lane, n
	return t, nil
}
