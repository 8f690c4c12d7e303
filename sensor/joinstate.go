package sensor

import (
	"slices"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

// joinState is what a trigger whose condition needs several events has taken up
// so far. It is one small document on the bus, changed with compare-and-set;
// the events themselves lie beside it, each under its sequence number.
type joinState struct {
	// Condition and Dependencies are the definitions that the rest is about.
	Condition    string            `json:"condition"`
	Dependencies map[string]string `json:"dependencies"`
	// Waiting is the latest event of each dependency.
	Waiting map[string]ref `json:"waiting,omitempty"`
	// Firings have been put together and are not finished.
	Firings []storedFiring `json:"firings,omitempty"`
	// Taken are messages whose event has been taken up, so that a redelivery
	// (after a crash between taking up and acknowledging) does not count twice.
	// They go once the bus has noted the acknowledgement.
	Taken []uint64 `json:"taken,omitempty"`
	// Reset is the last tick of conditionsReset that has been carried out.
	Reset time.Time `json:"reset,omitzero"`
}

// ref is an event that waits.
type ref struct {
	Seq  uint64           `json:"seq"`
	ID   string           `json:"id"`
	From eventbus.Address `json:"from"`
	// Since is when it began to wait.
	Since time.Time `json:"since"`
}

// storedFiring is a firing whose condition has been met by message Seq.
type storedFiring struct {
	Seq    uint64         `json:"seq"`
	Events map[string]ref `json:"events"`
}

// mostTaken bounds joinState.Taken. There are more only if more messages than
// this are unacknowledged at the time of a crash.
const mostTaken = 4096

func (s *joinState) firingOf(seq uint64) *storedFiring {
	for i := range s.Firings {
		if s.Firings[i].Seq == seq {
			return &s.Firings[i]
		}
	}
	return nil
}

func (s *joinState) take(seq uint64) {
	if slices.Contains(s.Taken, seq) {
		return
	}
	s.Taken = append(s.Taken, seq)
	if n := len(s.Taken) - mostTaken; n > 0 {
		s.Taken = slices.Delete(s.Taken, 0, n)
	}
}

// refers tells whether an event's content is still needed.
func (s *joinState) refers(seq uint64) bool {
	for _, r := range s.Waiting {
		if r.Seq == seq {
			return true
		}
	}
	for _, f := range s.Firings {
		for _, r := range f.Events {
			if r.Seq == seq {
				return true
			}
		}
	}
	return false
}

// forgetBefore drops what began to wait before at, and returns the names.
func (s *joinState) forgetBefore(at time.Time) []string {
	var names []string
	for name, r := range s.Waiting {
		if r.Since.Before(at) {
			names = append(names, name)
			delete(s.Waiting, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *joinState) clone() *joinState {
	c := *s
	c.Waiting = make(map[string]ref, len(s.Waiting)+1)
	for k, v := range s.Waiting {
		c.Waiting[k] = v
	}
	c.Firings = slices.Clone(s.Firings)
	c.Taken = slices.Clone(s.Taken)
	return &c
}
