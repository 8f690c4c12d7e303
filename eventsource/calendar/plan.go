package calendar

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/robfig/cron/v3"
)

// ticks is an endless row of times.
type ticks interface {
	// next is the first tick later than after, or zero if there is none.
	next(after time.Time) time.Time
}

// plan is a row of ticks without those of the excluded days.
type plan struct {
	ticks
	zone     *time.Location
	excluded map[day]bool
	// name is the schedule or the interval, for ids.
	name string
}

// next implements ticks; what it returns is in the plan's zone.
func (p *plan) next(after time.Time) time.Time {
	for {
		t := p.ticks.next(after)
		if t.IsZero() {
			return t
		}
		t = t.In(p.zone)
		if !p.excluded[dayOf(t)] {
			return t
		}
		// A day may have millions of ticks: go on at its end.
		after = t
		y, m, d := t.Date()
		if end := time.Date(y, m, d+1, 0, 0, 0, 0, p.zone).Add(-1); end.After(t) {
			after = end
		}
	}
}

// id is the same for a tick on every replica and after every restart.
func (p *plan) id(tick time.Time) string {
	sum := sha256.Sum256([]byte(p.name + "\x00" + p.zone.String()))
	return hex.EncodeToString(sum[:4]) + "-" + tick.UTC().Format(time.RFC3339Nano)
}

// interval has its ticks at the multiples of itself since 1970, so that all
// replicas agree on them without a word.
type interval time.Duration

func (every interval) next(after time.Time) time.Time {
	epoch := time.Unix(0, 0)
	if after.Before(epoch) {
		return epoch
	}
	n := after.UnixNano()
	return time.Unix(0, n-n%int64(every)+int64(every))
}

// cronTicks are the times at which the clock of a zone shows what the
// expression asks for. Where the clock is changed, an expression with a * for
// hours or minutes follows the clock: skipped hours have no ticks, repeated
// ones have them twice. One that is fixed means "once that day": a time that is
// skipped is made up for at once, a time that comes twice counts the first time.
type cronTicks struct {
	spec  *cron.SpecSchedule // of UTC times
	zone  *time.Location
	fixed bool
}

func (c cronTicks) next(after time.Time) time.Time {
	if c.fixed {
		return c.nextFixed(after)
	}
	// Between two changes of the clock the zone differs from UTC by a fixed time.
	segment := after.In(c.zone)
	from := wall(segment)
	for {
		w := nextWall(c.spec, from)
		if w.IsZero() {
			return w
		}
		at := w.Add(-offset(segment))
		_, end := segment.ZoneBounds()
		if !end.IsZero() && !end.After(segment) {
			// Where the zone is given by a rule, the time package takes every
			// year for one of 365 days. No clock changes on the last day.
			end = segment.Add(24 * time.Hour)
		}
		if end.IsZero() || at.Before(end) {
			return at
		}
		segment = end.In(c.zone)
		from = wall(segment).Add(-1)
	}
}

func (c cronTicks) nextFixed(after time.Time) time.Time {
	for w := wall(after.In(c.zone)); ; {
		if w = nextWall(c.spec, w); w.IsZero() {
			return w
		}
		if at := firstShown(w, c.zone); at.After(after) {
			return at
		}
	}
}

// firstShown is when the clock of zone shows w for the first time, or if it
// never does, when it jumps over w.
func firstShown(w time.Time, zone *time.Location) time.Time {
	t := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, zone)
	start, end := t.ZoneBounds()
	switch shown := wall(t); {
	case shown.Before(w):
		return end
	case shown.After(w):
		return start
	case start.IsZero():
		return t
	}
	earlier := w.Add(-offset(start.Add(-1).In(zone)))
	if earlier.Before(start) {
		return earlier
	}
	return t
}

// wall is the UTC time at which a clock in UTC shows what a clock in t's zone
// shows at t.
func wall(t time.Time) time.Time { return t.Add(offset(t)).UTC() }

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// nextWall is the first time later than w that matches spec, all in UTC.
func nextWall(spec *cron.SpecSchedule, w time.Time) time.Time {
	// One search looks five years ahead; around 2100 leap days are eight apart.
	for range 3 {
		if n := spec.Next(w); !n.IsZero() {
			return n
		}
		w = w.AddDate(5, 0, 0)
	}
	return time.Time{}
}
