package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// sourceRun is a running EventSource: all its entries.
type sourceRun struct {
	object  *manifest.Object
	runners []*eventsource.Runner
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func (r *sourceRun) stop() {
	r.cancel()
	r.done.Wait()
}

// settled tells whether all entries run, and have for a moment.
func (r *sourceRun) settled() bool {
	for _, e := range r.runners {
		if s := e.Status(); !s.Running || time.Since(s.Since) < handover {
			return false
		}
	}
	return true
}

// aloneTTL is how long a process waits for the one before it where there can be
// no other: its lease is only about the old and the new version of a changed object.
const aloneTTL = 3 * time.Second

// handover is how long the old and the new version of a changed EventSource run
// side by side. Their ids are the same, so the bus keeps one of each event.
const handover = 300 * time.Millisecond

// applySource starts o, or puts it beside what runs of it and then stops that.
func (b *busRun) applySource(ctx context.Context, o *manifest.Object) {
	b.mu.Lock()
	before := b.sources[o.ID]
	b.mu.Unlock()
	if o.Broken && len(o.Entries) == 0 || (o.Broken && before != nil) || (before != nil && before.object.Hash == o.Hash) {
		b.held(o, before != nil)
		return
	}
	b.callBack(o)
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	run := &sourceRun{object: o, cancel: cancel}
	for _, e := range o.Entries {
		state, lead := eventsource.OnBus(b.bus.State(), o.Name, e.Event)
		if b.p.cfg.Server != nil { // nobody else uses the bus: a holder other than us has died
			lead.TTL = aloneTTL
		}
		r, err := eventsource.NewRunner(eventsource.RunnerConfig{
			Namespace: o.Namespace, EventSource: o.Name, Event: e.Event, Kind: e.Kind, Config: e.Config,
			Publisher: b.bus, Metrics: b.p.metrics, Log: b.p.cfg.Log,
			Secrets: b.p.secrets(o.Namespace), Hooks: b.p.ingress, Kubernetes: b.p.cfg.Kubernetes,
			State: state, Lead: lead,
		})
		if err != nil {
			b.p.problem(o, err)
			continue
		}
		run.runners = append(run.runners, r)
		run.done.Go(func() {
			if err := r.Run(runCtx); err != nil {
				b.p.cfg.Log.Error("event source ended", "eventsource", o.Name, "event", e.Event, "error", err)
			}
		})
	}
	b.mu.Lock()
	b.sources[o.ID] = run
	b.mu.Unlock()
	if before == nil {
		if b.p.ready.Load() { // at the start there is the table
			b.p.cfg.Log.Info("event source added", "eventsource", o.Name, "namespace", o.Namespace)
		}
		return
	}
	b.p.cfg.Log.Info("event source changed, the new version runs", "eventsource", o.Name, "namespace", o.Namespace)
	removed := withoutEntriesOf(before.object, o)
	secrets := b.lastSecrets(o.Namespace)
	b.old.Go(func() {
		for !run.settled() && runCtx.Err() == nil {
			if pause(runCtx, handover/3) != nil {
				break
			}
		}
		before.stop()
		b.finish(ctx, before.object, removed, secrets)
	})
}
