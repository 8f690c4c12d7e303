// Package lease elects one of several processes to do a piece of work.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

// Store has values that are changed with compare-and-set; eventbus.State is one.
type Store interface {
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// Lease elects: who leads has its name in a value of the store, and writes
// it again and again. Whoever sees a value that nobody has written for TTL, by its own
// clock, takes it over. No two clocks are compared; they only have to run at
// about the same speed.
type Lease struct {
	Store Store
	// Prefix of the keys.
	Prefix string
	// TTL is after how long a process that died is replaced; 15 s if zero. One
	// that cannot reach the store stops its work a third of it earlier.
	TTL time.Duration
}

const defaultTTL = 15 * time.Second

// term is one process's wish to lead.
type term struct {
	store  Store
	key    string
	holder []byte
	ttl    time.Duration
}

// Lead calls run while this process leads in the work of that name, and returns
// when ctx is done or run fails. A run that ends without an error though it could go on
// gives the others a chance, too.
func (l *Lease) Lead(ctx context.Context, name string, run func(ctx context.Context) error) error {
	t := &term{store: l.Store, key: l.Prefix + eventbus.KeyLevel(name), holder: []byte(rand.Text()), ttl: l.TTL}
	if t.ttl <= 0 {
		t.ttl = defaultTTL
	}
	for {
		revision, since, ok := t.take(ctx)
		if !ok {
			return nil
		}
		if err := t.hold(ctx, revision, since, run); err != nil {
			return err
		}
		if !t.pause(ctx, t.ttl/5) {
			return nil
		}
	}
}

// take waits until the value is ours. since is a time at which it was not older.
// It is not ok when ctx is done.
func (t *term) take(ctx context.Context) (revision uint64, since time.Time, ok bool) {
	var seen uint64
	var at time.Time // when seen was seen first
	for ctx.Err() == nil {
		since = time.Now()
		value, current, err := t.get(ctx)
		switch {
		case errors.Is(err, eventbus.ErrNotFound):
			revision, err = t.write(ctx, t.holder, 0)
		case err != nil: // it passes
		case len(value) == 0 || string(value) == string(t.holder) || current == seen && time.Since(at) >= t.ttl:
			revision, err = t.write(ctx, t.holder, current)
		default:
			if current != seen {
				seen, at = current, time.Now()
			}
			err = errTaken
		}
		if err == nil {
			return revision, since, true
		}
		if !t.pause(ctx, t.ttl/5) {
			break
		}
	}
	return 0, time.Time{}, false
}

var errTaken = errors.New("somebody else leads")

// hold runs as long as the value is ours, and gives it back.
func (t *term) hold(ctx context.Context, revision uint64, since time.Time, run func(ctx context.Context) error) error {
	working, cancel := context.WithCancel(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan uint64, 1)
	go func() {
		defer cancel()
		ended <- t.renew(renewing, revision, since)
	}()
	defer func() {
		// Renewal goes on until run has ended, so that nobody begins before.
		stop()
		cancel()
		if revision := <-ended; revision != 0 {
			t.release(ctx, revision)
		}
	}()
	err := run(working)
	if working.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

// renew writes the value again and again until ctx is done, and then returns its
// revision. It returns 0 as soon as the value is not ours any more, or will soon not be.
func (t *term) renew(ctx context.Context, revision uint64, since time.Time) uint64 {
	wait := t.ttl / 4
	for {
		// Others may take the value ttl after they saw it, which is not before since.
		end := since.Add(t.ttl - t.ttl/3)
		if !t.pause(ctx, min(wait, time.Until(end))) {
			return revision
		}
		if !time.Now().Before(end) {
			return 0
		}
		began := time.Now()
		wait = t.ttl / 4
		try, cancel := context.WithDeadline(ctx, end)
		next, err := t.write(try, t.holder, revision)
		if errors.Is(err, eventbus.ErrConflict) {
			// A write whose answer was lost is still ours.
			value, current, getErr := t.get(try)
			if getErr == nil && string(value) != string(t.holder) {
				cancel()
				return 0
			}
			if getErr == nil {
				revision = current
			}
			wait = t.ttl / 50
		} else if err != nil {
			wait = t.ttl / 15
		}
		cancel()
		if err == nil {
			revision, since = next, began
		}
	}
}

// release lets the next one begin at once.
func (t *term) release(ctx context.Context, revision uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.ttl/5)
	defer cancel()
	_, _ = t.write(ctx, nil, revision) // otherwise the next one begins after ttl
}

func (t *term) get(ctx context.Context) ([]byte, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.ttl/3)
	defer cancel()
	return t.store.Get(ctx, t.key)
}

// write stores a value over a revision; 0 is none.
func (t *term) write(ctx context.Context, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.ttl/3)
	defer cancel()
	var err error
	if revision == 0 {
		revision, err = t.store.Create(ctx, t.key, value)
	} else {
		revision, err = t.store.Update(ctx, t.key, value, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("lease: %w", err)
	}
	return revision, nil
}

func (t *term) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
