// Package k8s is the trigger that creates, changes and deletes objects of a
// Kubernetes cluster.
package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.k8s.
var Kind = trigger.Kind{
	Kind:            kind.Of("k8s", newActor),
	NeedsKubernetes: func(kind.Config) bool { return true },
}

// actor implements trigger.Trigger.
type actor struct {
	env    trigger.Env
	conf   Config
	params *param.List
	closed atomic.Bool
}

func newActor(c Config, env trigger.Env) (trigger.Trigger, error) {
	params, err := param.Compile(c.Parameters)
	if err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	return &actor{env: env, conf: c, params: params}, nil
}

// action is one operation on one object, as far as it is known before the
// cluster is asked.
type action struct {
	conf *Config
	in   trigger.Input
	// object to send; for liveObject and a JSON patch, what names the object.
	object *unstructured.Unstructured
	// patch is the JSON patch.
	patch []any
	// params are those that are to be put into the live object.
	params *param.List
}

func (a *actor) ready(ctx context.Context) error {
	if a.closed.Load() {
		return trigger.ErrClosed
	}
	return ctx.Err()
}

// action fetches the object and makes it what it is to be.
func (a *actor) action(ctx context.Context, in trigger.Input) (*action, error) {
	text, err := a.conf.Source.Fetch(ctx, a.env)
	if err != nil {
		return nil, err
	}
	act := &action{conf: &a.conf, in: in}
	if err := act.fill(text, a.params); err != nil {
		if !a.conf.Source.Fixed() {
			err = fmt.Errorf("%s: %w", a.conf.Source, err)
		}
		if a.conf.Source.Fixed() || errors.As(err, new(badParameter)) {
			err = trigger.Permanent(err)
		}
		return nil, err
	}
	return act, nil
}

// badParameter is an error of the parameters, which the same events give again.
type badParameter struct{ error }

func (b badParameter) Unwrap() error { return b.error }

func (act *action) fill(text []byte, params *param.List) error {
	raw, err := toJSON(text)
	if err != nil {
		return err
	}
	if raw, err = params.Apply(raw, act.in.Events); err != nil {
		return badParameter{err}
	}
	if act.object, err = decode(raw); err != nil {
		return err
	}
	c := act.conf
	if lack := missing(act.object, c.Operation, c.PatchStrategy, c.LiveObject); len(lack) > 0 {
		return fmt.Errorf("the object has no %s", strings.Join(lack, ", no "))
	}
	switch {
	case c.Operation == opCreate:
		if act.object.GetName() == "" {
			act.object.SetName(generated(act.object.GetGenerateName(), act.in.ID))
		}
		setLabel(act.object, labelSensor, asLabel(act.in.Sensor))
		setLabel(act.object, labelTrigger, asLabel(act.in.Trigger))
		setFiring(act.object, act.in.ID)
	case c.live():
		act.params = params
	case c.json():
		act.patch, _ = act.object.Object["patch"].([]any)
		delete(act.object.Object, "patch")
	}
	return nil
}

func (c *Config) live() bool { return c.Operation == opUpdate && c.LiveObject }

func (c *Config) json() bool {
	return c.Operation == opPatch && c.PatchStrategy == string(types.JSONPatchType)
}

// spec is what Render shows.
type spec struct {
	// Operation is create, update, patch or delete.
	Operation string `json:"operation"`
	// PatchStrategy of a patch.
	PatchStrategy string `json:"patchStrategy,omitempty"`
	// Namespace that an object goes to which names none, if it is of a kind that
	// has namespaces.
	Namespace string `json:"namespace,omitempty"`
	// LiveObject tells that the parameters go into the object of the cluster.
	LiveObject bool `json:"liveObject,omitempty"`
	// Object is sent as it is but for the label of the time. Of a JSON patch and
	// a live object it says which object is changed.
	Object map[string]any `json:"object,omitempty"`
	// Patch is the JSON patch.
	Patch []any `json:"patch,omitempty"`
	// Source is where the object is fetched from, if that is elsewhere.
	Source string `json:"source,omitempty"`
	// Parameters are what is put into an object that is fetched from elsewhere.
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// Render implements trigger.Trigger. The Spec is a spec; of an object that
// comes from a url, git or s3 it has the source and not the object.
func (a *actor) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	if err := a.ready(ctx); err != nil {
		return trigger.Action{}, err
	}
	out := spec{Operation: a.conf.Operation, LiveObject: a.conf.live()}
	if out.Operation == opPatch {
		out.PatchStrategy = a.conf.PatchStrategy
	}
	if a.conf.Source.Remote() {
		out.Source, out.Namespace = a.conf.Source.String(), in.Namespace
		raw, err := a.params.Apply([]byte("{}"), in.Events)
		if err != nil {
			return trigger.Action{}, trigger.Permanent(err)
		}
		if !a.params.Empty() {
			out.Parameters = raw
		}
	} else {
		act, err := a.action(ctx, in)
		if err != nil {
			return trigger.Action{}, err
		}
		if act.object.GetNamespace() == "" {
			out.Namespace = in.Namespace
		}
		out.Object, out.Patch = masked(act.object), act.patch
		if out.Operation == opDelete {
			out.Object = name(act.object)
		}
	}
	b, err := encode(out)
	return trigger.Action{Kind: "k8s", Spec: b}, err
}

// name is what is known of an object that is only named.
func name(o *unstructured.Unstructured) map[string]any {
	meta := map[string]any{"name": o.GetName()}
	if ns := o.GetNamespace(); ns != "" {
		meta["namespace"] = ns
	}
	return map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": meta}
}

// masked hides the values of a Secret.
func masked(o *unstructured.Unstructured) map[string]any {
	if o.GetAPIVersion() != "v1" || o.GetKind() != "Secret" {
		return o.Object
	}
	o = o.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		values, ok := o.Object[field].(map[string]any)
		if !ok {
			continue
		}
		for key := range values {
			values[key] = "***"
		}
	}
	return o.Object
}

// Fire implements trigger.Trigger.
func (a *actor) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	if err := a.ready(ctx); err != nil {
		return trigger.Result{}, err
	}
	act, err := a.action(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	t, err := a.target(ctx, act)
	if err != nil {
		return trigger.Result{}, fmt.Errorf("%s %s: %w", a.conf.Operation, act.object.GetKind(), err)
	}
	did, err := t.perform(ctx)
	if err == nil && a.conf.Operation != opDelete && in.Policy != nil && in.Policy.K8s != nil {
		err = t.await(ctx, in.Policy.K8s)
	}
	if err != nil {
		return trigger.Result{}, t.explain(err)
	}
	return trigger.Result{Summary: did + " " + t.String()}, nil
}

// Close implements trigger.Trigger. Connections belong to the process.
func (a *actor) Close() error {
	a.closed.Store(true)
	return nil
}
