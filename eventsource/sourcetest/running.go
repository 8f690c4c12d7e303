package sourcetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

// Patience is how long anything that has to happen may take. It only matters
// to tests that fail.
const Patience = 15 * time.Second

// Build makes the source of one entry from its YAML, as a user writes it below
// the event's name. Warnings and notes are let pass.
func Build(t testing.TB, k eventsource.Kind, text string, e *Env) eventsource.Source {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Decode(raw)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatal(err)
	}
	s, err := k.Build(c, e.Env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Running is one source that runs, and the bus that it emits to.
type Running struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	err     error // what Run returned last
	fail    error
	gate    chan struct{} // emits wait for it to be closed; nil lets them through
	stored  []eventsource.Event
	refused []eventsource.Event
	taken   int // of stored, given out by Next
	inside  int // emits waiting at the gate
	seen    map[string]bool
	// filtered counts the events that the source dropped itself.
	filtered int
}

// Start builds the source of text and runs it. As under the real runner, Run is
// called again a little later when it returns an error (except a permanent
// one), and an id is stored once. The test stops it at its end, if it has not
// been stopped before.
func Start(t testing.TB, k eventsource.Kind, text string, e *Env) *Running {
	t.Helper()
	return Go(t, Build(t, k, text, e))
}

// Go is Start for a source that is built already.
func Go(t testing.TB, s eventsource.Source) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &Running{cancel: cancel, done: make(chan struct{}), seen: map[string]bool{}}
	go func() {
		defer close(r.done)
		for {
			err := s.Run(ctx, r.emit)
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
			if ctx.Err() != nil || eventsource.IsPermanent(err) {
				return
			}
			if err == nil {
				t.Error("Run returned nil although its context is not done")
				return
			}
			t.Log("Run returned: ", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		r.cancel()
		<-r.done
	})
	return r
}

// emit is the bus.
func (r *Running) emit(ctx context.Context, e eventsource.Event) error {
	if e.Filtered {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.filtered++
		return nil
	}
	e.Data = append([]byte{}, e.Data...)
	r.mu.Lock()
	gate := r.gate
	r.inside++
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside--
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.fail != nil {
		r.refused = append(r.refused, e)
		return r.fail
	}
	if e.ID != "" {
		if r.seen[e.ID] {
			return nil
		}
		r.seen[e.ID] = true
	}
	r.stored = append(r.stored, e)
	return nil
}

// Fail makes emit return err, until it is called with nil.
func (r *Running) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// Next is the next event that was stored; it waits for it.
func (r *Running) Next(t testing.TB) eventsource.Event {
	t.Helper()
	var e eventsource.Event
	Eventually(t, "an event", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.taken == len(r.stored) {
			return false
		}
		e = r.stored[r.taken]
		r.taken++
		return true
	})
	return e
}

// Stored are the events that were stored so far.
func (r *Running) Stored() []eventsource.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]eventsource.Event{}, r.stored...)
}

// Filtered is how many events the source told of that its own settings dropped.
func (r *Running) Filtered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.filtered
}

// Refused are the events for which emit returned an error so far.
func (r *Running) Refused() []eventsource.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]eventsource.Event{}, r.refused...)
}

// Stop ends the source and returns what Run returned. The test fails if Run
// does not return soon.
func (r *Running) Stop(t testing.TB) error {
	t.Helper()
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(Patience):
		t.Fatal("Run goes on after its context is done")
	}
	return r.Err()
}

// Err is what Run returned last.
func (r *Running) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// hold makes emits wait until the returned function is called.
func (r *Running) hold() (release func()) {
	gate := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = gate
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.gate = nil
		close(gate)
	})
}

func (r *Running) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inside
}

// Eventually waits until cond holds and fails the test if it does not.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
