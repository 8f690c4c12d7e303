package argorollout_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
	"github.com/signalbox-events/signalbox/sensor/trigger/argorollout"
	"github.com/signalbox-events/signalbox/test/argotest"
)

// await is in another process: of the firing it has the Result's Follow only.
func (l *lab) await(config string, ref json.RawMessage) func() (trigger.Outcome, error) {
	type result struct {
		o   trigger.Outcome
		err error
	}
	done := make(chan result, 1)
	tr := l.build(config)
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	go func() {
		o, err := argorollout.Kind.Follow.Await(ctx, tr, trigger.Following{Ref: ref})
		done <- result{o, err}
	}()
	return func() (trigger.Outcome, error) {
		defer cancel()
		r := <-done
		return r.o, r.err
	}
}

func TestFollow(t *testing.T) {
	const (
		set    = "operation: setImage, setImage: {container: app, image: 'app:2'}"
		update = "{spec: {template: {spec: {containers: [{name: app, image: 'app:2'}]}}}}"
	)
	updated := func(l *lab, p *argotest.Rollouts) { l.merge(rollouts, "web", update); pausedAt(p, "web", 1) }
	aborted := func(l *lab, p *argotest.Rollouts) {
		updated(l, p)
		l.merge(rollouts, "web", "{status: {abort: true}}", "status")
		p.Await("web", "aborted", is(map[string]string{"status.phase": `"Degraded"`}))
	}
	for name, tc := range map[string]struct {
		steps, config string
		before, while func(l *lab, p *argotest.Rollouts)
		analysis      string
		failed        bool
		want          string // in the summary
	}{
		"healthy":              {"[{setWeight: 20}]", set, nil, nil, "", false, "is healthy at version "},
		"a pause is an end":    {steps, set, nil, nil, "", false, "is paused at step 2 of 5: CanaryPauseStep"},
		"a pause is a failure": {steps, set + ", followPaused: fail", nil, nil, "", true, "is paused at step 2 of 5: CanaryPauseStep"},
		"a pause is waited for": {"[{pause: {}}]", set + ", followPaused: wait", nil, func(l *lab, p *argotest.Rollouts) {
			pausedAt(p, "web", 0)
			l.merge(rollouts, "web", "{status: {pauseConditions: null}}", "status")
		}, "", false, "is healthy at version "},
		"a pause with a duration": {"[{pause: {duration: 1s}}]", set, nil, nil, "", false, "is healthy at version "},
		"it does not come up":     {"[]", "operation: setImage, setImage: {container: app, image: 'bad:2'}", nil, nil, "", true, "is degraded: ProgressDeadlineExceeded"},
		"the analysis fails":      {"[{analysis: {templates: [{templateName: a}]}}]", set, nil, nil, "Failed", true, "is degraded: RolloutAborted"},
		"another image": {"[{pause: {}}]", set + ", followPaused: wait", nil, func(l *lab, p *argotest.Rollouts) {
			pausedAt(p, "web", 0)
			l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:3'}]}}}}")
		}, "", true, "has another image by now: app app:3"},
		"deleted": {"[{pause: {}}]", set + ", followPaused: wait", nil, func(l *lab, p *argotest.Rollouts) {
			pausedAt(p, "web", 0)
			l.remove("web")
		}, "", true, "has been deleted"},
		"promoted to the next pause": {steps, "operation: promote", updated, nil, "", false, "is paused at step 4 of 5"},
		"promoted, another version": {steps, "operation: promote, followPaused: wait", updated, func(l *lab, p *argotest.Rollouts) {
			pausedAt(p, "web", 3)
			l.merge(rollouts, "web", "{spec: {template: {spec: {containers: [{name: app, image: 'app:3'}]}}}}")
		}, "", true, "has another version by now: "},
		"promoted fully":           {steps, "operation: promoteFull", updated, nil, "", false, "is healthy at version "},
		"promoted fully, aborted":  {steps, "operation: promoteFull", aborted, nil, "", false, "is healthy at version "},
		"aborted":                  {steps, "operation: abort", updated, nil, "", false, "is aborted, back at version "},
		"retried":                  {steps, "operation: retry", aborted, nil, "", false, "is paused at step 2 of 5"},
		"paused":                   {steps, "operation: pause", nil, nil, "", false, "is paused"},
		"resumed":                  {steps, "operation: resume", updated, nil, "", false, "is paused at step 4 of 5"},
		"restarted":                {steps, "operation: restart", nil, nil, "", false, "is healthy at version "},
		"restarted in a pause":     {steps, "operation: restart", updated, nil, "", false, "is restarted, and paused at step 2 of 5"},
		"it has the image already": {steps, "operation: setImage, setImage: {container: app, image: 'app:2'}", updated, nil, "", false, "is paused at step 2 of 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			p := l.play(argotest.WithBroken(func(image string) bool { return strings.HasPrefix(image, "bad") }), argotest.WithAnalysis(func(string, int) string { return tc.analysis }))
			l.canary("web", tc.steps)
			healthy(p, "web")
			if tc.before != nil {
				tc.before(l, p)
			}
			config := "{name: web, follow: {emit: true}, " + tc.config + "}"
			p.Hold() // nothing has happened yet when it is first looked at
			r, err := l.build(config).Fire(t.Context(), l.input(1))
			if err != nil || r.Follow == nil {
				t.Fatalf("got %v, %v", r, err)
			}
			end := l.await(config, r.Follow)
			p.Go()
			if tc.while != nil {
				tc.while(l, p)
			}
			o, err := end()
			if err != nil || o.Failed != tc.failed || !strings.HasPrefix(o.Summary, "rollout "+l.ns+"/web "+tc.want) {
				t.Errorf("got %+v, %v", o, err)
			}
			if tc.want != "has been deleted" && (o.Details["podHash"] == "" || o.Details["phase"] == nil) {
				t.Errorf("details are %v", o.Details)
			}
		})
	}
}

// TestFollowWorkload looks at a Deployment that the controller has not seen yet: the Rollout reads Healthy.
func TestFollowWorkload(t *testing.T) {
	l := newLab(t)
	p := l.play()
	l.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: base}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: "+template("app:1")+"}}")
	l.create(rollouts, "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {workloadRef: {apiVersion: apps/v1, kind: Deployment, name: base}, strategy: {canary: {steps: "+steps+"}}}}")
	healthy(p, "web")
	p.Hold()
	const config = "{name: web, operation: setImage, setImage: {container: app, image: 'app:2'}, follow: {}}"
	end := l.await(config, l.fire(config, 1, "set the image app:2 of rollout NS/web").Follow)
	p.Go()
	if o, err := end(); err != nil || o.Failed || !strings.Contains(o.Summary, "is paused at step 2 of 5") {
		t.Errorf("got %+v, %v", o, err)
	}
	if d, _ := l.await(config, l.fire(config, 2, "nothing to do for rollout NS/web: it has the image app:2 already").Follow)(); d.Details["step"] != int64(1) || d.Details["steps"] != 5 {
		t.Errorf("got %v", d.Details)
	}
}

func TestFollowWithoutBlock(t *testing.T) {
	l := newLab(t)
	l.canary("web", steps)
	if r := l.fire("{name: web, operation: pause}", 1, "paused rollout NS/web"); r.Follow != nil {
		t.Errorf("got %s", r.Follow)
	}
	_, err := argorollout.Kind.Follow.Await(t.Context(), l.build("{name: web, operation: pause}"), trigger.Following{Ref: json.RawMessage("[]")})
	if !trigger.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
