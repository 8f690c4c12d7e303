package gitpoll

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
)

// memory is what was seen of a repository, one value on the event bus. 1,000 refs
// take about 35 KB.
type memory struct {
	// Turn counts the looks that found changes.
	Turn uint64 `json:"turn"`
	// Selection that Refs were chosen by.
	Selection selection `json:"selection"`
	// Refs that were seen; nil before the first look.
	Refs map[string]tip `json:"refs"`
	// Default branch, whole, and its commit, as of the last look that found changes.
	Default       string `json:"default,omitempty"`
	DefaultCommit string `json:"defaultCommit,omitempty"`
	// Pending are changes that were seen and are not known to be stored as events.
	Pending []change `json:"pending,omitempty"`
}

// tip is a ref's object, and behind a space its commit if that is another.
type tip string

func tipOf(t gitrepo.Tip) tip {
	if t.Commit == t.Object {
		return tip(t.Object)
	}
	return tip(t.Object + " " + t.Commit)
}

func (t tip) commit() string {
	object, commit, ok := strings.Cut(string(t), " ")
	if ok {
		return commit
	}
	return object
}

// change of a ref. Before is empty for a new one, After for one that is gone.
type change struct {
	Ref    string `json:"ref"`
	Before tip    `json:"before,omitempty"`
	After  tip    `json:"after,omitempty"`
	Turn   uint64 `json:"turn"`
}

// id of the change's event. It is the same however often the event is emitted,
// and whoever does it. The turn keeps a branch that is pushed back and forth from
// being taken for the same event again.
func (c change) id(url string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{url, c.Ref, string(c.Before), string(c.After), strconv.FormatUint(c.Turn, 10)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// learn takes a list of refs into the memory, and what is different into Pending.
// It tells whether the memory has changed.
func (m *memory) learn(refs *gitrepo.Refs, now selection, emitExisting bool) bool {
	match, before := now, m.Selection
	tips := map[string]tip{}
	for ref, t := range refs.Tips {
		if match.match(ref) {
			tips[ref] = tipOf(t)
		}
	}
	names := maps.Clone(tips)
	maps.Copy(names, m.Refs)
	var changes []change
	for _, ref := range slices.Sorted(maps.Keys(names)) {
		old, was := m.Refs[ref]
		tip, is := tips[ref]
		switch {
		case old == tip:
		case was && !is && !match.match(ref): // not looked at any more
		case !was && !emitExisting && (m.Refs == nil || !before.match(ref)): // not looked at before
		default:
			changes = append(changes, change{Ref: ref, Before: old, After: tip, Turn: m.Turn + 1})
		}
	}
	if m.Refs != nil && maps.Equal(tips, m.Refs) && now.equal(m.Selection) {
		return false
	}
	m.Refs, m.Selection = tips, now
	if len(changes) > 0 {
		m.Turn++
		m.Pending = append(m.Pending, changes...)
		m.Default, m.DefaultCommit = refs.Default, refs.Tips[refs.Default].Commit
	}
	return true
}

func (s selection) equal(o selection) bool {
	return slices.Equal(s.Branches, o.Branches) && slices.Equal(s.Tags, o.Tags) && slices.Equal(s.Ignore, o.Ignore)
}

// newRecord is where the memory of a repository is kept.
func newRecord(state eventsource.State, url string) eventsource.Kept[memory] {
	sum := sha256.Sum256([]byte(url))
	return eventsource.Kept[memory]{State: state, Key: "refs/" + hex.EncodeToString(sum[:8])}
}
