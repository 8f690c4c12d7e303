package seldom

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Complaint
		steps := []struct {
			wait    time.Duration
			text    string
			due     bool
			skipped int
		}{
			{0, "a", true, 0},
			{time.Second, "a", false, 0},
			{time.Second, "a", false, 0},
			{0, "b", true, 2},
			{0, "a", true, 0},
			{30 * time.Second, "a", false, 0},
			{30 * time.Second, "a", true, 1},
		}
		for i, s := range steps {
			time.Sleep(s.wait)
			if due, skipped := c.Due(s.text); due != s.due || skipped != s.skipped {
				t.Errorf("step %d: %v and %d, want %v and %d", i, due, skipped, s.due, s.skipped)
			}
		}
	})
}
