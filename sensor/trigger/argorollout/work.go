package argorollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// rounds is how often it is decided anew because somebody else was faster.
	rounds = 8
	// settleTime is how long to wait for the controller while an action waits, and
	// busyWait and busyMost how long, and how often, to come back.
	settleTime = 10 * time.Second
	busyWait   = 5 * time.Second
	busyMost   = 10 * time.Minute
)

// work carries out an order.
type work struct {
	*order
	api   *api
	state trigger.State
}

// errMoved says that the Rollout is not what a step was decided for.
var errMoved = errors.New("it has been changed by others again and again")

// perform does what the order says, once for each firing. First the plan is
// decided and written down, then each of its steps is a patch that tests what it was
// decided on. After a crash the same plan is followed: a step that was made
// fails its tests, and so is not made twice.
func (w *work) perform(ctx context.Context) (trigger.Result, error) {
	p, err := w.recall(ctx)
	if err != nil {
		return trigger.Result{}, err
	}
	if p != nil {
		if err := w.repeat(ctx, p); err != nil {
			return trigger.Result{}, err
		}
		return w.result(ctx, p, "found an earlier attempt's work: ")
	}
	for round := 1; ; round++ {
		v, err := w.settled(ctx, w.ready)
		if err != nil {
			return trigger.Result{}, err
		}
		p, idle, err := w.decide(ctx, v)
		if err != nil {
			return trigger.Result{}, err
		}
		if idle != nil {
			return w.nothing(v, idle)
		}
		if err := w.remember(ctx, p); err != nil {
			return trigger.Result{}, err
		}
		made, err := w.follow(ctx, p)
		if err == nil {
			p.Done = true
			if err := w.remember(ctx, p); err != nil {
				return trigger.Result{}, err
			}
			return w.result(ctx, p, "")
		}
		if made == 0 && (refused(err) || errors.Is(err, errMoved)) {
			if err := w.forget(ctx); err != nil {
				return trigger.Result{}, err
			}
		}
		if !errors.Is(err, errMoved) || round == rounds {
			return trigger.Result{}, err
		}
		if err := sleep(ctx, time.Duration(round)*time.Duration(10+rand.IntN(20))*time.Millisecond); err != nil {
			return trigger.Result{}, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// follow makes the steps of a new plan and says how many. It returns errMoved only
// if none was made.
func (w *work) follow(ctx context.Context, p *plan) (made int, err error) {
	for i, s := range p.Steps {
		err := w.carryOut(ctx, s)
		if errors.Is(err, errMoved) && i > 0 {
			continue // somebody else has done the rest
		}
		if err != nil {
			return i, err
		}
	}
	return len(p.Steps), nil
}

// repeat makes the steps of an earlier attempt's plan that were not made.
func (w *work) repeat(ctx context.Context, p *plan) error {
	if p.Done {
		return nil
	}
	for _, s := range p.Steps {
		if err := w.carryOut(ctx, s); err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	p.Done = true
	return w.remember(ctx, p)
}

// carryOut makes one step, or returns errMoved: its tests fail.
func (w *work) carryOut(ctx context.Context, s step) error {
	if s.Settle {
		if _, err := w.settled(ctx, (*view).seen); err != nil {
			return err
		}
	}
	for round := 1; ; round++ {
		r, name, ops, err := w.patch(ctx, s)
		if err != nil || ops == nil {
			return err
		}
		if s.On == onStatus {
			err = w.api.patch(ctx, r, name, ops, "status")
		} else {
			err = w.api.patch(ctx, r, name, ops)
		}
		if !overtaken(err) || round == rounds {
			return err
		}
		// Perhaps the tests would hold, and something else was in the way.
		if err := sleep(ctx, time.Duration(round)*10*time.Millisecond); err != nil {
			return err
		}
	}
}

// patch makes the patch of a step for the object as it is now. No operations: the
// object has the mark of this firing, so that it was made before.
func (w *work) patch(ctx context.Context, s step) (schema.GroupVersionResource, string, []op, error) {
	r, name := rollouts, w.name
	o, err := w.api.get(ctx, r, name)
	if err != nil {
		return r, name, nil, err
	}
	v, err := look(o)
	if err != nil {
		return r, name, nil, err
	}
	if !holds(o.Object, s.Guard) {
		return r, name, nil, errMoved
	}
	if s.On == onWorkload {
		if r, err = v.workload.resource(); err != nil {
			return r, name, nil, err
		}
		name = v.workload.name
		if o, err = w.api.get(ctx, r, name); err != nil {
			return r, name, nil, fmt.Errorf("workloadRef %s: %w", name, err)
		}
	}
	if s.On != onStatus && o.GetAnnotations()[annotationFiring] == w.firing {
		return r, name, nil, nil
	}
	if !holds(o.Object, s.Tests) || s.Unpause && (len(v.pauses) == 0 || s.Since != "" && s.Since != v.pausedSince()) {
		return r, name, nil, errMoved
	}
	ops := append([]op{}, s.Tests...)
	if s.Unpause {
		ops = append(ops, test("/status/pauseConditions", v.pauses), op{Op: "remove", Path: "/status/pauseConditions"})
	}
	if s.On != onStatus {
		ops = append(ops, w.mark(o)...)
	}
	if s.Template != "" {
		replace, err := w.template(ctx, s.Template, r)
		if err != nil {
			return r, name, nil, err
		}
		ops = append(ops, replace)
	}
	return r, name, append(ops, s.Changes...), nil
}

// mark leaves the firing's id on an object.
func (w *work) mark(o *unstructured.Unstructured) []op {
	const path = "/metadata/annotations"
	var ops []op
	if o.GetAnnotations() == nil {
		ops = append(ops, test(path, nil), add(path, map[string]any{}))
	}
	return append(ops, add(path+"/"+strings.ReplaceAll(annotationFiring, "/", "~1"), w.firing))
}

// settled looks at the Rollout until ok says that it can be acted on, for a while.
func (w *work) settled(ctx context.Context, ok func(*view) bool) (*view, error) {
	bounded, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var v *view
	err := cluster.Until(bounded, w.api.of(rollouts), w.name, func(o *unstructured.Unstructured) (bool, error) {
		var err error
		v, err = look(o)
		return err == nil && ok(v), err
	})
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, cluster.ErrDeleted):
		return nil, errors.New("there is no such Rollout")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil && v == nil:
		return nil, fmt.Errorf("no answer within %v: %w", settleTime, context.DeadlineExceeded)
	case bounded.Err() != nil:
		return nil, trigger.Postpone(errors.New("the controller of Argo Rollouts has not acted on the latest change yet"), busyWait, busyMost)
	}
	return nil, err
}

// idle says that there is nothing to do.
type idle struct {
	why string
	// already says that the Rollout is, or is on its way to, where it is wanted.
	already bool
}

func (w *work) nothing(v *view, i *idle) (trigger.Result, error) {
	if w.conf.OnNothing == meansFail && !i.already {
		return trigger.Result{}, fmt.Errorf("nothing to do: %s", i.why)
	}
	r := trigger.Result{Summary: fmt.Sprintf("nothing to do for %s: %s", w.order, i.why), Details: w.details(v, "nothing")}
	r.Details["reason"] = i.why
	if !i.already {
		return r, nil
	}
	return w.followed(r, &plan{PodHash: ""})
}

// details of a result. Effect is done, or nothing.
func (w *work) details(v *view, effect string) map[string]any {
	d := v.details()
	d["operation"], d["effect"], d["rollout"], d["rolloutNamespace"] = w.conf.Operation, effect, w.name, w.namespace
	if w.conf.Operation == opSetImage {
		d["image"] = w.image
	}
	return d
}

// result looks once more: the details are those after the patches, or soon after.
func (w *work) result(ctx context.Context, p *plan, found string) (trigger.Result, error) {
	o, err := w.api.get(ctx, rollouts, w.name)
	if err != nil {
		return trigger.Result{}, err
	}
	v, err := look(o)
	if err != nil {
		return trigger.Result{}, err
	}
	return w.followed(trigger.Result{Summary: found + p.Did, Details: w.details(v, "done")}, p)
}

// followed adds what is needed to follow the Rollout, if that is wanted.
func (w *work) followed(r trigger.Result, p *plan) (trigger.Result, error) {
	if w.conf.Follow == nil {
		return r, nil
	}
	t := trail{
		Namespace: w.namespace, Name: w.name, Operation: w.conf.Operation, PodHash: p.PodHash, RestartAt: p.RestartAt, Paused: w.conf.FollowPaused,
		Container: w.container, Image: w.image,
	}
	raw, err := json.Marshal(t)
	r.Follow = raw
	return r, err
}
