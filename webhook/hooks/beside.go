package hooks

import (
	"context"
	"errors"
	"sync"
)

// Beside receives and keeps at the same time: it calls serve and keep, and
// returns when serve has returned and keep, whose context ends then, has too.
// That keep ends, fails or panics does not end serve; its error is returned with
// serve's, at the end.
func Beside(ctx context.Context, serve, keep func(ctx context.Context) error) error {
	var wg sync.WaitGroup
	keeping, cancel := context.WithCancel(ctx)
	var kept error
	wg.Go(func() { kept = guarded(func() error { return keep(keeping) }) })
	defer wg.Wait()
	defer cancel() // also if serve panics
	err := serve(ctx)
	cancel()
	wg.Wait()
	return errors.Join(err, kept)
}
