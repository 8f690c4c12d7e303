package argocd

import (
	"context"
	"errors"
)

// terminate ends the operation that is running, and makes sure of it for a
// little: Argo CD may write Running over what was asked of it.
func (r *request) terminate(ctx context.Context, b backend, app *application, p pace) (effect, error) {
	e := effect{did: didNothing, says: "no operation of AT is running"}
	if !app.requested() {
		return e, nil
	}
	if app.phase() == "" || ended(app.phase()) {
		return e, busy{errors.New("an operation has been asked for, and Argo CD has not begun it"), replaceWait}
	}
	started := app.text("status", "operationState", "startedAt")
	if parseTime(started).After(r.since.Add(slack)) {
		e.says = "the operation of AT began after this firing and goes on"
		return e, nil
	}
	meant := r.intent(app)
	meant.Started = started
	meant, err := r.intend(ctx, stateTerminations, meant)
	if err != nil {
		return e, err
	}
	if meant.Started != started {
		e.says = "the operation of AT that was to end has ended"
		return e, nil
	}
	e.did, e.says, e.watch = didTerminate, "operation of AT is being ended", watchOf(app)
	e.watch.Before = started
	for again := 0; ; again++ {
		if app.phase() == phaseRunning {
			if err := b.terminate(ctx, app); err != nil {
				return e, err
			}
		}
		bounded, cancel := context.WithTimeout(ctx, p.linger)
		over := false
		err := b.until(bounded, app.GetNamespace(), app.GetName(), func(now *application) (bool, error) {
			app = now
			over = !now.requested() || now.text("status", "operationState", "startedAt") != started
			return over || now.phase() == phaseRunning, nil
		})
		cancel()
		switch {
		case ctx.Err() != nil:
			return e, ctx.Err()
		case over:
			e.says = "operation of AT has ended"
			return e, nil
		case err != nil || again == rounds: // it takes its time
			return e, nil //nolint:nilerr // the request was accepted
		}
	}
}
