package sensor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
)

// limiter gives each firing a time slot, so that a trigger acts no more often
// than its rate limit says, over all replicas and over restarts. The next free
// slot is kept on the bus and moved with compare-and-set; fast limits reserve
// several slots at once.
type limiter struct {
	state    *eventbus.State
	key      string
	interval time.Duration
	block    int

	mu   sync.Mutex
	next time.Time // first slot of our own that is free
	left int
}

// savedSlots are how many unused slots are kept for a burst.
const savedSlots = 10

func newLimiter(state *eventbus.State, key string, r *v1alpha1.RateLimit) *limiter {
	unit := time.Second
	switch r.Unit {
	case "Minute":
		unit = time.Minute
	case "Hour":
		unit = time.Hour
	}
	interval := unit / time.Duration(max(r.RequestsPerUnit, 1))
	return &limiter{
		state: state, key: key, interval: interval,
		// a fiftieth of a second's worth, so that one change of state serves it
		block: max(1, int(20*time.Millisecond/max(interval, 1))),
	}
}

// slot reserves the next one.
func (l *limiter) slot(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || time.Since(l.next) > time.Second {
		if err := l.reserve(ctx); err != nil {
			return time.Time{}, err
		}
	}
	at := l.next
	l.next, l.left = l.next.Add(l.interval), l.left-1
	return at, nil
}

func (l *limiter) reserve(ctx context.Context) error {
	for {
		b, rev, err := l.state.Get(ctx, l.key)
		if err != nil && !errors.Is(err, eventbus.ErrNotFound) {
			return fmt.Errorf("read the rate limit's state: %w", err)
		}
		first := time.Now().Add(-savedSlots * l.interval)
		if ns, parseErr := strconv.ParseInt(string(b), 10, 64); parseErr == nil && time.Unix(0, ns).After(first) {
			first = time.Unix(0, ns)
		}
		after := []byte(strconv.FormatInt(first.Add(time.Duration(l.block)*l.interval).UnixNano(), 10))
		if err != nil {
			_, err = l.state.Create(ctx, l.key, after)
		} else {
			_, err = l.state.Update(ctx, l.key, after, rev)
		}
		if errors.Is(err, eventbus.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keep the rate limit's state: %w", err)
		}
		l.next, l.left = first, l.block
		return nil
	}
}

// longWait is the wait above which a firing is given back to the bus instead of
// keeping a worker waiting.
const longWait = 2 * time.Second

// waitForSlot waits until the firing may go. It returns a positive duration if
// the firing should be given back to the bus for so long.
func (t *runner) waitForSlot(ctx context.Context, f *firing, p *progress) (time.Duration, error) {
	if t.limit == nil || !p.First.IsZero() || p.Total > 0 {
		return 0, nil
	}
	if p.Slot.IsZero() {
		slot, err := t.limit.slot(ctx)
		if err != nil {
			return 0, err
		}
		wait := time.Until(slot)
		if wait <= 0 {
			return 0, nil
		}
		if wait > longWait {
			p.Slot = slot.UTC()
			return wait, t.saveProgress(ctx, f.id, p)
		}
		return 0, t.sleep(ctx, wait)
	}
	wait := time.Until(p.Slot)
	if wait > longWait {
		return wait, nil
	}
	return 0, t.sleep(ctx, wait)
}

// sleep waits, or returns an error if the sensor is stopped meanwhile.
func (t *runner) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.stopping:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
