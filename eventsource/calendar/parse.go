package calendar

import (
	"strings"
	"time"
	_ "time/tzdata" // images without zone files know all zones too

	"github.com/robfig/cron/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// cutZone splits CRON_TZ=Zone or TZ=Zone off the front of a schedule.
func cutZone(schedule string) (zone, expression string) {
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		if rest, ok := strings.CutPrefix(schedule, prefix); ok {
			if i := strings.IndexAny(rest, " \t"); i >= 0 {
				return rest[:i], strings.TrimSpace(rest[i:])
			}
			return rest, ""
		}
	}
	return "", schedule
}

func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, v1alpha1.Invalid("", "unknown time zone %q", name).Hinted("use a name such as Europe/Berlin or UTC")
	}
	return zone, nil
}

// descriptors are what people write who know them from other crons.
var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
	"@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// parseCron reads an expression of five fields. The schedule it gives is for
// times in UTC. Fixed tells that it names the hours and minutes of a day one by
// one, without any *.
func parseCron(expression string) (_ *cron.SpecSchedule, fixed bool, _ error) {
	fields := strings.Fields(expression)
	if strings.HasPrefix(expression, "@") {
		p := v1alpha1.Invalid("", "%q is not a cron expression of five fields", expression)
		if same, ok := descriptors[strings.ToLower(expression)]; ok {
			return nil, false, p.Hinted("write %q", same)
		}
		return nil, false, p.Hinted("for equal distances use interval")
	}
	if len(fields) != 5 {
		p := v1alpha1.Invalid("", "has %d fields, want five: minute hour day-of-month month day-of-week", len(fields))
		if len(fields) == 6 {
			p = p.Hinted("there is no field for seconds; for ticks within a minute use interval")
		}
		return nil, false, p
	}
	for _, f := range fields {
		if strings.Trim(f, ",") == "" {
			return nil, false, v1alpha1.Invalid("", "the field %q names nothing", f)
		}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse("TZ=UTC " + expression)
	if err != nil {
		p := v1alpha1.Invalid("", "%v", err)
		if strings.Contains(fields[4], "7") {
			p = p.Hinted("days of the week are 0 (Sunday) to 6")
		}
		return nil, false, p
	}
	spec := parsed.(*cron.SpecSchedule) // what Parse makes of anything but a descriptor
	if nextWall(spec, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, false, v1alpha1.Invalid("", "%q never occurs", expression).Hinted("no such month has that day")
	}
	return spec, !strings.ContainsAny(fields[0]+fields[1], "*?"), nil
}

func parseInterval(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, noDuration(text)
	}
	if d < time.Millisecond {
		return 0, v1alpha1.Invalid("", "%s is too short, at least 1ms is needed", text)
	}
	return d, nil
}

func noDuration(text string) error {
	return v1alpha1.Invalid("", "%q is no duration", text).Hinted("write a number with a unit, such as 10s or 1h30m")
}

// day is a day of the calendar, in no zone.
type day struct {
	year  int
	month time.Month
	date  int
}

func dayOf(t time.Time) day {
	y, m, d := t.Date()
	return day{y, m, d}
}

// parseExclusion reads one entry of exclusionDates: dates or date-times as RFC
// 5545 writes them, with or without EXDATE and its parameters in front.
func parseExclusion(entry string) ([]day, error) {
	values := entry
	if head, rest, ok := strings.Cut(entry, ":"); ok {
		name, _, _ := strings.Cut(head, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "EXDATE") {
			return nil, noDate(entry)
		}
		values = rest
	}
	var days []day
	for value := range strings.SplitSeq(values, ",") {
		d, ok := parseDay(strings.TrimSpace(value))
		if !ok {
			return nil, noDate(value)
		}
		days = append(days, d)
	}
	return days, nil
}

func parseDay(value string) (day, bool) {
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if len(layout) != len(value) {
			continue // time.Parse lets fractions of a second pass
		}
		if t, err := time.Parse(layout, value); err == nil {
			return dayOf(t), true
		}
	}
	return day{}, false
}

func noDate(text string) error {
	return v1alpha1.Invalid("", "%q is no date", text).Hinted("write EXDATE:20260102T150405Z or 20260102")
}
