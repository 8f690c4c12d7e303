package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

// watch follows changes of the manifests until ctx is done.
func (p *Process) watch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // what has changed before the watch began
		if pause(ctx, 500*time.Millisecond) == nil {
			p.reload(ctx)
		}
	})
	manifest.Watch(ctx, p.cfg.Paths, func() { p.reload(ctx) })
}

// reload reads the manifests anew and applies what has changed.
func (p *Process) reload(ctx context.Context) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	before, now := p.set.Load(), p.load()
	if sameProblems(before, now) && sameObjects(before, now) {
		return
	}
	p.last.Store(before)
	p.set.Store(now)
	for _, pr := range newProblems(before, now) {
		p.logProblem(pr)
	}
	p.apply(ctx, now)
	tuneMemory()
}

func sameObjects(a, b *manifest.Set) bool {
	if len(a.Objects) != len(b.Objects) {
		return false
	}
	for i := range a.Objects {
		if a.Objects[i].ID != b.Objects[i].ID || a.Objects[i].Hash != b.Objects[i].Hash || a.Objects[i].Broken != b.Objects[i].Broken {
			return false
		}
	}
	return true
}

func sameProblems(a, b *manifest.Set) bool {
	return len(a.Problems) == len(b.Problems) && len(newProblems(a, b)) == 0
}

// newProblems are those of b that a did not have, notes left out.
func newProblems(a, b *manifest.Set) []manifest.Problem {
	type seen struct{ file, object, text string }
	had := map[seen]bool{}
	for _, p := range a.Problems {
		had[seen{p.File, p.Object, p.Error()}] = true
	}
	var out []manifest.Problem
	for _, p := range b.Problems {
		if !had[seen{p.File, p.Object, p.Error()}] {
			out = append(out, p)
		}
	}
	return out
}
