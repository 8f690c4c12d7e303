package calendar

import (
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func FuzzSchedule(f *testing.F) {
	for _, s := range []string{
		"30 * * * *", "0 9 ? jan-FEB mon", "*/7,3 1-5/2 * * *", "CRON_TZ=Europe/Berlin 30 2 * * *", "TZ=", "TZ=UTC", "@hourly",
		"0 0 30 2 *", "0 0 29 2 *", ", , , , ,", "0 0 * * 7", "9999999999999999999 * * * *", "*/9223372036854775807 * * * *", "- - - - -",
	} {
		f.Add(s, int64(1774746000))
		f.Add(s, time.Date(2040, 12, 31, 1, 0, 0, 0, time.UTC).Unix())
	}
	f.Fuzz(func(t *testing.T, schedule string, unix int64) {
		if unix < 0 || unix > 1<<33 {
			return
		}
		c := Config{Schedule: schedule, Timezone: "Europe/Berlin"}
		c.Default()
		if v1alpha1.Fatal(c.Validate()) != nil {
			return
		}
		p, err := c.plan()
		if v1alpha1.Fatal(err) != nil {
			t.Fatal(err)
		}
		at := time.Unix(unix, 0)
		for range 5 {
			next := p.next(at)
			if !next.After(at) {
				t.Fatalf("%q: after %s comes %s", schedule, at, next)
			}
			at = next
		}
	})
}

func FuzzExclusionDate(f *testing.F) {
	for _, s := range []string{
		"EXDATE:20190102T150405Z", "EXDATE;TZID=Europe/Berlin:20190102T150405,20190103", "20190102", "exdate;VALUE=DATE:20190102",
		"", ":", ",", "EXDATE:", "RDATE:20190102", "20260230",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		days, err := parseExclusion(entry)
		if (err == nil) != (len(days) > 0) {
			t.Fatalf("%q gives %v and %v", entry, days, err)
		}
		for _, d := range days {
			if d != dayOf(time.Date(d.year, d.month, d.date, 0, 0, 0, 0, time.UTC)) {
				t.Fatalf("%q gives the day %v, which does not exist", entry, d)
			}
		}
	})
}
