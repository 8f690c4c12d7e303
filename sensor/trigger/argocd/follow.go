package argocd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// reference is what is needed to find the effects of a firing again.
type reference struct {
	Operation string `json:"operation"`
	// Health tells that the applications have to become Healthy.
	Health bool      `json:"health,omitempty"`
	Server *Server   `json:"server,omitempty"`
	Apps   []watched `json:"apps"`
}

// watched is an application that something was done about.
type watched struct {
	Namespace string `json:"ns,omitempty"`
	Name      string `json:"name"`
	// Mark is the firing whose operation it is, if the operation says so.
	Mark string `json:"mark,omitempty"`
	// At is when it was asked for.
	At time.Time `json:"at"`
	// Entry is the newest of the history before that.
	Entry int64 `json:"entry"`
	// Before is status.reconciledAt before that; for terminate, when the
	// operation that is to end has begun.
	Before string `json:"before,omitempty"`
	// Revisions that are known beforehand: whole commits, and those of a rollback,
	// by which it is known where there is no mark.
	Revisions []string `json:"revs,omitempty"`
}

func watchOf(app *application) *watched {
	return &watched{
		Namespace: app.GetNamespace(), Name: app.GetName(), At: time.Now().UTC(),
		Entry: app.lastEntry(), Before: app.text("status", "reconciledAt"),
	}
}

// await implements trigger.Follow.
func (a *actor) await(ctx context.Context, f trigger.Following) (trigger.Outcome, error) {
	var ref reference
	if err := json.Unmarshal(f.Ref, &ref); err != nil {
		return trigger.Outcome{}, trigger.Permanent(fmt.Errorf("the record of what to wait for cannot be read: %w", err))
	}
	if len(ref.Apps) == 0 {
		return trigger.Outcome{}, trigger.Permanent(errors.New("the record of what to wait for names no application"))
	}
	b, err := a.backend(ctx, ref.Server)
	if err != nil {
		return trigger.Outcome{}, err
	}
	ends := make([]*end, len(ref.Apps))
	errs := make([]error, len(ref.Apps))
	var wg sync.WaitGroup
	for i := range ref.Apps {
		wg.Go(func() {
			w := &watcher{watched: ref.Apps[i], ref: &ref, backend: b, pace: a.pace}
			ends[i], errs[i] = w.wait(ctx)
		})
	}
	wg.Wait()
	var bad []error
	for _, err := range errs {
		if err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) > 0 {
		return trigger.Outcome{}, flat(line(bad))
	}
	return outcome(ref.Operation, ends), nil
}

// outcome puts the ends together.
func outcome(operation string, ends []*end) trigger.Outcome {
	out := trigger.Outcome{Summary: ends[0].String()}
	var all []any
	failed := 0
	for _, e := range ends {
		all = append(all, e.details())
		if e.failed {
			if failed == 0 {
				out.Summary = e.String()
			}
			failed++
		}
	}
	out.Failed = failed > 0
	switch n := len(ends); {
	case n > 1 && failed > 0:
		out.Summary = fmt.Sprintf("%d of %d applications failed: %s", failed, n, out.Summary)
	case n > 1:
		out.Summary = fmt.Sprintf("%s of %d applications succeeded: %s (and %d more)", operation, n, out.Summary, n-1)
	}
	out.Details = map[string]any{"applications": all}
	return out
}

// watcher waits for the end of what was done about one application.
type watcher struct {
	watched
	ref     *reference
	backend backend
	pace    pace
	// result is what the operation came to, once it is over.
	result *end
}

// wait returns the end, or an error that says how far it is.
func (w *watcher) wait(ctx context.Context) (*end, error) {
	for {
		var now verdict
		err := w.backend.until(ctx, w.Namespace, w.Name, func(app *application) (bool, error) {
			now = w.look(app)
			return now.end != nil, nil
		})
		switch {
		case errors.Is(err, cluster.ErrDeleted):
			return &end{namespace: w.Namespace, name: w.Name, failed: true, message: "the application was deleted"}, nil
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %s: %w", w.Name, w.waiting(now), ctx.Err())
		case err != nil:
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		case now.lasts == 0:
			return now.end, nil
		}
		if lasted, err := w.lasts(ctx, now); lasted != nil || err != nil {
			return lasted, err
		}
	}
}

// lasts tells whether what was seen goes on to be so; nil if it does not.
func (w *watcher) lasts(ctx context.Context, seen verdict) (*end, error) {
	bounded, cancel := context.WithTimeout(ctx, seen.lasts)
	defer cancel()
	latest := seen.end
	err := w.backend.until(bounded, w.Namespace, w.Name, func(app *application) (bool, error) {
		now := w.look(app)
		if now.end == nil || now.end.failed != seen.end.failed || now.end.health != seen.end.health {
			return true, nil
		}
		latest = now.end
		return now.lasts == 0, nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %s: %w", w.Name, w.waiting(seen), ctx.Err())
	case err != nil && bounded.Err() != nil:
		return latest, nil
	}
	return nil, nil // it is looked at anew
}

// waiting says what is being waited for.
func (w *watcher) waiting(v verdict) string {
	if v.waiting == "" {
		return "its state is not known"
	}
	if v.accepted && time.Since(w.At) > w.pace.accepted {
		return fmt.Sprintf("the operation was accepted %v ago, and Argo CD has not begun it: is its controller running, and is it in charge of the namespace %s?",
			time.Since(w.At).Round(time.Second), w.Namespace)
	}
	return v.waiting
}
