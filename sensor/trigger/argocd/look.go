package argocd

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// verdict is what one look at an application says.
type verdict struct {
	// end is how it ended; nil if it has not.
	end *end
	// lasts is how long the end has to be seen to be believed.
	lasts time.Duration
	// waiting says what has not happened yet.
	waiting string
	// accepted tells that Argo CD has not begun what was asked for.
	accepted bool
}

// end is how it went with one application.
type end struct {
	namespace, name       string
	failed                bool
	phase, message        string
	version               version
	health, healthMessage string
	sync                  string
	images                []string
	started, finished     string
	note                  string
}

// look judges the application as it is now.
func (w *watcher) look(app *application) verdict {
	switch w.ref.Operation {
	case opRefresh, opHardRefresh:
		return w.refreshed(app)
	case opTerminate:
		return w.terminated(app)
	case opSet:
		return w.changed(app)
	}
	return w.ran(app)
}

func (w *watcher) endOf(app *application) *end {
	return &end{
		namespace: app.GetNamespace(), name: app.GetName(),
		health: app.text("status", "health", "status"), healthMessage: app.text("status", "health", "message"),
		sync: app.text("status", "sync", "status"), images: texts(app.Object, "status", "summary", "images"),
		version: versionOf(app.part("status", "sync")),
	}
}

// operationEnd is endOf with what the last operation came to.
func (w *watcher) operationEnd(app *application) *end {
	e := w.endOf(app)
	e.phase, e.message = app.phase(), app.text("status", "operationState", "message")
	e.started, e.finished = app.text("status", "operationState", "startedAt"), app.text("status", "operationState", "finishedAt")
	if app.part("status", "operationState", "syncResult") != nil {
		e.version = app.synced()
	}
	e.failed = e.phase != phaseSucceeded
	return e
}

// isOurs tells whether an operation is the one that was asked for.
func (w *watcher) isOurs(operation map[string]any, started time.Time) bool {
	if operation == nil {
		return false
	}
	if w.Mark != "" {
		return markOf(operation).id == w.Mark
	}
	sync, _ := operation["sync"].(map[string]any)
	return slices.Equal(versionOf(sync).revisions, w.Revisions) && (started.IsZero() || !started.Before(w.At.Add(-slack)))
}

// ran judges a sync or a rollback.
func (w *watcher) ran(app *application) verdict {
	asked, state := app.part("operation"), app.part("status", "operationState", "operation")
	started := app.time("status", "operationState", "startedAt")
	phase := app.phase()
	switch {
	case state != nil && w.isOurs(state, started):
		if !ended(phase) || asked != nil && w.isOurs(asked, started) {
			message := app.text("status", "operationState", "message")
			return verdict{waiting: strings.TrimSuffix("the operation is "+phase+": "+message, ": ")}
		}
		w.result = w.operationEnd(app)
	case asked != nil && w.isOurs(asked, time.Time{}):
		return verdict{waiting: "the operation has not begun", accepted: true}
	case w.result == nil:
		// It ran and another one has followed before anybody looked. Full syncs that
		// succeeded are in the history.
		if !w.inHistory(app) {
			e := w.endOf(app)
			e.failed, e.message = true, "another operation has replaced it before its end was seen, and the history does not say that it succeeded"
			return verdict{end: e, lasts: w.fresh(), waiting: "another operation has replaced it"}
		}
	}
	return w.healthy(app)
}

// inHistory finds the entry that the operation has left.
func (w *watcher) inHistory(app *application) bool {
	for _, e := range app.history() {
		by, _ := e.object["initiatedBy"].(map[string]any)
		ours := by["automated"] != true && (w.ref.Server != nil || text(by, "username") == username) &&
			(len(w.Revisions) == 0 || slices.Equal(w.Revisions, e.revisions))
		if ours && e.id > w.Entry && !e.started.Before(w.At.Add(-slack)) {
			w.result = &end{phase: phaseSucceeded, version: e.version, started: text(e.object, "deployStartedAt"), finished: text(e.object, "deployedAt")}
			w.result.note = fmt.Sprintf("another operation has followed before the end of this one was seen; entry %d of the history says that it succeeded", e.id)
			return true
		}
	}
	return false
}

// healthy goes on from the end of the operation to the application's health.
func (w *watcher) healthy(app *application) verdict {
	e := w.endOf(app)
	r := w.result
	e.failed, e.phase, e.message, e.version, e.started, e.finished, e.note = r.failed, r.phase, r.message, r.version, r.started, r.finished, r.note
	if e.failed || !w.ref.Health {
		return verdict{end: e}
	}
	if looked := app.time("status", "reconciledAt"); looked.IsZero() || looked.Before(parseTime(e.finished)) {
		return verdict{waiting: "it is synced, and Argo CD has not looked at its health since"}
	}
	return w.byHealth(e)
}

func (w *watcher) byHealth(e *end) verdict {
	switch e.health {
	case "Healthy":
		return verdict{end: e, lasts: w.pace.healthy, waiting: "it has become Healthy"}
	case "Degraded":
		e.failed = true
		return verdict{end: e, lasts: w.pace.ailing, waiting: "it is Degraded"}
	}
	return verdict{waiting: strings.TrimSuffix("its health is "+e.health+": "+e.healthMessage, ": ")}
}

// refreshed judges a refresh: with auto-sync on, what it leads to belongs to it.
func (w *watcher) refreshed(app *application) verdict {
	if app.GetAnnotations()[annotationRefresh] != "" {
		return verdict{waiting: "the refresh has not been done", accepted: true}
	}
	if app.text("status", "reconciledAt") == w.Before && app.time("status", "reconciledAt").Before(w.At.Truncate(time.Second)) {
		return verdict{waiting: "it has not been compared since"}
	}
	return w.settled(app)
}

// changed judges a change of the spec.
func (w *watcher) changed(app *application) verdict {
	for _, key := range []string{"source", "sources"} {
		want, _ := app.part("spec")[key]
		got, _ := app.part("status", "sync", "comparedTo")[key]
		if want != nil && (key == "sources" || !app.multiSource()) && !reflect.DeepEqual(want, got) {
			return verdict{waiting: "Argo CD has not compared the changed source", accepted: true}
		}
	}
	return w.settled(app)
}

// fresh is how long something has to be seen to be no old news: Argo CD's server
// answers from a cache, which may not have what it has just done itself.
func (w *watcher) fresh() time.Duration {
	if w.ref.Server == nil {
		return 0
	}
	return w.pace.healthy
}

// settled judges an application that was compared: without auto-sync that is all.
func (w *watcher) settled(app *application) verdict {
	e := w.endOf(app)
	on, _ := app.autoSync()
	if !on {
		return verdict{end: e, lasts: w.fresh(), waiting: "it has been compared"}
	}
	if app.requested() {
		return verdict{waiting: "auto-sync is " + firstText(app.phase(), "about to begin")}
	}
	switch e.sync {
	case "Synced":
		if !w.ref.Health {
			return verdict{end: e}
		}
		if p := app.phase(); ended(p) && app.time("status", "operationState", "startedAt").After(w.At.Add(-slack)) {
			e.phase, e.started, e.finished = p, app.text("status", "operationState", "startedAt"), app.text("status", "operationState", "finishedAt")
			if looked := app.time("status", "reconciledAt"); looked.Before(parseTime(e.finished)) {
				return verdict{waiting: "it is synced, and Argo CD has not looked at its health since"}
			}
		}
		return w.byHealth(e)
	case "OutOfSync":
		e = w.operationEnd(app)
		e.failed = true
		e.message = strings.TrimSuffix("auto-sync has not brought it in sync: "+e.message, ": ")
		return verdict{end: e, lasts: w.pace.ailing, waiting: "it is OutOfSync"}
	}
	e.failed, e.message = true, "the comparison failed"
	for _, v := range list(app.Object, "status", "conditions") {
		if c, _ := v.(map[string]any); strings.HasSuffix(text(c, "type"), "Error") {
			e.message = text(c, "type") + ": " + text(c, "message")
		}
	}
	return verdict{end: e, lasts: w.pace.ailing, waiting: "its sync status is " + firstText(e.sync, "unknown")}
}

func firstText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// terminated judges the end of an operation that was to end.
func (w *watcher) terminated(app *application) verdict {
	if app.text("status", "operationState", "startedAt") != w.Before {
		return verdict{end: w.endOf(app)}
	}
	if app.requested() || !ended(app.phase()) {
		return verdict{waiting: "the operation is " + app.phase()}
	}
	e := w.operationEnd(app)
	e.failed = false
	return verdict{end: e}
}

// String is one line for people.
func (e *end) String() string {
	s := e.name + ":"
	for _, part := range []string{e.phase, e.sync, e.health} {
		if part != "" {
			s += " " + part + ","
		}
	}
	s = strings.TrimRight(s, ":,")
	if v := e.version.String(); v != "" {
		s += " at " + v
	}
	switch {
	case e.failed && e.message != "":
		s += ": " + e.message
	case e.failed && e.healthMessage != "":
		s += ": " + e.healthMessage
	}
	if e.note != "" {
		s += " (" + e.note + ")"
	}
	return strings.Join(strings.Fields(s), " ")
}

func (e *end) details() map[string]any {
	out := map[string]any{"name": e.name, "failed": e.failed}
	for key, v := range map[string]string{
		"namespace": e.namespace, "phase": e.phase, "message": e.message, "revision": strings.Join(e.version.revisions, ","),
		"health": e.health, "healthMessage": e.healthMessage, "sync": e.sync,
		"startedAt": e.started, "finishedAt": e.finished, "note": e.note,
	} {
		if v != "" {
			out[key] = v
		}
	}
	if len(e.version.revisions) > 1 {
		out["revisions"] = e.version.revisions
	}
	if len(e.images) > 0 {
		out["images"] = e.images
	}
	return out
}
