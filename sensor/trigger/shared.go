package trigger

import (
	"io"
	"sync"
)

// Shared are things that triggers of a process use together, such as a queue of
// what goes to the same place. The zero value has none. Safe for concurrent use.
type Shared struct {
	mu   sync.Mutex
	used map[string]*sharedThing
}

type sharedThing struct {
	thing io.Closer
	users int
}

// Use gives the thing that a key names; one that nobody uses is made. A key begins
// with its kind's name and a slash. When everybody has called release, which each
// does once, the last of them closes it.
func (s *Shared) Use(key string, make func() io.Closer) (thing io.Closer, release func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.used[key]
	if t == nil {
		t = &sharedThing{thing: make()}
		if s.used == nil {
			s.used = map[string]*sharedThing{}
		}
		s.used[key] = t
	}
	t.users++
	return t.thing, func() error { return s.release(key, t) }
}

func (s *Shared) release(key string, t *sharedThing) error {
	s.mu.Lock()
	t.users--
	last := t.users == 0
	if last {
		delete(s.used, key)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return t.thing.Close()
}
