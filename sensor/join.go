package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/eventbus"
)

// join keeps the half-met condition of one trigger on the bus. All replicas
// work on the same state.
type join struct {
	t        *runner
	stateKey string

	mu       sync.Mutex
	state    *joinState // as last seen, with revision; nil if unknown
	revision uint64
	acked    []uint64 // acknowledged for certain: to be removed from Taken
}

func newJoin(t *runner) *join { return &join{t: t, stateKey: t.key("join")} }

func (j *join) eventKey(seq uint64) string { return j.t.key("event/" + strconv.FormatUint(seq, 10)) }

// change applies f to the state until it is stored or f says that there is
// nothing to store. f may be called several times, each time with a fresh copy.
func (j *join) change(ctx context.Context, f func(*joinState) (store bool)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if j.state == nil {
			if err := j.load(ctx); err != nil {
				return err
			}
		}
		next := j.state.clone()
		j.prune(next)
		if !f(next) {
			return nil
		}
		b, err := json.Marshal(next)
		if err != nil {
			return err
		}
		var rev uint64
		if j.revision == 0 {
			rev, err = j.t.bus.State().Create(ctx, j.stateKey, b)
		} else {
			rev, err = j.t.bus.State().Update(ctx, j.stateKey, b, j.revision)
		}
		if err != nil {
			j.state = nil // read anew
			if errors.Is(err, eventbus.ErrConflict) {
				continue
			}
			return fmt.Errorf("keep the condition's state: %w", err)
		}
		j.state, j.revision, j.acked = next, rev, nil
		return nil
	}
}

func (j *join) load(ctx context.Context) error {
	b, rev, err := j.t.bus.State().Get(ctx, j.stateKey)
	s := &joinState{}
	switch {
	case errors.Is(err, eventbus.ErrNotFound):
		rev = 0
	case err != nil:
		return fmt.Errorf("read the condition's state: %w", err)
	default:
		if err := json.Unmarshal(b, s); err != nil {
			return fmt.Errorf("read the condition's state: %w", err)
		}
	}
	if s.Waiting == nil {
		s.Waiting = map[string]ref{}
	}
	j.state, j.revision = s, rev
	return nil
}

// prune drops messages from Taken whose acknowledgement is certain.
func (j *join) prune(s *joinState) {
	for _, seq := range j.acked {
		for i, taken := range s.Taken {
			if taken == seq {
				s.Taken = append(s.Taken[:i:i], s.Taken[i+1:]...)
				break
			}
		}
	}
}

// noted is called once the bus has noted the acknowledgement of a message.
func (j *join) noted(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acked = append(j.acked, seq)
}

// prepare brings the state in line with the trigger's definition: what waits
// for a changed condition or a changed dependency is forgotten, as in Argo
// Events, and ticks of conditionsReset that nobody saw are made up for.
func (j *join) prepare(ctx context.Context) error {
	deps := map[string]string{}
	for _, d := range j.t.plan.Dependencies {
		deps[d.Name] = d.hash
	}
	var forgotten []string
	err := j.change(ctx, func(s *joinState) bool {
		before, _ := json.Marshal(s) //nolint:errchkjson // strings, numbers and times
		forgotten = nil
		if s.Dependencies != nil && s.Condition != j.t.plan.conditionText {
			forgotten = s.forgetBefore(time.Now().Add(time.Hour))
		}
		for name := range s.Waiting {
			if deps[name] != s.Dependencies[name] {
				forgotten = append(forgotten, name)
				delete(s.Waiting, name)
			}
		}
		s.Condition, s.Dependencies = j.t.plan.conditionText, deps
		for _, r := range j.t.plan.resets {
			if !s.Reset.IsZero() {
				if at := r.last(s.Reset, time.Now()); !at.IsZero() {
					forgotten = append(forgotten, s.forgetBefore(at)...)
				}
			}
		}
		if len(j.t.plan.resets) > 0 {
			s.Reset = time.Now().UTC()
		}
		after, _ := json.Marshal(s) //nolint:errchkjson // strings, numbers and times
		return string(before) != string(after)
	})
	if err != nil {
		return err
	}
	if len(forgotten) > 0 {
		j.t.log.Info("half-met condition forgotten: its definition has changed, or it is to be reset", "dependencies", strings.Join(forgotten, ", "))
	}
	return j.dropOrphans(ctx)
}

// dropOrphans removes events that no state refers to: left by a crash between
// two writes. Young ones may be about to be referred to.
func (j *join) dropOrphans(ctx context.Context) error {
	keys, err := j.t.bus.State().Keys(ctx, j.t.key("event"))
	if err != nil {
		return err
	}
	for _, key := range keys {
		seq, err := strconv.ParseUint(key[strings.LastIndexByte(key, '/')+1:], 10, 64)
		if err != nil {
			continue
		}
		b, _, err := j.t.bus.State().Get(ctx, key)
		if errors.Is(err, eventbus.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var e storedEvent
		if json.Unmarshal(b, &e) == nil && time.Since(e.At) < time.Minute {
			continue
		}
		needed := true
		if err := j.change(ctx, func(s *joinState) bool { needed = s.refers(seq); return false }); err != nil {
			return err
		}
		if !needed {
			if err := j.t.bus.State().Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// resetBefore forgets what began to wait before at.
func (j *join) resetBefore(ctx context.Context, at time.Time) error {
	var names []string
	err := j.change(ctx, func(s *joinState) bool {
		if !s.Reset.Before(at) {
			names = nil
			return false // another replica did it
		}
		names = s.forgetBefore(at)
		s.Reset = at.UTC()
		return true
	})
	if err == nil && len(names) > 0 {
		j.t.log.Info("conditions reset, half-met condition forgotten", "dependencies", strings.Join(names, ", "))
	}
	return err
}

// storedEvent is an event that waits beside the state.
type storedEvent struct {
	At    time.Time    `json:"at"`
	Event *event.Event `json:"event"`
}

func (j *join) putEvent(ctx context.Context, seq uint64, e *event.Event) error {
	b, err := json.Marshal(storedEvent{time.Now().UTC(), e})
	if err != nil {
		return fmt.Errorf("keep the waiting event: %w", err)
	}
	if _, err := j.t.bus.State().Put(ctx, j.eventKey(seq), b); err != nil {
		return fmt.Errorf("keep the waiting event: %w", err)
	}
	return nil
}

func (j *join) getEvent(ctx context.Context, seq uint64) (*event.Event, error) {
	b, _, err := j.t.bus.State().Get(ctx, j.eventKey(seq))
	if err != nil {
		return nil, fmt.Errorf("read the waiting event: %w", err)
	}
	var e storedEvent
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("read the waiting event: %w", err)
	}
	return e.Event, nil
}
