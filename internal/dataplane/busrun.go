package dataplane

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/sensor"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// busRun is an EventBus with the sources and sensors that run on it.
type busRun struct {
	shared trigger.Shared // by the triggers of all sensors
	p      *Process
	key    busKey

	applying sync.Mutex // one apply at a time

	mu      sync.Mutex
	bus     *eventbus.Bus // nil until it is open
	err     error         // why it is not
	opened  busSettings
	from    *manifest.Object // of which the settings are; nil if there is none
	restart string           // why only a restart makes it what the manifests want; empty if it is
	sensors map[manifest.ID]*sensorRun
	sources map[manifest.ID]*sourceRun
	undoing undoing
	old     sync.WaitGroup // what has been replaced or removed and still drains
}

func newBusRun(p *Process, key busKey) *busRun {
	return &busRun{p: p, key: key, sensors: map[manifest.ID]*sensorRun{}, sources: map[manifest.ID]*sourceRun{}}
}

// sensorRun is a running Sensor.
type sensorRun struct {
	object *manifest.Object
	plan   *sensor.Plan
	sensor *sensor.Sensor
	cancel context.CancelFunc
	ended  chan struct{}
}

// apply makes the bus run what is wanted. Sensors come first, so that no source
// emits before everybody who listens is known to the bus.
func (b *busRun) apply(ctx context.Context, set *manifest.Set, wanted []*manifest.Object) {
	b.applying.Lock()
	defer b.applying.Unlock()
	if b.open(ctx, set) != nil {
		return
	}
	var wg sync.WaitGroup
	for _, o := range wanted {
		if o.Sensor != nil {
			wg.Go(func() { b.applySensor(ctx, o) })
		}
	}
	wg.Wait()
	for _, o := range wanted {
		if o.EventSource != nil {
			b.applySource(ctx, o)
		}
	}
	b.removeMissing(ctx, set)
}

func (b *busRun) open(ctx context.Context, set *manifest.Set) error {
	b.mu.Lock()
	bus := b.bus
	b.mu.Unlock()
	if bus != nil {
		b.compare(set)
		return nil
	}
	bus, settings, err := b.p.openBus(ctx, b.key, set)
	b.mu.Lock()
	b.bus, b.err, b.opened, b.from = bus, err, settings, set.Find(busID(b.key))
	b.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		b.p.cfg.Log.Error("event bus cannot be used", "eventbus", b.key.name, "namespace", b.key.namespace, "error", err)
	}
	return err
}

// compare tells, once for each change, of settings of the open bus that have
// changed in the manifests: a bus keeps those that it was opened with.
func (b *busRun) compare(set *manifest.Set) {
	if b.p.cfg.Managed {
		return // the bus follows its manifest itself
	}
	o := set.Find(busID(b.key))
	if o != nil && o.Broken {
		b.held(o, true)
		return
	}
	if o == nil && b.from != nil && set.MayHold(b.from) {
		return // its file cannot be read at the moment
	}
	_, now, err := b.p.settings(b.key, set)
	if err != nil {
		b.p.cfg.Log.Warn("event bus settings cannot be read", "eventbus", b.key.name, "namespace", b.key.namespace, "error", err)
		return
	}
	why := ""
	if names := b.opened.changedTo(now); len(names) > 0 {
		why = strings.Join(names, ", ") + " changed; the bus runs with what it had at the start, restart to apply it"
	}
	b.mu.Lock()
	before := b.restart
	b.restart = why
	b.mu.Unlock()
	if why != "" && why != before {
		b.p.cfg.Log.Warn("event bus needs a restart", "eventbus", b.key.name, "namespace", b.key.namespace, "why", why)
	}
}

// applySensor starts o, or replaces what runs of it. A new version that is
// broken leaves the old one running.
func (b *busRun) applySensor(ctx context.Context, o *manifest.Object) {
	b.mu.Lock()
	before := b.sensors[o.ID]
	b.mu.Unlock()
	if o.Broken || (before != nil && before.object.Hash == o.Hash) {
		b.held(o, before != nil)
		return
	}
	plan, err := sensor.Compile(o.Sensor, b.p.cfg.Triggers)
	if plan == nil {
		b.p.problem(o, v1alpha1.Fatal(err))
		return
	}
	b.p.warnOfLacks(o)
	var ttl time.Duration
	if b.p.cfg.Server != nil { // as for sources
		ttl = aloneTTL
	}
	s := sensor.New(plan, sensor.Env{
		LeaseTTL: ttl, Shared: &b.shared,
		Bus: b.bus, Log: b.p.cfg.Log, Metrics: b.p.metrics, Secrets: b.p.secrets(o.Namespace), HTTP: b.p.httpFor(o.Namespace), Kubernetes: b.p.cfg.Kubernetes, Exec: b.p.cfg.Exec,
	})
	if err := b.prepare(ctx, s, o); err != nil {
		return // ctx is done
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	run := &sensorRun{object: o, plan: plan, sensor: s, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		if err := s.Run(runCtx); err != nil {
			b.p.cfg.Log.Error("sensor ended", "sensor", o.Name, "error", err)
		}
	}()
	b.mu.Lock()
	b.sensors[o.ID] = run
	b.mu.Unlock()
	switch {
	case before != nil:
		b.p.cfg.Log.Info("sensor changed, the new version runs", "sensor", o.Name, "namespace", o.Namespace)
		b.retire(before, plan)
	case b.p.ready.Load(): // at the start there is the table
		b.p.cfg.Log.Info("sensor added", "sensor", o.Name, "namespace", o.Namespace)
	}
}

// held tells that a broken new version leaves the old one running.
func (b *busRun) held(o *manifest.Object, running bool) {
	if o.Broken && running {
		b.p.cfg.Log.Warn("the new version is not valid, the old one goes on", "object", o.String())
	}
}

// prepare does not give up: a bus that is away comes back.
func (b *busRun) prepare(ctx context.Context, s *sensor.Sensor, o *manifest.Object) error {
	for first := true; ; first = false {
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := s.Prepare(try)
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if first {
			b.p.cfg.Log.Warn("sensor cannot start yet, trying for ever", "sensor", o.Name, "error", err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// retire stops a sensor in the background, and takes off the bus what now
// (nil: the sensor is gone) does not have any more.
func (b *busRun) retire(old *sensorRun, now *sensor.Plan) {
	b.old.Go(func() {
		old.cancel()
		<-old.ended
		for _, t := range old.plan.Triggers {
			if now != nil && now.Has(t.Name) {
				continue
			}
			b.removeTrigger(old.plan.Name, t.Name)
		}
	})
}

// removeTrigger deletes a trigger's consumer and state. On a bus that other
// processes use too it is left alone: they may have it among their manifests.
func (b *busRun) removeTrigger(sensorName, triggerName string) {
	if b.p.links.forced {
		b.p.cfg.Log.Info("trigger gone; its consumer stays on the shared bus, see run --prune", "sensor", sensorName, "trigger", triggerName)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dropped, err := sensor.Remove(ctx, b.bus, sensorName, triggerName)
	if err != nil {
		b.p.cfg.Log.Error("a removed trigger's consumer could not be deleted", "sensor", sensorName, "trigger", triggerName, "error", err)
		return
	}
	b.p.cfg.Log.Info("trigger removed", "sensor", sensorName, "trigger", triggerName, "events_that_waited", dropped)
}

// removeMissing stops what is not among the manifests any more. Objects of a
// file that cannot be read at the moment stay.
func (b *busRun) removeMissing(ctx context.Context, set *manifest.Set) {
	b.mu.Lock()
	var sensors []*sensorRun
	var sources []*sourceRun
	for id, r := range b.sensors {
		if b.gone(set, r.object) {
			sensors = append(sensors, r)
			delete(b.sensors, id)
		}
	}
	for id, r := range b.sources {
		if b.gone(set, r.object) {
			sources = append(sources, r)
			delete(b.sources, id)
		}
	}
	b.mu.Unlock()
	for _, r := range sources {
		b.p.cfg.Log.Info("event source removed", "eventsource", r.object.Name, "namespace", r.object.Namespace)
		var entries []manifest.Entry
		if set.Find(r.object.ID) == nil { // otherwise another bus has it now
			entries = r.object.Entries
		}
		secrets := b.lastSecrets(r.object.Namespace)
		b.old.Go(func() {
			r.stop()
			b.finish(ctx, r.object, entries, secrets)
		})
	}
	for _, r := range sensors {
		b.p.cfg.Log.Info("sensor removed", "sensor", r.object.Name, "namespace", r.object.Namespace)
		b.retire(r, nil)
	}
	b.staleConsumers(ctx, set)
}

// gone tells whether an object has been taken away from this bus.
func (b *busRun) gone(set *manifest.Set, o *manifest.Object) bool {
	now := set.Find(o.ID)
	if now == nil {
		return !set.MayHold(o)
	}
	switch {
	case now.Broken:
		return false
	case now.Sensor != nil:
		return now.Sensor.Spec.Bus() != b.key.name
	case now.EventSource != nil:
		return now.EventSource.Spec.Bus() != b.key.name
	}
	return false
}

// staleConsumers deals, once, with consumers left by sensors of an earlier run:
// they would hold back the purge of events for ever. One for which nothing
// waits goes; one for which events wait is told of, and goes with --prune.
func (b *busRun) staleConsumers(ctx context.Context, set *manifest.Set) {
	if b.p.ready.Load() || !set.Complete() || (b.p.links.forced && !b.p.cfg.Prune) {
		return
	}
	infos, err := b.bus.Consumers(ctx)
	if err != nil {
		b.p.cfg.Log.Warn("consumers of earlier sensors cannot be looked for", "error", err)
		return
	}
	for _, c := range infos {
		o := set.Find(manifest.ID{Kind: v1alpha1.KindSensor, Namespace: b.key.namespace, Name: c.Sensor})
		if o != nil && (o.Broken || hasTrigger(o.Sensor, c.Trigger)) {
			continue
		}
		if waiting := c.Waiting + c.InWork; waiting > 0 && !b.p.cfg.Prune {
			b.p.cfg.Log.Warn("events wait for a trigger that is not among the manifests; bring it back, or drop them with --prune",
				"sensor", c.Sensor, "trigger", c.Trigger, "events", waiting)
			continue
		}
		if _, err := sensor.Remove(ctx, b.bus, c.Sensor, c.Trigger); err != nil && !errors.Is(err, eventbus.ErrNotFound) {
			b.p.cfg.Log.Warn("an earlier sensor's consumer could not be deleted", "sensor", c.Sensor, "trigger", c.Trigger, "error", err)
		}
	}
}

func hasTrigger(s *v1alpha1.Sensor, name string) bool {
	for _, t := range s.Spec.Triggers {
		if t.Template != nil && t.Template.Name == name {
			return true
		}
	}
	return false
}

// stop stops the sources, then the sensors, then closes the bus.
func (b *busRun) stop() {
	b.applying.Lock()
	defer b.applying.Unlock()
	b.mu.Lock()
	sources, sensors := b.sources, b.sensors
	bus := b.bus
	b.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range sources {
		wg.Go(r.stop)
	}
	wg.Wait()
	for _, r := range sensors {
		wg.Go(func() { r.cancel(); <-r.ended })
	}
	wg.Wait()
	b.old.Wait()
	if bus != nil {
		if err := bus.Close(); err != nil {
			b.p.cfg.Log.Warn("closing the event bus", "error", err)
		}
	}
}
