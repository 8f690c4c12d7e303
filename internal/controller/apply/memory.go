package apply

import (
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// childKey names a child within the namespace of its owner.
type childKey struct {
	kind schema.GroupKind
	name string
}

func childOf(o client.Object) childKey {
	return childKey{o.GetObjectKind().GroupVersionKind().GroupKind(), o.GetName()}
}

// String is KIND/NAME.
func (k childKey) String() string { return k.kind.Kind + "/" + k.name }

// ownerKey is by name, so that an owner that is gone can be forgotten.
type ownerKey struct{ kind, namespace, name string }

func ownerOf(o client.Object) ownerKey {
	return ownerKey{o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName()}
}

// written is a child after our last write, or as it was when it needed none.
type written struct {
	uid     types.UID
	hash    string
	state   string
	version string
}

// state changes when somebody changes the object: its generation, or the
// version of objects that have no generation.
func state(o client.Object) string {
	if g := o.GetGeneration(); g > 0 {
		return "generation " + strconv.FormatInt(g, 10)
	}
	return "version " + o.GetResourceVersion()
}

// older tells whether resource version v is from before w.
func older(v, w string) bool {
	a, errA := strconv.ParseUint(v, 10, 64)
	b, errB := strconv.ParseUint(w, 10, 64)
	return errA == nil && errB == nil && a < b
}

// remembered is what is known of an owner.
type remembered struct {
	children map[childKey]written
	events   map[string]string // message by reason
	// status is what was written last, and the version that the owner had then.
	status        map[string]any
	statusVersion string
}

// memory is what was written last. The zero value is empty.
type memory struct {
	mu     sync.Mutex
	owners map[ownerKey]*remembered
}

// of needs the lock.
func (m *memory) of(owner client.Object) *remembered {
	key := ownerOf(owner)
	r := m.owners[key]
	if r == nil {
		if m.owners == nil {
			m.owners = map[ownerKey]*remembered{}
		}
		r = &remembered{children: map[childKey]written{}, events: map[string]string{}}
		m.owners[key] = r
	}
	return r
}

func (m *memory) child(owner client.Object, key childKey) (written, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.of(owner).children[key]
	return w, ok
}

func (m *memory) setChild(owner client.Object, key childKey, w written) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(owner).children[key] = w
}

func (m *memory) dropChild(owner client.Object, key childKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of(owner).children, key)
}

func (m *memory) newEvent(owner client.Object, reason, message string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(owner)
	if r.events[reason] == message {
		return false
	}
	r.events[reason] = message
	return true
}

// status is what the status of owner is, also if owner comes from a cache that
// has not seen our last write.
func (m *memory) status(owner client.Object, seen map[string]any) map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(owner)
	if r.statusVersion != "" && older(owner.GetResourceVersion(), r.statusVersion) {
		return r.status
	}
	r.status, r.statusVersion = nil, "" // it is in the cache; no need to hold it twice
	return seen
}

func (m *memory) setStatus(owner client.Object, status map[string]any, version string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(owner)
	r.status, r.statusVersion = status, version
}

func (m *memory) forget(owner client.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owners, ownerOf(owner))
}
