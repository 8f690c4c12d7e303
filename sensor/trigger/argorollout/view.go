package argorollout

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// view is what is of interest in a Rollout.
type view struct {
	object *unstructured.Unstructured

	generation int64
	observed   string // status.observedGeneration
	paused     bool   // spec.paused
	canary     bool
	steps      []any
	// autoPromotion tells that a blue-green Rollout goes on by itself after a while.
	autoPromotion bool
	restartAt     any // nil if absent
	workload      *reference

	podHash, stable         string
	index                   *int64 // nil if absent
	pauses                  []any  // status.pauseConditions
	controllerPause         bool
	abort, promoteFull      bool
	abortedAt               any // nil if absent
	restartedAt             string
	phase, message          string
	workloadObserved        string
	stepAnalysis, selector  string
	weightCanary, weightOld *int64
	analyses                []any
}

// reference is spec.workloadRef.
type reference struct{ apiVersion, kind, name string }

// look reads a Rollout, whose fields may have any type.
func look(o *unstructured.Unstructured) (*view, error) {
	r := reader{object: o.Object}
	v := &view{
		object: o, generation: o.GetGeneration(),
		observed: r.text("status", "observedGeneration"), paused: r.flag("spec", "paused"),
		restartAt: r.any("spec", "restartAt"), steps: r.list("spec", "strategy", "canary", "steps"),
		podHash: r.text("status", "currentPodHash"), stable: r.text("status", "stableRS"),
		index: r.number("status", "currentStepIndex"), pauses: r.list("status", "pauseConditions"),
		controllerPause: r.flag("status", "controllerPause"), abort: r.flag("status", "abort"),
		promoteFull: r.flag("status", "promoteFull"), abortedAt: r.any("status", "abortedAt"),
		restartedAt: r.text("status", "restartedAt"), phase: r.text("status", "phase"), message: r.text("status", "message"),
		workloadObserved: r.text("status", "workloadObservedGeneration"), selector: r.text("status", "selector"),
		stepAnalysis: r.text("status", "canary", "currentStepAnalysisRunStatus", "status"),
		weightCanary: r.number("status", "canary", "weights", "canary", "weight"),
		weightOld:    r.number("status", "canary", "weights", "stable", "weight"),
	}
	_, v.canary = r.any("spec", "strategy", "canary").(map[string]any)
	if n := r.number("spec", "strategy", "blueGreen", "autoPromotionSeconds"); n != nil {
		v.autoPromotion = *n > 0
	}
	if ref, ok := r.any("spec", "workloadRef").(map[string]any); ok && len(ref) > 0 {
		v.workload = &reference{r.text("spec", "workloadRef", "apiVersion"), r.text("spec", "workloadRef", "kind"), r.text("spec", "workloadRef", "name")}
	}
	for _, run := range []struct{ path, kind string }{
		{"canary.currentStepAnalysisRunStatus", "Step"},
		{"canary.currentBackgroundAnalysisRunStatus", "Background"},
		{"blueGreen.prePromotionAnalysisRunStatus", "PrePromotion"},
		{"blueGreen.postPromotionAnalysisRunStatus", "PostPromotion"},
	} {
		at := append([]string{"status"}, strings.Split(run.path, ".")...)
		if name := r.text(append(at, "name")...); name != "" {
			v.analyses = append(v.analyses, map[string]any{
				"type": run.kind, "name": name, "status": r.text(append(at, "status")...), "message": r.text(append(at, "message")...),
			})
		}
	}
	return v, r.err
}

// reader notes the first field that has a wrong type.
type reader struct {
	object map[string]any
	err    error
}

func (r *reader) any(path ...string) any {
	v, _, err := unstructured.NestedFieldNoCopy(r.object, path...)
	if err != nil {
		r.wrong(path)
	}
	return v
}

func (r *reader) wrong(path []string) {
	if r.err == nil {
		r.err = fmt.Errorf("the Rollout is not as expected: %s has a wrong type", strings.Join(path, "."))
	}
}

func as[T any](r *reader, path []string) (out T) {
	v := r.any(path...)
	if v == nil {
		return out
	}
	out, ok := v.(T)
	if !ok {
		r.wrong(path)
	}
	return out
}

func (r *reader) text(path ...string) string { return as[string](r, path) }
func (r *reader) flag(path ...string) bool   { return as[bool](r, path) }
func (r *reader) list(path ...string) []any  { return as[[]any](r, path) }

func (r *reader) number(path ...string) *int64 {
	if r.any(path...) == nil {
		return nil
	}
	n := as[int64](r, path)
	return &n
}

// seen tells whether the controller has seen the latest spec.
func (v *view) seen() bool {
	return v.podHash != "" && v.observed == strconv.FormatInt(v.generation, 10)
}

// unpausing tells that somebody has ended a pause and the controller has not acted on it yet.
func (v *view) unpausing() bool { return v.controllerPause && len(v.pauses) == 0 }

// updating tells whether there is another version than the stable one.
func (v *view) updating() bool { return v.podHash != v.stable }

// at is the position of the current step.
func (v *view) at() int64 {
	if v.index == nil {
		return 0
	}
	return max(0, *v.index)
}

// indexValue is the position as a test of a patch wants it.
func (v *view) indexValue() any {
	if v.index == nil {
		return nil
	}
	return *v.index
}

// pausedSince is when the first pause began.
func (v *view) pausedSince() string {
	if len(v.pauses) == 0 {
		return ""
	}
	s, _ := field(v.pauses[0], "startTime").(string)
	return s
}

// endsByItself tells whether the pause has a duration.
func (v *view) endsByItself() bool {
	if v.paused || len(v.pauses) == 0 {
		return false
	}
	switch field(v.pauses[0], "reason") {
	case "CanaryPauseStep":
		i := v.at()
		return i < int64(len(v.steps)) && field(field(v.steps[i], "pause"), "duration") != nil
	case "BlueGreenPause":
		return v.autoPromotion
	}
	return false
}

// field is one of an object; nil if it is no object or has no such field.
func field(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// details are for the outcome's event.
func (v *view) details() map[string]any {
	d := map[string]any{"phase": v.phase, "message": v.message, "podHash": v.podHash, "stableRS": v.stable}
	if len(v.steps) > 0 {
		d["step"], d["steps"] = v.at(), len(v.steps)
	}
	if v.weightCanary != nil || v.weightOld != nil {
		weights := map[string]any{}
		if v.weightCanary != nil {
			weights["canary"] = *v.weightCanary
		}
		if v.weightOld != nil {
			weights["stable"] = *v.weightOld
		}
		d["weights"] = weights
	}
	if len(v.analyses) > 0 {
		d["analysis"] = v.analyses
	}
	return d
}
