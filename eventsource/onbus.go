package eventsource

import (
	"context"
	"errors"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/internal/lease"
)

// OnBus is an entry's share of an event bus's state, and the Leader that elects
// among all processes that use the bus.
func OnBus(s *eventbus.State, eventSource, event string) (State, *lease.Lease) {
	prefix := "source/" + eventbus.KeyLevel(eventSource) + "/" + eventbus.KeyLevel(event) + "/"
	return busState{s, prefix}, &lease.Lease{Store: s, Prefix: prefix + "leader/"}
}

var _ Leader = (*lease.Lease)(nil)

// busState is the share of one entry in the bus's state.
type busState struct {
	state  *eventbus.State
	prefix string
}

// Get implements State.
func (s busState) Get(ctx context.Context, key string) ([]byte, error) {
	b, _, err := s.state.Get(ctx, s.prefix+eventbus.KeyLevel(key))
	if errors.Is(err, eventbus.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

// Put implements State.
func (s busState) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.state.Put(ctx, s.prefix+eventbus.KeyLevel(key), value)
	return err
}
