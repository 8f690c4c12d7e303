package eventsource

import (
	"context"
	"errors"
	"time"
)

const (
	firstInsist = 100 * time.Millisecond
	lastInsist  = 5 * time.Second
)

// Insist emits e until it is stored, for sources whose upstream does not bring an
// event a second time. It waits between tries, longer each time. The error wraps
// ErrTooLarge if e can never be stored, or is that of ctx. The runner logs what
// goes wrong meanwhile.
func Insist(ctx context.Context, emit Emit, e Event) error {
	for wait := firstInsist; ; wait = min(2*wait, lastInsist) {
		err := emit(ctx, e)
		if err == nil || errors.Is(err, ErrTooLarge) {
			return err
		}
		if !Sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// Sleep waits for d; false means that ctx is done.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
