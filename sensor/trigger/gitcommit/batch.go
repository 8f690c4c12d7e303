package gitcommit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/signalbox-events/signalbox/internal/gitrepo"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const (
	// mostRounds is how often a commit is made anew because somebody else was faster.
	mostRounds = 20
	// fewRounds is how often something is tried again that may last, while others wait.
	fewRounds = 3
	// stateTimeout bounds what is written to the state at the end.
	stateTimeout = 10 * time.Second
	// Pauses between rounds: the first one at most, and the longest.
	firstPause   = 50 * time.Millisecond
	longestPause = 3 * time.Second
)

// batch are the jobs of one commit. All have the same repository, branch,
// credentials, author and pull request.
type batch struct {
	ctx    context.Context //nolint:containedctx // that of the work, which is nobody's call
	cancel context.CancelFunc
	jobs   []*job
	// size is the number of jobs at first, left of those nobody waits for any more.
	// They belong to the queue's lock.
	size, left int
}

// run answers all jobs. What others push meanwhile stays: then the changes, which say
// what is to be and not how to get there, are made anew on top of that.
func (b *batch) run() {
	var err error
	for n := range mostRounds {
		err = b.round()
		b.jobs = slices.DeleteFunc(b.jobs, func(j *job) bool { return j.answered })
		if len(b.jobs) == 0 {
			return
		}
		few := errors.Is(err, errPending) || errors.Is(err, errUnsure)
		again := errors.Is(err, gitrepo.ErrMoved) || errors.Is(err, errLost) || few && n < fewRounds
		if !again || !b.pause(n) {
			break
		}
	}
	if ended := b.ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = errors.Join(ended, err)
	}
	for _, j := range b.jobs {
		if !errors.Is(err, errUnsure) {
			j.giveUp(b.ctx)
		}
		j.answer(trigger.Result{}, explained(err))
	}
}

// giveUp takes back what the job has claimed.
func (j *job) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	for t := range j.claimed {
		if j.unclaim(ctx, t) != nil {
			return // the claim ends by itself
		}
	}
}

// pause waits longer from time to time, at random, so that writers do not meet again.
func (b *batch) pause(n int) bool {
	most := min(firstPause<<min(n, 10), longestPause)
	timer := time.NewTimer(most/4 + rand.N(most)) //nolint:gosec // chance, not secrecy
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// errUnsure marks errors of a push that may have arrived.
var errUnsure = errors.New("it is not known whether the push has arrived")

// round is one try. It answers those jobs whose outcome is known.
func (b *batch) round() (err error) {
	first := b.jobs[0]
	branch, base := first.plan.branch, ""
	if first.plan.head != "" {
		branch, base = first.plan.head, or(first.plan.branch, "HEAD")
	}
	d, err := first.remote.Draft(b.ctx, branch, base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	r := &round{batch: b, draft: d}
	if first.plan.head != "" {
		if r.pulls, err = newPulls(first, d); err != nil {
			return trigger.Permanent(err)
		}
		if err := r.pulls.look(b.ctx); err != nil {
			return err
		}
	}
	if err := r.known(); err != nil {
		return err
	}
	if err := r.decide(); err != nil || len(r.open) == 0 {
		return err
	}
	return r.commit()
}

// round has what one try finds out.
type round struct {
	batch *batch
	draft *gitrepo.Draft
	pulls *pulls // nil without pull requests

	// open are the jobs that are not answered and have not failed, the oldest event first.
	open []*job
	// todo are the changes that are to be made, and beaten the firings that are
	// newer, for jobs that have nothing to do because of them.
	todo   map[*job][]int
	beaten map[*job]string
}

// known answers the jobs that are in the branch's history: killed after the push.
func (r *round) known() error {
	commits, err := r.draft.History()
	if err != nil {
		return err
	}
	in := map[string]string{}
	for _, c := range commits {
		for _, id := range firingsOf(c.Message) {
			in[id] = c.Hash.String()
		}
	}
	for _, j := range r.batch.jobs {
		commit, ok := in[j.plan.firing]
		if !ok {
			r.open = append(r.open, j)
			continue
		}
		r.settle(j, nil, commit)
		r.finish([]*job{j}, result{revision: commit, summary: "already in commit " + short(commit)})
	}
	slices.SortStableFunc(r.open, func(a, b *job) int { return a.plan.when.Compare(b.plan.when) })
	return nil
}

// decide finds, for each job that is open, which changes are to be made, and
// makes them in the draft. Jobs whose changes fail are answered, and then what
// they would have won falls to the others.
func (r *round) decide() error {
	for {
		if err := r.choose(); err != nil {
			return err
		}
		failed, err := r.apply()
		if err != nil || !failed {
			return err
		}
	}
}

// choose picks the winner of each target: the newest event, and of equally new
// ones the one that came last.
func (r *round) choose() error {
	r.todo, r.beaten = map[*job][]int{}, map[*job]string{}
	taken := map[string]*job{}
	var open []*job
	for _, j := range slices.Backward(r.open) {
		var last standing
		done := len(j.plan.changes) > 0
	changes:
		for i, c := range j.plan.changes {
			targets := c.Targets()
			for _, t := range targets {
				if by := taken[t]; by != nil && by != j {
					r.beaten[j], done = by.plan.firing, false
					continue changes
				}
			}
			s, err := j.look(r.batch.ctx, targets)
			if err != nil {
				return fmt.Errorf("the order of firings: %w", err)
			}
			done = done && s.done
			last = s
			switch {
			case s.by != "":
				r.beaten[j] = s.by
			case !s.done:
				for _, t := range targets {
					taken[t] = j
				}
				r.todo[j] = append(r.todo[j], i)
			}
		}
		switch {
		case done:
			r.finish([]*job{j}, alreadyDone(last))
		default:
			open = append(open, j)
		}
	}
	slices.Reverse(open)
	r.open = open
	return nil
}

func alreadyDone(s standing) result {
	if s.commit == "" {
		return result{summary: "was already so when it was fired for the first time"}
	}
	return result{revision: s.commit, summary: "already in commit " + short(s.commit)}
}

// apply makes the changes, the oldest first.
func (r *round) apply() (failed bool, err error) {
	r.draft.Reset()
	files := r.draft.Files(r.batch.ctx)
	for _, j := range r.open {
		back := r.draft.Mark()
		j.edits = nil
		for _, i := range r.todo[j] {
			edits, err := j.plan.changes[i].Apply(files)
			if ended := r.batch.ctx.Err(); ended != nil {
				return false, ended
			}
			if err != nil {
				back()
				j.answer(trigger.Result{}, fmt.Errorf("changes[%d]: %w", i, err))
				failed = true
				break
			}
			j.edits = append(j.edits, edits...)
		}
	}
	r.open = slices.DeleteFunc(r.open, func(j *job) bool { return j.answered })
	return failed && len(r.open) > 0, nil
}
