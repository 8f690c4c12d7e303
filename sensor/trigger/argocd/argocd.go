// Package argocd is the trigger that has Argo CD sync, refresh, roll back or
// change applications, through the Kubernetes API or Argo CD's own.
package argocd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// Kind is template.argoCD.
var Kind = trigger.Kind{
	Kind:            kind.Of("argoCD", newActor),
	NeedsKubernetes: func(c kind.Config) bool { return c.(*Config).Server == nil },
	Follow: &trigger.Follow{
		Block: func(c kind.Config) *v1alpha1.Follow { return c.(*Config).Follow },
		Await: func(ctx context.Context, t trigger.Trigger, f trigger.Following) (trigger.Outcome, error) {
			return t.(*actor).await(ctx, f)
		},
	},
	Texts: true,
}

// sideBySide is how many applications are acted on at once.
const sideBySide = 4

// actor implements trigger.Trigger.
type actor struct {
	env    trigger.Env
	conf   Config
	params *param.List
	pace   pace
	closed atomic.Bool
}

// pace is how long things are waited for.
type pace struct {
	// linger is how long an end that was asked for is watched.
	linger time.Duration
	// poll is how often Argo CD's server is asked.
	poll time.Duration
	// healthy is how long health has to last, as it may be that from before.
	healthy time.Duration
	// ailing is how long an application has to be Degraded, or not synced by
	// auto-sync, to have failed.
	ailing time.Duration
	// accepted is how long Argo CD may take to begin an operation before that is
	// worth telling.
	accepted time.Duration
	// refresh is how long Argo CD's server may take to answer one.
	refresh time.Duration
}

func defaultPace() pace {
	return pace{linger: 8 * time.Second, poll: 2 * time.Second, healthy: 3 * time.Second, ailing: 30 * time.Second, accepted: 30 * time.Second, refresh: 20 * time.Second}
}

func newActor(c Config, env trigger.Env) (trigger.Trigger, error) {
	params, err := param.Compile(c.Parameters)
	if err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	return &actor{env: env, conf: c, params: params, pace: defaultPace()}, nil
}

func (a *actor) request(ctx context.Context, in trigger.Input) (*request, error) {
	if a.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a.newRequest(in)
}

// Fire implements trigger.Trigger. The Details have operation and applications:
// for each its name, namespace, what was done, and the revision.
func (a *actor) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	r, err := a.request(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	what := r.conf.Operation + " of " + r.subject()
	b, err := a.backend(ctx, r.conf.Server)
	if err != nil {
		return trigger.Result{}, flat(fmt.Errorf("%s: %w", what, err))
	}
	apps, err := r.selected(ctx, b)
	if err != nil {
		return trigger.Result{}, flat(fmt.Errorf("%s: %w", what, err))
	}
	effects := make([]effect, len(apps))
	errs := make([]error, len(apps))
	places := make(chan struct{}, sideBySide)
	var wg sync.WaitGroup
	for i, app := range apps {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if effects[i], errs[i] = r.perform(ctx, b, app, a.pace); errs[i] != nil {
				errs[i] = fmt.Errorf("%s of %s: %w", r.conf.Operation, app.GetName(), errs[i])
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil && errors.Join(errs...) != nil {
		return trigger.Result{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := r.failure(errs); err != nil {
		return trigger.Result{}, flat(err)
	}
	return r.result(effects)
}

// failure makes one error of those of the applications. It is that they are busy
// only if nothing else is wrong.
func (r *request) failure(errs []error) error {
	var bad, waiting []error
	var wait time.Duration
	for _, err := range errs {
		var b busy
		switch {
		case err == nil:
		case errors.As(err, &b):
			waiting = append(waiting, err)
			wait = max(wait, b.wait)
		default:
			bad = append(bad, err)
		}
	}
	if len(bad) > 0 {
		err := line(bad)
		if permanent(bad) {
			err = trigger.Permanent(err)
		}
		return err
	}
	if len(waiting) > 0 {
		return trigger.Postpone(line(waiting), wait, r.conf.BusyTimeout.Duration)
	}
	return nil
}

// line joins errors in one line.
func line(errs []error) error {
	const most = 3
	err := errs[0]
	for _, more := range errs[1:min(most, len(errs))] {
		err = fmt.Errorf("%w; %w", err, more)
	}
	if len(errs) > most {
		err = fmt.Errorf("%w; and %d more", err, len(errs)-most)
	}
	return err
}

// oneLine is an error whose text has one line.
type oneLine struct{ error }

func (o oneLine) Error() string { return strings.Join(strings.Fields(o.error.Error()), " ") }
func (o oneLine) Unwrap() error { return o.error }

func flat(err error) error {
	if strings.Contains(err.Error(), "\n") {
		return oneLine{err}
	}
	return err
}

func (r *request) result(effects []effect) (trigger.Result, error) {
	out := trigger.Result{Summary: r.nothing()}
	all := make([]any, len(effects))
	f := reference{Operation: r.conf.Operation, Health: r.conf.followsHealth() && !r.sync().DryRun, Server: r.conf.Server}
	for i := range effects {
		e := &effects[i]
		all[i] = e.details()
		if w := e.watch; w != nil {
			if w.Mark == "" && r.conf.begins() && (r.conf.Server == nil || r.conf.Operation == opSync) {
				w.Mark = r.mark.id
			}
			f.Apps = append(f.Apps, *w)
		}
	}
	out.Details = map[string]any{"operation": r.conf.Operation, "applications": all}
	if len(effects) > 0 {
		e := effects[0]
		out.Summary = strings.Replace(e.says, "AT", e.name, 1)
		if n := len(effects) - 1; n > 0 {
			out.Summary += fmt.Sprintf(" (and %d more)", n)
		}
		if len(e.notes) > 0 {
			out.Summary += "; " + strings.Join(e.notes, "; ")
		}
	}
	if r.conf.Follow == nil || len(f.Apps) == 0 {
		return out, nil
	}
	var err error
	out.Follow, err = json.Marshal(f)
	return out, err
}

// nothing is the summary where no application was selected.
func (r *request) nothing() string {
	switch {
	case r.pushed != nil && r.pushed.why != "":
		return "no application is concerned: " + r.pushed.why
	case r.pushed != nil:
		return "no application is concerned by " + r.pushed.String()
	}
	return "no application is selected"
}

// subject says which applications in a few words.
func (r *request) subject() string {
	c := &r.conf
	switch {
	case c.Name != "":
		return c.Name
	case r.pushed != nil:
		return "the applications that " + r.pushed.String() + " concerns"
	case c.Selector != "":
		return "the applications with " + c.Selector
	}
	return "the applications of project " + c.Project
}

// String is repository and branch or tag.
func (p *pushed) String() string {
	for _, all := range [][]string{p.repositories, p.images} {
		if len(all) > 0 {
			return all[0] + " " + p.name
		}
	}
	return p.name
}

// Close implements trigger.Trigger. Connections belong to the process.
func (a *actor) Close() error {
	a.closed.Store(true)
	return nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
