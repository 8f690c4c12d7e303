package file

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// memory is what is known of the files, from which differences are found and
// ids made. It grows with the number of files that match.
type memory struct {
	files map[string]entry
	// gone are files that were removed lately.
	gone map[string]entry
}

type entry struct {
	stat
	// again counts how often a file was made anew without any difference: file
	// systems reuse inodes at once and their clocks tick in milliseconds.
	again int
	// last is the id of the file's latest event.
	last string
}

const maxGone = 1000

func newMemory() *memory { return &memory{files: map[string]entry{}, gone: map[string]entry{}} }

// note takes a change into the memory and returns the id of its event. An empty
// id means that the event came already.
//
// The id is made of the path and the file's state, so that two processes that
// watch the same directory, or the old and the new version of a manifest, give
// it alike. A change that left no trace gets a random one.
func (m *memory) note(path string, c change) (id string) {
	e, known := m.files[c.name]
	if c.op&(opRemove|opRename) != 0 {
		delete(m.files, c.name)
		if !known && c.stat == nil {
			return rand.Text()
		}
		if !known {
			e.stat = *c.stat
		}
		if len(m.gone) >= maxGone {
			clear(m.gone)
		}
		m.gone[c.name] = e
		return e.id(path, c.op)
	}
	if c.stat == nil {
		return rand.Text()
	}
	if !known {
		if g, ok := m.gone[c.name]; ok && g.stat == *c.stat {
			e.again = g.again + 1
		}
		delete(m.gone, c.name)
	}
	e.stat = *c.stat
	id = e.id(path, c.op)
	if id == e.last {
		return ""
	}
	e.last = id
	m.files[c.name] = e
	return id
}

func (e entry) id(path string, o op) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d %d %d %o %d %d", path, o,
		e.inode, e.modified, e.size, e.mode, e.changed, e.again))
	return hex.EncodeToString(sum[:16])
}

// known is the state of the files as the events so far tell it.
func (m *memory) known() map[string]stat {
	all := make(map[string]stat, len(m.files))
	for name, e := range m.files {
		all[name] = e.stat
	}
	return all
}
