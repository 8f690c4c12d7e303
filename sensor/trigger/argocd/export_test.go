package argocd

import (
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Slow has a trigger wait for ever to see whether what it sees goes on to be so.
func Slow(t trigger.Trigger, healthy, ailing bool) {
	p := &t.(*actor).pace
	if healthy {
		p.healthy = time.Hour
	}
	if ailing {
		p.ailing = time.Hour
	}
}

// Hasten makes a trigger wait less for what takes Argo CD its time.
func Hasten(t trigger.Trigger) {
	t.(*actor).pace = pace{
		linger: 250 * time.Millisecond, poll: 5 * time.Millisecond, healthy: 60 * time.Millisecond,
		ailing: 60 * time.Millisecond, accepted: time.Millisecond, refresh: 300 * time.Millisecond,
	}
}

// Steady has a trigger wait for d to see whether what it sees goes on to be so.
func Steady(t trigger.Trigger, d time.Duration) {
	p := &t.(*actor).pace
	p.linger, p.healthy, p.ailing = d, d, d
}
