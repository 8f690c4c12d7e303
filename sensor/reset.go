package sensor

import (
	"context"
	"errors"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// reset is a schedule at whose ticks half-met conditions are forgotten.
type reset struct{ schedule cron.Schedule }

var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func parseReset(c v1alpha1.ConditionsResetCriteria) (reset, error) {
	if c.ByTime == nil {
		return reset{}, v1alpha1.Invalid("byTime", "is required")
	}
	var errs []error
	loc := time.Local
	if c.ByTime.Timezone != "" {
		l, err := time.LoadLocation(c.ByTime.Timezone)
		if err != nil {
			errs = append(errs, v1alpha1.Invalid("byTime.timezone", "unknown time zone %q", c.ByTime.Timezone).
				Hinted("use an IANA name such as Europe/Berlin"))
		} else {
			loc = l
		}
	}
	s, err := fiveFields.Parse(c.ByTime.Cron)
	if err != nil {
		errs = append(errs, v1alpha1.Invalid("byTime.cron", "%q is no schedule: %v", c.ByTime.Cron, err).
			Hinted("five fields: minute hour day month weekday"))
	} else if s.Next(time.Now()).IsZero() {
		errs = append(errs, v1alpha1.Invalid("byTime.cron", "%q never occurs", c.ByTime.Cron))
	}
	if err := errors.Join(errs...); err != nil {
		return reset{}, err
	}
	return reset{inZone{s, loc}}, nil
}

// inZone reckons a schedule in a zone of its own.
type inZone struct {
	cron.Schedule
	loc *time.Location
}

func (z inZone) Next(t time.Time) time.Time { return z.Schedule.Next(t.In(z.loc)) }

// last is the newest tick in (from, to]; zero if there is none.
func (r reset) last(from, to time.Time) time.Time {
	// Halving the span finds the newest tick without walking over all of them.
	var found time.Time
	for lo, hi := from, to; lo.Before(hi); {
		mid := lo.Add(hi.Sub(lo) / 2)
		if next := r.schedule.Next(mid); !next.IsZero() && !next.After(to) {
			found, lo = next, next
			continue
		}
		if next := r.schedule.Next(lo); !next.IsZero() && !next.After(mid) {
			found, lo, hi = next, next, mid
			continue
		}
		break
	}
	return found
}

// resetLoop forgets half-met conditions at each tick until ctx is done. Ticks
// missed while no replica was running are made up for by prepare.
func (t *runner) resetLoop(ctx context.Context) {
	for {
		now := time.Now()
		var next time.Time
		for _, r := range t.plan.resets {
			if n := r.schedule.Next(now); !n.IsZero() && (next.IsZero() || n.Before(next)) {
				next = n
			}
		}
		if next.IsZero() {
			return
		}
		timer := time.NewTimer(min(time.Until(next), time.Minute)) // look at the clock again: it may jump
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if time.Now().Before(next) {
			continue
		}
		for ctx.Err() == nil {
			err := t.join.resetBefore(ctx, next)
			if err == nil {
				break
			}
			t.log.Warn("conditions are not reset yet", "error", err)
			if t.sleep(ctx, time.Second) != nil {
				return
			}
		}
	}
}
