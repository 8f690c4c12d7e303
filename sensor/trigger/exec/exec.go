// Package exec is the trigger that runs a program on the machine that the
// process runs on.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"sync/atomic"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.exec.
var Kind = trigger.Kind{
	Kind:   kind.Of("exec", newRunner),
	Follow: trigger.FollowAtOnce(func(c *Config) *v1alpha1.Follow { return c.Follow }),

	Texts: true, RunsPrograms: true,
}

// runner implements trigger.Trigger.
type runner struct {
	env    trigger.Env
	conf   Config
	params *param.List
	// fixed is the plan of a configuration without parameters.
	fixed  *plan
	closed atomic.Bool
}

func newRunner(c Config, env trigger.Env) (trigger.Trigger, error) {
	r := &runner{env: env, conf: c}
	var err error
	if r.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	if r.params.Empty() {
		if r.fixed, err = newPlan(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *runner) call(ctx context.Context, in trigger.Input) (*call, error) {
	if r.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := r.fixed
	if p == nil {
		c, err := trigger.Override(r.conf, r.params, in.Events)
		if err != nil {
			return nil, err
		}
		if p, err = newPlan(c); err != nil {
			return nil, trigger.Permanent(err)
		}
	}
	return p.call(ctx, in, r.env.Secrets)
}

// spec is what Render shows.
type spec struct {
	// Command as in the configuration: what it is on the disk is looked up when it is run.
	Command string `json:"command"`
	// Args of the program.
	Args []string `json:"args,omitempty"`
	// Env are the variables that the program gets beside inherited ones; those of
	// secureEnv are masked.
	Env map[string]string `json:"env"`
	// InheritEnv tells that those of the process come on top.
	InheritEnv bool `json:"inheritEnv,omitempty"`
	// Stdin, if there is any.
	Stdin            string `json:"stdin,omitempty"`
	WorkingDirectory string `json:"workingDirectory,omitempty"`
	User             string `json:"user,omitempty"`
}

// Render implements trigger.Trigger. The Spec is a spec.
func (r *runner) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	c, err := r.call(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	out := spec{
		Command: c.conf.Command, Args: c.args, Env: map[string]string{}, InheritEnv: c.conf.InheritEnv,
		Stdin: string(c.stdin), WorkingDirectory: c.conf.WorkingDirectory, User: c.conf.User,
	}
	for _, v := range c.vars {
		if v.secure {
			v.value = masked
		}
		out.Env[v.name] = v.value
	}
	b, err := encode(out)
	return trigger.Action{Kind: "exec", Spec: b}, err
}

// Fire implements trigger.Trigger.
func (r *runner) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	c, err := r.call(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	return c.run(ctx, r.env.Exec)
}

// Close implements trigger.Trigger. Programs end with the context of their Fire.
func (r *runner) Close() error {
	r.closed.Store(true)
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
