// Package argoworkflow is the trigger that submits workflows to Argo Workflows
// and acts on those that are there.
package argoworkflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/cluster"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.argoWorkflow.
var Kind = trigger.Kind{
	Kind:   kind.Of("argoWorkflow", newActor),
	Follow: &trigger.Follow{Block: block, Await: await},
	NeedsKubernetes: func(c kind.Config) bool {
		conf, ok := c.(*Config)
		if !ok || conf.Server != nil {
			return false
		}
		o, _ := parseArgs(conf.Operation, conf.Args)
		return o.server == ""
	},
}

func block(c kind.Config) *v1alpha1.Follow {
	conf, ok := c.(*Config)
	if !ok {
		return nil
	}
	return conf.Follow
}

// actor implements trigger.Trigger.
type actor struct {
	env     trigger.Env
	conf    Config
	options options
	params  *param.List
	closed  atomic.Bool

	mu sync.Mutex
	// own is the cluster that args lead to, where that is not the process's.
	own *cluster.Cluster
}

func newActor(c Config, env trigger.Env) (trigger.Trigger, error) {
	params, err := param.Compile(c.Parameters)
	if err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	o, err := parseArgs(c.Operation, c.Args)
	if err = v1alpha1.Fatal(err); err != nil {
		return nil, err
	}
	return &actor{env: env, conf: c, options: o, params: params}, nil
}

func (a *actor) ready(ctx context.Context) error {
	if a.closed.Load() {
		return trigger.ErrClosed
	}
	return ctx.Err()
}

// backend is where workflows are: the Kubernetes API or an Argo Server.
type backend interface {
	// get reads a workflow; uid may be empty.
	get(ctx context.Context, namespace, name, uid string) (*unstructured.Unstructured, error)
	// list reads those that the selectors of o select, without their nodes.
	list(ctx context.Context, namespace string, o *options) ([]*unstructured.Unstructured, error)
	// create makes a workflow. It is no error if an earlier attempt has made it.
	create(ctx context.Context, act *action, wf *unstructured.Unstructured) (made *unstructured.Unstructured, did string, err error)
	// submitFrom makes the workflow of a template.
	submitFrom(ctx context.Context, act *action) (made *unstructured.Unstructured, did string, err error)
	// change does any operation that changes a workflow, and gives it as it is then.
	change(ctx context.Context, act *action, wf *unstructured.Unstructured) (changed *unstructured.Unstructured, did string, err error)
	// wait returns when look says enough, or fails. uid may be empty. The workflows
	// that look gets may lack their nodes, but for the last one.
	wait(ctx context.Context, namespace, name, uid string, look func(*unstructured.Unstructured) (bool, error)) error
}

// Fire implements trigger.Trigger. The Result's details are operation, and name,
// namespace and uid of the workflow; if there are several, workflows with these
// of each.
func (a *actor) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	if err := a.ready(ctx); err != nil {
		return trigger.Result{}, err
	}
	act, err := a.action(ctx, in)
	if err == nil {
		_, err = act.complete(ctx, a, true)
	}
	if err != nil {
		return trigger.Result{}, err
	}
	if act.options.dryRun {
		return trigger.Result{Summary: "dry run: did not " + act.operation + " " + act.shown()}, nil
	}
	b, err := a.backend(ctx)
	if err != nil {
		return trigger.Result{}, fmt.Errorf("%s: %w", act.operation, err)
	}
	done, err := act.perform(ctx, b)
	if err == nil && in.Policy != nil && in.Policy.K8s != nil && !act.options.serverDryRun {
		for _, d := range done {
			if err = awaitLabels(ctx, b, d, in.Policy.K8s); err != nil {
				err = act.failed(d.workflow, err)
				break
			}
		}
	}
	if err == nil && (act.options.wait || act.options.watch) && !act.options.serverDryRun {
		err = act.waitFor(ctx, b, done)
	}
	if err != nil {
		return trigger.Result{}, err
	}
	return act.result(done)
}

// shown names what is acted on, for people.
func (act *action) shown() string {
	o := &act.options
	switch act.operation {
	case opSubmit:
		return "workflow " + act.namespace + "/" + act.object.GetName()
	case opSubmitFrom:
		return act.fromKind + " " + act.fromName
	}
	var parts []string
	if len(act.names) > 0 {
		parts = append(parts, "workflow "+act.namespace+"/"+strings.Join(act.names, ", "))
	}
	if o.selects() {
		parts = append(parts, strings.TrimSpace("workflows of "+act.namespace+" with "+strings.TrimSpace(o.selector+" "+o.fields)))
	}
	return strings.Join(parts, " and ")
}

// done is one workflow that was acted on.
type done struct {
	workflow *unstructured.Unstructured
	// did is what happened to it, such as "retried".
	did string
}

// perform does it.
func (act *action) perform(ctx context.Context, b backend) ([]done, error) {
	switch act.operation {
	case opSubmit, opSubmitFrom:
		var wf *unstructured.Unstructured
		var did string
		var err error
		if act.operation == opSubmit {
			wf, did, err = b.create(ctx, act, act.object)
		} else {
			wf, did, err = b.submitFrom(ctx, act)
		}
		if err != nil {
			return nil, act.failed(act.object, err)
		}
		return []done{{wf, did}}, nil
	}
	found, err := act.find(ctx, b)
	if err != nil {
		return nil, err
	}
	var all []done
	var errs []error
	for _, f := range found {
		d, skip, err := act.one(ctx, b, f)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			errs = append(errs, act.failed(f.workflow, err))
		case !skip:
			all = append(all, d)
		}
	}
	return all, joined(errs)
}

// joined is one error of one line, permanent only if all are.
func joined(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	shown := errs[max(0, slices.IndexFunc(errs, func(err error) bool { return !trigger.IsPermanent(err) }))]
	return fmt.Errorf("%d workflows failed, one of them: %w", len(errs), shown)
}

// found is a workflow that an operation is about.
type found struct {
	workflow *unstructured.Unstructured
	// selected tells that it was not named. If it cannot be acted on in the
	// state that it is in, that is no error then.
	selected bool
}

// maxFollowed is how many workflows one firing can follow.
const maxFollowed = 200

// find gets the workflows that are named, and those that are selected.
func (act *action) find(ctx context.Context, b backend) ([]found, error) {
	var all []found
	seen := map[string]bool{}
	add := func(wf *unstructured.Unstructured, selected bool) {
		if !seen[wf.GetName()] {
			seen[wf.GetName()] = true
			all = append(all, found{wf, selected})
		}
	}
	for i, name := range act.names {
		uid := ""
		if i == 0 && name == act.object.GetName() {
			uid = string(act.object.GetUID())
		}
		wf, err := b.get(ctx, act.namespace, name, uid)
		if err == nil && act.options.instance != "" && wf.GetLabels()[labelInstance] != act.options.instance {
			err = fmt.Errorf("it does not belong to the controller instance %q", act.options.instance)
		}
		if err != nil {
			return nil, act.failed(named(act.namespace, name), err)
		}
		add(wf, false)
	}
	if act.options.selects() {
		wfs, err := b.list(ctx, act.namespace, &act.options)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", act.operation, act.shown(), err)
		}
		for _, wf := range wfs {
			// What this firing has made has the labels of what it was made of.
			mine := wf.GetAnnotations()[annotationFiring] == act.in.ID
			if !mine || act.operation != opResubmit {
				add(wf, true)
			}
		}
	}
	if act.follow && len(all) > maxFollowed {
		return nil, trigger.Permanent(fmt.Errorf("%s %s: these are %d, and no more than %d can be followed", act.operation, act.shown(), len(all), maxFollowed))
	}
	return all, nil
}

func named(namespace, name string) *unstructured.Unstructured {
	wf := &unstructured.Unstructured{Object: map[string]any{}}
	wf.SetNamespace(namespace)
	wf.SetName(name)
	return wf
}

// errNotNow is wrapped by errors of a workflow that is in no state for the operation.
var errNotNow = errors.New("its state does not allow that")

// one acts on one workflow; skip tells that there was nothing to do.
func (act *action) one(ctx context.Context, b backend, f found) (d done, skip bool, err error) {
	wf := f.workflow
	if f.selected {
		if wf, err = b.get(ctx, wf.GetNamespace(), wf.GetName(), ""); err != nil {
			return done{}, isNotFound(err), keep(err)
		}
	}
	switch act.operation {
	case opResubmit:
		fresh, err := act.resubmitted(wf, time.Now())
		if f.selected && errors.Is(err, errNotNow) {
			return done{}, true, nil
		}
		if err != nil {
			return done{}, false, offloaded(err)
		}
		made, did, err := b.create(ctx, act, fresh)
		return done{made, did}, false, err
	default:
		changed, did, err := b.change(ctx, act, wf)
		if f.selected && errors.Is(err, errNotNow) {
			return done{}, true, nil
		}
		return done{changed, did}, false, offloaded(err)
	}
}

func keep(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// offloaded makes it permanent that the nodes are elsewhere.
func offloaded(err error) error {
	if errors.Is(err, errOffloaded) {
		return trigger.Permanent(err)
	}
	return err
}

// result is that of what was done.
func (act *action) result(all []done) (trigger.Result, error) {
	r := trigger.Result{Details: map[string]any{"operation": act.operation}}
	ref := reference{Operation: act.operation, Namespace: act.namespace}
	var each []any
	for _, d := range all {
		each = append(each, map[string]any{"name": d.workflow.GetName(), "namespace": act.namespace, "uid": string(d.workflow.GetUID())})
		ref.Workflows = append(ref.Workflows, followed{Name: d.workflow.GetName(), UID: string(d.workflow.GetUID())})
	}
	r.Summary = act.summary(all)
	switch len(all) {
	case 0:
		return r, nil
	case 1:
		for k, v := range each[0].(map[string]any) {
			r.Details[k] = v
		}
	default:
		r.Details["workflows"] = each
	}
	if !act.follow || act.operation == opSuspend || act.options.serverDryRun {
		return r, nil
	}
	raw, err := json.Marshal(ref)
	r.Follow = raw
	return r, err
}

// summary is what happened to all of them.
func (act *action) summary(all []done) string {
	switch len(all) {
	case 0:
		return "found no workflow to " + act.operation
	case 1:
		return all[0].did + " workflow " + act.namespace + "/" + all[0].workflow.GetName()
	}
	var order, parts []string
	count := map[string]int{}
	for _, d := range all {
		if count[d.did]++; count[d.did] == 1 {
			order = append(order, d.did)
		}
	}
	for _, did := range order {
		noun := "workflows"
		if count[did] == 1 {
			noun = "workflow"
		}
		parts = append(parts, fmt.Sprintf("%s %d %s", did, count[did], noun))
	}
	return strings.Join(parts, ", ") + " of " + act.namespace
}

// Close implements trigger.Trigger. Connections belong to the process.
func (a *actor) Close() error {
	a.closed.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own.Close()
	return nil
}
