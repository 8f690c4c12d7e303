package notify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

// mostThreshold bounds the times that a group keeps before its threshold.
const mostThreshold = 1000

func (g *Group) validate() error {
	if g == nil {
		return nil
	}
	var errs []error
	for _, f := range []struct{ path, text string }{{"key", g.Key}, {"summary", g.Summary}, {"resolved", g.Resolved}} {
		_, err := param.CompileText(f.text)
		errs = append(errs, v1alpha1.At(f.path, err))
	}
	positive := func(path string, d *v1alpha1.Duration, zero bool) {
		if d != nil && (d.Duration < 0 || d.Duration == 0 && !zero) {
			errs = append(errs, v1alpha1.Invalid(path, "has to be longer than 0"))
		}
	}
	positive("wait", g.Wait, true)
	positive("interval", g.Interval, false)
	positive("repeat", g.Repeat, false)
	positive("resolveAfter", g.ResolveAfter, false)
	if _, err := parseThreshold(g.Threshold); err != nil {
		errs = append(errs, v1alpha1.At("threshold", err))
	}
	if g.Repeat != nil && len(g.ResolvedBy) == 0 && g.ResolveAfter == nil {
		errs = append(errs, v1alpha1.Invalid("repeat", "would go on for ever").Hinted("say what ends it: resolvedBy or resolveAfter"))
	}
	if g.Resolved != "" && len(g.ResolvedBy) == 0 && g.ResolveAfter == nil {
		errs = append(errs, v1alpha1.Warn("resolved", "is never sent").Hinted("give resolvedBy or resolveAfter"))
	}
	if g.ResolveAfter != nil && g.Repeat != nil && g.Repeat.Duration >= g.ResolveAfter.Duration {
		errs = append(errs, v1alpha1.Warn("repeat", "is never sent: it is not shorter than resolveAfter"))
	}
	for i, name := range g.ResolvedBy {
		if name == "" {
			errs = append(errs, v1alpha1.Invalid("resolvedBy"+v1alpha1.Index(i), "is empty"))
		}
	}
	if g.MaxSamples < 0 || g.MaxSamples > mostSamples {
		errs = append(errs, v1alpha1.Invalid("maxSamples", "has to be from 1 to %d", mostSamples))
	}
	return errors.Join(errs...)
}

// threshold is n within a time; the zero threshold is always reached.
type threshold struct {
	n      int
	within time.Duration
}

func parseThreshold(s string) (threshold, error) {
	if s == "" {
		return threshold{}, nil
	}
	count, within, ok := strings.Cut(s, " in ")
	if !ok {
		return threshold{}, v1alpha1.Invalid("", "%q is no threshold", s).Hinted("write a number and a time, such as 5 in 10m")
	}
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || n < 1 || n > mostThreshold {
		return threshold{}, fmt.Errorf("the number has to be from 1 to %d", mostThreshold)
	}
	d, err := time.ParseDuration(strings.TrimSpace(within))
	if err != nil || d <= 0 {
		return threshold{}, v1alpha1.Invalid("", "%q is no time", within).Hinted("write a number with a unit, such as 10m")
	}
	return threshold{n, d}, nil
}

// grouping is a Group with its defaults, as numbers.
type grouping struct {
	threshold                            threshold
	wait, interval, repeat, resolveAfter time.Duration
	// byEvent says that there are events that resolve.
	byEvent bool
	samples int
}

func (g *Group) grouping() (grouping, error) {
	t, err := parseThreshold(g.Threshold)
	span := func(d *v1alpha1.Duration) time.Duration {
		if d == nil {
			return 0
		}
		return d.Duration
	}
	return grouping{
		threshold: t, wait: span(g.Wait), interval: span(g.Interval), repeat: span(g.Repeat), resolveAfter: span(g.ResolveAfter),
		byEvent: len(g.ResolvedBy) > 0, samples: int(g.MaxSamples),
	}, err
}
