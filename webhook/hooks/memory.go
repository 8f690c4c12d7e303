package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
)

// memoryKey is where State has what is remembered.
const memoryKey = "hooks"

// memory is which hooks are ours. Safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	doc   document
	dirty bool
	saved time.Time
}

// document is what State stores, as JSON.
type document struct {
	// Salt goes into all marks.
	Salt []byte `json:"salt"`
	// Hooks by target.
	Hooks map[string]remembered `json:"hooks"`
}

// remembered is our hook at one target.
type remembered struct {
	ID string `json:"id"`
	// Signed is the mark of the secret that it is signed with; empty if none.
	Signed string `json:"signed,omitempty"`
}

func newMemory() *memory {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return &memory{doc: document{Salt: salt, Hooks: map[string]remembered{}}}
}

// recall reads what is remembered. A document that cannot be read is one that
// remembers nothing: hooks are known by their URL, too.
func recall(ctx context.Context, s eventsource.State) (*memory, error) {
	b, err := s.Get(ctx, memoryKey)
	if err != nil {
		return nil, err
	}
	m := newMemory()
	var doc document
	if json.Unmarshal(b, &doc) == nil && len(doc.Salt) > 0 && doc.Hooks != nil {
		m.doc = doc
	}
	return m, nil
}

// save stores what is remembered, if it has changed.
func (m *memory) save(ctx context.Context, s eventsource.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty {
		return nil
	}
	b, err := json.Marshal(m.doc)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	m.saved = time.Now()
	if err := s.Put(ctx, memoryKey, b); err != nil {
		return err
	}
	m.dirty = false
	return nil
}

func (m *memory) dueToSave() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dirty && time.Since(m.saved) >= time.Second
}

// mark tells secrets apart without telling what they are; empty for none.
func (m *memory) mark(secret []byte) string {
	if secret == nil {
		return ""
	}
	mac := hmac.New(sha256.New, m.doc.Salt)
	mac.Write(secret)
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

func (m *memory) get(target string) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc.Hooks[target]
}

func (m *memory) set(target string, r remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.doc.Hooks[target] != r {
		m.doc.Hooks[target], m.dirty = r, true
	}
}

func (m *memory) forget(target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.doc.Hooks[target]; ok {
		delete(m.doc.Hooks, target)
		m.dirty = true
	}
}

// targets are those with a hook of ours, in order.
func (m *memory) targets() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.doc.Hooks))
}
