package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
)

func TestInsist(t *testing.T) {
	full := errors.New("full")
	large := fmt.Errorf("this one: %w", eventsource.ErrTooLarge)
	for name, tc := range map[string]struct {
		answers []error
		want    error
		took    time.Duration
	}{
		"at once":                 {[]error{nil}, nil, 0},
		"after a while":           {[]error{full, full, full, nil}, nil, 700 * time.Millisecond},
		"too large":               {[]error{large}, eventsource.ErrTooLarge, 0},
		"too large after a while": {[]error{full, large}, eventsource.ErrTooLarge, 100 * time.Millisecond},
		"never":                   {nil, context.DeadlineExceeded, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began, n := time.Now(), 0
				emit := func(_ context.Context, e eventsource.Event) error {
					if e.ID != "one" {
						t.Errorf("got %+v", e)
					}
					n++
					if n > len(tc.answers) {
						return full
					}
					return tc.answers[n-1]
				}
				err := eventsource.Insist(ctx, emit, eventsource.Event{ID: "one"})
				if !errors.Is(err, tc.want) || time.Since(began) != tc.took {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
				if tc.answers != nil && n != len(tc.answers) {
					t.Errorf("emitted %d times", n)
				}
				if tc.answers == nil && n > 20 { // 5 s apart in the end
					t.Errorf("emitted %d times in a minute", n)
				}
			})
		})
	}
}
