package resource

import (
	"container/list"
	"strings"
	"unique"
)

// entry is what is remembered of an object, so that after a gap it can be told
// what happened. It is small on purpose: there may be 100,000 of them.
type entry struct {
	namespace, name string
	// version is the last one whose event is stored, or was not to be emitted.
	version string
	// mark is the fingerprint of the values whose changes are emitted.
	mark string
	// passed tells whether the object passed the filter.
	passed bool
}

// memory is all objects that there are, as far as events of them are stored.
type memory struct {
	objects map[string]entry // by uid
	// version is the one up to which everything is done; empty before the
	// objects were listed for the first time.
	version string
	// stale says that marks are missing or from another configuration.
	stale bool
	// hot are the latest objects as a whole; nil if nobody asks for them.
	hot *hot
	// dirty are the shards that differ from what is stored.
	dirty [shards]bool
}

func (m *memory) put(o object, mark string, passed bool) {
	e := entry{
		namespace: unique.Make(o.namespace).Value(), name: strings.Clone(o.name), version: strings.Clone(o.version),
		mark: mark, passed: passed,
	}
	before, known := m.objects[o.uid]
	// What only has a new version need not be stored: memory.version says it too.
	if !known || before.mark != e.mark || before.passed != e.passed {
		m.dirty[shardOf(o.uid)] = true
	}
	m.objects[strings.Clone(o.uid)] = e
	m.hot.put(o)
}

func (m *memory) remove(uid string) {
	if _, known := m.objects[uid]; known {
		delete(m.objects, uid)
		m.dirty[shardOf(uid)] = true
	}
	m.hot.remove(uid)
}

// hotBytes bounds what is kept of whole objects.
const hotBytes = 4 << 20

// hot keeps the objects that changed latest, so that the API server need not
// be asked for what they were like before. A nil hot keeps nothing.
type hot struct {
	size  int
	order *list.List // of object; the latest in front
	byUID map[string]*list.Element
}

func newHot() *hot { return &hot{order: list.New(), byUID: map[string]*list.Element{}} }

func (h *hot) get(uid string) (object, bool) {
	if h == nil || h.byUID[uid] == nil {
		return object{}, false
	}
	o, ok := h.byUID[uid].Value.(object)
	return o, ok
}

func (h *hot) put(o object) {
	if h == nil {
		return
	}
	h.remove(o.uid)
	if len(o.raw) > hotBytes/16 {
		return
	}
	// A list's item would keep the whole page.
	o = parse(strings.Clone(o.raw), "", "")
	h.byUID[o.uid] = h.order.PushFront(o)
	for h.size += len(o.raw); h.size > hotBytes; {
		last, _ := h.order.Back().Value.(object)
		h.remove(last.uid)
	}
}

func (h *hot) remove(uid string) {
	if h == nil || h.byUID[uid] == nil {
		return
	}
	o, _ := h.order.Remove(h.byUID[uid]).(object)
	h.size -= len(o.raw)
	delete(h.byUID, uid)
}
