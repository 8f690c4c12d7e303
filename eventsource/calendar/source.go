package calendar

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

const (
	// recheck is how often the wall clock is looked at while waiting: it may be
	// set, and timers stand still while the machine is suspended.
	recheck = time.Minute
	// setBack is how far the clock may be behind the last tick before that
	// tick's time is taken for a mistake of the clock. Up to it the source waits
	// until the clock has made up, so that no tick comes twice.
	setBack = 24 * time.Hour

	// recordTimeout bounds a write of the progress.
	recordTimeout = 5 * time.Second
)

type source struct {
	plan     *plan
	metadata map[string]string
	log      *slog.Logger
	// reach is how far back missed ticks are emitted; 0 means any time.
	reach time.Duration
	// record is nil without persistence.
	record  *record
	catchUp bool
	now     func() time.Time

	// since is when the first Run began, kept for the next one if it ended with
	// an error: without a record, ticks up to then are not this source's business.
	since time.Time
	// tooLarge keeps what is the same at every tick from being logged at each.
	tooLarge bool
}

// New makes the source of one entry.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	p, err := c.plan()
	reach, reachErr := c.reach()
	if err := v1alpha1.Fatal(errors.Join(err, reachErr)); err != nil {
		return nil, err
	}
	s := &source{plan: p, metadata: c.Metadata, log: env.Log, reach: reach, catchUp: c.catchesUp(), now: wallClock}
	if c.Persistence != nil {
		s.record = &record{state: env.State, key: c.Persistence.ConfigMap.Name}
	}
	return s, nil
}

// wallClock is without Go's monotonic reading, which knows nothing of a clock
// that is set or of a suspended machine.
func wallClock() time.Time { return time.Now().Round(0) }

// Run implements eventsource.Source. Ticks are emitted in their order; one that
// cannot be stored is tried again until it can, and those after it wait.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	err := s.run(ctx, emit)
	if ctx.Err() != nil {
		s.since = time.Time{}
		return nil
	}
	return err
}

// run ends when ctx is done or with an error.
func (s *source) run(ctx context.Context, emit eventsource.Emit) error {
	last, err := s.begin(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		now := s.now()
		if last.After(now.Add(setBack)) {
			s.log.Warn("the clock was set back, starting again from now", "last", last, "now", now)
			last = now
		}
		s.keep(ctx, last)
		tick := s.due(last, now)
		if tick.IsZero() {
			return eventsource.Permanent(errors.New("no tick is left"))
		}
		if wait := tick.Sub(now); wait > 0 {
			eventsource.Sleep(ctx, min(wait, recheck))
			continue
		}
		if !s.store(ctx, emit, tick) {
			break
		}
		last = tick
		s.keep(ctx, last)
	}
	return nil
}

// begin is the time up to which nothing is left to do.
func (s *source) begin(ctx context.Context) (time.Time, error) {
	now := s.now()
	if s.since.IsZero() {
		s.since = now
	}
	if !s.catchUp {
		return s.since, nil
	}
	last, err := s.record.load(ctx)
	switch {
	case errors.Is(err, errNoTime):
		s.log.Warn("what was emitted before is not known, starting from now", "error", err)
		return s.since, nil
	case err != nil:
		return time.Time{}, err
	case last.IsZero():
		return s.since, nil
	}
	if oldest := now.Add(-s.reach); s.reach > 0 && last.Before(oldest) {
		s.log.Warn("ticks older than maxDuration are not made up for", "from", last, "to", oldest)
		last = oldest
	}
	return last, nil
}

// due is the tick to emit after last. It is the next one, unless that is out of
// reach: then it is the first within reach, and if there is none, the latest
// that has passed, so that even after a long time a nightly job runs once.
func (s *source) due(last, now time.Time) time.Time {
	tick := s.plan.next(last)
	oldest := now.Add(-s.reach)
	if s.reach == 0 || tick.IsZero() || !tick.Before(oldest) {
		return tick
	}
	found := s.plan.next(oldest.Add(-1))
	if found.IsZero() || found.After(now) {
		found = tick
		for t := tick; !t.IsZero() && !t.After(now); t = s.plan.next(t) {
			found = t
		}
	}
	if !found.Equal(tick) {
		s.log.Warn("ticks were missed and are too old to be made up for", "from", tick, "until", found)
	}
	return found
}

// data is the payload of an event.
type data struct {
	EventTime string            `json:"eventTime"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// store emits the tick until it is stored or found to be too large for that.
// False means that ctx is done.
func (s *source) store(ctx context.Context, emit eventsource.Emit, tick time.Time) bool {
	// A string and a map of strings can always be encoded.
	payload, _ := json.Marshal(data{EventTime: tick.String(), Metadata: s.metadata}) //nolint:errchkjson // see above
	e := eventsource.Event{ID: s.plan.id(tick), Data: payload, Time: tick}
	err := eventsource.Insist(ctx, emit, e)
	if errors.Is(err, eventsource.ErrTooLarge) {
		if !s.tooLarge {
			s.log.Error("ticks cannot be stored, their metadata is too large", "tick", tick, "error", err)
		}
		s.tooLarge = true
		return true
	}
	return err == nil
}

// keep records that everything up to last is emitted. What fails now is tried
// again at the next tick or look at the clock.
func (s *source) keep(ctx context.Context, last time.Time) {
	if s.record == nil || s.record.saved.Equal(last) {
		return
	}
	// Not cut short by the end of ctx: a tick that is stored shall be on record.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	err := s.record.save(ctx, last)
	if err != nil && !s.record.failing {
		s.log.Warn("progress not recorded, trying again", "error", err)
	}
	s.record.failing = err != nil
}
