package eventbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	janitorInterval = 30 * time.Second
	// Above highWater of a limit processed events are purged down to lowWater.
	highWater = 0.90
	lowWater  = 0.75
	// leastShare of the stream is purged when the server has no space at all.
	leastShare = 0.10
	// A bus that is full of unprocessed events is looked at this often; publishers
	// wait that long to be refused.
	fullPause = 100 * time.Millisecond
)

// janitor removes processed events from the stream: those older than MaxAge, and
// the oldest ones when space runs short. Every process of a bus has one; what one
// purged the others find gone.
type janitor struct {
	bus *Bus
	// clean does the work; full says that a publisher found no space. It returns
	// whether there is space.
	clean  func(ctx context.Context, full bool) (bool, error)
	cancel context.CancelFunc
	ask    chan chan bool // publishers who found no space
	done   chan struct{}
}

// startJanitor has clean called when publishers find no space, and from time to
// time if regular.
func startJanitor(b *Bus, clean func(context.Context, bool) (bool, error), regular bool) *janitor {
	ctx, cancel := context.WithCancel(context.Background())
	j := &janitor{bus: b, clean: clean, cancel: cancel, ask: make(chan chan bool), done: make(chan struct{})}
	go j.run(ctx, regular)
	return j
}

func (j *janitor) stop() {
	j.cancel()
	<-j.done
}

func (j *janitor) run(ctx context.Context, regular bool) {
	defer close(j.done)
	var failing bool
	var futile time.Time // when a run last freed nothing
	timer := time.NewTimer(j.interval())
	defer timer.Stop()
	if !regular {
		timer.Stop()
	}
	for {
		var waiting []chan bool
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(j.interval())
		case c := <-j.ask:
			if rest(ctx, fullPause-time.Since(futile)) != nil {
				return
			}
			waiting = append(j.gather(), c)
		}
		freed, err := j.clean(ctx, len(waiting) > 0)
		if !freed && len(waiting) > 0 {
			futile = time.Now()
		}
		if err != nil && !failing && ctx.Err() == nil && j.bus.link.Connected() {
			j.bus.log.Warn("cannot remove processed events", "error", err)
		}
		failing = err != nil
		for _, c := range waiting {
			c <- freed // has room for one
		}
	}
}

func (j *janitor) interval() time.Duration { return janitorInterval/2 + rand.N(janitorInterval) }

// gather takes everybody who waits at this moment.
func (j *janitor) gather() []chan bool {
	var waiting []chan bool
	for {
		select {
		case c := <-j.ask:
			waiting = append(waiting, c)
		default:
			return waiting
		}
	}
}

// makeRoom has processed events purged because there is no space left, and says
// whether there is some now.
func (j *janitor) makeRoom(ctx context.Context) bool {
	answer := make(chan bool, 1)
	select {
	case j.ask <- answer:
	case <-ctx.Done():
		return false
	case <-j.done:
		return false
	}
	select {
	case freed := <-answer:
		return freed
	case <-ctx.Done():
		return false
	case <-j.done:
		return false
	}
}

// clean purges what is due. full says that the server refused a message for lack
// of space. It returns whether there is space.
func (b *Bus) clean(ctx context.Context, full bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*callTimeout)
	defer cancel()
	purged := false
	level := highWater
	for range 10 { // messages differ in size, so the share is a guess
		s, err := b.js.Stream(ctx, b.names.events)
		if err != nil {
			return false, fmt.Errorf("look up stream %s: %w", b.names.events, unavailable(err))
		}
		info := s.CachedInfo()
		share := shareToPurge(info, level)
		if full && !purged {
			share = max(share, leastShare)
		}
		aged := info.State.Msgs > 0 && time.Since(info.State.FirstTime) > b.limits.Load().MaxAge
		if info.State.Msgs == 0 || share == 0 && !aged {
			return true, nil
		}
		below, err := b.purgeTarget(ctx, info, share, aged)
		if err != nil {
			return purged, err
		}
		if below <= info.State.FirstSeq {
			return purged || share == 0, nil
		}
		if err := b.events.purge(ctx, "", below); err != nil {
			return purged, fmt.Errorf("purge events below %d: %w", below, err)
		}
		purged, level = true, lowWater
	}
	return purged, nil
}

// shareToPurge is the part of the stream that has to go so that it falls to
// lowWater; 0 if it is not above level.
func shareToPurge(info *jetstream.StreamInfo, level float64) float64 {
	use := 0.0
	if n := info.Config.MaxBytes; n > 0 {
		use = float64(info.State.Bytes) / float64(n)
	}
	if n := info.Config.MaxMsgs; n > 0 {
		use = max(use, float64(info.State.Msgs)/float64(n))
	}
	if use <= level {
		return 0
	}
	return 1 - lowWater/use
}

// purgeTarget is the sequence below which everything is to be purged.
func (b *Bus) purgeTarget(ctx context.Context, info *jetstream.StreamInfo, share float64, aged bool) (uint64, error) {
	first, last := info.State.FirstSeq, info.State.LastSeq
	target := first
	if share > 0 {
		target = first + uint64(math.Ceil(share*float64(last-first+1)))
	}
	if aged {
		at, err := b.firstAfter(ctx, time.Now().Add(-b.limits.Load().MaxAge))
		if err != nil {
			return 0, err
		}
		if at == 0 {
			at = last + 1
		}
		target = max(target, at)
	}
	floor, err := b.floor(ctx, info, target)
	if err != nil {
		return 0, err
	}
	return min(target, floor), nil
}

// firstAfter is the sequence of the first event stored after t; 0 if none was.
func (b *Bus) firstAfter(ctx context.Context, t time.Time) (uint64, error) {
	m, err := b.events.get(ctx, messageQuery{Next: ">", Start: &t})
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Seq, nil
}

// floor is the lowest sequence up to target that a consumer still needs, target
// if none needs any. info must be older than this call: what was
// published since is not looked at.
func (b *Bus) floor(ctx context.Context, info *jetstream.StreamInfo, target uint64) (uint64, error) {
	consumers, err := b.consumerInfos(ctx, info.State.Consumers)
	if err != nil {
		return 0, err
	}
	floor := min(target, info.State.LastSeq+1)
	for _, c := range consumers {
		if c.Config.AckPolicy == jetstream.AckNonePolicy || c.AckFloor.Stream+1 >= floor {
			continue
		}
		// The floor of a consumer is its last acknowledged message; the next one
		// it wants may be much later.
		m, err := b.oldest(ctx, c)
		if err != nil {
			return 0, err
		}
		if m != nil {
			floor = min(floor, m.Seq)
		}
	}
	return floor, nil
}
