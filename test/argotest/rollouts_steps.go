package argotest

import (
	"fmt"
	"strconv"
	"time"
)

// canary does what the current step says.
func (r *play) canary(steps []any) {
	i, _ := r.status["currentStepIndex"].(int64)
	if i >= int64(len(steps)) {
		r.complete(steps)
		return
	}
	step := steps[i]
	next := func() {
		r.unpause()
		r.status["currentStepIndex"] = i + 1
		r.phase("Progressing", "more replicas need to be updated")
	}
	if weight, ok := get(step, "setWeight").(int64); ok {
		r.weights(weight)
	}
	c, _ := r.status["canary"].(map[string]any)
	if get(step, "analysis") == nil && c != nil {
		delete(c, "currentStepAnalysisRunStatus")
	}
	switch {
	case get(step, "analysis") != nil:
		r.analysis(int(i), next)
	case get(step, "pause") != nil:
		r.pauseStep(get(step, "pause", "duration"), next)
	default:
		next()
	}
}

func (r *play) pauseStep(duration any, next func()) {
	pauses := r.pauses()
	switch {
	case len(pauses) == 0 && r.status["controllerPause"] == true: // somebody has ended the pause
		next()
	case len(pauses) == 0:
		r.pauseFor("CanaryPauseStep")
	case over(text(get(pauses[0], "startTime")), duration):
		next()
	default:
		r.phase("Paused", "CanaryPauseStep")
	}
}

// over tells whether a pause with a duration has lasted long enough.
func over(since string, duration any) bool {
	var d time.Duration
	switch v := duration.(type) {
	case int64:
		d = time.Duration(v) * time.Second
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			d = time.Duration(n) * time.Second
		} else if d, err = time.ParseDuration(v); err != nil {
			return false
		}
	default:
		return false
	}
	at, err := time.Parse(time.RFC3339, since)
	return err == nil && !time.Now().Before(at.Add(d))
}

func (r *play) analysis(i int, next func()) {
	if r.status["controllerPause"] == true { // after an inconclusive one
		if len(r.pauses()) > 0 {
			r.phase("Paused", "InconclusiveAnalysisRun")
		} else {
			next()
		}
		return
	}
	result := r.p.analysis(r.o.GetName(), i)
	c, _ := r.status["canary"].(map[string]any)
	if c == nil {
		c = map[string]any{}
	}
	c["currentStepAnalysisRunStatus"] = map[string]any{"name": fmt.Sprintf("%s-%s-%d", r.o.GetName(), r.hash, i), "status": result}
	r.status["canary"] = c
	switch result {
	case "Successful":
		next()
	case "Failed", "Error":
		r.status["abort"] = true
		r.abort("Step-based analysis phase error/failed")
	case "Inconclusive":
		r.pauseFor("InconclusiveAnalysisRun")
	default:
		r.phase("Progressing", "more replicas need to be updated")
	}
}

// get is the value at a path of objects; nil if there is none.
func get(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
