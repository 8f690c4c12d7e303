package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/secret"
	"github.com/signalbox-events/signalbox/internal/telemetry"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Env is what a Sensor needs of its surroundings.
type Env struct {
	Bus     *eventbus.Bus
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	Secrets secret.Reader
	HTTP    trigger.HTTP
	// Kubernetes may be nil.
	Kubernetes *cluster.Cluster
	// Shared is what the triggers of all sensors of a namespace use together.
	// Nil: those of this sensor have their own.
	Shared *trigger.Shared
	// Exec are the folders whose programs triggers may run; none if it is empty.
	Exec []string
	// LeaseTTL is after how long another replica follows on what one that died
	// followed. Defaults to 15s.
	LeaseTTL time.Duration
	// Grace is how long actions that have begun may go on when the sensor is
	// stopped. Defaults to 20s.
	Grace time.Duration
}

// Sensor runs a Plan.
type Sensor struct {
	plan    *Plan
	env     Env
	runners []*runner
}

// New returns a Sensor that is not running yet. It does no I/O.
func New(p *Plan, env Env) *Sensor {
	if env.Grace == 0 {
		env.Grace = 20 * time.Second
	}
	if env.Shared == nil {
		env.Shared = &trigger.Shared{}
	}
	log := env.Log.With("namespace", p.Namespace, "sensor", p.Name)
	for _, k := range slices.Sorted(maps.Keys(p.loggingFields)) {
		log = log.With(k, p.loggingFields[k])
	}
	s := &Sensor{plan: p, env: env}
	for _, t := range p.Triggers {
		s.runners = append(s.runners, newRunner(p, t, env, log.With("trigger", t.Name)))
	}
	return s
}

// Prepare makes the sensor's consumers on the bus, so that from now on events
// are kept for it, and brings its stored state in line with its definition.
// Call it before Run, and before the sources that it depends on start.
func (s *Sensor) Prepare(ctx context.Context) error {
	var errs []error
	for _, r := range s.runners {
		if err := r.prepare(ctx); err != nil {
			errs = append(errs, fmt.Errorf("trigger %s: %w", r.plan.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Run fires triggers until ctx is done, then takes no more events, lets the
// actions that have begun come to their end (for at most Env.Grace) and returns nil.
func (s *Sensor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(s.runners))
	for i, r := range s.runners {
		wg.Go(func() { errs[i] = r.run(ctx, s.env.Grace) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Status is what the triggers are doing.
func (s *Sensor) Status() []TriggerStatus {
	var out []TriggerStatus
	for _, r := range s.runners {
		out = append(out, r.status.get(r.plan.Name))
	}
	return out
}

// Remove deletes what the trigger of a sensor has on the bus: its consumer with
// the events that wait for it, and its state. It returns how many events waited.
func Remove(ctx context.Context, bus *eventbus.Bus, sensorName, triggerName string) (int64, error) {
	dropped, err := bus.RemoveConsumer(ctx, sensorName, triggerName)
	if err != nil && !errors.Is(err, eventbus.ErrNotFound) {
		return 0, err
	}
	keys, err := bus.State().Keys(ctx, stateKey(sensorName, triggerName, ""))
	if err != nil {
		return dropped, err
	}
	var errs []error
	for _, k := range keys {
		errs = append(errs, bus.State().Delete(ctx, k))
	}
	return dropped, errors.Join(errs...)
}

// stateKey is a key of the bus's state that belongs to a trigger.
func stateKey(sensorName, triggerName, rest string) string {
	key := "sensor/" + eventbus.KeyLevel(sensorName) + "/" + eventbus.KeyLevel(triggerName)
	if rest != "" {
		key += "/" + rest
	}
	return key
}

// publishFor lets a trigger put events on the bus.
func publishFor(bus *eventbus.Bus) trigger.Publish {
	return func(ctx context.Context, source, name, id string, e *event.Event) error {
		return bus.Publish(ctx, eventbus.Address{Source: source, Event: name}, id, e)
	}
}
