package trigger_test

import (
	"io"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

type closer struct{ closed int }

func (c *closer) Close() error { c.closed++; return nil }

func TestShared(t *testing.T) {
	var s trigger.Shared
	made := 0
	use := func(key string) (*closer, func() error) {
		c, release := s.Use(key, func() io.Closer { made++; return &closer{} })
		return c.(*closer), release
	}
	a, releaseA := use("k/1")
	b, releaseB := use("k/1")
	other, releaseOther := use("k/2")
	if a != b || a == other || made != 2 {
		t.Fatalf("made %d", made)
	}
	end := func(release func() error) {
		t.Helper()
		if err := release(); err != nil {
			t.Error(err)
		}
	}
	end(releaseA)
	if a.closed != 0 {
		t.Error("closed while it is used")
	}
	end(releaseB)
	end(releaseOther)
	if a.closed != 1 || other.closed != 1 {
		t.Errorf("closed %d and %d times", a.closed, other.closed)
	}
	again, release := use("k/1")
	if again == a {
		t.Error("what is closed is used again")
	}
	end(release)
}
