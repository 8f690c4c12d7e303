package sensor

import (
	"sync"
	"time"
)

// TriggerStatus is what a trigger is doing.
type TriggerStatus struct {
	Trigger string `json:"trigger"`
	// Running tells whether it takes events.
	Running bool `json:"running"`
	// LastFired is when an action was last done; zero if never since the start.
	LastFired time.Time `json:"lastFired,omitzero"`
	// LastFailed and LastError are of the last failed attempt.
	LastFailed time.Time `json:"lastFailed,omitzero"`
	LastError  string    `json:"lastError,omitempty"`
	// Following is how many actions this process follows to their outcome.
	Following int `json:"following,omitempty"`
}

type status struct {
	mu sync.Mutex
	s  TriggerStatus
}

func (s *status) get(name string) TriggerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.s
	out.Trigger = name
	return out
}

func (s *status) running(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Running = yes
}

func (s *status) fired(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.LastFired = at
}

func (s *status) failed(at time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.LastFailed, s.s.LastError = at, err.Error()
}

func (s *status) following(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Following = n
}
