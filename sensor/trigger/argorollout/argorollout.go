// Package argorollout is the trigger that acts on Rollouts of Argo Rollouts
// through the Kubernetes API: what the plug-in of kubectl does, once for each
// firing, and followed to its outcome.
package argorollout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.argoRollout.
var Kind = trigger.Kind{
	Kind:            kind.Of("argoRollout", newActor),
	NeedsKubernetes: func(kind.Config) bool { return true },
	Follow: &trigger.Follow{
		Block: func(c kind.Config) *v1alpha1.Follow { return c.(*Config).Follow },
		Await: await,
	},
	Texts: true,
}

// actor implements trigger.Trigger.
type actor struct {
	env    trigger.Env
	conf   Config
	params *param.List
	// fixed are the texts of a configuration without parameters.
	fixed  *texts
	closed atomic.Bool
}

func newActor(c Config, env trigger.Env) (trigger.Trigger, error) {
	a := &actor{env: env, conf: c}
	var err error
	if a.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	if a.params.Empty() {
		if a.fixed, err = newTexts(c); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// texts are those of a configuration, parsed.
type texts struct {
	conf Config
	all  map[string]param.Text
}

func newTexts(c Config) (*texts, error) {
	t := &texts{conf: c, all: map[string]param.Text{}}
	from := map[string]string{"name": c.Name, "namespace": c.Namespace}
	if c.SetImage != nil {
		from["setImage.container"], from["setImage.image"] = c.SetImage.Container, c.SetImage.Image
	}
	if c.Undo != nil {
		from["undo.revision"] = c.Undo.Revision
	}
	if c.Expect != nil {
		from["expect.podHash"], from["expect.step"] = c.Expect.PodHash, c.Expect.Step
	}
	for path, text := range from {
		parsed, err := param.CompileText(text)
		if err != nil {
			return nil, v1alpha1.At(path, err)
		}
		t.all[path] = parsed
	}
	return t, nil
}

// order is what is to be done, with the texts of the events.
type order struct {
	conf             *Config
	namespace, name  string
	container, image string
	revision         int64  // 0: the one before
	podHash          string // expected; empty: any
	step             *int64 // expected; nil: any
	firing           string
}

// order is also what Render shows, so that both fail alike.
func (t *texts) order(in trigger.Input) (*order, error) {
	o := &order{conf: &t.conf, firing: in.ID}
	var err error
	text := func(path string) string {
		s, e := t.all[path].Of(in.Events)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", path, e)
		}
		return strings.TrimSpace(s)
	}
	number := func(path string, least int64) *int64 {
		s := text(path)
		if s == "" || err != nil {
			return nil
		}
		n, e := parseNumber(s, least)
		if e != nil {
			err = fmt.Errorf("%s: %w", path, e)
		}
		return &n
	}
	o.name, o.namespace = text("name"), text("namespace")
	if o.namespace == "" {
		o.namespace = in.Namespace
	}
	o.container, o.image, o.podHash = text("setImage.container"), text("setImage.image"), text("expect.podHash")
	o.step = number("expect.step", 0)
	if n := number("undo.revision", 1); n != nil {
		o.revision = *n
	}
	switch {
	case err != nil:
	case len(validation.IsDNS1123Subdomain(o.name)) > 0:
		err = fmt.Errorf("name: %q is no name of an object", o.name)
	case len(validation.IsDNS1123Label(o.namespace)) > 0:
		err = fmt.Errorf("namespace: %q is no name of a namespace", o.namespace)
	case o.conf.Operation == opSetImage && (o.image == "" || strings.ContainsAny(o.image, " \t\r\n")):
		err = fmt.Errorf("setImage.image: %q is no image", o.image)
	}
	if err != nil {
		return nil, trigger.Permanent(fmt.Errorf("%s rollout: %w", o.conf.Operation, err))
	}
	return o, nil
}

func (o *order) String() string { return "rollout " + o.namespace + "/" + o.name }

func (a *actor) order(ctx context.Context, in trigger.Input) (*order, error) {
	if a.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := a.fixed
	if t == nil {
		c, err := trigger.Override(a.conf, a.params, in.Events)
		if err != nil {
			return nil, err
		}
		if t, err = newTexts(c); err != nil {
			return nil, trigger.Permanent(err)
		}
	}
	return t.order(in)
}

// spec is what Render shows.
type spec struct {
	// Operation of the Rollout. What has to be patched for it depends on the
	// Rollout's state then.
	Operation string `json:"operation"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// SetImage, Undo and Expect have the texts of the events.
	SetImage *SetImage `json:"setImage,omitempty"`
	Undo     *Undo     `json:"undo,omitempty"`
	Expect   *Expect   `json:"expect,omitempty"`
	// Firing is the id that the Rollout is marked with.
	Firing string `json:"firing"`
}

// Render implements trigger.Trigger. The Spec is a spec.
func (a *actor) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	o, err := a.order(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	out := spec{Operation: o.conf.Operation, Namespace: o.namespace, Name: o.name, Firing: o.firing}
	if out.Operation == opSetImage {
		out.SetImage = &SetImage{Container: o.container, Image: o.image}
	}
	if out.Operation == opUndo {
		out.Undo = &Undo{}
		if o.revision > 0 {
			out.Undo.Revision = fmt.Sprint(o.revision)
		}
	}
	if e := o.conf.Expect; e != nil {
		out.Expect = &Expect{PodHash: o.podHash, Paused: e.Paused}
		if o.step != nil {
			out.Expect.Step = fmt.Sprint(*o.step)
		}
	}
	b, err := encode(out)
	return trigger.Action{Kind: "argoRollout", Spec: b}, err
}

// Fire implements trigger.Trigger.
func (a *actor) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	o, err := a.order(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	c, err := connect(a.env.Kubernetes, o.namespace)
	if err != nil {
		return trigger.Result{}, o.explain(err)
	}
	w := &work{order: o, api: c, state: a.env.State}
	r, err := w.perform(ctx)
	if err != nil {
		return trigger.Result{}, o.explain(err)
	}
	return r, nil
}

// Close implements trigger.Trigger. Connections belong to the process.
func (a *actor) Close() error {
	a.closed.Store(true)
	return nil
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
