// Package seldom keeps a complaint that repeats itself from filling the log.
package seldom

import (
	"sync"
	"time"
)

// Every is how often the same complaint is due.
const Every = time.Minute

// Complaint is one thing that can go wrong again and again. The zero value is
// ready for use, by many goroutines.
type Complaint struct {
	mu      sync.Mutex
	text    string
	last    time.Time
	skipped int
}

// Due tells whether a complaint is to be logged now: one with another text than
// the last at once, the same once a minute. Skipped counts those that were not
// logged since.
func (c *Complaint) Due(text string) (due bool, skipped int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if text == c.text && now.Sub(c.last) < Every {
		c.skipped++
		return false, 0
	}
	skipped = c.skipped
	c.text, c.last, c.skipped = text, now, 0
	return true, skipped
}
