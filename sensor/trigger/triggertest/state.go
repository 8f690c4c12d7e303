package triggertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// NewState makes a trigger's state in memory.
func NewState() trigger.State { return &state{values: map[string][]byte{}} }

type state struct {
	mu     sync.Mutex
	values map[string][]byte
}

// Get implements trigger.State.
func (s *state) Get(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.values[key]), ctx.Err()
}

// Change implements trigger.State.
func (s *state) Change(ctx context.Context, key string, f func([]byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	next, err := f(slices.Clone(s.values[key]))
	switch {
	case errors.Is(err, trigger.ErrKeep):
		return nil
	case err != nil:
		return err
	case next == nil:
		delete(s.values, key)
	default:
		s.values[key] = slices.Clone(next)
	}
	return nil
}

// Keys implements trigger.State.
func (s *state) Keys(ctx context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, ctx.Err()
}
