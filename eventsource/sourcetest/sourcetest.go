package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-events/signalbox/eventsource"
)

// Case is what the suite has to know of a kind.
type Case struct {
	Kind eventsource.Kind
	// Setup readies upstream (a folder, a server, a secret) and returns the
	// entry's configuration, YAML. Required.
	Setup func(t *testing.T, e *Env) string
	// Provoke makes event number n (from 1) happen upstream, once the source
	// runs. Where upstream waits for an answer, it returns the error that it
	// was given, nil if the event was taken; elsewhere it returns nil at once.
	// It is called by many goroutines if Concurrent is set. Required.
	Provoke func(t *testing.T, e *Env, n int) error
	// Answers says that Provoke's error tells whether the event was taken, as
	// with an HTTP request, and that whoever sent it tries again. Otherwise the
	// source itself has to bring an event again that could not be stored.
	Answers bool
	// Concurrent says that events may be emitted side by side.
	Concurrent bool
	// StableIDs says that an event that is brought again has the id it had. It
	// goes without saying for kinds that do not answer.
	StableIDs bool
	// Remembers says that the source keeps in its State what has not been stored
	// yet, so that an event that was refused comes again even after the process
	// was replaced. Setup is called once more with the same Env then.
	Remembers bool
	// FakeClock runs each check in a bubble of testing/synctest, where hours
	// pass in no time. The kind must not use the network or files there.
	FakeClock bool
}

// errBus is what emit returns while the bus of a check is out of order.
var errBus = errors.New("sourcetest: the bus is not available")

// Run is the conformance suite.
func Run(t *testing.T, c Case) {
	t.Helper()
	checks := []struct {
		name string
		when bool
		run  func(*testing.T, Case)
	}{
		{"an event arrives", true, arrives},
		{"ends when its context is done", true, ends},
		{"does not begin when its context is done", true, doesNotBegin},
		{"runs again after it returned", true, runsAgain},
		{"a refused event is not taken and comes again", true, comesAgain},
		{"a refused event is not lost by a restart", c.Remembers, survivesRestart},
		{"an event too large does not block the next", true, tooLarge},
		{"events are emitted side by side", c.Concurrent && c.Answers, sideBySide},
		{"many events at a time all arrive", c.Concurrent, many},
		{"events under way are finished", c.Answers && !c.FakeClock, finishes},
	}
	for _, check := range checks {
		if !check.when {
			continue
		}
		t.Run(check.name, func(t *testing.T) {
			if c.FakeClock {
				synctest.Test(t, func(t *testing.T) { check.run(t, c) })
				return
			}
			ignore := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
			check.run(t, c)
		})
	}
}

func (c Case) start(t *testing.T) (*Env, *Running) {
	t.Helper()
	e := NewEnv(t)
	return e, Start(t, c.Kind, c.Setup(t, e), e)
}

func (c Case) provoke(t *testing.T, e *Env, n int) {
	t.Helper()
	if err := c.Provoke(t, e, n); err != nil {
		t.Fatalf("event %d was not taken: %v", n, err)
	}
}

func arrives(t *testing.T, c Case) {
	e, r := c.start(t)
	c.provoke(t, e, 1)
	if got := r.Next(t); len(got.Data) == 0 && !c.Kind.ForeignContext {
		t.Error("the event has no data")
	}
}

func ends(t *testing.T, c Case) {
	e, r := c.start(t)
	c.provoke(t, e, 1)
	r.Next(t)
	if err := r.Stop(t); err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
}

func doesNotBegin(t *testing.T, c Case) {
	e := NewEnv(t)
	s := Build(t, c.Kind, c.Setup(t, e), e)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Run(ctx, func(context.Context, eventsource.Event) error { return nil })
	if err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
}

func runsAgain(t *testing.T, c Case) {
	e := NewEnv(t)
	s := Build(t, c.Kind, c.Setup(t, e), e)
	for n := 1; n <= 2; n++ {
		r := Go(t, s)
		c.provoke(t, e, n)
		r.Next(t)
		if err := r.Stop(t); err != nil {
			t.Errorf("Run %d returned %v, want nil", n, err)
		}
	}
}

func comesAgain(t *testing.T, c Case) {
	e, r := c.start(t)
	r.Fail(errBus)
	refused := c.refuse(t, e, r)
	if got := r.Stored(); len(got) > 0 {
		t.Fatalf("stored %d events although the bus takes none", len(got))
	}
	r.Fail(nil)
	if c.Answers {
		c.provoke(t, e, 1)
	}
	c.sameID(t, refused, r.Next(t))
}

// refuse provokes event 1 while emit fails, and returns it.
func (c Case) refuse(t *testing.T, e *Env, r *Running) eventsource.Event {
	t.Helper()
	err := c.Provoke(t, e, 1)
	switch {
	case c.Answers && err == nil:
		t.Fatal("upstream was told that the event is taken, though emit returned an error")
	case !c.Answers && err != nil:
		t.Fatal(err)
	}
	Eventually(t, "the event to be refused", func() bool { return len(r.Refused()) > 0 })
	return r.Refused()[0]
}

func (c Case) sameID(t *testing.T, first, again eventsource.Event) {
	t.Helper()
	if c.Answers && !c.StableIDs {
		return
	}
	if first.ID == "" || first.ID != again.ID {
		t.Errorf("the event came again with the id %q, before it was %q", again.ID, first.ID)
	}
}

func survivesRestart(t *testing.T, c Case) {
	e, r := c.start(t)
	r.Fail(errBus)
	refused := c.refuse(t, e, r)
	_ = r.Stop(t)
	second := Start(t, c.Kind, c.Setup(t, e), e)
	c.sameID(t, refused, second.Next(t))
}

func tooLarge(t *testing.T, c Case) {
	e, r := c.start(t)
	r.Fail(fmt.Errorf("sourcetest: %w", eventsource.ErrTooLarge))
	c.refuse(t, e, r)
	r.Fail(nil)
	c.provoke(t, e, 2)
	r.Next(t)
}

const crowd = 20

func (c Case) crowd(t *testing.T, e *Env) (wait func()) {
	var wg sync.WaitGroup
	for n := 1; n <= crowd; n++ {
		wg.Go(func() {
			if err := c.Provoke(t, e, n); err != nil {
				t.Errorf("event %d was not taken: %v", n, err)
			}
		})
	}
	return wg.Wait
}

func many(t *testing.T, c Case) {
	e, r := c.start(t)
	defer c.crowd(t, e)()
	for range crowd {
		r.Next(t)
	}
}

func sideBySide(t *testing.T, c Case) {
	e, r := c.start(t)
	release := r.hold()
	defer release()
	wait := c.crowd(t, e)
	Eventually(t, "all events to be emitted at the same time", func() bool { return r.waiting() == crowd })
	release()
	wait()
}

func finishes(t *testing.T, c Case) {
	e, r := c.start(t)
	release := r.hold()
	defer release()
	answer := make(chan error, 1)
	go func() { answer <- c.Provoke(t, e, 1) }()
	Eventually(t, "the event to be emitted", func() bool { return r.waiting() == 1 })
	r.cancel()
	select {
	case err := <-answer:
		t.Fatalf("the request was cut off: %v", err)
	case <-r.done:
		t.Fatal("Run returned although a request is under way")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if err := <-answer; err != nil {
		t.Errorf("the request that was under way was not taken: %v", err)
	}
	if err := r.Stop(t); err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
}
