package argocd

import (
	"fmt"
	"slices"
)

// username is who starts the operations.
const username = "signalbox"

// operation is what goes into the field operation of the application. Without
// an application it is what is known of it before.
func (r *request) operation(app *application) map[string]any {
	s := r.sync()
	sync := map[string]any{}
	if r.conf.Operation == opSync {
		if s.Revision != "" {
			sync["revision"] = s.Revision
		}
		if len(s.Revisions) > 0 {
			sync["revisions"] = anys(s.Revisions)
		}
		if len(s.Resources) > 0 {
			sync["resources"] = resourcesOf(s.Resources)
		}
		if strategy := strategyOf(s); strategy != nil {
			sync["syncStrategy"] = strategy
		}
	} else {
		sync["syncStrategy"] = map[string]any{strategyApply: map[string]any{}}
	}
	if s.Prune {
		sync["prune"] = true
	}
	if s.DryRun {
		sync["dryRun"] = true
	}
	op := map[string]any{
		"initiatedBy": map[string]any{"username": username},
		"info":        r.info(),
		"sync":        sync,
	}
	switch {
	case len(s.SyncOptions) > 0 && r.conf.Operation == opSync:
		sync["syncOptions"] = anys(s.SyncOptions)
	case app != nil && len(list(app.Object, "spec", "syncPolicy", "syncOptions")) > 0:
		sync["syncOptions"] = list(app.Object, "spec", "syncPolicy", "syncOptions")
	}
	switch {
	case s.Retry != nil:
		op["retry"] = s.Retry.object()
	case app != nil && app.part("spec", "syncPolicy", "retry") != nil:
		op["retry"] = app.part("spec", "syncPolicy", "retry")
	}
	return op
}

// info is the user's items and ours.
func (r *request) info() []any {
	var items []any
	for _, i := range r.sync().Info {
		items = append(items, map[string]any{"name": i.Name, "value": i.Value})
	}
	return append(items, r.mark.items()...)
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, s := range texts {
		all[i] = s
	}
	return all
}

func resourcesOf(rs []Resource) []any {
	var all []any
	for _, r := range rs {
		m := map[string]any{"kind": r.Kind, "name": r.Name}
		if r.Group != "" {
			m["group"] = r.Group
		}
		if r.Namespace != "" {
			m["namespace"] = r.Namespace
		}
		all = append(all, m)
	}
	return all
}

func strategyOf(s *Sync) map[string]any {
	if s.Strategy == "" && !s.Force {
		return nil
	}
	how := map[string]any{}
	if s.Force {
		how["force"] = true
	}
	if s.Strategy == strategyApply {
		return map[string]any{strategyApply: how}
	}
	return map[string]any{strategyHook: how}
}

func (r *Retry) object() map[string]any {
	out := map[string]any{"limit": r.Limit}
	if r.Refresh {
		out["refresh"] = true
	}
	if b := r.Backoff; b != nil {
		backoff := map[string]any{}
		if b.Duration != "" {
			backoff["duration"] = b.Duration
		}
		if b.Factor != nil {
			backoff["factor"] = *b.Factor
		}
		if b.MaxDuration != "" {
			backoff["maxDuration"] = b.MaxDuration
		}
		out["backoff"] = backoff
	}
	return out
}

// rollbackOperation is the operation that goes back to an entry of the history.
func (r *request) rollbackOperation(app *application, e entry) map[string]any {
	op := r.operation(app)
	sync := op["sync"].(map[string]any)
	for _, key := range []string{"revision", "revisions", "source", "sources"} {
		if v, ok := e.object[key]; ok && v != nil {
			sync[key] = v
		}
	}
	return op
}

// fits tells what hinders a sync of the revisions on the application, which
// Argo CD would pass over and sync something else.
func (r *request) fits(app *application) error {
	n := len(list(app.Object, "spec", "sources"))
	switch s := r.sync(); {
	case s.Revision != "" && n > 0:
		return fmt.Errorf("it has %d sources: give sync.revisions instead of sync.revision", n)
	case len(s.Revisions) > 0 && n == 0:
		return fmt.Errorf("it has one source: give sync.revision instead of sync.revisions")
	case len(s.Revisions) > 0 && len(s.Revisions) != n:
		return fmt.Errorf("it has %d sources, and sync.revisions has %d", n, len(s.Revisions))
	}
	return nil
}

// entry finds where to roll back to. The previous one is the newest that is not
// what is deployed now: after a sync that failed halfway, that is the last entry.
func (r *request) entry(app *application) (entry, error) {
	history := app.history()
	if len(history) == 0 {
		return entry{}, fmt.Errorf("it has no history to roll back to")
	}
	want := r.rollbackTo()
	if want >= 0 {
		i := slices.IndexFunc(history, func(e entry) bool { return e.id == want })
		if i < 0 {
			return entry{}, fmt.Errorf("its history has no entry %d; it has %d to %d", want, history[0].id, app.lastEntry())
		}
		return history[i], nil
	}
	now := history[len(history)-1].version
	if p := app.phase(); (p == phaseFailed || p == phaseError) && app.part("status", "operationState", "syncResult") != nil {
		if app.part("status", "operationState", "operation", "sync")["dryRun"] != true {
			now = app.synced()
		}
	}
	for _, e := range slices.Backward(history) {
		if !e.equal(now) {
			return e, nil
		}
	}
	return entry{}, fmt.Errorf("its history has nothing but what is deployed now")
}
