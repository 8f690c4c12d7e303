package sensor

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/eventbus"
)

// Remains names a trigger that has something on a bus: a consumer or state.
type Remains struct{ Sensor, Trigger string }

// OnBus lists all triggers that have something on a bus, whether or not their
// sensors are still there, by sensor and trigger. See Remove.
func OnBus(ctx context.Context, bus *eventbus.Bus) ([]Remains, error) {
	consumers, err := bus.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	var all []Remains
	for _, c := range consumers {
		all = append(all, Remains{c.Sensor, c.Trigger})
	}
	const root = "sensor"
	keys, err := bus.State().Keys(ctx, root)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		levels := strings.SplitN(key, "/", 4)
		if len(levels) < 3 || levels[0] != root {
			continue
		}
		sensorName, err := url.PathUnescape(levels[1])
		if err != nil {
			return nil, fmt.Errorf("state %s: %w", key, err)
		}
		triggerName, err := url.PathUnescape(levels[2])
		if err != nil {
			return nil, fmt.Errorf("state %s: %w", key, err)
		}
		all = append(all, Remains{sensorName, triggerName})
	}
	slices.SortFunc(all, func(a, b Remains) int {
		return cmp.Or(cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Trigger, b.Trigger))
	})
	return slices.Compact(all), nil
}
