package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

// kv is a Store in memory.
type kv struct {
	mu       sync.Mutex
	value    []byte
	revision uint64
}

// line is one process's way to a kv.
type line struct {
	*kv
	mu  sync.Mutex
	cut bool
	// lose is how many of a thousand calls fail, half of them after they were done.
	lose int
}

var errCut = fmt.Errorf("cut: %w", eventbus.ErrUnavailable)

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// call does f, or says that nobody answered.
func (l *line) call(ctx context.Context, f func() error) error {
	l.mu.Lock()
	cut, lose := l.cut, l.lose
	l.mu.Unlock()
	if cut {
		<-ctx.Done()
		return errCut
	}
	time.Sleep(time.Millisecond)
	n := rand.N(1000)
	if n < lose/2 {
		return errCut
	}
	l.kv.mu.Lock()
	defer l.kv.mu.Unlock()
	err := f()
	if n < lose {
		return errCut
	}
	return err
}

func (l *line) Get(ctx context.Context, _ string) (value []byte, revision uint64, err error) {
	err = l.call(ctx, func() error {
		if l.revision == 0 {
			return eventbus.ErrNotFound
		}
		value, revision = l.value, l.revision
		return nil
	})
	return value, revision, err
}

func (l *line) Create(ctx context.Context, _ string, value []byte) (uint64, error) {
	return l.write(ctx, value, 0)
}

func (l *line) Update(ctx context.Context, _ string, value []byte, revision uint64) (uint64, error) {
	return l.write(ctx, value, revision)
}

func (l *line) write(ctx context.Context, value []byte, revision uint64) (next uint64, err error) {
	err = l.call(ctx, func() error {
		if l.revision != revision {
			return fmt.Errorf("update: %w", eventbus.ErrConflict)
		}
		l.value, l.revision = value, revision+1+uint64(rand.N(3))
		next = l.revision
		return nil
	})
	return next, err
}

// race is a group of processes that want to lead.
type race struct {
	t    *testing.T
	kv   *kv
	wg   sync.WaitGroup
	mu   sync.Mutex
	who  string
	runs int
}

func (r *race) enter(t *testing.T, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.who != "" {
		t.Errorf("%s leads while %s does", name, r.who)
	}
	r.who = name
	r.runs++
}

func (r *race) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.who = ""
}

func (r *race) leads() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.who
}

// join starts a process. Cancelling its context is a clean stop.
func (r *race) join(name string, lose int) (l *line, stop context.CancelFunc) {
	l = &line{kv: r.kv, lose: lose}
	ctx, cancel := context.WithCancel(r.t.Context())
	lease := &Lease{Store: l, Prefix: "p/"}
	r.wg.Go(func() {
		err := lease.Lead(ctx, "work", func(ctx context.Context) error {
			r.enter(r.t, name)
			defer r.leave()
			<-ctx.Done()
			time.Sleep(3 * time.Second) // what it does takes its time to end
			return ctx.Err()
		})
		if err != nil {
			r.t.Errorf("%s: %v", name, err)
		}
	})
	return l, cancel
}

func TestLease(t *testing.T) {
	tests := map[string]struct {
		end    func(l *line, stop context.CancelFunc)
		within time.Duration
	}{
		"a clean stop":    {func(_ *line, stop context.CancelFunc) { stop() }, 3*time.Second + 4*time.Second},
		"the bus is away": {func(l *line, _ context.CancelFunc) { l.set(true) }, time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &race{t: t, kv: &kv{}}
				first, stopFirst := r.join("first", 0)
				time.Sleep(time.Second)
				_, stopSecond := r.join("second", 0)
				time.Sleep(10 * time.Minute)
				if r.leads() != "first" || r.runs != 1 {
					t.Errorf("%q leads, after %d runs", r.leads(), r.runs)
				}
				tt.end(first, stopFirst)
				time.Sleep(tt.within)
				if r.leads() != "second" {
					t.Errorf("%q leads", r.leads())
				}
				first.set(false)
				time.Sleep(time.Minute)
				if r.leads() != "second" || r.runs != 2 {
					t.Errorf("%q leads, after %d runs", r.leads(), r.runs)
				}
				stopSecond()
				stopFirst()
				r.wg.Wait()
			})
		})
	}
}

// A process that was stopped cleanly begins again at once.
func TestLeaseRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &race{t: t, kv: &kv{}}
		for range 3 {
			_, stop := r.join("one", 0)
			time.Sleep(50 * time.Millisecond)
			if r.leads() != "one" {
				t.Error("it does not lead")
			}
			stop()
			r.wg.Wait()
		}
	})
}

// However many answers are lost, two never lead at the same time, and somebody does.
func TestLeaseOnABadLine(t *testing.T) {
	for _, lose := range []int{50, 300, 700} {
		t.Run(fmt.Sprint(lose), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &race{t: t, kv: &kv{}}
				var stops []context.CancelFunc
				for i := range 4 {
					_, stop := r.join(fmt.Sprint(i), lose)
					stops = append(stops, stop)
				}
				led := 0
				for range 5000 {
					time.Sleep(time.Second)
					if r.leads() != "" {
						led++
					}
				}
				if led < 2000 {
					t.Errorf("somebody led in %d of 5000 s", led)
				}
				for _, stop := range stops {
					stop()
				}
				r.wg.Wait()
			})
		})
	}
}

func TestLeaseReturnsTheErrorOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{kv: &kv{}}
		broken := errors.New("broken")
		runs := 0
		err := (&Lease{Store: l}).Lead(t.Context(), "work", func(context.Context) error {
			if runs++; runs < 3 {
				return nil // ended, but may go on
			}
			return broken
		})
		if !errors.Is(err, broken) || runs != 3 {
			t.Errorf("got %v after %d runs", err, runs)
		}
		if len(l.value) > 0 {
			t.Error("it is not given back")
		}
	})
}
