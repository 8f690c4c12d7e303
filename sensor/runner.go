package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/seldom"
	"github.com/signalbox-events/signalbox/internal/telemetry"
	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// runner runs one trigger of a sensor.
type runner struct {
	namespace, sensor string
	plan              *TriggerPlan
	bus               *eventbus.Bus
	log               *slog.Logger
	metrics           triggerMetrics
	actions           *actions
	status            status
	limit             *limiter
	join              *join     // nil if the condition needs one event only
	follower          *follower // nil if nothing is followed
	stopping          chan struct{}
	trouble           quiet
	unsure            seldom.Complaint // about filters that fail
	retried           seldom.Complaint // about actions that fail
}

// warn tells, now and then, of a filter that fails rather than says no. Paths that
// an event does not have are no surprise in filters.data and filters.exprs.
func (r *runner) warn(dependency, event string, why *verdict.Clause) {
	if why == nil || why.Path != "filters.cel" {
		return
	}
	if due, skipped := r.unsure.Due(dependency + why.Err); due {
		r.log.Warn("a filter fails, so the event does not pass", "dependency", dependency, "event", event, "filter", why.Want, "error", why.Err, "repeated", skipped)
	}
}

type triggerMetrics struct {
	fired, failed, retriesFailed, rejected, undecided, dead prometheus.Counter
	duration, latency                                       prometheus.Observer
	outcomes                                                map[string]prometheus.Counter
	following                                               prometheus.Gauge
}

func (m *triggerMetrics) outcome(which string) { m.outcomes[which].Inc() }

func newTriggerMetrics(m *telemetry.Metrics, labels ...string) triggerMetrics {
	ends := map[string]prometheus.Counter{}
	for _, which := range outcomes {
		ends[which] = m.Outcomes.WithLabelValues(append(slices.Clone(labels), which)...)
	}
	return triggerMetrics{
		outcomes: ends, following: m.Following.WithLabelValues(labels...),
		fired: m.Fired.WithLabelValues(labels...), failed: m.Failed.WithLabelValues(labels...),
		retriesFailed: m.RetriesFailed.WithLabelValues(labels...), rejected: m.Rejected.WithLabelValues(labels...),
		undecided: m.Undecided.WithLabelValues(labels...),
		dead:      m.DeadLettered.WithLabelValues(labels...), duration: m.ActionDuration.WithLabelValues(labels...),
		latency: m.EventToAction.WithLabelValues(labels...),
	}
}

func newRunner(p *Plan, t *TriggerPlan, env Env, log *slog.Logger) *runner {
	r := &runner{
		namespace: p.Namespace, sensor: p.Name, plan: t, bus: env.Bus, log: log,
		metrics:  newTriggerMetrics(env.Metrics, p.Namespace, p.Name, t.Name),
		stopping: make(chan struct{}),
	}
	r.actions = newActions(trigger.Env{
		Log: log, Secrets: env.Secrets, HTTP: env.HTTP, Publish: publishFor(env.Bus), Kubernetes: env.Kubernetes,
		State: triggerState{env.Bus.State(), r.key("state")}, Exec: env.Exec, Shared: env.Shared,
	})
	if t.Condition.HasAnd() {
		r.join = newJoin(r)
	}
	if t.mayFollow() {
		r.follower = newFollower(r, env.LeaseTTL)
	}
	if t.limit != nil {
		r.limit = newLimiter(env.Bus.State(), r.key("rate"), t.limit)
	}
	return r
}

func (t *runner) key(rest string) string { return stateKey(t.sensor, t.plan.Name, rest) }

func (t *runner) consumer() eventbus.ConsumerConfig {
	return eventbus.ConsumerConfig{Sensor: t.sensor, Trigger: t.plan.Name, From: t.plan.From()}
}

func (t *runner) prepare(ctx context.Context) error {
	if err := t.bus.EnsureConsumer(ctx, t.consumer()); err != nil {
		return err
	}
	if t.join != nil {
		if err := t.join.prepare(ctx); err != nil {
			return err
		}
	}
	return t.dropStaleProgress(ctx)
}

// run handles messages until ctx is done. Handlers outlive ctx by grace.
func (t *runner) run(ctx context.Context, grace time.Duration) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		close(t.stopping)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-work.Done():
		}
	})
	if t.join != nil && len(t.plan.resets) > 0 {
		wg.Go(func() { t.resetLoop(ctx) })
	}
	if t.follower != nil {
		wg.Go(func() { t.follower.run(ctx) })
	}
	t.status.running(true)
	err := t.bus.Consume(ctx, t.consumer(), t.plan.inFlight, func(_ context.Context, d *eventbus.Delivery) { t.handle(work, d) })
	t.status.running(false)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("trigger %s: %w", t.plan.Name, err)
	}
	cancel()
	if ctx.Err() != nil {
		wg.Wait()
	}
	return errors.Join(err, t.actions.close())
}

// infrastructureWait is the wait after the bus could not be asked.
const infrastructureWait = time.Second

// handle settles one message.
func (t *runner) handle(ctx context.Context, d *eventbus.Delivery) {
	end, err := t.process(ctx, d)
	switch {
	case errors.Is(err, errClosed) || (err != nil && ctx.Err() != nil):
		err = d.Retry(0)
	case err != nil:
		t.trouble.warn(t.log, "an event has to wait", err)
		err = d.Retry(infrastructureWait)
	case end.again:
		err = d.Retry(end.wait)
	case end.then == nil:
		err = d.Done()
	default:
		if err = d.DoneSync(); err == nil {
			err = end.then(ctx)
		}
	}
	if err != nil {
		// The message comes again after the bus's AckWait.
		t.trouble.warn(t.log, "the bus did not take note of a message's end", err)
	}
}

func (t *runner) process(ctx context.Context, d *eventbus.Delivery) (ending, error) {
	if d.Redrive != "" {
		return t.redrive(ctx, d)
	}
	if d.Err != nil {
		return done, t.buryEvent(ctx, "", d.From, d.Event, "the event cannot be read: "+d.Err.Error())
	}
	var passed []match
	for _, dep := range t.plan.Dependencies {
		if dep.From != d.From {
			continue
		}
		e, v := dep.Evaluate(ctx, d.Event)
		if ctx.Err() != nil { // what was said may be due to our own end
			return done, ctx.Err()
		}
		if v.Outcome == verdict.Error {
			t.metrics.undecided.Inc()
			t.warn(dep.Name, d.Event.ID(), v.Why())
		}
		if v.Transform != nil && v.Transform.Outcome == verdict.Error {
			if err := t.buryEvent(ctx, dep.Name, d.From, d.Event, fmt.Sprintf("dependency %s: transform: %s", dep.Name, v.Transform.Err)); err != nil {
				return done, err
			}
			continue
		}
		if v.Outcome == verdict.Pass {
			passed = append(passed, match{dep, e})
			continue
		}
		if t.debug(ctx) {
			t.log.Debug("event does not match", "dependency", dep.Name, "event", d.Event.ID(), "why", v.Why().String())
		}
	}
	if len(passed) == 0 {
		t.metrics.rejected.Inc()
		return done, nil
	}
	return t.meet(ctx, origin{delivery: d}, d.From, d.Event, passed)
}

func (t *runner) debug(ctx context.Context) bool { return t.log.Enabled(ctx, slog.LevelDebug) }

// quiet logs a repeated trouble once in a while.
type quiet struct {
	mu   sync.Mutex
	next time.Time
	more int
}

const quietFor = 10 * time.Second

func (q *quiet) warn(log *slog.Logger, msg string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.After(q.next) {
		log.Warn(msg, "error", err, "not_shown_before", q.more)
		q.next, q.more = now.Add(quietFor), 0
		return
	}
	q.more++
}
