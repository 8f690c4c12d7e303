package argorollout

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ready tells whether the state of a Rollout can be decided on. What changes the
// status has to know that it is about the latest spec, and no pause may be about to end.
func (o *order) ready(v *view) bool {
	switch o.conf.Operation {
	case opPromote, opResume:
		return v.seen() && !v.unpausing()
	case opPromoteFull, opAbort, opRetry:
		return v.seen()
	default:
		return true
	}
}

// decide makes the plan, or says why there is nothing to do.
func (w *work) decide(ctx context.Context, v *view) (*plan, *idle, error) {
	if why := w.unexpected(v); why != "" {
		return nil, &idle{why: why}, nil
	}
	p := &plan{Firing: w.firing, Order: w.what(), PodHash: v.podHash}
	var i *idle
	var err error
	switch w.conf.Operation {
	case opSetImage:
		i, err = w.setImage(ctx, v, p)
	case opPromote:
		i = w.promote(v, p)
	case opPromoteFull:
		i = w.promoteFull(v, p)
	case opAbort:
		i = w.abort(v, p)
	case opRetry:
		i = w.retry(v, p)
	case opPause:
		i = w.pause(v, p)
	case opResume:
		i = w.resume(v, p)
	case opRestart:
		w.restart(v, p)
	case opUndo:
		i, err = w.undo(ctx, v, p)
	}
	return p, i, err
}

// unexpected says what of expect does not hold.
func (w *work) unexpected(v *view) string {
	e := w.conf.Expect
	switch {
	case e == nil || !slices.Contains(guarded, w.conf.Operation):
		return ""
	case w.podHash != "" && w.podHash != v.podHash:
		return fmt.Sprintf("it is at version %s, not at %s", v.podHash, w.podHash)
	case w.step != nil && *w.step != v.at():
		return fmt.Sprintf("it is at step %d, not at %d", v.at(), *w.step)
	case e.Paused && !v.paused && len(v.pauses) == 0:
		return "it is not paused"
	}
	return ""
}

// did is what is told of a plan.
func (w *work) did(format string, args ...any) string {
	return fmt.Sprintf(format, args...) + " " + w.String()
}

// here tests that the Rollout is at the version and step that was decided on.
func here(v *view) []op {
	return []op{test("/status/currentPodHash", v.podHash), test("/status/currentStepIndex", v.indexValue())}
}

// unpauseSpec takes back spec.paused. It comes before any change of the status: the
// controller would take back that a pause is over.
func unpauseSpec() step {
	return step{On: onRollout, Tests: []op{test("/spec/paused", true)}, Changes: []op{add("/spec/paused", false)}}
}

func (w *work) promote(v *view, p *plan) *idle {
	skip := add("/status/currentStepIndex", v.at()+1)
	position := fmt.Sprintf("step %d of %d", v.at()+1, len(v.steps))
	if v.paused {
		p.Did = w.did("unpaused")
		p.Steps = []step{unpauseSpec()}
		if len(v.pauses) > 0 && !v.abort {
			p.Did = w.did("unpaused and promoted")
			p.Steps = append(p.Steps, step{On: onStatus, Settle: true, Tests: here(v), Unpause: true})
		}
		return nil
	}
	switch {
	case v.abort:
		return &idle{why: "its update is aborted; retry it, or use promoteFull"}
	case !v.updating() && len(v.pauses) == 0:
		return &idle{why: "it is not paused, and no update is going on"}
	case len(v.pauses) > 0 && v.canary && v.controllerPause && v.stepAnalysis == "Inconclusive":
		p.Did = w.did("promoted %s, after an inconclusive analysis, of", position)
		p.Steps = []step{{On: onStatus, Tests: here(v), Unpause: true, Since: v.pausedSince(), Changes: []op{add("/status/controllerPause", false), skip}}}
	case len(v.pauses) > 0:
		p.Did = w.did("promoted %s of", position)
		if !v.canary {
			p.Did = w.did("promoted")
		}
		p.Steps = []step{{On: onStatus, Tests: here(v), Unpause: true, Since: v.pausedSince()}}
	case !v.canary || v.at() >= int64(len(v.steps)):
		return &idle{why: "it is not paused"}
	default:
		p.Did = w.did("skipped %s of", position)
		p.Steps = []step{{On: onStatus, Tests: append(here(v), test("/status/pauseConditions", nil)), Changes: []op{skip}}}
	}
	return nil
}

// updatingTests are those of changes that are about a whole update.
func updatingTests(v *view) []op {
	return []op{test("/status/currentPodHash", v.podHash), test("/status/stableRS", pointed(v.object.Object, "/status/stableRS"))}
}

func (w *work) promoteFull(v *view, p *plan) *idle {
	switch {
	case !v.updating():
		return &idle{why: "no update is going on", already: true}
	case v.promoteFull && !v.paused:
		return &idle{why: "it is being promoted already", already: true}
	}
	if v.paused {
		p.Steps = append(p.Steps, unpauseSpec())
	}
	if !v.promoteFull {
		tests := append(updatingTests(v), test("/status/promoteFull", pointed(v.object.Object, "/status/promoteFull")))
		p.Steps = append(p.Steps, step{On: onStatus, Settle: v.paused, Tests: tests, Changes: []op{add("/status/promoteFull", true)}})
	}
	p.Did = w.did("fully promoted")
	return nil
}

func (w *work) abort(v *view, p *plan) *idle {
	switch {
	case v.abort:
		return &idle{why: "its update is aborted already", already: true}
	case !v.updating():
		return &idle{why: "no update is going on"}
	}
	tests := append(updatingTests(v), test("/status/abort", pointed(v.object.Object, "/status/abort")))
	p.Steps = []step{{On: onStatus, Tests: tests, Changes: []op{add("/status/abort", true)}}}
	p.Did = w.did("aborted the update of")
	return nil
}

func (w *work) retry(v *view, p *plan) *idle {
	if !v.abort {
		return &idle{why: "no update is aborted"}
	}
	tests := append(updatingTests(v), test("/status/abort", true), test("/status/abortedAt", v.abortedAt))
	p.Steps = []step{{On: onStatus, Tests: tests, Changes: []op{add("/status/abort", false)}}}
	p.Did = w.did("retried the update of")
	return nil
}

func (w *work) pause(v *view, p *plan) *idle {
	if v.paused {
		return &idle{why: "it is paused already", already: true}
	}
	tests := []op{test("/spec/paused", pointed(v.object.Object, "/spec/paused"))}
	p.Steps = []step{{On: onRollout, Tests: tests, Changes: []op{add("/spec/paused", true)}}}
	p.Did = w.did("paused")
	return nil
}

func (w *work) resume(v *view, p *plan) *idle {
	if v.paused {
		p.Steps = append(p.Steps, unpauseSpec())
	}
	if len(v.pauses) > 0 {
		s := step{On: onStatus, Tests: here(v), Unpause: true, Settle: v.paused}
		if !v.paused {
			s.Since = v.pausedSince()
		}
		p.Steps = append(p.Steps, s)
	}
	if len(p.Steps) == 0 {
		return &idle{why: "it is not paused"}
	}
	p.Did = w.did("resumed")
	return nil
}

func (w *work) restart(v *view, p *plan) {
	p.RestartAt = time.Now().UTC().Format(time.RFC3339)
	p.Steps = []step{{On: onRollout, Tests: []op{test("/spec/restartAt", v.restartAt)}, Changes: []op{add("/spec/restartAt", p.RestartAt)}}}
	p.Did = w.did("restarted")
}
