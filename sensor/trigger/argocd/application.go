package argocd

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Phases of an operation.
const (
	phaseRunning     = "Running"
	phaseTerminating = "Terminating"
	phaseSucceeded   = "Succeeded"
	phaseFailed      = "Failed"
	phaseError       = "Error"
)

const (
	annotationPaths   = "argocd.argoproj.io/manifest-generate-paths"
	annotationRefresh = "argocd.argoproj.io/refresh"
	annotationStamp   = "argocd.argoproj.io/refresh-timestamp"
	annotationSkip    = "argocd.argoproj.io/skip-reconcile"
)

// application is an Application as some API gave it. What has another type than
// it should counts as absent.
type application struct {
	*unstructured.Unstructured
}

func (a *application) key() string { return a.GetNamespace() + "/" + a.GetName() }

func (a *application) text(path ...string) string {
	s, _, _ := unstructured.NestedString(a.Object, path...)
	return s
}

func (a *application) part(path ...string) map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(a.Object, path...)
	m, _ := v.(map[string]any)
	return m
}

func (a *application) time(path ...string) time.Time { return parseTime(a.text(path...)) }

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func list(m map[string]any, path ...string) []any {
	v, _, _ := unstructured.NestedFieldNoCopy(m, path...)
	l, _ := v.([]any)
	return l
}

func texts(m map[string]any, path ...string) []string {
	var all []string
	for _, v := range list(m, path...) {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all
}

func text(m map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(m, path...)
	return s
}

// whole reads a number of JSON, however it was decoded.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == float64(int64(n))
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	}
	return 0, false
}

// sources are those of the spec.
func (a *application) sources() []map[string]any {
	var all []map[string]any
	for _, v := range list(a.Object, "spec", "sources") {
		m, _ := v.(map[string]any)
		all = append(all, m)
	}
	if len(all) > 0 {
		return all
	}
	if s := a.part("spec", "source"); s != nil {
		return []map[string]any{s}
	}
	return nil
}

func (a *application) multiSource() bool { return len(list(a.Object, "spec", "sources")) > 0 }

// autoSync tells whether it is on, and whether it undoes what differs.
func (a *application) autoSync() (on, selfHeal bool) {
	auto := a.part("spec", "syncPolicy", "automated")
	if auto == nil || auto["enabled"] == false {
		return false, false
	}
	return true, auto["selfHeal"] == true
}

// requested tells whether there is an operation that Argo CD has not finished.
func (a *application) requested() bool { return a.part("operation") != nil }

// operation is the one that was requested or, if there is none, the one that ran last.
func (a *application) operation() map[string]any {
	if op := a.part("operation"); op != nil {
		return op
	}
	return a.part("status", "operationState", "operation")
}

func (a *application) phase() string { return a.text("status", "operationState", "phase") }

// ended tells whether a phase is an operation's last one.
func ended(phase string) bool {
	return phase == phaseSucceeded || phase == phaseFailed || phase == phaseError
}

// deleting tells whether the application is being deleted.
func (a *application) deleting() bool { return a.GetDeletionTimestamp() != nil }

// owner is the ApplicationSet that made it.
func (a *application) owner() string {
	for _, o := range a.GetOwnerReferences() {
		if o.Kind == "ApplicationSet" {
			return o.Name
		}
	}
	return ""
}

// version is what was deployed: revisions and the sources that they are of.
type version struct {
	revisions []string
	sources   any
}

func versionOf(m map[string]any) version {
	v := version{revisions: texts(m, "revisions"), sources: m["sources"]}
	if len(v.revisions) == 0 {
		v = version{revisions: []string{text(m, "revision")}, sources: m["source"]}
	}
	return v
}

func (v version) equal(w version) bool { return reflect.DeepEqual(v, w) }

// String is the revisions, commits cut short.
func (v version) String() string {
	var all []string
	for _, r := range v.revisions {
		all = append(all, short(r))
	}
	return strings.Join(all, ",")
}

func short(revision string) string {
	if len(revision) == 40 && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision[:7]
	}
	return revision
}

// synced is what the last operation's result says was synced.
func (a *application) synced() version {
	return versionOf(a.part("status", "operationState", "syncResult"))
}

// entry is one of the history.
type entry struct {
	id int64
	version
	started time.Time
	object  map[string]any
}

// history is oldest first.
func (a *application) history() []entry {
	var all []entry
	for _, v := range list(a.Object, "status", "history") {
		m, _ := v.(map[string]any)
		id, ok := whole(m["id"])
		if !ok {
			continue
		}
		all = append(all, entry{id: id, version: versionOf(m), started: parseTime(text(m, "deployStartedAt")), object: m})
	}
	return all
}

// lastEntry is the id of the newest entry of the history; below 0 if there is none.
func (a *application) lastEntry() int64 {
	last := int64(-1)
	for _, e := range a.history() {
		last = max(last, e.id)
	}
	return last
}

// mark is what Signalbox writes into the info of an operation.
type mark struct {
	// id is the firing's.
	id string
	// event is the time of the newest event.
	event time.Time
	// at is when the operation was requested.
	at time.Time
	// trigger is NAMESPACE/SENSOR/TRIGGER.
	trigger string
	// content stands for all that the operation does.
	content string
}

// The items of the info.
const (
	infoFiring  = infoPrefix
	infoTime    = infoPrefix + "-time"
	infoAt      = infoPrefix + "-at"
	infoTrigger = infoPrefix + "-trigger"
	infoContent = infoPrefix + "-content"
)

func (m mark) items() []any {
	item := func(name, value string) any { return map[string]any{"name": name, "value": value} }
	items := []any{
		item(infoFiring, m.id),
		item(infoTime, m.event.UTC().Format(time.RFC3339Nano)),
		item(infoTrigger, m.trigger),
		item(infoContent, m.content),
	}
	if !m.at.IsZero() {
		items = append(items, item(infoAt, m.at.UTC().Format(time.RFC3339Nano)))
	}
	return items
}

// markOf reads the mark of an operation; its id is empty if that is not ours.
func markOf(operation map[string]any) mark {
	var m mark
	for _, v := range list(operation, "info") {
		item, _ := v.(map[string]any)
		value := text(item, "value")
		switch text(item, "name") {
		case infoFiring:
			m.id = value
		case infoTime:
			m.event = parseTime(value)
		case infoAt:
			m.at = parseTime(value)
		case infoTrigger:
			m.trigger = value
		case infoContent:
			m.content = value
		}
	}
	return m
}
