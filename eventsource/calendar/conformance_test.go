package calendar

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestConformance(t *testing.T) {
	for name, c := range map[string]sourcetest.Case{
		"schedule":         {Setup: entry("schedule: '* * * * *'")},
		"interval":         {Setup: entry("interval: 10s")},
		"catch-up":         {Setup: entry("interval: 1m\npersistence: {catchup: {enabled: true}}"), Remembers: true},
		"catch-up to 1 h":  {Setup: entry("schedule: '*/5 * * * *'\npersistence: {catchup: {enabled: true, maxDuration: 1h}}"), Remembers: true},
		"schedule in zone": {Setup: entry("schedule: 1,2,30 * * * *\ntimezone: America/New_York")},
	} {
		t.Run(name, func(t *testing.T) {
			c.Kind, c.FakeClock = Kind, true
			c.Provoke = func(*testing.T, *sourcetest.Env, int) error {
				time.Sleep(time.Hour) // a tick comes by itself
				synctest.Wait()
				return nil
			}
			sourcetest.Run(t, c)
		})
	}
}

func entry(manifest string) func(*testing.T, *sourcetest.Env) string {
	return func(*testing.T, *sourcetest.Env) string { return manifest }
}
