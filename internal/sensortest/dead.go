package sensortest

import (
	"fmt"

	"github.com/signalbox-events/signalbox/sensor"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// DeadLetter is what a running sensor would keep of an event or a firing.
type DeadLetter struct {
	Trigger string `json:"trigger"`
	// Event is the number of the event, from 1.
	Event int    `json:"event"`
	Why   string `json:"why"`
}

func deadLetters(reports []sensor.Report) []DeadLetter {
	var out []DeadLetter
	for _, r := range reports {
		for _, why := range unevaluated(r) {
			out = append(out, DeadLetter{r.Trigger, r.Event, why})
		}
		for _, f := range r.Firings {
			if f.Err != "" {
				out = append(out, DeadLetter{r.Trigger, r.Event, f.Err})
			}
		}
	}
	return out
}

// unevaluated says why an event does not get as far as a filter: a running
// sensor keeps it as a dead letter, once for each transform that fails.
func unevaluated(r sensor.Report) []string {
	var why []string
	for _, d := range r.Dependencies {
		if t := d.Transform; t != nil && t.Outcome == verdict.Error {
			why = append(why, fmt.Sprintf("dependency %s: transform: %s", d.Name, t.Err))
		}
	}
	return why
}
