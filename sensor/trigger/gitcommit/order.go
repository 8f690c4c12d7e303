package gitcommit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// claim is what the state has of one target: who set it last, or is about to. It
// is written before the push, so that of two replicas the one with the older event
// sees it, at the latest after its own push has met the other's.
type claim struct {
	// Target is the repository, the branch and what is set.
	Target string `json:"target"`
	// Time of the firing's newest event.
	Time time.Time `json:"time"`
	// Firing that has set the target, or is about to.
	Firing string `json:"firing"`
	// Done says that it has.
	Done bool `json:"done,omitempty"`
	// Commit that it is in; empty if the repository had it already.
	Commit string `json:"commit,omitempty"`
	// At is when this was written.
	At time.Time `json:"at"`
	// Before is the last claim that was done, while this one is not.
	Before *claim `json:"before,omitempty"`
}

// claimLife is how long a claim without a push is believed in. No push takes longer.
const claimLife = batchTimeout

// pendingPause is how long a firing that has to wait for another one's claim leaves
// the queue.
const pendingPause = 10 * time.Second

// targetPrefix is what the keys of targets begin with.
const targetPrefix = "target/"

func (j *job) key(target string) (key, full string) {
	full = strings.Join([]string{j.plan.conf.Place().Clone, or(j.plan.branch, "HEAD"), target}, " ")
	sum := sha256.Sum256([]byte(full))
	return targetPrefix + hex.EncodeToString(sum[:16]), full
}

// standing is what becomes of a change.
type standing struct {
	// by is the firing with a newer event that has set a target; empty if there is none.
	by string
	// done says that this firing has set all targets already, in commit, which is
	// empty if nothing was to do.
	done   bool
	commit string
}

// judge says what the state has to say to a target.
func (j *job) judge(c *claim, target string) standing {
	switch {
	case c == nil:
		return standing{}
	case c.Firing == j.plan.firing:
		return standing{done: c.Done, commit: c.Commit}
	case c.Time.After(j.plan.when), c.Time.Equal(j.plan.when) && j.claimed[target]:
		return standing{by: c.Firing}
	}
	return standing{}
}

// look says what becomes of a change with these targets.
func (j *job) look(ctx context.Context, targets []string) (standing, error) {
	all := standing{done: len(targets) > 0}
	for _, target := range targets {
		key, _ := j.key(target)
		value, err := j.env.State.Get(ctx, key)
		if err != nil {
			return standing{}, err
		}
		s := j.judge(read(value), target)
		if s.by != "" {
			return s, nil
		}
		all.done = all.done && s.done
		all.commit = or(all.commit, s.commit)
	}
	return all, nil
}

var (
	// errLost says that somebody with a newer event has come in between.
	errLost = errors.New("a newer event has come in between")
	// errPending says that an older firing may be about to push to the target.
	errPending = errors.New("another replica is about to push")
)

// claim takes a target. settled says that the repository has the value already, so
// that nothing is going to be pushed; then nobody else may be about to.
func (j *job) claim(ctx context.Context, target string, settled bool) error {
	key, full := j.key(target)
	err := j.env.State.Change(ctx, key, func(value []byte) ([]byte, error) {
		c := read(value)
		switch s := j.judge(c, target); {
		case s.by != "":
			return nil, errLost
		case s.done:
			return nil, trigger.ErrKeep
		case settled && c != nil && !c.Done && c.Firing != j.plan.firing && time.Since(c.At) < claimLife:
			return nil, errPending
		}
		next := claim{Target: full, Time: j.plan.when, Firing: j.plan.firing, Done: settled, At: time.Now().UTC()}
		if c != nil && !settled {
			next.Before = c.last()
		}
		return json.Marshal(next)
	})
	if err == nil {
		if j.claimed == nil {
			j.claimed = map[string]bool{}
		}
		j.claimed[target] = true
	}
	return err
}

// last is the last claim that was done.
func (c *claim) last() *claim {
	if !c.Done {
		return c.Before
	}
	return c
}

// unclaim gives up a target that nothing was pushed for.
func (j *job) unclaim(ctx context.Context, target string) error {
	key, _ := j.key(target)
	return j.env.State.Change(ctx, key, func(value []byte) ([]byte, error) {
		c := read(value)
		switch {
		case c == nil || c.Done || c.Firing != j.plan.firing:
			return nil, trigger.ErrKeep
		case c.Before == nil:
			return nil, nil
		}
		return json.Marshal(c.Before)
	})
}

// confirm says of a target that is claimed that it is in a commit.
func (j *job) confirm(ctx context.Context, target, commit string) error {
	key, full := j.key(target)
	return j.env.State.Change(ctx, key, func(value []byte) ([]byte, error) {
		if c := read(value); c != nil && (c.Firing != j.plan.firing || c.Done) {
			return nil, trigger.ErrKeep
		}
		return json.Marshal(claim{
			Target: full, Time: j.plan.when, Firing: j.plan.firing, Done: true, Commit: commit, At: time.Now().UTC(),
		})
	})
}

// Bounds of what the state has of targets: how many are kept whatever their age
// is, how long others are, and how many are looked at in one go.
const (
	mostTargets  = 2000
	keepTargets  = 30 * 24 * time.Hour
	prunedAtOnce = 500
)

// prune removes what was claimed long ago, if there is much of it, as where a file's name
// is made of the event.
func (j *job) prune(ctx context.Context) error {
	keys, err := j.env.State.Keys(ctx, targetPrefix)
	if err != nil || len(keys) <= mostTargets {
		return err
	}
	for _, key := range keys[:prunedAtOnce] {
		err := j.env.State.Change(ctx, key, func(value []byte) ([]byte, error) {
			if c := read(value); c != nil && time.Since(c.At) < keepTargets {
				return nil, trigger.ErrKeep
			}
			return nil, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read is nil for a value that is not there or cannot be read.
func read(value []byte) *claim {
	var c claim
	if len(value) == 0 || json.Unmarshal(value, &c) != nil {
		return nil
	}
	return &c
}
