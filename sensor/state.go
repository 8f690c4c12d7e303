package sensor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// triggerState implements trigger.State on the bus. The value of a key is a level
// of its own below prefix, so that any text is a key.
type triggerState struct {
	bus    *eventbus.State
	prefix string
}

func (s triggerState) key(key string) string { return s.prefix + "/" + url.QueryEscape(key) }

// Get implements trigger.State.
func (s triggerState) Get(ctx context.Context, key string) ([]byte, error) {
	b, _, err := s.get(ctx, key)
	return b, err
}

func (s triggerState) get(ctx context.Context, key string) ([]byte, uint64, error) {
	b, revision, err := s.bus.Get(ctx, s.key(key))
	if errors.Is(err, eventbus.ErrNotFound) {
		return nil, 0, nil
	}
	if len(b) == 0 {
		b = nil // being removed
	}
	return b, revision, err
}

// Change implements trigger.State. An answer of the bus that was lost looks like a
// conflict; f then sees what it has made itself.
func (s triggerState) Change(ctx context.Context, key string, f func([]byte) ([]byte, error)) error {
	for {
		old, revision, err := s.get(ctx, key)
		if err != nil {
			return err
		}
		next, err := f(old)
		if errors.Is(err, trigger.ErrKeep) || err == nil && next == nil && revision == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if next != nil && len(next) == 0 {
			return fmt.Errorf("state %s: the value is empty", key)
		}
		switch revision {
		case 0:
			_, err = s.bus.Create(ctx, s.key(key), next)
		default:
			revision, err = s.bus.Update(ctx, s.key(key), next, revision)
		}
		switch {
		case errors.Is(err, eventbus.ErrConflict):
			continue
		case err != nil || next != nil:
			return err
		}
		// Empty is as good as none. Whoever has replaced it meanwhile keeps theirs.
		return s.bus.Drop(ctx, s.key(key), revision)
	}
}

// Keys implements trigger.State.
func (s triggerState) Keys(ctx context.Context, prefix string) ([]string, error) {
	all, err := s.bus.Keys(ctx, s.prefix)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, k := range all {
		key, err := url.QueryUnescape(strings.TrimPrefix(k, s.prefix+"/"))
		if err == nil && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
