// Package calendar emits an event at the times of a cron schedule or an interval.
package calendar

import (
	"errors"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// Kind is spec.calendar.
var Kind = eventsource.Kind{
	Kind:     kind.Of("calendar", New),
	DataKeys: []string{"eventTime", "metadata"},
}

// Config says when to emit: schedule or interval is needed.
type Config struct {
	v1alpha1.EventCommon `json:",inline"`

	// Schedule is a cron expression of five fields: minute, hour, day of the
	// month, month, day of the week (0-6, Sunday is 0). Names of months and days
	// (jan, mon) and ? for * are understood. CRON_TZ=Europe/Berlin in front sets
	// the time zone. It wins over interval.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// Interval is a Go duration, at least 1ms, for example 10s. Ticks lie at the
	// whole multiples of it since 1970-01-01 00:00 UTC.
	// +optional
	Interval string `json:"interval,omitempty"`
	// ExclusionDates are days without ticks, as EXDATE:20260102T150405Z or
	// 20260102, several in one entry separated by commas. Only the day counts,
	// as written, and is compared with the tick's day in the time zone.
	// +optional
	ExclusionDates []string `json:"exclusionDates,omitempty"`
	// Timezone of the schedule, for example Europe/Berlin. Defaults to the
	// local zone of the process.
	// +optional
	Timezone string `json:"timezone,omitempty"`
	// Persistence keeps in mind which ticks were emitted, so that those missed
	// while the process was down can be made up for.
	// +optional
	Persistence *Persistence `json:"persistence,omitempty"`
}

// Persistence keeps the time of the last tick on the event bus.
type Persistence struct {
	// Catchup emits missed ticks at start.
	// +optional
	Catchup *Catchup `json:"catchup,omitempty"`
	// ConfigMap names the record of what was emitted.
	// +optional
	ConfigMap *ConfigMap `json:"configMap,omitempty"`
}

// Catchup emits missed ticks at start.
type Catchup struct {
	// Enabled turns catching up on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// MaxDuration is how far back missed ticks are emitted, a Go duration.
	// Without it there is no limit.
	// +optional
	MaxDuration string `json:"maxDuration,omitempty"`
}

// ConfigMap names the record of what was emitted.
type ConfigMap struct {
	// Name of the record, which is kept on the event bus. Defaults to "default".
	// +optional
	Name string `json:"name,omitempty"`
	// CreateIfNotExist has no effect: the record is made when it is needed.
	// +optional
	CreateIfNotExist bool `json:"createIfNotExist,omitempty"`
}

// Default implements kind.Config.
func (c *Config) Default() {
	c.Schedule, c.Interval = strings.TrimSpace(c.Schedule), strings.TrimSpace(c.Interval)
	if p := c.Persistence; p != nil && (p.ConfigMap == nil || p.ConfigMap.Name == "") {
		p.ConfigMap = &ConfigMap{Name: "default"}
	}
}

// Validate implements kind.Config.
func (c *Config) Validate() error {
	_, planned := c.plan()
	_, reached := c.reach()
	return errors.Join(planned, v1alpha1.At("persistence.catchup.maxDuration", reached))
}

// plan turns the configuration into the ticks it stands for.
func (c *Config) plan() (*plan, error) {
	p := &plan{zone: time.Local}
	var errs []error
	add := func(path string, err error) { errs = append(errs, v1alpha1.At(path, err)) }

	zone, expression := cutZone(c.Schedule)
	var err error
	if c.Timezone != "" {
		p.zone, err = loadZone(c.Timezone)
		add("timezone", err)
	}
	if zone != "" {
		if c.Timezone != "" && c.Timezone != zone {
			errs = append(errs, v1alpha1.Warn("timezone", "is ignored because the schedule names %s itself", zone))
		}
		p.zone, err = loadZone(zone)
		add("schedule", err)
	}

	switch {
	case c.Schedule != "":
		if c.Interval != "" {
			errs = append(errs, v1alpha1.Warn("interval", "is ignored because there is a schedule").Hinted("remove one of them"))
		}
		spec, fixed, err := parseCron(expression)
		add("schedule", err)
		p.ticks, p.name = cronTicks{spec, p.zone, fixed}, expression
	case c.Interval != "":
		every, err := parseInterval(c.Interval)
		add("interval", err)
		p.ticks, p.name = interval(every), every.String()
	default:
		errs = append(errs, v1alpha1.Invalid("", "does not say when to emit").Hinted("give schedule or interval"))
	}

	p.excluded = map[day]bool{}
	for i, entry := range c.ExclusionDates {
		days, err := parseExclusion(entry)
		add("exclusionDates"+v1alpha1.Index(i), err)
		for _, d := range days {
			p.excluded[d] = true
		}
	}
	return p, errors.Join(errs...)
}

// defaultReach is how far back a source without catch-up goes for ticks that
// came due while it ran but could not emit: it waited for the bus, or the
// machine was suspended.
const defaultReach = time.Hour

// reach is how far back missed ticks are emitted; 0 means any time.
func (c *Config) reach() (time.Duration, error) {
	if c.Persistence == nil || c.Persistence.Catchup == nil {
		return defaultReach, nil
	}
	catchup := c.Persistence.Catchup
	var limit time.Duration
	if catchup.MaxDuration != "" {
		var err error
		if limit, err = time.ParseDuration(catchup.MaxDuration); err != nil {
			return 0, noDuration(catchup.MaxDuration)
		}
		if limit <= 0 {
			return 0, v1alpha1.Invalid("", "%s is not above zero", catchup.MaxDuration)
		}
	}
	if !catchup.Enabled {
		return defaultReach, nil
	}
	return limit, nil
}

func (c *Config) catchesUp() bool {
	return c.Persistence != nil && c.Persistence.Catchup != nil && c.Persistence.Catchup.Enabled
}
