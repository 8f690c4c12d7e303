package calendar

import (
	"testing"
	"time"
)

// plan0 is the plan of a valid configuration.
func plan0(t *testing.T, c Config) *plan {
	t.Helper()
	c.Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTicks(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		after  string   // RFC 3339
		want   []string // in the zone of the plan
	}{
		"every half hour": {
			Config{Schedule: "30 * * * *", Timezone: "UTC"},
			"2026-01-02T03:04:05Z",
			[]string{"2026-01-02T03:30:00Z", "2026-01-02T04:30:00Z"},
		},
		"a tick is not later than itself": {
			Config{Schedule: "30 * * * *", Timezone: "UTC"},
			"2026-01-02T03:30:00Z",
			[]string{"2026-01-02T04:30:00Z"},
		},
		"names and question mark": {
			Config{Schedule: "0 9 ? jan-FEB mon", Timezone: "UTC"},
			"2026-02-20T00:00:00Z",
			[]string{"2026-02-23T09:00:00Z", "2027-01-04T09:00:00Z"},
		},
		"day of month or day of week": {
			Config{Schedule: "0 0 13 * FRI", Timezone: "UTC"},
			"2026-01-08T12:00:00Z",
			[]string{"2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"},
		},
		"zone of the timezone field": {
			Config{Schedule: "0 8 * * *", Timezone: "America/New_York"},
			"2026-01-02T00:00:00Z",
			[]string{"2026-01-02T08:00:00-05:00"},
		},
		"CRON_TZ prefix": {
			Config{Schedule: "CRON_TZ=Asia/Kolkata 0 8 * * *"},
			"2026-01-02T00:00:00Z",
			[]string{"2026-01-02T08:00:00+05:30"},
		},
		"TZ prefix": {
			Config{Schedule: "TZ=Asia/Kathmandu 0 8 * * *"},
			"2026-01-02T00:00:00Z",
			[]string{"2026-01-02T08:00:00+05:45"},
		},
		"leap day around 2100": {
			Config{Schedule: "0 0 29 2 *", Timezone: "UTC"},
			"2096-02-29T00:00:00Z",
			[]string{"2104-02-29T00:00:00Z"},
		},

		"fixed time in the gap of spring comes at its end": {
			Config{Schedule: "30 2 * * *", Timezone: "Europe/Berlin"},
			"2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		},
		"two fixed times in the gap come as one": {
			Config{Schedule: "10,50 2 * * *", Timezone: "Europe/Berlin"},
			"2026-03-29T00:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:10:00+02:00"},
		},
		"fixed time repeated in autumn comes once": {
			Config{Schedule: "30 2 * * *", Timezone: "Europe/Berlin"},
			"2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		"started between the two": {
			Config{Schedule: "30 2 * * *", Timezone: "Europe/Berlin"},
			"2026-10-25T01:10:00Z",
			[]string{"2026-10-26T02:30:00+01:00"},
		},
		"midnight that does not exist": {
			Config{Schedule: "0 0 * * *", Timezone: "America/Sao_Paulo"},
			"2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		},
		"midnight that comes twice": {
			Config{Schedule: "30 23 * * *", Timezone: "America/Sao_Paulo"},
			"2018-02-17T12:00:00Z",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"},
		},
		"hourly goes on through spring": {
			Config{Schedule: "0 * * * *", Timezone: "Europe/Berlin"},
			"2026-03-29T00:30:00+01:00",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},
		},
		"hourly goes on through autumn": {
			Config{Schedule: "0 * * * *", Timezone: "Europe/Berlin"},
			"2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		"last day of a leap year": { // far off, where zones are rules, not tables
			Config{Schedule: "0 */12 * * *", Timezone: "Europe/Berlin"},
			"2040-12-30T18:00:00+01:00",
			[]string{"2040-12-31T00:00:00+01:00", "2040-12-31T12:00:00+01:00", "2041-01-01T00:00:00+01:00"},
		},
		"change of half an hour": {
			Config{Schedule: "*/20 1 * * *", Timezone: "Australia/Lord_Howe"},
			"2026-04-05T00:50:00+11:00",
			[]string{
				"2026-04-05T01:00:00+11:00", "2026-04-05T01:20:00+11:00", "2026-04-05T01:40:00+11:00",
				"2026-04-05T01:40:00+10:30", "2026-04-06T01:00:00+10:30",
			},
		},

		"interval is aligned to 1970": {
			Config{Interval: "10s", Timezone: "UTC"},
			"2026-01-02T03:04:05.7Z",
			[]string{"2026-01-02T03:04:10Z", "2026-01-02T03:04:20Z"},
		},
		"interval that divides nothing": {
			Config{Interval: "7h", Timezone: "UTC"},
			"1970-01-02T00:00:00Z",
			[]string{"1970-01-02T04:00:00Z", "1970-01-02T11:00:00Z"},
		},
		"interval shown in the zone": {
			Config{Interval: "12h", Timezone: "America/New_York"},
			"2026-01-02T03:04:05Z",
			[]string{"2026-01-02T07:00:00-05:00"},
		},

		"excluded day": {
			Config{Schedule: "0 9 * * *", Timezone: "UTC", ExclusionDates: []string{"EXDATE:20260102T150405Z,20260103"}},
			"2026-01-01T00:00:00Z",
			[]string{"2026-01-01T09:00:00Z", "2026-01-04T09:00:00Z"},
		},
		"excluded is the day in the zone": {
			// 03:00 UTC on the 2nd is 22:00 on the 1st in New York.
			Config{Schedule: "0 22 * * *", Timezone: "America/New_York", ExclusionDates: []string{"20260101"}},
			"2026-01-01T12:00:00Z",
			[]string{"2026-01-02T22:00:00-05:00"},
		},
		"excluded day of a short interval": {
			Config{Interval: "1ms", Timezone: "UTC", ExclusionDates: []string{"20260102"}},
			"2026-01-01T23:59:59.999Z",
			[]string{"2026-01-03T00:00:00Z"},
		},
		"excluded day without an end at midnight": {
			Config{Schedule: "0 * * * *", Timezone: "America/Sao_Paulo", ExclusionDates: []string{"20181103"}},
			"2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan0(t, c.config)
			at, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if at = p.next(at); at.Format(time.RFC3339Nano) != want {
					t.Fatalf("tick %d is %s, want %s", i, at.Format(time.RFC3339Nano), want)
				}
			}
		})
	}
}

// TestFixedTimesOncePerDay walks through two years with all changes of the clock.
func TestFixedTimesOncePerDay(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Tokyo"} {
		for _, schedule := range []string{"0 0 * * *", "30 1 * * *", "15 2 * * *", "59 23 * * *"} {
			p := plan0(t, Config{Schedule: schedule, Timezone: zone})
			at := p.next(time.Date(2017, 6, 1, 12, 0, 0, 0, p.zone))
			y, m, d := at.Date()
			for i := range 700 {
				if want := dayOf(time.Date(y, m, d+i, 12, 0, 0, 0, time.UTC)); dayOf(at) != want {
					t.Fatalf("%s %s: a tick at %s, want one on %v", zone, schedule, at, want)
				}
				at = p.next(at)
			}
		}
	}
}

// TestWildcardsFollowTheClock compares with a look at the clock every 30 minutes.
func TestWildcardsFollowTheClock(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Kolkata"} {
		for _, year := range []int{2018, 2040} {
			p := plan0(t, Config{Schedule: "30 */3 * * *", Timezone: zone})
			from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			tick := p.next(from)
			for at := from.Add(30 * time.Minute); at.Before(from.AddDate(1, 0, 7)); at = at.Add(30 * time.Minute) {
				shown := at.In(p.zone)
				due := shown.Minute() == 30 && shown.Hour()%3 == 0
				if due != tick.Equal(at) {
					t.Fatalf("%s: the clock shows %s, the next tick is %s", zone, shown, tick)
				}
				if due {
					tick = p.next(at)
				}
			}
		}
	}
}

func TestIDs(t *testing.T) {
	tick := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	a := plan0(t, Config{Schedule: "4 * * * *", Timezone: "UTC"})
	if got := a.id(tick); got != plan0(t, Config{Schedule: " 4 * * * * ", Timezone: "UTC"}).id(tick.In(time.FixedZone("x", 3600))) {
		t.Errorf("the id %s depends on more than the tick", got)
	}
	if plan0(t, Config{Interval: "60s"}).id(tick) != plan0(t, Config{Interval: "1m"}).id(tick) {
		t.Error("the id depends on how the interval is written")
	}
	seen := map[string]bool{}
	for _, c := range []Config{
		{Schedule: "4 * * * *", Timezone: "UTC"},
		{Schedule: "4 * * * *", Timezone: "Europe/Berlin"},
		{Schedule: "4 3 * * *", Timezone: "UTC"},
		{Interval: "1m"},
		{Interval: "2m"},
	} {
		p := plan0(t, c)
		for _, at := range []time.Time{tick, tick.Add(time.Millisecond), tick.Add(time.Minute)} {
			if id := p.id(at); seen[id] {
				t.Errorf("%+v: id %s came before", c, id)
			} else {
				seen[id] = true
			}
		}
	}
}
