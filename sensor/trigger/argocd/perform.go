package argocd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// effect is what was done about one application.
type effect struct {
	namespace, name string
	// did is one of the words below.
	did string
	// says it in a few words for people; AT in it stands for the application.
	says string
	// watch is how to find the effect again; nil if there is nothing to wait for.
	watch *watched
	// revision that was asked for, if any.
	revision string
	// notes are what people should know.
	notes []string
	// by is the firing that has covered this one.
	by string
}

// What became of a request.
const (
	didStart     = "started"
	didFind      = "found"
	didJoin      = "joined"
	didGiveWay   = "superseded"
	didRefresh   = "refreshed"
	didTerminate = "terminated"
	didChange    = "changed"
	didNothing   = "unchanged"
)

// busy is the error of an application that has another operation.
type busy struct {
	error
	wait time.Duration
}

func (b busy) Unwrap() error { return b.error }

// perform does it to one application.
func (r *request) perform(ctx context.Context, b backend, app *application, p pace) (effect, error) {
	for round := 1; ; round++ {
		e, err := r.attempt(ctx, b, app, p)
		e.namespace, e.name = app.GetNamespace(), app.GetName()
		if !errors.Is(err, errStale) || round == rounds {
			return e, err
		}
		if err := pause(ctx, time.Duration(round*(10+rand.IntN(20)))*time.Millisecond); err != nil { //nolint:gosec // not for secrets
			return e, err
		}
		if app, err = b.get(ctx, app.GetNamespace(), app.GetName()); err != nil {
			return e, err
		}
	}
}

func (r *request) attempt(ctx context.Context, b backend, app *application, p pace) (effect, error) {
	if app.deleting() {
		return effect{}, errors.New("it is being deleted")
	}
	if app.GetAnnotations()[annotationSkip] == "true" {
		return effect{}, fmt.Errorf("Argo CD does nothing about it while it has the annotation %s", annotationSkip) //nolint:staticcheck // a name
	}
	switch r.conf.Operation {
	case opRefresh, opHardRefresh:
		return r.refresh(ctx, b, app)
	case opTerminate:
		return r.terminate(ctx, b, app, p)
	case opSet:
		return r.set(ctx, b, app)
	}
	return r.begin(ctx, b, app)
}

func (r *request) refresh(ctx context.Context, b backend, app *application) (effect, error) {
	e := effect{did: didRefresh, says: "refresh of AT asked for", watch: watchOf(app)}
	if slices.Contains(app.firings(), r.mark.id) {
		e.did, e.says = didFind, "refresh of AT was asked for by an earlier attempt"
		e.watch.Before = "" // it may have been done already
		return e, nil
	}
	return e, b.refresh(ctx, r, app)
}

// set changes the spec, if it has to be changed.
func (r *request) set(ctx context.Context, b backend, app *application) (effect, error) {
	patch, err := r.specPatch(app)
	if err != nil {
		return effect{}, err
	}
	e := effect{did: didChange, says: "AT changed", watch: watchOf(app), revision: r.conf.Set.TargetRevision}
	switch {
	case slices.Contains(app.firings(), r.mark.id): // what others have set since stays
		e.did, e.says = didFind, "AT was changed by an earlier attempt"
		return e, nil
	case patch == nil:
		e.did, e.says = didNothing, "AT is so already"
		return e, nil
	}
	e.noteOwner(app)
	_, err = b.change(ctx, app, map[string]any{"metadata": map[string]any{"annotations": signed(app, r.mark.id)}, "spec": patch})
	return e, err
}

func (e *effect) noteOwner(app *application) {
	if owner := app.owner(); owner != "" {
		e.notes = append(e.notes, "the ApplicationSet "+owner+" may undo the change")
	}
}

// slack is what clocks of two machines may differ by.
const slack = 5 * time.Second

// covered says whether another firing of the trigger makes this one needless,
// judged by the last operation. Only an operation that was asked for after
// this firing had begun can: an event that is fired again later on purpose acts.
func (r *request) covered(m mark) (string, bool) {
	if m.id == "" || m.trigger != r.mark.trigger || m.at.Before(r.since) {
		return "", false
	}
	same := m.content == r.mark.content
	switch {
	case !same && m.event.After(r.mark.event):
		return didGiveWay, true
	case r.conf.OnBusy == busyWait || r.conf.OnBusy == busyFail:
		return "", false
	case same && (!m.event.Before(r.mark.event) || !m.at.Before(r.since.Add(slack))):
		return didJoin, true
	}
	return "", false
}

// begin starts a sync or a rollback.
func (r *request) begin(ctx context.Context, b backend, app *application) (effect, error) {
	e := effect{did: didStart, watch: watchOf(app)}
	last := markOf(app.operation())
	if last.id == r.mark.id || slices.Contains(app.firings(), r.mark.id) {
		e.did, e.says, e.revision = didFind, r.conf.Operation+" of AT was started by an earlier attempt", r.sync().Revision
		e.watch.Entry, e.watch.At = -1, r.since // its own entry may be there already
		return e, nil
	}
	if found, err := b.earlier(ctx, r, app); found || err != nil {
		e.did, e.says = didFind, r.conf.Operation+" of AT was started by an earlier attempt"
		e.watch.Entry, e.watch.At = -1, r.since
		e.watch.Revisions = versionOf(app.part("status", "operationState", "operation", "sync")).revisions
		return e, err
	}
	if did, ok := r.covered(last); ok {
		e.did, e.by, e.says = did, last.id, r.conf.Operation+" of AT "+did+" by firing "+last.id
		if did == didJoin {
			e.says = r.conf.Operation + " of AT joined that of firing " + last.id
			e.watch.Mark, e.watch.Entry, e.watch.At = last.id, -1, last.at
		} else {
			e.watch = nil
		}
		return e, nil
	}
	if app.requested() {
		return e, r.busy(ctx, b, app)
	}
	if err := r.mayBegin(app, b); err != nil {
		return e, err
	}
	var err error
	var spec, op map[string]any
	var to *entry
	r2 := *r
	r2.mark.at = time.Now()
	if r.conf.Operation == opRollback {
		found, err := r.entry(app)
		if err != nil {
			return e, err
		}
		to, op = &found, r2.rollbackOperation(app, found)
		e.revision = found.String()
		e.says = fmt.Sprintf("rollback of AT to %d (%s) started", found.id, found)
		e.watch.Revisions = found.revisions
	} else {
		if err := r.fits(app); err != nil {
			return e, err
		}
		if r.changes() {
			if spec, err = r.specPatch(app); err != nil {
				return e, err
			}
			if spec != nil {
				e.noteOwner(app)
			}
		}
		op = r2.operation(app)
		e.revision = r.revision()
		e.says = "sync of AT started"
		if commits := r.pinnedRevisions(); isCommits(commits) {
			e.watch.Revisions = commits
		}
		if e.revision != "" {
			e.says = "sync of AT at " + version{revisions: strings.Split(e.revision, ",")}.String() + " started"
		}
	}
	if app, err = r.holdAutoSync(ctx, b, app, &e); err != nil {
		return e, err
	}
	if err = b.begin(ctx, &r2, app, spec, op, to); errors.Is(err, errRunning) {
		return e, r.busy(ctx, b, nil)
	}
	return e, err
}

func (r *request) pinnedRevisions() []string {
	if s := r.sync(); len(s.Revisions) > 0 {
		return s.Revisions
	}
	return []string{r.sync().Revision}
}

// isCommits tells whether all are whole commit ids, which nothing resolves to something else.
func isCommits(revisions []string) bool {
	for _, r := range revisions {
		if r == short(r) {
			return false
		}
	}
	return len(revisions) > 0
}

// revision that the sync is pinned to, or is set to.
func (r *request) revision() string {
	s := r.sync()
	if len(s.Revisions) > 0 {
		return strings.Join(s.Revisions, ",")
	}
	if s.Revision == "" && r.changes() {
		return r.conf.Set.TargetRevision
	}
	return s.Revision
}

// busy is what there is to be done while another operation is running. app is
// nil if it has only just begun.
func (r *request) busy(ctx context.Context, b backend, app *application) error {
	err := errRunning
	if app != nil && app.phase() == "" {
		err = errors.New("another operation has been asked for, and Argo CD has not begun it")
	} else if app != nil && app.text("status", "operationState", "startedAt") != "" {
		err = fmt.Errorf("another operation is in progress since %s", app.text("status", "operationState", "startedAt"))
	}
	switch r.conf.OnBusy {
	case busyFail:
		return err
	case busyReplace:
		// What comes of it is looked at when fired again: Argo CD may have written
		// Running over it.
		if app != nil && app.phase() == phaseRunning {
			if err := b.terminate(ctx, app); err != nil {
				return err
			}
		}
		return busy{err, replaceWait}
	}
	return busy{err, busyPause}
}

// How long to wait before an application that is busy is looked at again.
const (
	busyPause   = 5 * time.Second
	replaceWait = 2 * time.Second
)

// mayBegin tells what auto-sync has against the operation.
func (r *request) mayBegin(app *application, b backend) error {
	on, _ := app.autoSync()
	if !on || r.sync().DryRun || r.conf.DisableAutoSync {
		return nil
	}
	const remedy = "set disableAutoSync: true, or turn it off with spec.syncPolicy.automated.enabled: false"
	if r.conf.Operation == opRollback {
		return fmt.Errorf("auto-sync is on, which does not go with a rollback: %s", remedy)
	}
	if _, rest := b.(*restAPI); rest && r.sync().Revision != "" {
		if target := text(firstOf(app.sources()), "targetRevision"); r.sync().Revision != firstText(target, "HEAD") {
			return fmt.Errorf("auto-sync is on, and Argo CD's server then syncs to nothing but targetRevision: use refresh, %s", remedy)
		}
	}
	return nil
}

// holdAutoSync turns auto-sync off, or notes what it will do.
func (r *request) holdAutoSync(ctx context.Context, b backend, app *application, e *effect) (*application, error) {
	on, heals := app.autoSync()
	switch {
	case !on || r.sync().DryRun:
	case r.conf.DisableAutoSync:
		return r.turnOff(ctx, b, app, e)
	case r.pinned() && heals:
		e.notes = append(e.notes, "auto-sync with selfHeal undoes the sync unless targetRevision leads to the same revision")
	case r.pinned():
		e.notes = append(e.notes, "auto-sync leaves it OutOfSync until the next commit unless targetRevision leads to the same revision")
	}
	return app, nil
}

func firstOf(all []map[string]any) map[string]any {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// turnOff ends auto-sync before the operation begins, and looks whether it is
// off: older versions do not know enabled.
func (r *request) turnOff(ctx context.Context, b backend, app *application, e *effect) (*application, error) {
	for _, automated := range []any{map[string]any{"enabled": false}, nil} {
		after, err := b.change(ctx, app, map[string]any{"spec": map[string]any{"syncPolicy": map[string]any{"automated": automated}}})
		if err != nil {
			return nil, fmt.Errorf("turn auto-sync off: %w", err)
		}
		app = after
		if on, _ := app.autoSync(); !on {
			e.notes = append(e.notes, "auto-sync was turned off")
			e.noteOwner(app)
			return app, nil
		}
	}
	return nil, errors.New("turn auto-sync off: it is on still")
}

// details of an effect, for the outcome.
func (e *effect) details() map[string]any {
	out := map[string]any{"name": e.name, "namespace": e.namespace, "did": e.did}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == "" })
	if e.revision != "" {
		out["requestedRevision"] = e.revision
	}
	if e.by != "" {
		out["by"] = e.by
	}
	if len(e.notes) > 0 {
		out["note"] = strings.Join(e.notes, "; ")
	}
	return out
}

// permanent tells whether all errors are Permanent ones.
func permanent(errs []error) bool {
	for _, err := range errs {
		if !trigger.IsPermanent(err) {
			return false
		}
	}
	return true
}
