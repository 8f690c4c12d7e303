package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventsource"
)

// TestRoleElects lets two processes with the rights of an event source elect one.
func TestRoleElects(t *testing.T) {
	m := managed(t, eventbus.Limits{})
	began := make(chan int, 10)
	stops := make([]func(), 2)
	for i := range stops {
		state, lease := eventsource.OnBus(m.as(t, eventbus.RoleEventSource).State(), "my/source", "a b")
		if err := state.Put(t.Context(), "leader/work", []byte("a key that looks like the lease's")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- lease.Lead(ctx, "work", func(ctx context.Context) error {
				began <- i
				<-ctx.Done()
				return nil
			})
		}()
		stops[i] = func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	first := elected(t, began)
	select {
	case other := <-began:
		t.Errorf("%d leads beside %d", other, first)
	case <-time.After(time.Second):
	}
	stops[first]()
	if second := elected(t, began); second == first {
		t.Error("nobody else leads")
	}
	stops[1-first]()
}

func elected(t *testing.T, began <-chan int) int {
	t.Helper()
	select {
	case i := <-began:
		return i
	case <-time.After(patience):
		t.Fatal("nobody leads")
		return 0
	}
}
