package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// ended remembers the firings of groups that have ended, in a few values of the
// trigger's state: bounded, so that a repetition long after is not known.
type ended struct{ state trigger.State }

// mostEnded bounds the firings of one value; there are 16.
const mostEnded = 1000

// short is a name for a text, or a firing, in a state.
func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// shelf is the key of what belongs together.
func (ended) shelf(group string) string { return "ended/" + short(group)[:1] }

// has tells whether a firing is known.
func (e ended) has(ctx context.Context, group, id string) (bool, error) {
	b, err := e.state.Get(ctx, e.shelf(group))
	return slices.Contains(idsOf(b), id), err
}

// add remembers firings.
func (e ended) add(ctx context.Context, group string, ids []string) error {
	return e.state.Change(ctx, e.shelf(group), func(old []byte) ([]byte, error) {
		all := idsOf(old)
		for _, id := range ids {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
		if n := len(all) - mostEnded; n > 0 {
			all = all[n:]
		}
		return json.Marshal(all)
	})
}

// idsOf reads a value; what cannot be read is forgotten.
func idsOf(b []byte) []string {
	var all []string
	if len(b) == 0 || json.Unmarshal(b, &all) != nil {
		return []string{}
	}
	return all
}
