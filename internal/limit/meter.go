// Package limit bounds programs of other people that an interpreter runs inside
// our process.
package limit

import (
	"context"
	"fmt"
	"runtime/metrics"
	"time"
)

// Limits of one run. Zero means none.
type Limits struct {
	// Time the run may take.
	Time time.Duration
	// Steps are instructions of the interpreter.
	Steps int
	// Heap is by how many bytes the process's heap may grow while the run
	// lasts. It is a net for programs that build large values in few steps: it
	// is looked at only in runs that take longer than a millisecond, and it
	// cannot tell the run's memory from that of others, so it should be large.
	Heap uint64
}

// A Meter is a context for interpreters that ask Done before each instruction,
// as gopher-lua and gojq do. It counts these questions and closes Done when a
// limit is reached; then Err says which one. There is no timer and no
// goroutine, so a run that asks nothing is not stopped.
//
// A Meter serves one run and one goroutine.
type Meter struct {
	context.Context

	limits   Limits
	start    time.Time
	deadline time.Time
	steps    int
	err      error

	looked time.Time // when the heap was looked at last
	heap   uint64    // its size at the first look
	sample []metrics.Sample
}

// Exceeded is the error of a run that was stopped.
type Exceeded struct{ What string }

// Error implements error.
func (e *Exceeded) Error() string { return e.What }

// New starts a run. It also ends when ctx does.
func New(ctx context.Context, l Limits) *Meter {
	m := &Meter{Context: ctx, limits: l, start: time.Now()}
	if l.Time > 0 {
		m.deadline = m.start.Add(l.Time)
	}
	if d, ok := ctx.Deadline(); ok && (m.deadline.IsZero() || d.Before(m.deadline)) {
		m.deadline = d
	}
	return m
}

// closed is never written to.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done counts one step. It returns a closed channel once the run has to stop.
func (m *Meter) Done() <-chan struct{} {
	if m.Spend(1) != nil {
		return closed
	}
	return m.Context.Done()
}

// Deadline is the earlier one of the limit and of the context.
func (m *Meter) Deadline() (time.Time, bool) { return m.deadline, !m.deadline.IsZero() }

// Err tells why the run has to stop; nil while it may go on.
func (m *Meter) Err() error {
	if m.err != nil {
		return m.err
	}
	return m.Context.Err()
}

// Between how many steps the clock is read.
const stride = 16

// Spend counts n steps, for work that one instruction does. An error means that
// the run has to stop.
func (m *Meter) Spend(n int) error {
	if m.err != nil {
		return m.err
	}
	before := m.steps
	m.steps += n
	if m.limits.Steps > 0 && m.steps > m.limits.Steps {
		m.err = &Exceeded{fmt.Sprintf("stopped after %d steps", m.limits.Steps)}
		return m.err
	}
	if before/stride != m.steps/stride {
		m.check()
	}
	return m.Err()
}

func (m *Meter) check() {
	now := time.Now()
	if !m.deadline.IsZero() && now.After(m.deadline) {
		m.err = &Exceeded{fmt.Sprintf("stopped after %v", now.Sub(m.start).Round(time.Millisecond))}
		return
	}
	if m.limits.Heap == 0 || now.Sub(m.start) < time.Millisecond || now.Sub(m.looked) < time.Millisecond {
		return
	}
	m.looked = now
	if m.sample == nil {
		m.sample = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		m.heap = m.bytes()
		return
	}
	if size := m.bytes(); size > m.heap+m.limits.Heap {
		m.err = &Exceeded{fmt.Sprintf("stopped because memory grew by more than %d MiB", m.limits.Heap>>20)}
	}
}

func (m *Meter) bytes() uint64 {
	metrics.Read(m.sample)
	return m.sample[0].Value.Uint64()
}
