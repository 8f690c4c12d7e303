// Package gitcommit is the trigger that changes files in a Git repository and
// pushes the commit, or opens a pull request for it.
package gitcommit

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const kindName = "gitCommit"

// Kind is template.gitCommit.
var Kind = trigger.Kind{
	Kind: kind.Of(kindName, newCommitter),
	Follow: &trigger.Follow{
		Block: func(c kind.Config) *v1alpha1.Follow { return c.(*Config).Follow },
		Await: await,
	},
	Texts: true,
}

// committer implements trigger.Trigger.
type committer struct {
	env    trigger.Env
	conf   Config
	params *param.List
	shared *trigger.Shared
	closed atomic.Bool
}

func newCommitter(c Config, env trigger.Env) (trigger.Trigger, error) {
	t := &committer{env: env, conf: c, shared: env.Shared}
	if t.shared == nil {
		t.shared = &trigger.Shared{}
	}
	var err error
	if t.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	return t, nil
}

// Render implements trigger.Trigger. The Spec is documented in the README.
func (t *committer) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	p, err := t.plan(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	return p.render()
}

// Fire implements trigger.Trigger. It waits in the queue of the repository and
// branch, and returns when the commit that has its changes is pushed.
func (t *committer) Fire(ctx context.Context, in trigger.Input) (r trigger.Result, err error) {
	p, err := t.plan(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	if t.env.State == nil {
		return trigger.Result{}, errors.New("there is no state to keep the order of firings in")
	}
	remote, err := gitrepo.NewWith(p.conf.Access, t.env.Secrets, t.env.HTTP)
	if err != nil {
		return trigger.Result{}, trigger.Permanent(err)
	}
	thing, release := t.shared.Use(p.queue, func() io.Closer { return &queue{} })
	defer func() { err = errors.Join(err, release()) }()
	j := &job{plan: p, remote: remote, env: t.env, done: make(chan answer, 1)}
	return thing.(*queue).do(ctx, j)
}

// Close implements trigger.Trigger.
func (t *committer) Close() error {
	t.closed.Store(true)
	return nil
}

// explained marks errors of the repository for the sensor.
func explained(err error) error {
	var later *gitrepo.Later
	if errors.As(err, &later) {
		return trigger.After(err, time.Until(later.Until))
	}
	if errors.Is(err, errPending) {
		return trigger.Postpone(err, pendingPause, claimLife)
	}
	return err
}
