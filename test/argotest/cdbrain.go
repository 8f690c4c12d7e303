package argotest

import (
	"crypto/sha1" //nolint:gosec // commit ids look so
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// CD plays Argo CD's application controller: it runs operations, writes the
// history, compares, tells the health, and syncs by itself where that is on.
// Nothing is deployed. Its methods change what it does from then on.
type CD struct {
	mu    sync.Mutex
	knobs cdKnobs
	apps  map[string]*cdMemo
	// wake tells that something is to be done without a change of an object.
	wake chan struct{}
}

type cdKnobs struct {
	takes   time.Duration
	held    bool
	ignores bool
	fails   string
	health  string
	heads   map[string]string
	// overwrites is how many terminations are lost: Running is written over them.
	overwrites int
}

// cdMemo is what the controller remembers of an application.
type cdMemo struct {
	due       time.Time
	recorded  bool
	compare   bool
	attempted string
	// auto is whether it was synced automatically when last seen.
	auto bool
}

// CDOption sets what the player does from the beginning.
type CDOption func(*CD)

// CDTakes is how long an operation runs.
func CDTakes(d time.Duration) CDOption { return func(c *CD) { c.knobs.takes = d } }

// CDHeld has operations run until Release.
func CDHeld() CDOption { return func(c *CD) { c.knobs.held = true } }

// CDIgnores has the controller not be there until Attend.
func CDIgnores() CDOption { return func(c *CD) { c.knobs.ignores = true } }

func newCD(opts []CDOption) *CD {
	c := &CD{apps: map[string]*cdMemo{}, wake: make(chan struct{}, 1), knobs: cdKnobs{health: "Healthy", heads: map[string]string{}}}
	for _, o := range opts {
		o(c)
	}
	return c
}

func (c *CD) set(f func(*cdKnobs)) {
	c.mu.Lock()
	f(&c.knobs)
	for _, m := range c.apps {
		m.compare = true
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Hold has operations run until Release.
func (c *CD) Hold() { c.set(func(k *cdKnobs) { k.held = true }) }

// Release lets operations end.
func (c *CD) Release() { c.set(func(k *cdKnobs) { k.held = false }) }

// Ignore has the controller be away until Attend.
func (c *CD) Ignore() { c.set(func(k *cdKnobs) { k.ignores = true }) }

// Attend has the controller be there again.
func (c *CD) Attend() { c.set(func(k *cdKnobs) { k.ignores = false }) }

// Fail has operations fail with a message; with none they succeed.
func (c *CD) Fail(message string) { c.set(func(k *cdKnobs) { k.fails = message }) }

// Health of what is deployed: Healthy, Progressing, Degraded, ...
func (c *CD) Health(status string) { c.set(func(k *cdKnobs) { k.health = status }) }

// Head is what a branch, tag or HEAD resolves to from now on.
func (c *CD) Head(name, commit string) { c.set(func(k *cdKnobs) { k.heads[name] = commit }) }

// LoseTerminations has the controller write Running over the next n requests to end an operation.
func (c *CD) LoseTerminations(n int) { c.set(func(k *cdKnobs) { k.overwrites = n }) }

func (c *CD) resolve(revision string) string {
	if revision == "" {
		revision = "HEAD"
	}
	if sha := c.knobs.heads[revision]; sha != "" {
		return sha
	}
	if len(revision) == 40 && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision
	}
	sum := sha1.Sum([]byte(revision)) //nolint:gosec // commit ids look so
	return hex.EncodeToString(sum[:])
}

type object = map[string]any

func at(o object, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	return v
}

func part(o object, path ...string) object {
	m, _ := at(o, path...).(object)
	return m
}

func word(o object, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

func stamp() string { return time.Now().UTC().Format(time.RFC3339) }

// next is the merge patch that the controller would send next, nil if there is
// none for now; again is when to ask anew in that case, if nothing changes before.
func (c *CD) next(app object) (patch object, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.knobs.ignores {
		return nil, 0
	}
	key := word(app, "metadata", "namespace") + "/" + word(app, "metadata", "name")
	m := c.apps[key]
	if m == nil {
		m = &cdMemo{compare: part(app, "status", "sync") == nil, auto: autoSynced(app)}
		c.apps[key] = m
	}
	if auto := autoSynced(app); auto != m.auto { // that is a change of the spec
		m.auto, m.compare = auto, true
	}
	switch {
	case part(app, "operation") != nil:
		return c.operate(app, m)
	case word(app, "metadata", "annotations", "argocd.argoproj.io/refresh") != "":
		patch = c.compare(app, m)
		if part(patch, "operation") == nil {
			patch["metadata"] = object{"annotations": object{"argocd.argoproj.io/refresh": nil, "argocd.argoproj.io/refresh-timestamp": nil}}
		}
		return patch, 0
	case m.compare || outdated(app):
		return c.compare(app, m), 0
	}
	return nil, 0
}

// operate goes on with the operation that is there.
func (c *CD) operate(app object, m *cdMemo) (object, time.Duration) {
	state := part(app, "status", "operationState")
	switch phase := word(state, "phase"); phase {
	case "Running":
		if c.knobs.held {
			return nil, 0
		}
		if wait := time.Until(m.due); wait > 0 {
			return nil, wait
		}
		return c.finish(app, state, m), 0
	case "Terminating":
		if c.knobs.overwrites > 0 {
			c.knobs.overwrites--
			return object{"status": object{"operationState": object{"phase": "Running"}}}, 0
		}
		return c.final(app, state, m, "Failed", "Operation terminated"), 0
	}
	m.due, m.recorded = time.Now().Add(c.knobs.takes), false
	begun := object{"operation": part(app, "operation"), "phase": "Running", "startedAt": stamp(), "message": "waiting for completion"}
	return object{"status": object{"operationState": replacing(state, begun)}}, 0
}

// finish ends an operation: the history first, then its last phase.
func (c *CD) finish(app, state object, m *cdMemo) object {
	sync := part(state, "operation", "sync")
	switch {
	case sync == nil:
		return c.final(app, state, m, "Error", "Invalid operation request: no operation specified")
	case c.knobs.fails != "":
		return c.final(app, state, m, "Failed", c.knobs.fails)
	case m.recorded || sync["dryRun"] == true || at(sync, "resources") != nil:
		return c.final(app, state, m, "Succeeded", "successfully synced")
	}
	m.recorded = true
	history, _ := at(app, "status", "history").([]any)
	id := int64(0)
	if len(history) > 0 {
		last, _ := history[len(history)-1].(object)
		switch n := last["id"].(type) {
		case int64:
			id = n + 1
		case float64:
			id = int64(n) + 1
		}
	}
	entry := c.result(app, sync)
	entry["id"], entry["deployStartedAt"], entry["deployedAt"] = id, word(state, "startedAt"), stamp()
	if by := part(state, "operation", "initiatedBy"); by != nil {
		entry["initiatedBy"] = by
	}
	history = append(append([]any{}, history...), entry)
	return object{"status": object{"history": history[max(0, len(history)-10):]}}
}

func (c *CD) final(app, state object, m *cdMemo, phase, message string) object {
	m.compare = true
	sync := part(state, "operation", "sync")
	result := c.result(app, sync)
	if result["revision"] == nil {
		result["revision"] = ""
	}
	if result["source"] == nil {
		result["source"] = object{"repoURL": ""}
	}
	return object{"operation": nil, "status": object{"operationState": object{
		"phase": phase, "message": message, "finishedAt": stamp(), "syncResult": result,
	}}}
}

// result is revision(s) and source(s) of a sync.
func (c *CD) result(app, sync object) object {
	if sources, _ := firstList(at(sync, "sources"), at(app, "spec", "sources")); len(sources) > 0 {
		given, _ := at(sync, "revisions").([]any)
		var revisions []any
		for i, v := range sources {
			s, _ := v.(object)
			revision := word(s, "targetRevision")
			if len(given) == len(sources) {
				if r, _ := given[i].(string); r != "" {
					revision = r
				}
			}
			revisions = append(revisions, c.resolve(revision))
		}
		return object{"revisions": revisions, "sources": sources}
	}
	source := part(sync, "source")
	if source == nil {
		source = sourceOf(app)
	}
	revision := word(sync, "revision")
	if revision == "" {
		revision = word(source, "targetRevision")
	}
	result := object{"revision": c.resolve(revision)}
	if source != nil {
		result["source"] = source
	}
	return result
}

// sourceOf is the one source of an application; with a hydrator, what that writes.
func sourceOf(app object) object {
	h := part(app, "spec", "sourceHydrator")
	if h == nil {
		return part(app, "spec", "source")
	}
	repo := word(h, "syncSource", "repoURL")
	if repo == "" {
		repo = word(h, "drySource", "repoURL")
	}
	return object{"repoURL": repo, "targetRevision": word(h, "syncSource", "targetBranch"), "path": word(h, "syncSource", "path")}
}

func firstList(all ...any) ([]any, bool) {
	for _, v := range all {
		if l, _ := v.([]any); len(l) > 0 {
			return l, true
		}
	}
	return nil, false
}

// outdated tells whether the last comparison was with other sources.
func outdated(app object) bool {
	to := part(app, "status", "sync", "comparedTo")
	if l, ok := firstList(at(app, "spec", "sources")); ok {
		return to["source"] != nil || !reflect.DeepEqual(to["sources"], any(l))
	}
	return to["sources"] != nil || !reflect.DeepEqual(part(to, "source"), sourceOf(app))
}

// compare is the patch after a comparison, or the operation of auto-sync.
func (c *CD) compare(app object, m *cdMemo) object {
	m.compare = false
	want := c.result(app, nil)
	raw, _ := json.Marshal(want)
	var deployed object
	if history, _ := at(app, "status", "history").([]any); len(history) > 0 {
		deployed, _ = history[len(history)-1].(object)
	}
	synced := deployed != nil
	for key, v := range want {
		synced = synced && reflect.DeepEqual(deployed[key], v)
	}
	auto := part(app, "spec", "syncPolicy", "automated")
	if !synced && auto != nil && auto["enabled"] != false && m.attempted != string(raw) {
		m.attempted = string(raw)
		m.compare = true
		op := object{"initiatedBy": object{"automated": true}, "sync": object{"prune": auto["prune"] == true}}
		for _, key := range []string{"revision", "revisions"} {
			if want[key] != nil {
				op["sync"].(object)[key] = want[key]
			}
		}
		return object{"operation": op, "status": object{"operationState": nil}}
	}
	status, health := "OutOfSync", c.knobs.health
	if synced {
		status = "Synced"
	}
	if deployed == nil {
		health = "Missing"
	}
	to := object{"destination": part(app, "spec", "destination")}
	sync := object{"status": status, "comparedTo": to}
	for from, key := range map[string]string{"source": "source", "sources": "sources"} {
		if want[from] != nil {
			to[key] = want[from]
		}
	}
	for _, key := range []string{"revision", "revisions"} {
		if want[key] != nil {
			sync[key] = want[key]
		}
	}
	return object{"status": object{
		"sync":   replacing(part(app, "status", "sync"), sync),
		"health": object{"status": health, "lastTransitionTime": stamp()}, "reconciledAt": stamp(),
	}}
}

// replacing is a merge patch that makes next of old.
func replacing(old, next object) object {
	patch := runtime.DeepCopyJSON(next)
	for key, v := range next {
		if m, ok := v.(object); ok {
			patch[key] = replacing(part(old, key), m)
		}
	}
	for key := range old {
		if _, ok := next[key]; !ok {
			patch[key] = nil
		}
	}
	return patch
}
