package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
)

// progress is what is remembered of a firing between its attempts. It exists
// only for firings that did not succeed at once: the path of an event that
// does costs no state at all.
type progress struct {
	// Stage is 0 for the trigger itself, 1 for its dlqTrigger, and so on.
	Stage int `json:"stage,omitempty"`
	// Count of failed attempts in this stage, and in all.
	Count int `json:"count"`
	Total int `json:"total"`
	// Attempts are the failed ones, the first and the last 20.
	Attempts []eventbus.Attempt `json:"attempts,omitempty"`
	// First is when the first attempt began; zero before it.
	First time.Time `json:"first,omitzero"`
	// Slot is the time that the rate limit gave this firing.
	Slot time.Time `json:"slot,omitzero"`
	// NotBefore is when the next attempt is due.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Done marks a firing that came to its end while another one of the same
	// message did not.
	Done bool `json:"done,omitempty"`
	// Time of the last change.
	Time time.Time `json:"time"`

	kept bool // there is a copy on the bus
}

const keptAttempts = 20

func (p *progress) failed(now time.Time, err error) {
	p.Count++
	p.Total++
	p.Attempts = append(p.Attempts, eventbus.Attempt{Time: now.UTC(), Error: err.Error()})
	if len(p.Attempts) > 2*keptAttempts {
		p.Attempts = append(p.Attempts[:keptAttempts:keptAttempts], p.Attempts[keptAttempts+1:]...)
	}
}

func (t *runner) progressKey(id string) string { return t.key("firing/" + id) }

// loadProgress returns what is known of the firing. A first delivery has none.
func (t *runner) loadProgress(ctx context.Context, d *eventbus.Delivery, id string) (*progress, error) {
	p := &progress{}
	if d.Deliveries <= 1 {
		return p, nil
	}
	b, _, err := t.bus.State().Get(ctx, t.progressKey(id))
	if errors.Is(err, eventbus.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the firing's state: %w", err)
	}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("read the firing's state: %w", err)
	}
	p.kept = true
	return p, nil
}

func (t *runner) saveProgress(ctx context.Context, id string, p *progress) error {
	p.Time = time.Now().UTC()
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if _, err = t.bus.State().Put(ctx, t.progressKey(id), b); err != nil {
		return fmt.Errorf("keep the firing's state: %w", err)
	}
	p.kept = true
	return nil
}

// dropStaleProgress removes state of firings that was left behind by a crash
// between a firing's end and the removal of its state.
func (t *runner) dropStaleProgress(ctx context.Context) error {
	keys, err := t.bus.State().Keys(ctx, t.key("firing"))
	if err != nil {
		return err
	}
	for _, key := range keys {
		b, _, err := t.bus.State().Get(ctx, key)
		if errors.Is(err, eventbus.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var p progress
		if json.Unmarshal(b, &p) == nil && time.Since(p.touched()) < staleAfter {
			continue
		}
		if err := t.bus.State().Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// touched is the last time at which somebody may have needed p.
func (p *progress) touched() time.Time {
	at := p.Time
	for _, t := range []time.Time{p.Slot, p.NotBefore} {
		if t.After(at) {
			at = t
		}
	}
	return at
}

// staleAfter is longer than any wait between two attempts (v1alpha1.MaxWait).
const staleAfter = 72 * time.Hour
