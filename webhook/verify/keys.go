package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/internal/secret"
)

// Grace is how long a secret goes on to be accepted after its value has changed,
// so that a sender that has not learned of it yet is not refused.
const Grace = time.Hour

// Keys are the secrets that requests may be made with. Set the fields before
// the first use; Secrets and one Ref are required. Safe for concurrent use.
type Keys struct {
	Secrets secret.Reader
	// Refs name the secrets that are accepted, the current one first.
	Refs []*corev1.SecretKeySelector
	// Now tells the time; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex
	known [][]byte // the values when they were read last
	past  []past
}

// past is a value that a ref had before.
type past struct {
	value []byte
	until time.Time
}

// Current is the first secret's value, the one to give to senders. A missing or
// empty one is an error, because it would let everybody pass.
func (k *Keys) Current(ctx context.Context) ([]byte, error) {
	keys, err := k.Read(ctx)
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// Read returns all values that are accepted now, the current one first: those
// of all Refs, and those that they had within the last hour, as far as this
// process has seen them. The first ref must have a value; another one that
// cannot be read is passed over if there are others.
func (k *Keys) Read(ctx context.Context) ([][]byte, error) {
	if len(k.Refs) == 0 {
		return nil, fmt.Errorf("no secret is named")
	}
	values := make([][]byte, 0, len(k.Refs))
	for i, ref := range k.Refs {
		if ref == nil {
			if i == 0 {
				return nil, fmt.Errorf("no secret is named")
			}
			continue
		}
		v, err := k.Secrets.Secret(ctx, ref)
		if err == nil && len(v) == 0 {
			err = fmt.Errorf("secret %q, key %q is missing or empty", ref.Name, ref.Key)
		}
		if err != nil && i == 0 {
			return nil, err
		}
		if err == nil {
			values = append(values, v)
		}
	}
	return k.remember(values), nil
}

// remember notes the values of today and adds those of yesterday.
func (k *Keys) remember(values [][]byte) [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.past) == 0 && slices.EqualFunc(k.known, values, bytes.Equal) {
		return values // as nearly always
	}
	now := time.Now()
	if k.Now != nil {
		now = k.Now()
	}
	for _, old := range k.known {
		if !has(values, old) {
			k.past = append(k.past, past{old, now.Add(Grace)})
		}
	}
	k.known = slices.Clone(values)
	k.past = slices.DeleteFunc(k.past, func(p past) bool { return now.After(p.until) || has(values, p.value) })
	for _, p := range k.past {
		values = append(values, p.value)
	}
	return values
}

func has(values [][]byte, v []byte) bool {
	return slices.ContainsFunc(values, func(o []byte) bool { return bytes.Equal(o, v) })
}
