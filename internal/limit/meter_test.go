package limit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/internal/limit"
)

// run asks Done up to n times and tells after how many it was closed.
func run(m *limit.Meter, n int) int {
	for i := range n {
		select {
		case <-m.Done():
			return i
		default:
		}
	}
	return -1
}

func TestSteps(t *testing.T) {
	m := limit.New(t.Context(), limit.Limits{Steps: 100})
	if got := run(m, 1000); got != 100 {
		t.Errorf("stopped after %d steps", got)
	}
	var e *limit.Exceeded
	if !errors.As(m.Err(), &e) {
		t.Errorf("error %v", m.Err())
	}
	if run(m, 1) != 0 {
		t.Error("goes on after it was stopped")
	}
	m = limit.New(t.Context(), limit.Limits{Steps: 100})
	if m.Spend(100) != nil || m.Spend(1) == nil {
		t.Error("Spend does not count as steps do")
	}
}

func TestNoLimits(t *testing.T) {
	m := limit.New(t.Context(), limit.Limits{})
	if got := run(m, 100_000); got != -1 || m.Err() != nil {
		t.Errorf("stopped after %d steps: %v", got, m.Err())
	}
	if _, ok := m.Deadline(); ok {
		t.Error("a deadline without a limit")
	}
}

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limit.New(t.Context(), limit.Limits{Time: time.Second})
		time.Sleep(time.Second)
		if got := run(m, 1000); got != -1 {
			t.Errorf("stopped too early, after %d steps", got)
		}
		time.Sleep(time.Nanosecond)
		if got := run(m, 1000); got < 0 {
			t.Error("not stopped after its time")
		}
	})
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := limit.New(ctx, limit.Limits{Time: time.Hour, Steps: 1 << 30})
	if got := run(m, 1000); got != -1 {
		t.Errorf("stopped after %d steps", got)
	}
	cancel()
	if got := run(m, 1000); got < 0 || !errors.Is(m.Err(), context.Canceled) {
		t.Errorf("not stopped with its context: %v", m.Err())
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d, ok := limit.New(ctx, limit.Limits{Time: time.Hour}).Deadline()
		if !ok || time.Until(d) > time.Second {
			t.Errorf("deadline %v", d)
		}
	})
}

func TestHeap(t *testing.T) {
	m := limit.New(t.Context(), limit.Limits{Heap: 8 << 20})
	var kept [][]byte
	for range 10_000 {
		if m.Spend(16) != nil {
			if len(kept) < 8 {
				t.Errorf("stopped after %d MiB", len(kept))
			}
			return
		}
		kept = append(kept, make([]byte, 1<<20))
		if len(kept) > 4000 {
			break
		}
	}
	t.Errorf("not stopped with %d MiB", len(kept))
}
