package eventbus

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

const headerExpect = "Nats-Expected-Last-Subject-Sequence"

// State is small values by key, changed with compare-and-set. Keys are any text;
// "/" separates levels. The values are the key-value bucket STATE_<ns>_<bus>.
type State struct{ s *stream }

// State of the bus.
func (b *Bus) State() *State { return &State{b.state} }

// Get returns a value and its revision. The error wraps ErrNotFound if there is none.
func (s *State) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	m, err := s.s.get(ctx, messageQuery{Last: s.s.bus.names.key(key)})
	if err != nil {
		return nil, 0, fmt.Errorf("get state %s: %w", key, err)
	}
	return m.Data, m.Seq, nil
}

// Create stores the value of a key that has none, and returns its revision. The
// error wraps ErrConflict if it has one. After an error that wraps ErrUnavailable
// the value may have been stored, and a repetition gives ErrConflict.
func (s *State) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	return s.set(ctx, "create", key, value, "0")
}

// Update replaces the value that has the given revision, and returns the new
// one. The error wraps ErrConflict if the key has another revision, or no value.
// As to ErrUnavailable, see Create.
func (s *State) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.set(ctx, "update", key, value, strconv.FormatUint(revision, 10))
}

// Put stores a value whatever was there, and returns its revision.
func (s *State) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return s.set(ctx, "put", key, value, "")
}

func (s *State) set(ctx context.Context, verb, key string, value []byte, expect string) (uint64, error) {
	m := &nats.Msg{Subject: s.s.bus.names.key(key), Data: value}
	if expect != "" {
		m.Header = nats.Header{headerExpect: []string{expect}}
	}
	revision, err := s.s.put(ctx, m, expect == "")
	if err != nil {
		return 0, fmt.Errorf("%s state %s: %w", verb, key, err)
	}
	return revision, nil
}

// Delete removes a key. It is no error if there is none.
func (s *State) Delete(ctx context.Context, key string) error {
	// The message is purged rather than marked as deleted, so that keys that come
	// and go leave nothing behind.
	if err := s.s.purge(ctx, s.s.bus.names.key(key), 0); err != nil {
		return fmt.Errorf("delete state %s: %w", key, err)
	}
	return nil
}

// Drop removes a key if its value still has the given revision.
func (s *State) Drop(ctx context.Context, key string, revision uint64) error {
	if err := s.s.purge(ctx, s.s.bus.names.key(key), revision+1); err != nil {
		return fmt.Errorf("drop state %s: %w", key, err)
	}
	return nil
}

// Keys lists the keys below prefix, which is a whole number of levels; all keys
// if it is empty. A key that equals prefix is listed too.
func (s *State) Keys(ctx context.Context, prefix string) ([]string, error) {
	b := s.s.bus
	filters := []string{"$KV." + b.names.bucket + ".>"}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		filters = []string{b.names.key(prefix), b.names.key(prefix) + ".>"}
	}
	var keys []string
	for _, filter := range filters {
		subjects, err := b.subjects(ctx, b.names.state, filter)
		if err != nil {
			return nil, fmt.Errorf("list state below %q: %w", prefix, err)
		}
		for _, subject := range subjects {
			key, err := b.names.keyOf(subject)
			if err != nil {
				return nil, fmt.Errorf("list state below %q: %w", prefix, err)
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}
