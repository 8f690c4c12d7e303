package gitpoll

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	match, before := now.matcher(), m.Selection.matcher()
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

// record is where the memory is kept.
type record struct {
	state eventsource.State
	key   string
}

func newRecord(state eventsource.State, url string) record {
	sum := sha256.Sum256([]byte(url))
	return record{state, "refs/" + hex.EncodeToString(sum[:8])}
}

// mostMemory bounds what a memory may be unpacked to.
const mostMemory = 256 << 20

// load returns an empty memory if there is none.
func (r record) load(ctx context.Context) (*memory, error) {
	b, err := r.state.Get(ctx, r.key)
	if err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	m := &memory{}
	if len(b) == 0 {
		return m, nil
	}
	z := flate.NewReader(bytes.NewReader(b))
	if err := errors.Join(json.NewDecoder(io.LimitReader(z, mostMemory)).Decode(m), z.Close()); err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	return m, nil
}

func (r record) save(ctx context.Context, m *memory) error {
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		err = errors.Join(json.NewEncoder(z).Encode(m), z.Close())
	}
	if err == nil {
		err = r.state.Put(ctx, r.key, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write what was seen of %d refs: %w", len(m.Refs), err)
	}
	return nil
}
