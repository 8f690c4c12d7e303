package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Memory remembers a small value for each of many ids, such as what a firing has
// sent already, in a trigger's State. It stays bounded: values are forgotten a while
// after they were last written, and the oldest ones where there are too many.
type Memory[T any] struct {
	// State is where; if it is nil, nothing is remembered.
	State State
	// Name begins the keys.
	Name string
	// Keep is how long a value is remembered at least, unless there are too many.
	Keep time.Duration
}

// Values are kept together by the first two digits of their ids: so the state has
// at most 256 keys of a name, and nothing has to be looked for to be forgotten.
const (
	memoryDigits = 2
	memoryMost   = 500
	memoryBytes  = 256 << 10
)

type remembered[T any] struct {
	Written int64 `json:"at"` // Unix seconds
	Value   T     `json:"v"`
}

func (m Memory[T]) key(id string) string { return m.Name + "/" + id[:min(memoryDigits, len(id))] }

// Get returns the zero T for an id that nothing is known of. Ids are hex digits of
// a hash.
func (m Memory[T]) Get(ctx context.Context, id string) (T, error) {
	var none T
	if m.State == nil {
		return none, nil
	}
	raw, err := m.State.Get(ctx, m.key(id))
	if err != nil {
		return none, fmt.Errorf("read what %s is: %w", m.Name, err)
	}
	return parseMemory[T](raw)[id].Value, nil
}

// Change replaces the value of an id by what f makes of it, as State.Change does;
// f may be called several times.
func (m Memory[T]) Change(ctx context.Context, id string, f func(T) (T, error)) error {
	if m.State == nil {
		var none T
		_, err := f(none)
		return err
	}
	return m.State.Change(ctx, m.key(id), func(raw []byte) ([]byte, error) {
		all := parseMemory[T](raw)
		next, err := f(all[id].Value)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		all[id] = remembered[T]{now.Unix(), next}
		m.forget(all, now, memoryMost)
		for {
			raw, err := json.Marshal(all)
			if err != nil || len(raw) <= memoryBytes || len(all) == 1 {
				return raw, err
			}
			m.forget(all, now, len(all)/2)
		}
	})
}

// parseMemory takes what cannot be read for nothing.
func parseMemory[T any](raw []byte) map[string]remembered[T] {
	var all map[string]remembered[T]
	if json.Unmarshal(raw, &all) != nil || all == nil {
		return map[string]remembered[T]{}
	}
	return all
}

func (m Memory[T]) forget(all map[string]remembered[T], now time.Time, most int) {
	var ids []string
	for id, r := range all {
		if now.Sub(time.Unix(r.Written, 0)) > m.Keep {
			delete(all, id)
			continue
		}
		ids = append(ids, id)
	}
	if len(ids) <= most {
		return
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(all[a].Written, all[b].Written) })
	for _, id := range ids[:len(ids)-most] {
		delete(all, id)
	}
}
