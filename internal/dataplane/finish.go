package dataplane

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/manifest"
	"github.com/signalbox-events/signalbox/internal/secret"
)

const (
	// comeBack is how long a removed entry has to come back before anything is undone.
	comeBack = 2 * time.Second
	// undoFor is how long undoing is tried, and lastWords how long when the process ends.
	undoFor   = 10 * time.Minute
	lastWords = 10 * time.Second
	// Waits between tries.
	firstRetry = time.Second
	mostRetry  = time.Minute
)

// undoing are the entries of a bus that are being undone.
type undoing struct {
	mu   sync.Mutex
	jobs map[entryID]*undo
}

// entryID names an entry across versions of its EventSource.
type entryID struct {
	object manifest.ID
	event  string
	kind   string
}

type undo struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// wantsFinish tells whether an entry asks for its work elsewhere to be undone.
func wantsFinish(e manifest.Entry) bool {
	return e.Kind.Finish != nil && e.Kind.NeedsFinish != nil && e.Kind.NeedsFinish(e.Config)
}

// withoutEntriesOf are the entries that o had before and now has not.
func withoutEntriesOf(before, now *manifest.Object) []manifest.Entry {
	var out []manifest.Entry
	for _, e := range before.Entries {
		if !hasEntry(now, e.Kind.Name, e.Event) {
			out = append(out, e)
		}
	}
	return out
}

func hasEntry(o *manifest.Object, kind, event string) bool {
	for _, e := range o.Entries {
		if e.Kind.Name == kind && e.Event == event {
			return true
		}
	}
	return false
}

// lastSecrets are those of now, and of the manifests before the last change:
// what is removed has often taken its secrets with it.
func (b *busRun) lastSecrets(namespace string) secret.Reader {
	readers := secret.First{b.p.secrets(namespace)}
	if last := b.p.last.Load(); last != nil {
		readers = append(readers, last.Secrets(namespace))
	}
	return readers
}

// finish undoes what removed entries of o have set up elsewhere, as far as they
// ask for that, and waits for it. The entries do not run any more. ctx is the process's.
func (b *busRun) finish(ctx context.Context, o *manifest.Object, entries []manifest.Entry, secrets secret.Reader) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, e := range entries {
		if wantsFinish(e) {
			wg.Go(func() { b.undo(ctx, o, e, secrets) })
		}
	}
}

func (b *busRun) undo(ctx context.Context, o *manifest.Object, e manifest.Entry, secrets secret.Reader) {
	_ = pause(ctx, comeBack)
	var wg sync.WaitGroup
	defer wg.Wait()
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoFor)
	defer cancel()
	wg.Go(func() { // the end of the process leaves it some time
		select {
		case <-ctx.Done():
		case <-work.Done():
		}
		if pause(work, lastWords) == nil {
			cancel()
		}
	})
	id := entryID{o.ID, e.Event, e.Kind.Name}
	job := &undo{cancel: cancel, done: make(chan struct{})}
	defer close(job.done)
	b.undoing.add(id, job)
	defer b.undoing.remove(id, job)
	if !b.ends(o, e) {
		return
	}
	log := b.p.cfg.Log.With("namespace", o.Namespace, "eventsource", o.Name, "event", e.Event, "kind", e.Kind.Name)
	state, lead := eventsource.OnBus(b.bus.State(), o.Name, e.Event)
	env := eventsource.Env{
		Namespace: o.Namespace, EventSource: o.Name, Event: e.Event, Log: log,
		Secrets: secrets, Hooks: b.p.ingress, State: state, Lead: lead, Kubernetes: b.p.cfg.Kubernetes,
	}
	err := undoEntry(work, e, env, func(err error, wait time.Duration) {
		log.Warn("what the removed event source has set up cannot be undone yet", "error", err, "retry_in", wait.String())
	})
	switch {
	case err == nil:
		log.Info("what the removed event source had set up is undone")
	case !b.ends(o, e): // it is back, and told to go on
	default:
		log.Error("what the removed event source has set up is left there; undo it by hand, or bring it back and run signalbox finish", "error", err)
	}
}

// ends tells whether an entry is still missing from the manifests.
func (b *busRun) ends(o *manifest.Object, e manifest.Entry) bool {
	set := b.p.set.Load()
	now := set.Find(o.ID)
	if now == nil {
		return !set.MayHold(o)
	}
	return !now.Broken && !hasEntry(now, e.Kind.Name, e.Event)
}

// callBack stops the undoing of entries that are back, before they run again.
func (b *busRun) callBack(o *manifest.Object) {
	for _, e := range o.Entries {
		if job := b.undoing.find(entryID{o.ID, e.Event, e.Kind.Name}); job != nil {
			job.cancel()
			<-job.done
		}
	}
}

func (u *undoing) add(id entryID, job *undo) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs == nil {
		u.jobs = map[entryID]*undo{}
	}
	u.jobs[id] = job
}

func (u *undoing) remove(id entryID, job *undo) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs[id] == job {
		delete(u.jobs, id)
	}
}

func (u *undoing) find(id entryID) *undo {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.jobs[id]
}

// undoEntry undoes until that succeeds, cannot succeed, or ctx is done. The
// error is then the last one.
func undoEntry(ctx context.Context, e manifest.Entry, env eventsource.Env, failed func(err error, wait time.Duration)) error {
	for wait := firstRetry; ; wait = min(2*wait, mostRetry) {
		err := undoOnce(ctx, e, env)
		if err == nil || eventsource.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return err
		}
		failed(err, wait)
		if pause(ctx, wait) != nil {
			return err
		}
	}
}

func undoOnce(ctx context.Context, e manifest.Entry, env eventsource.Env) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = eventsource.Permanent(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return e.Kind.Finish(ctx, e.Config, env)
}
