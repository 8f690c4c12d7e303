package calendar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
)

// errNoTime is wrapped by load's error if the record holds something else.
var errNoTime = errors.New("not a time")

// record is the time up to which all ticks are emitted, kept on the bus and
// shared by all replicas.
type record struct {
	state eventsource.State
	key   string

	saved   time.Time
	failing bool
}

// load returns the zero time if there is no record.
func (r *record) load(ctx context.Context) (time.Time, error) {
	b, err := r.state.Get(ctx, r.key)
	if err != nil {
		return time.Time{}, fmt.Errorf("read progress %q: %w", r.key, err)
	}
	if b == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return time.Time{}, fmt.Errorf("read progress %q: %w: %.40q", r.key, errNoTime, b)
	}
	return t, nil
}

// save does nothing if another replica is ahead already.
func (r *record) save(ctx context.Context, t time.Time) error {
	there, err := r.load(ctx)
	if err != nil && !errors.Is(err, errNoTime) {
		return err
	}
	ahead := there.Sub(t)
	if ahead < 0 || ahead > setBack { // that far ahead it is a mistake of a clock
		if err := r.state.Put(ctx, r.key, []byte(t.UTC().Format(time.RFC3339Nano))); err != nil {
			return fmt.Errorf("write progress %q: %w", r.key, err)
		}
	}
	r.saved = t
	return nil
}
