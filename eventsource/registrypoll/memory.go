package registrypoll

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
)

// memory is what was seen of a repository, one value on the event bus. 2,000 tags
// take about 75 KB.
type memory struct {
	// Turn counts the looks that found changes.
	Turn uint64 `json:"turn"`
	// Selection is a hash of what Tags and Picked were chosen by.
	Selection string `json:"selection"`
	// Tags that were seen, with their digests; empty where that was not asked for
	// yet. Nil before the first look.
	Tags map[string]string `json:"tags"`
	// Picked is the tag that the policy picked.
	Picked string `json:"picked,omitempty"`
	// Pending are changes that were seen and are not known to be stored as events.
	Pending []change `json:"pending,omitempty"`
}

// change of a tag. After is empty for one that is gone.
type change struct {
	Tag       string `json:"tag"`
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
	Turn      uint64 `json:"turn"`
}

// id of the change's event. It is the same however often the event is emitted,
// and whoever does it. The turn keeps a tag that moves back and forth from being
// taken for the same event again.
func (c change) id(repository string) string {
	return hashOf(repository, c.Tag, c.Before, c.After, strconv.FormatUint(c.Turn, 10))
}

func hashOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// selectionOf changes with what decides which tags are seen.
func selectionOf(c *Config) string {
	b, _ := json.Marshal([]any{c.Tags, c.Ignore, c.Policy}) //nolint:errchkjson // plain values
	return hashOf(string(b))
}

// add notes changes as pending, in the order of their tags.
func (m *memory) add(changes []change) {
	if len(changes) == 0 {
		return
	}
	m.Turn++
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.Tag, b.Tag) })
	for _, c := range changes {
		c.Turn = m.Turn
		m.Pending = append(m.Pending, c)
	}
}

// newRecord is where the memory of a repository is kept.
func newRecord(state eventsource.State, repository string) eventsource.Kept[memory] {
	return eventsource.Kept[memory]{State: state, Key: "tags/" + hashOf(repository)}
}
