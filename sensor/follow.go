package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/lease"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// followed is an action whose outcome is awaited, as it is kept on the bus. It
// is a value: any replica takes it up.
type followed struct {
	Stage int `json:"stage,omitempty"`
	// Template after parameters, so that the action is followed with the
	// settings that it was done with.
	Template json.RawMessage `json:"template"`
	Ref      json.RawMessage `json:"ref"`
	Since    time.Time       `json:"since"`
	Timeout  time.Duration   `json:"timeout"`
	Emit     bool            `json:"emit,omitempty"`
	Telling  *telling        `json:"telling"`
	// Events for the dead letter of a kind that acts while it is followed.
	Events map[string]eventbus.DeadEvent `json:"events,omitempty"`
}

// mostRef bounds what a kind may want to remember.
const mostRef = 64 << 10

// mostRecord is the size up to which events are kept in a record, well below what
// the bus takes.
const mostRecord = 512 << 10

func (t *runner) followKey(id string) string { return t.key("follow/" + id) }

// followUp sees to it that the outcome of an action will be told. Once it has
// returned nil the events may be acknowledged.
func (t *runner) followUp(ctx context.Context, a *actionPlan, f *firing, p *progress, did deed) error {
	tell, err := t.telling(a, f, p, did.follow, did.Details)
	if err != nil {
		return err
	}
	if did.Follow == nil {
		if !did.follow.Emit {
			return nil
		}
		if err := t.tell(ctx, tell, outcomeSucceeded, did.Summary, nil); err != nil {
			return err
		}
		t.metrics.outcome(outcomeSucceeded)
		return nil
	}
	if len(did.Follow) > mostRef {
		return fmt.Errorf("trigger of kind %s wants to remember %d bytes, at most %d are allowed", a.kind.Name, len(did.Follow), mostRef)
	}
	rec := followed{
		Stage: p.Stage, Template: did.template, Ref: did.Follow, Since: time.Now().UTC(),
		Timeout: did.follow.Wait(), Emit: did.follow.Emit, Telling: tell,
	}
	if a.kind.Follow.Acts {
		rec.Events = f.origin
	}
	b, err := json.Marshal(rec)
	if err == nil && rec.Events != nil && len(b) > mostRecord {
		rec.Events = nil // the letter tells what was not done, and cannot be fired again
		b, err = json.Marshal(rec)
	}
	if err != nil {
		return err
	}
	_, err = t.bus.State().Create(ctx, t.followKey(f.id), b)
	if err != nil && !errors.Is(err, eventbus.ErrConflict) { // a conflict: it was written down before
		return fmt.Errorf("write down what is followed: %w", err)
	}
	t.follower.wake()
	return nil
}

// follower follows the actions of one trigger, as long as there are some and no
// other replica does.
type follower struct {
	t     *runner
	lease *lease.Lease
	woken chan struct{}
}

func newFollower(t *runner, ttl time.Duration) *follower {
	return &follower{
		t: t, woken: make(chan struct{}, 1),
		lease: &lease.Lease{Store: t.bus.State(), Prefix: t.key("leader/"), TTL: ttl},
	}
}

func (f *follower) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

const (
	// lookForOthers is how often it is looked whether a replica has died with
	// something to be followed. Its own actions a replica takes up at once.
	lookForOthers = 15 * time.Second
	// lookForMore is how often whoever follows looks for actions of other replicas.
	lookForMore = time.Second
)

// timeToLook is what an action that is taken up late has at least.
const timeToLook = 30 * time.Second

// errNothingLeft ends a leadership.
var errNothingLeft = errors.New("nothing is left to be followed")

// run follows until ctx is done.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		ids, err := f.open(ctx)
		switch {
		case err != nil:
			f.t.trouble.warn(f.t.log, "what is to be followed cannot be read", err)
		case len(ids) > 0:
			err := f.lease.Lead(ctx, "follow", f.lead)
			if err != nil && !errors.Is(err, errNothingLeft) {
				f.t.trouble.warn(f.t.log, "following was interrupted", err)
			}
			continue
		}
		timer := time.NewTimer(lookForOthers/2 + rand.N(lookForOthers/2)) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-f.woken:
		}
		timer.Stop()
	}
}

// open are the firings that are to be followed.
func (f *follower) open(ctx context.Context) ([]string, error) {
	prefix := f.t.key("follow")
	keys, err := f.t.bus.State().Keys(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		keys[i] = k[len(prefix)+1:]
	}
	return keys, nil
}

// lead follows everything there is, side by side, until nothing is left.
func (f *follower) lead(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer f.tell(0)
	defer all.Wait()
	defer cancel()
	var mu sync.Mutex
	busy := map[string]bool{}
	for {
		ids, err := f.open(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.t.trouble.warn(f.t.log, "what is to be followed cannot be read", err)
		}
		mu.Lock()
		for _, id := range ids {
			if busy[id] {
				continue
			}
			busy[id] = true
			all.Go(func() {
				f.follow(ctx, id)
				mu.Lock()
				delete(busy, id)
				mu.Unlock()
				f.wake()
			})
		}
		left := len(busy)
		mu.Unlock()
		f.tell(left)
		if err == nil && left == 0 && len(ids) == 0 {
			return errNothingLeft
		}
		timer := time.NewTimer(lookForMore)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-f.woken:
		}
		timer.Stop()
	}
}

func (f *follower) tell(n int) {
	f.t.status.following(n)
	f.t.metrics.following.Set(float64(n))
}

// follow follows one action to its end. It returns early if ctx is done.
func (f *follower) follow(ctx context.Context, id string) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := f.t.followToEnd(ctx, id)
		if err == nil || ctx.Err() != nil {
			return
		}
		f.t.trouble.warn(f.t.log, "following goes on later", fmt.Errorf("firing %s: %w", id, err))
		if f.t.sleepFor(ctx, wait) != nil {
			return
		}
	}
}

func (t *runner) followToEnd(ctx context.Context, id string) error {
	b, _, err := t.bus.State().Get(ctx, t.followKey(id))
	if errors.Is(err, eventbus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var rec followed
	if err := json.Unmarshal(b, &rec); err != nil || rec.Telling == nil {
		t.log.Error("what is to be followed cannot be read, it is dropped", "firing", id, "error", err)
		return t.bus.State().Delete(ctx, t.followKey(id))
	}
	state, out, err := t.awaitOutcome(ctx, id, &rec)
	if err != nil {
		return err
	}
	if a := t.stage(rec.Stage); a.kind.Follow != nil && a.kind.Follow.Acts && state != outcomeSucceeded {
		letter := t.letter(id, out.Summary, rec.Events)
		letter.Attempts, letter.AttemptCount = []eventbus.Attempt{{Time: time.Now().UTC(), Error: out.Summary}}, 1
		if err := t.putLetter(ctx, letter); err != nil {
			return err
		}
	}
	if rec.Emit {
		if err := t.tell(ctx, rec.Telling, state, out.Summary, out.Details); err != nil {
			return err
		}
	}
	t.metrics.outcome(state)
	level := slog.LevelInfo
	if state != outcomeSucceeded {
		level = slog.LevelWarn
	}
	t.log.Log(ctx, level, "followed to its end", "action", rec.Telling.Trigger, "firing", id, "outcome", state, "result", out.Summary, "took", time.Since(rec.Since).Round(time.Millisecond))
	return t.bus.State().Delete(ctx, t.followKey(id))
}

// awaitOutcome returns an error only if ctx is done.
func (t *runner) awaitOutcome(ctx context.Context, id string, rec *followed) (state string, out trigger.Outcome, err error) {
	end := rec.Since.Add(rec.Timeout)
	if now := time.Now(); now.Sub(rec.Since) > rec.Timeout/2 && end.Before(now.Add(timeToLook)) {
		end = now.Add(timeToLook) // nobody followed for a while: it may have ended in time
	}
	bounded, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var last error
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		out, err := t.await(bounded, id, rec)
		switch {
		case ctx.Err() != nil:
			return "", out, ctx.Err()
		case err == nil && out.Failed:
			return outcomeFailed, out, nil
		case err == nil:
			return outcomeSucceeded, out, nil
		case trigger.IsPermanent(err):
			return outcomeFailed, trigger.Outcome{Failed: true, Summary: oneLine(err)}, nil
		}
		if bounded.Err() == nil {
			last = err
			t.trouble.warn(t.log, "the outcome cannot be told yet", fmt.Errorf("firing %s: %w", id, err))
			_ = t.sleepFor(bounded, max(wait, trigger.AskedWait(err)))
		}
		if ctx.Err() == nil && bounded.Err() != nil {
			out := trigger.Outcome{Failed: true, Summary: fmt.Sprintf("no outcome within %v", rec.Timeout)}
			if last != nil {
				out.Summary += ": " + oneLine(last)
			}
			return outcomeTimedOut, out, nil
		}
	}
}

// await asks the kind, with the trigger of the time of the firing.
func (t *runner) await(ctx context.Context, id string, rec *followed) (_ trigger.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	a := t.stage(rec.Stage)
	if a.kind.Follow == nil {
		return trigger.Outcome{}, trigger.Permanent(fmt.Errorf("the trigger is of kind %s now, which cannot be followed", a.kind.Name))
	}
	tr, release, err := t.actions.getMade(a, rec.Template)
	if errors.Is(err, errClosed) {
		return trigger.Outcome{}, err
	}
	if err != nil {
		return trigger.Outcome{}, trigger.Permanent(err)
	}
	defer release()
	return a.kind.Follow.Await(ctx, tr.Trigger, trigger.Following{
		ID: id, Namespace: t.namespace, Sensor: t.sensor, Trigger: rec.Telling.Trigger, Ref: rec.Ref, Since: rec.Since,
	})
}

// sleepFor waits, or returns ctx's error.
func (t *runner) sleepFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
