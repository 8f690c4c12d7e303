package eventsource

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// mostKept bounds what a value of Kept may be unpacked to.
const mostKept = 256 << 20

// Kept is a larger value in a State, as compressed JSON: what a source has seen
// of a repository, say.
type Kept[T any] struct {
	State State
	Key   string
}

// Load returns a zero value if there is none.
func (k Kept[T]) Load(ctx context.Context) (*T, error) {
	v := new(T)
	b, err := k.State.Get(ctx, k.Key)
	if err == nil && len(b) > 0 {
		z := flate.NewReader(bytes.NewReader(b))
		err = errors.Join(json.NewDecoder(io.LimitReader(z, mostKept)).Decode(v), z.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	return v, nil
}

// Save replaces the value.
func (k Kept[T]) Save(ctx context.Context, v *T) error {
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		err = errors.Join(json.NewEncoder(z).Encode(v), z.Close())
	}
	if err == nil {
		err = k.State.Put(ctx, k.Key, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	return nil
}
