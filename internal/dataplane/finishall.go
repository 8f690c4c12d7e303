package dataplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
)

// busPatience is how long Finish waits for a bus before it does without.
const busPatience = 15 * time.Second

// Finish undoes, once, what the EventSources among the manifests have set up
// elsewhere, as far as they ask for that, and reports to cfg.Out. Of the
// configuration it needs Paths, what says where the bus and the secrets are,
// Sources, Kubernetes, Namespace and Log. only is the name of one EventSource;
// empty means all. Where the bus is away it does without what that remembers.
//
// It tries until ctx is done. The error names what is left.
func Finish(ctx context.Context, cfg Config, only string) error {
	p := &Process{cfg: cfg, buses: map[busKey]*busRun{}, started: time.Now()}
	set := p.load()
	p.set.Store(set)
	objects, errs := finishable(set, only)
	if len(objects) == 0 {
		if len(errs) == 0 {
			fmt.Fprintln(cfg.Out, "Nothing is to be undone: no entry asks for it.")
		}
		return errors.Join(errs...)
	}
	stop, err := p.connect(ctx)
	if err != nil {
		cfg.Log.Warn("event bus cannot be used, going on without what it remembers", "error", err)
		cfg.Link, cfg.Server = nil, nil
		p.cfg = cfg
		if stop, err = p.connect(ctx); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := p.finishBuses(ctx, set, objects)
	for _, o := range objects {
		bus := opened[busKey{o.Namespace, o.EventSource.Spec.Bus()}]
		for _, e := range o.Entries {
			if !wantsFinish(e) {
				continue
			}
			wg.Go(func() {
				err := p.finishOne(ctx, bus, o, e)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, fmt.Errorf("%s/%s: %w", p.shown(o), e.Event, err))
					return
				}
				fmt.Fprintf(cfg.Out, "%s/%s: nothing is left of what it had set up\n", p.shown(o), e.Event)
			})
		}
	}
	wg.Wait()
	for _, bus := range opened {
		if bus != nil {
			errs = append(errs, bus.Close())
		}
	}
	return errors.Join(errors.Join(errs...), p.links.close(), stop())
}

// finishable are the EventSources with entries to undo, and what is wrong with others.
func finishable(set *manifest.Set, only string) (out []*manifest.Object, errs []error) {
	if !set.Complete() {
		errs = append(errs, errors.New("not all manifests can be read, see lint"))
	}
	found := only == ""
	for _, o := range set.OfKind(v1alpha1.KindEventSource) {
		if only != "" && o.Name != only {
			continue
		}
		found = true
		if o.Broken {
			errs = append(errs, fmt.Errorf("%s has errors, so that not all of it may be undone; see lint", o))
		}
		for _, e := range o.Entries {
			if wantsFinish(e) {
				out = append(out, o)
				break
			}
		}
	}
	if !found {
		errs = append(errs, fmt.Errorf("there is no EventSource %s in the manifests", only))
	}
	return out, errs
}

// finishBuses opens the buses of objects; nil stands for one that cannot be had.
func (p *Process) finishBuses(ctx context.Context, set *manifest.Set, objects []*manifest.Object) map[busKey]*eventbus.Bus {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	opened := map[busKey]*eventbus.Bus{}
	for _, o := range objects {
		key := busKey{o.Namespace, o.EventSource.Spec.Bus()}
		if _, tried := opened[key]; tried {
			continue
		}
		bus, err := p.finishBus(ctx, set, key)
		if err != nil {
			p.cfg.Log.Warn("event bus cannot be used, going on without what it remembers", "eventbus", key.name, "error", err)
		}
		opened[key] = bus
	}
	return opened
}

// finishBus opens a bus as it is; nil if there is none.
func (p *Process) finishBus(ctx context.Context, set *manifest.Set, key busKey) (*eventbus.Bus, error) {
	spec, settings, err := p.settings(key, set)
	if err != nil {
		return nil, err
	}
	if p.links.main == nil && settings.exotic == "" {
		return nil, nil
	}
	link, err := p.links.of(ctx, spec, p.secrets(key.namespace), p.linkBase)
	if err != nil {
		return nil, err
	}
	bus, err := eventbus.Open(ctx, link, eventbus.Config{Namespace: key.namespace, Name: key.name, AsIs: true, Log: p.cfg.Log})
	if errors.Is(err, eventbus.ErrNotFound) {
		return nil, nil // a bus without streams remembers nothing
	}
	return bus, err
}

func (p *Process) finishOne(ctx context.Context, bus *eventbus.Bus, o *manifest.Object, e manifest.Entry) error {
	log := p.cfg.Log.With("namespace", o.Namespace, "eventsource", o.Name, "event", e.Event, "kind", e.Kind.Name)
	env := eventsource.Env{
		Namespace: o.Namespace, EventSource: o.Name, Event: e.Event, Log: log,
		Secrets: p.secrets(o.Namespace), State: noMemory{}, Kubernetes: p.cfg.Kubernetes,
	}
	if bus != nil {
		env.State, env.Lead = eventsource.OnBus(bus.State(), o.Name, e.Event)
	}
	return undoEntry(ctx, e, env, func(err error, wait time.Duration) {
		log.Warn("cannot be undone yet", "error", err, "retry_in", wait.String())
	})
}

// noMemory is the State of a bus that is not there.
type noMemory struct{}

// Get implements eventsource.State.
func (noMemory) Get(context.Context, string) ([]byte, error) { return nil, nil }

// Put implements eventsource.State.
func (noMemory) Put(context.Context, string, []byte) error { return nil }
