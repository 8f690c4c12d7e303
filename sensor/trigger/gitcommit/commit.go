package gitcommit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/sensor/trigger/gitcommit/edit"
)

// pruneEach is after how many commits, on average, old state is removed.
const pruneEach = 100

// result is what becomes of jobs.
type result struct {
	// revision is the commit; empty if there is none.
	revision string
	summary  string
	// effect is one of the following; empty is nothing.
	effect string
	// firings is how many the commit has.
	firings int
}

// What details.effect says of a firing.
const (
	// effectCommitted: what it wanted is in details.revision.
	effectCommitted = "committed"
	// effectSuperseded: that of a newer event is.
	effectSuperseded = "superseded"
	// effectNothing: it was so already.
	effectNothing = "nothing"
)

// commit makes and pushes the commit of the open jobs, and answers them.
func (r *round) commit() error {
	// With edits, without, and beaten by newer ones of this batch or of others.
	var done, so, here, late []*job
	ours := map[string]bool{}
	for _, j := range r.open {
		ours[j.plan.firing] = true
	}
	for _, j := range r.open {
		switch {
		case len(j.edits) > 0 || j.plan.conf.AllowEmpty && (len(r.todo[j]) > 0 || len(j.plan.changes) == 0):
			done = append(done, j)
		case len(r.todo[j]) > 0:
			so = append(so, j)
		case len(j.plan.changes) == 0:
			so = append(so, j)
		case ours[r.beaten[j]]:
			here = append(here, j)
		default:
			late = append(late, j)
		}
	}
	if err := r.claim(done, false); err != nil {
		return err
	}
	so, err := r.settled(so)
	if err != nil && !errors.Is(err, errPending) {
		return err
	}
	pending := err // those jobs are left for the next round
	// What one of them changes another one may change back.
	if !r.draft.Changed() && !slices.ContainsFunc(done, func(j *job) bool { return j.plan.conf.AllowEmpty }) {
		so, done = append(so, done...), nil
	}
	if len(done) == 0 {
		for _, j := range so {
			r.settle(j, r.todo[j], "")
		}
		r.finish(so, result{summary: r.where() + ": already so"})
		r.finish(slices.Concat(here, late), result{})
		return pending
	}
	covered := slices.Concat(done, here)
	revision, err := r.push(done, covered)
	if err != nil {
		return err
	}
	for _, j := range done {
		r.settle(j, r.todo[j], revision)
	}
	if rand.N(pruneEach) == 0 { //nolint:gosec // chance, not secrecy
		if err := done[0].prune(r.batch.ctx); err != nil {
			done[0].env.Log.Warn("the order of old firings could not be removed", slog.Any("error", err))
		}
	}
	r.finish(done, result{revision: revision, firings: len(covered)})
	r.finish(so, result{summary: r.where() + ": already so"})
	r.finish(here, result{revision: revision})
	r.finish(late, result{})
	return pending
}

// settled claims for jobs whose values are there already, and returns those that could.
// The error is errPending if some have to wait for somebody else.
func (r *round) settled(jobs []*job) (sure []*job, pending error) {
	for _, j := range jobs {
		err := r.claim([]*job{j}, true)
		switch {
		case errors.Is(err, errPending):
			pending = err
		case err != nil:
			return nil, err
		default:
			sure = append(sure, j)
		}
	}
	return sure, pending
}

// claim writes down who is about to set what.
func (r *round) claim(jobs []*job, settled bool) error {
	for _, j := range jobs {
		for _, i := range r.todo[j] {
			for _, t := range j.plan.changes[i].Targets() {
				if err := j.claim(r.batch.ctx, t, settled); err != nil {
					return fmt.Errorf("the order of firings: %w", err)
				}
			}
		}
	}
	return nil
}

// push makes the commit and sends it.
func (r *round) push(done, covered []*job) (revision string, err error) {
	ctx, first := r.batch.ctx, done[0]
	conf := first.plan.conf
	signer, err := conf.Signing.signer(ctx, first.env.Secrets)
	if err != nil {
		return "", err
	}
	now := time.Now()
	author := object.Signature{Name: conf.Author.Name, Email: conf.Author.Email, When: now}
	by := author
	if p := conf.Committer; p != nil {
		by = object.Signature{Name: p.Name, Email: p.Email, When: now}
	}
	revision, err = r.draft.Commit(gitrepo.Commit{Message: message(done, covered), Author: author, Committer: by, Signer: signer})
	if err != nil {
		return "", err
	}
	err = r.draft.Push(ctx)
	switch {
	case err == nil:
		return revision, nil
	case errors.Is(err, gitrepo.ErrMoved), errors.Is(err, gitrepo.ErrRefused), errors.Is(err, gitrepo.ErrNoAccess):
		return "", err
	}
	return "", fmt.Errorf("%w: %w", errUnsure, err)
}

// settle writes down that a job's changes, or all if there are none named, are in a commit. The
// commit itself says so too: that it could not be written down is no failure.
func (r *round) settle(j *job, changes []int, commit string) {
	if changes == nil {
		for i := range j.plan.changes {
			changes = append(changes, i)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.batch.ctx), stateTimeout)
	defer cancel()
	for _, i := range changes {
		for _, t := range j.plan.changes[i].Targets() {
			if err := j.confirm(ctx, t, commit); err != nil {
				j.env.Log.Warn("what was committed could not be remembered", slog.String("target", t), slog.Any("error", err))
				return
			}
		}
	}
}

// where is the branch that commits go to.
func (r *round) where() string { return r.draft.Branch }

// finish answers jobs, in pull request mode after seeing to the pull request.
func (r *round) finish(jobs []*job, out result) {
	if len(jobs) == 0 {
		return
	}
	revision := out.revision
	if r.pulls != nil {
		if err := r.pulls.ensure(r.batch.ctx, jobs[len(jobs)-1], revision); err != nil {
			for _, j := range jobs {
				j.answer(j.failed(err))
			}
			return
		}
	}
	for _, j := range jobs {
		o := out
		if o.revision != "" {
			o.effect = effectCommitted
		}
		switch by := r.beaten[j]; {
		case by != "" && len(r.todo[j]) == 0 && o.summary == "":
			o.effect = effectSuperseded
			o.summary = "superseded by " + by
			if revision != "" {
				o.summary += ", " + short(revision) + " on " + r.where()
			}
		case o.summary == "":
			o.summary = fmt.Sprintf("%s on %s: %s", short(revision), r.where(), summed(j.edits))
			if o.firings > 1 {
				o.summary += fmt.Sprintf(" (%d firings)", o.firings)
			}
		}
		j.answer(j.result(r, o))
	}
}

// summed is one line for edits.
func summed(edits []edit.Edit) string {
	if len(edits) == 0 {
		return "no change"
	}
	s := oneLine(tell(edits[0]), 300)
	if more := len(edits) - 1; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func short(commit string) string { return commit[:min(len(commit), 7)] }
