package filter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// context compiles filters.context: one clause for each attribute that is compared.
func (c *compiler) context(path string, x v1alpha1.EventContext) {
	g := group{}
	for _, a := range []struct {
		name, want string
		of         func(*event.Event) string
	}{
		{"type", x.Type, func(e *event.Event) string { return e.Type() }},
		{"subject", x.Subject, func(e *event.Event) string { return e.Subject() }},
		{"source", x.Source, func(e *event.Event) string { return e.Source() }},
		{"datacontenttype", x.DataContentType, func(e *event.Event) string { return e.DataContentType() }},
	} {
		if a.want == "" {
			continue
		}
		g.items = append(g.items, clause{
			path: path + "." + a.name,
			want: fmt.Sprintf("%s = %q", a.name, a.want),
			eval: func(_ context.Context, in *input) result {
				got := a.of(in.event)
				return passIf(got == a.want, strconv.Quote(got))
			},
		})
	}
	for _, a := range []struct{ name, value string }{{"id", x.ID}, {"specversion", x.SpecVersion}, {"time", x.Time}} {
		if a.value != "" {
			c.add(v1alpha1.Warn(path+"."+a.name, "is not compared").Hinted("only type, subject, source and datacontenttype are; filters.cel sees event.id and event.time too"))
		}
	}
	if len(g.items) == 0 {
		c.add(v1alpha1.Invalid(path, "compares nothing").Hinted("give at least one of type, subject, source, datacontenttype"))
		return
	}
	c.out = append(c.out, g)
}

// clock is a time of day.
type clock struct{ hour, minute, second, nanosecond int }

func (c clock) on(day time.Time) time.Time {
	y, m, d := day.Date()
	return time.Date(y, m, d, c.hour, c.minute, c.second, c.nanosecond, day.Location())
}

func (c *compiler) clock(path, text string) clock {
	if text == "" {
		c.add(v1alpha1.Invalid(path, "is missing").Hinted("write hh:mm:ss"))
		return clock{}
	}
	t, err := time.Parse("15:04:05", text)
	if err != nil {
		p := v1alpha1.Invalid(path, "%q is no time of day", text).Hinted("write hh:mm:ss, from 00:00:00 to 23:59:59")
		if strings.HasPrefix(text, "24:00") {
			p = p.Hinted("the end of the day is 00:00:00")
		}
		c.add(p)
		return clock{}
	}
	return clock{t.Hour(), t.Minute(), t.Second(), t.Nanosecond()}
}

// time compiles filters.time.
func (c *compiler) time(path string, f v1alpha1.TimeFilter) clause {
	before := len(c.problems)
	start, stop := c.clock(path+".start", f.Start), c.clock(path+".stop", f.Stop)
	zone, err := time.LoadLocation(f.Timezone) // empty is UTC
	if err != nil || f.Timezone == "Local" {
		c.add(v1alpha1.Invalid(path+".timezone", "unknown time zone %q", f.Timezone).Hinted("use an IANA name such as Europe/Berlin or UTC"))
	}
	if !c.failed(before) && start == stop {
		c.add(v1alpha1.Invalid(path+".stop", "is the same as start").Hinted("to let pass the whole day, remove the filter"))
	}
	if c.failed(before) {
		return clause{path: path}
	}
	in := f.Timezone
	if in == "" {
		in = "UTC"
	}
	day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // any without a change of the clocks
	overnight := stop.on(day).Before(start.on(day))
	return clause{
		path: path,
		want: fmt.Sprintf("time from %s to before %s in %s", f.Start, f.Stop, in),
		eval: func(_ context.Context, in *input) result {
			t := in.event.Time()
			if t.IsZero() {
				return failed("", errors.New("the event has no time"))
			}
			t = t.In(zone)
			from, to := start.on(t), stop.on(t)
			pass := !t.Before(from) && t.Before(to)
			if overnight {
				pass = !t.Before(from) || t.Before(to)
			}
			return passIf(pass, t.Format(time.RFC3339))
		},
	}
}
