package eventbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// keepInterval is how often streams are looked at that are as they should be.
	keepInterval = 15 * time.Second
	// wantInterval is how often what could not be done is tried again.
	wantInterval = time.Second
	keepTimeout  = 5 * time.Second
)

// Keeper makes the streams of a bus what they should be and goes on doing so, and
// purges processed events, also when a client asks for room. A bus may have
// several keepers: each does what it finds undone.
//
// A keeper never deletes a stream, takes no replica away, and makes more of them
// as soon as there are enough servers.
type Keeper struct {
	link   *Link
	config Config
	ctx    context.Context // of the work
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{}
	sub    *nats.Subscription

	mu     sync.Mutex
	limits Limits
	bus    *Bus // nil until the streams are there
	err    error
	closed bool
}

var errNotYet = errors.New("the streams have not been looked at yet")

// Keep starts a Keeper in the background. Limits.Replicas is how many replicas
// there are to be in the end.
func Keep(l *Link, c Config) *Keeper {
	c.fill()
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keeper{link: l, config: c, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), limits: c.Limits, err: errNotYet}
	l.OnChange(func(connected bool, _ error) {
		if connected {
			k.awake()
		}
	})
	k.work.Go(k.run)
	return k
}

// Change has the streams changed to other limits.
func (k *Keeper) Change(l Limits) {
	l.fill()
	k.mu.Lock()
	k.limits = l
	k.mu.Unlock()
	k.awake()
}

// Err says why the streams are not what they should be; nil if they are.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Bus is the bus that is kept; nil until its streams are there. Close closes it.
func (k *Keeper) Bus() *Bus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bus
}

// Close stops the keeper's work. It leaves the Link open.
func (k *Keeper) Close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.work.Wait()
	if k.sub != nil {
		_ = k.sub.Unsubscribe() // fails only if the Link is closed
	}
	if b := k.Bus(); b != nil {
		return b.Close()
	}
	return nil
}

func (k *Keeper) awake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *Keeper) run() {
	ctx := k.ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.wake:
		}
		err := k.keep(ctx)
		if ctx.Err() != nil {
			return
		}
		k.tell(err)
		wait := keepInterval
		if err != nil {
			wait = wantInterval
		}
		// Several keepers had better not act at the same moment.
		timer.Reset(wait/2 + rand.N(wait))
	}
}

// tell notes the outcome and logs changes of it.
func (k *Keeper) tell(err error) {
	k.mu.Lock()
	before := k.err
	k.err = err
	k.mu.Unlock()
	switch {
	case err == nil && before != nil:
		k.config.Log.Info("the streams of the event bus are as they should be")
	case err != nil && (before == nil || errors.Is(before, errNotYet)):
		k.config.Log.Warn("the streams of the event bus are not as they should be, trying for ever", "error", err)
	}
}

func (k *Keeper) keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	k.mu.Lock()
	b, limits := k.bus, k.limits
	k.mu.Unlock()
	if b == nil {
		var err error
		c := k.config
		c.Limits = limits
		if b, err = open(ctx, k.link, c, true); err != nil {
			return err
		}
		if err := k.answer(b); err != nil {
			return errors.Join(err, b.Close())
		}
		k.mu.Lock()
		k.bus = b
		k.mu.Unlock()
	} else {
		b.limits.Store(&limits)
		if err := b.ensureStreams(ctx); err != nil {
			return err
		}
	}
	if want := b.replicaChoices()[0]; b.replicas() < want {
		return fmt.Errorf("%w: streams have %d replicas and should have %d", ErrUnavailable, b.replicas(), want)
	}
	return nil
}

// replicas is the least number of replicas that a stream was seen to be configured for.
func (b *Bus) replicas() int {
	b.restore.Lock()
	defer b.restore.Unlock()
	return min(b.have[0], b.have[1], b.have[2])
}

// answer answers clients that ask for room, one keeper each of them.
func (k *Keeper) answer(b *Bus) error {
	sub, err := k.link.nc.QueueSubscribe(b.names.room(), "keepers", func(m *nats.Msg) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.closed {
			return
		}
		// Those who ask at the same time share a look at the stream.
		k.work.Go(func() {
			answer := roomNone
			if b.janitor.makeRoom(k.ctx) {
				answer = roomMade
			}
			_ = m.Respond(answer) // who does not hear it tries again
		})
	})
	if err != nil {
		return fmt.Errorf("listen to requests for room: %w", unavailable(err))
	}
	k.sub = sub
	return nil
}
