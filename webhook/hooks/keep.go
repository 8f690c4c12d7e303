package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/seldom"
)

const (
	defaultPeriod = 10 * time.Minute
	// look is how often the secret is read.
	look = 3 * time.Second
	// atOnce is how many targets are worked on side by side.
	atOnce = 4
	// Waits before a target, or the list of them, is tried again.
	firstWait = 5 * time.Second
	mostWait  = 5 * time.Minute
	// giveBack bounds what is done after the end: to save what is remembered.
	giveBack = 5 * time.Second
)

// Run keeps the hooks until ctx is done, and then returns nil. What it cannot do
// it logs, and tries again. It leaves the hooks where they are. An error is the Leader's.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { k.learn(ctx) })
	return k.Lead.Lead(ctx, "hooks", func(ctx context.Context) error {
		k.keep(ctx)
		return nil
	})
}

// learn has Keys read the secret now and then, so that a replica that gets no
// deliveries remembers, too, what the secret was before it changed.
func (k *Keeper) learn(ctx context.Context) {
	for k.Keys != nil {
		_, _ = k.Keys.Current(ctx) // who needs it complains
		if pause(ctx, look) != nil {
			return
		}
	}
}

// round is the work of the one who leads.
type round struct {
	k      *Keeper
	memory *memory
	secret []byte

	targets map[string]*target
	next    time.Time // of the next look at the list of targets
	failed  int       // looks at it that failed in a row

	limit     limit
	complaint struct{ secret, state, targets, hooks, limit seldom.Complaint }
}

// target is one place with a hook.
type target struct {
	due    time.Time
	failed int  // tries in a row
	left   bool // it is not in the configuration any more
}

func (k *Keeper) keep(ctx context.Context) {
	r := &round{k: k, targets: map[string]*target{}}
	for failed := 1; ; failed++ {
		var err error
		if r.memory, err = recall(ctx, k.State); err == nil {
			break
		}
		r.complain(&r.complaint.state, "what is known of the hooks cannot be read", err)
		if pause(ctx, backoff(failed)) != nil {
			return
		}
	}
	for ctx.Err() == nil {
		if r.sign(ctx) {
			r.list(ctx)
			r.pass(ctx)
			r.save(ctx)
		}
		if pause(ctx, min(look, max(r.idle(), 0))) != nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBack)
	defer cancel()
	r.save(ctx)
}

// idle is how long there is nothing to do.
func (r *round) idle() time.Duration {
	next := r.next
	for _, t := range r.targets {
		if t.due.Before(next) {
			next = t.due
		}
	}
	return time.Until(next)
}

// sign reads the secret, and makes all targets due if it is another one. It
// tells whether there is what the hooks need.
func (r *round) sign(ctx context.Context) bool {
	if r.k.Keys == nil {
		return true
	}
	secret, err := r.k.Keys.Current(ctx)
	if err != nil {
		r.complain(&r.complaint.secret, "the hooks' secret cannot be read", err)
		return false
	}
	if r.secret != nil && !bytes.Equal(secret, r.secret) {
		r.k.Log.Info("the hooks' secret has changed, signing them anew", "hooks", len(r.targets))
		for _, t := range r.targets {
			t.due = time.Now()
		}
	}
	r.secret = bytes.Clone(secret)
	return true
}

// list looks, once a period, at what the targets are, and makes all of them due.
func (r *round) list(ctx context.Context) {
	if time.Now().Before(r.next) {
		return
	}
	names, err := r.k.Targets(ctx)
	if err != nil {
		r.failed++
		wait := backoff(r.failed)
		if l := limited(err); l != nil {
			wait = max(wait, time.Until(l.Until))
		}
		r.next = time.Now().Add(wait)
		r.complain(&r.complaint.targets, "the places for hooks cannot be listed", err)
		return
	}
	r.failed = 0
	period, now := r.period(), time.Now()
	r.next = now.Add(period - period/10 + rand.N(period/5+1)) //nolint:gosec // jitter
	before := r.targets
	r.targets = map[string]*target{}
	add := func(name string, left bool) {
		t := before[name]
		if t == nil || t.left != left {
			t = &target{}
		}
		t.left = left
		if t.failed == 0 || t.due.Before(now) {
			t.due = now
		}
		r.targets[name] = t
	}
	for _, name := range names {
		add(name, false)
	}
	if !r.k.DeleteOnFinish {
		return
	}
	for _, name := range r.memory.targets() {
		if !slices.Contains(names, name) {
			add(name, true)
		}
	}
}

func (r *round) period() time.Duration {
	if r.k.Period > 0 {
		return r.k.Period
	}
	return defaultPeriod
}

// pass works on the targets that are due, in order of their names.
func (r *round) pass(ctx context.Context) {
	var due []string
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(r.targets)) {
		if !r.targets[name].due.After(now) {
			due = append(due, name)
		}
	}
	if len(due) == 0 {
		return
	}
	var done tally
	side(due, func(name string) {
		t := r.targets[name]
		err := r.one(ctx, name, t, &done)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.failed++
			t.due = time.Now().Add(backoff(t.failed))
			done.fail(fmt.Errorf("%s: %w", name, err))
			return
		}
		t.failed, t.due = 0, time.Now().Add(2*r.period()) // list makes it due before that
	})
	if s := done.summary(); s != nil {
		r.k.Log.Info("hooks mended", s...)
	}
	if n, first := done.failures(); n > 0 {
		r.complain(&r.complaint.hooks, "some hooks are not as they should be, trying again", first, "hooks", n)
	}
	for name, t := range r.targets {
		if t.left && t.failed == 0 {
			delete(r.targets, name)
		}
	}
}

// one does what a target needs, and waits where the API wants that. Panics of an
// API are errors.
func (r *round) one(ctx context.Context, name string, t *target, done *tally) (err error) {
	for {
		if err := r.limit.wait(ctx); err != nil {
			return err
		}
		err := guarded(func() error {
			if t.left {
				return r.leave(ctx, name, done)
			}
			return r.mend(ctx, name, done)
		})
		l := limited(err)
		if l == nil {
			return err
		}
		r.complain(&r.complaint.limit, "the API wants to be left alone for a while", l.Cause, "until", l.Until.UTC().Format(time.RFC3339))
		r.limit.until(l.Until)
	}
}

// save stores what is remembered, if it has changed.
func (r *round) save(ctx context.Context) {
	if err := r.memory.save(ctx, r.k.State); err != nil {
		r.complain(&r.complaint.state, "what is known of the hooks cannot be stored", err)
	}
}

func (r *round) complain(c *seldom.Complaint, message string, err error, more ...any) {
	if due, _ := c.Due(message + err.Error()); due {
		r.k.Log.Warn(message, append([]any{"error", err}, more...)...)
	}
}

func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

func limited(err error) *Limited {
	var l *Limited
	if errors.As(err, &l) {
		return l
	}
	return nil
}

// side calls f for each of names, in order, a few at a time.
func side(names []string, f func(name string)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, atOnce)
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(name)
		})
	}
}

// limit holds back all who work on the targets of one API.
type limit struct {
	mu sync.Mutex
	at time.Time
}

func (l *limit) until(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// An API whose time is over, but goes on refusing, is asked once a second.
	if soon := time.Now().Add(time.Second); at.Before(soon) {
		at = soon
	}
	if at.After(l.at) {
		l.at = at
	}
}

func (l *limit) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		left := time.Until(l.at)
		l.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		if err := pause(ctx, left); err != nil {
			return err
		}
	}
}

func backoff(failed int) time.Duration {
	wait := min(firstWait<<min(failed-1, 10), mostWait)
	return wait + rand.N(wait/4) //nolint:gosec // jitter
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
