package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// mend makes the hook of a target what it should be.
func (r *round) mend(ctx context.Context, name string, done *tally) error {
	have, err := r.k.API.List(ctx, name)
	if err != nil {
		return fmt.Errorf("list the hooks: %w", err)
	}
	known := r.memory.get(name)
	mine, others := ours(have, known.ID, r.k.Want.URL)
	want := r.k.Want
	mark := r.memory.mark(r.secret)
	if mine == nil {
		id, err := r.k.API.Create(ctx, name, want, r.secret)
		if err != nil {
			return fmt.Errorf("make a hook: %w", err)
		}
		done.add(&done.created)
		known = remembered{ID: id, Signed: mark}
	} else {
		want.ID = mine.ID
		var secret []byte
		if known.ID != mine.ID || known.Signed != mark {
			secret = r.secret
		}
		if drift := !r.k.as(*mine, want); drift || secret != nil {
			if err := r.k.API.Update(ctx, name, want, secret); err != nil {
				return fmt.Errorf("change hook %s: %w", mine.ID, err)
			}
			if drift {
				done.add(&done.updated)
			} else {
				done.add(&done.signed)
			}
		}
		known = remembered{ID: mine.ID, Signed: mark}
	}
	r.memory.set(name, known)
	r.saveSeldom(ctx)
	for _, h := range others {
		if err := r.k.API.Delete(ctx, name, h.ID); err != nil {
			return fmt.Errorf("remove hook %s, which is there twice: %w", h.ID, err)
		}
		done.add(&done.removed)
	}
	return nil
}

// leave removes our hook from a target that is not in the configuration any more.
func (r *round) leave(ctx context.Context, name string, done *tally) error {
	id := r.memory.get(name).ID
	if err := r.k.API.Delete(ctx, name, id); err != nil {
		return fmt.Errorf("remove hook %s: %w", id, err)
	}
	done.add(&done.removed)
	r.memory.forget(name)
	return nil
}

// saveSeldom stores what is remembered once a second at most: whoever takes over
// knows the rest by its URL.
func (r *round) saveSeldom(ctx context.Context) {
	if r.memory.dueToSave() {
		r.save(ctx)
	}
}

// ours picks our hook: the one with our ID, otherwise the first with our URL;
// others are further ones with that URL.
func ours(have []Hook, id, url string) (mine *Hook, others []Hook) {
	for i, h := range have {
		if id != "" && h.ID == id {
			mine = &have[i]
		}
	}
	for i, h := range have {
		switch {
		case h.URL != url || mine != nil && h.ID == mine.ID:
		case mine == nil:
			mine = &have[i]
		default:
			others = append(others, h)
		}
	}
	return mine, others
}

// as tells whether a hook is as wanted.
func (k *Keeper) as(have, want Hook) bool {
	if have.URL != want.URL || have.Active != want.Active {
		return false
	}
	for key, v := range want.Settings {
		if got, ok := have.Settings[key]; !ok || got != v {
			return false
		}
	}
	if k.SameEvents != nil {
		return k.SameEvents(have.Events, want.Events)
	}
	return sameSet(have.Events, want.Events)
}

func sameSet(a, b []string) bool {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	return slices.Equal(sorted(a), sorted(b))
}

// Finish removes our hooks: those that State remembers, and at each target those
// with our URL. The error names all that could not be removed. It may be called
// again. Where an API wants to be left alone it waits, until ctx is done.
func (k *Keeper) Finish(ctx context.Context) error {
	var errs failures
	mem, err := recall(ctx, k.State)
	if err != nil {
		errs.add(fmt.Errorf("what is known of the hooks cannot be read: %w", err))
		mem = newMemory()
	}
	r := &round{k: k, memory: mem}
	names, err := k.Targets(ctx)
	if err != nil {
		errs.add(fmt.Errorf("list the places with hooks: %w", err))
	}
	names = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(names), mem.targets()...))))
	side(names, func(name string) {
		if err := r.clear(ctx, name); err != nil {
			errs.add(fmt.Errorf("%s: %w", name, err))
		}
	})
	if err := mem.save(ctx, k.State); err != nil && ctx.Err() == nil {
		// Nothing is left at the vendor because of that: the next to remember finds out.
		k.Log.Warn("what is known of the hooks cannot be stored", "error", err)
	}
	return errors.Join(errs.list...)
}

// clear removes our hooks of one target.
func (r *round) clear(ctx context.Context, name string) error {
	for {
		if err := r.limit.wait(ctx); err != nil {
			return err
		}
		err := guarded(func() error { return r.remove(ctx, name) })
		l := limited(err)
		if l == nil {
			return err
		}
		r.limit.until(l.Until)
	}
}

func (r *round) remove(ctx context.Context, name string) error {
	have, err := r.k.API.List(ctx, name)
	if err != nil {
		return fmt.Errorf("list the hooks: %w", err)
	}
	id := r.memory.get(name).ID
	var errs []error
	for _, h := range have {
		if h.URL != r.k.Want.URL && (id == "" || h.ID != id) {
			continue
		}
		if err := r.k.API.Delete(ctx, name, h.ID); err != nil {
			errs = append(errs, fmt.Errorf("remove hook %s: %w", h.ID, err))
			continue
		}
		r.k.Log.Info("hook removed", "target", name, "hook", h.ID)
	}
	if len(errs) == 0 {
		r.memory.forget(name)
	}
	return errors.Join(errs...)
}

type failures struct {
	mu   sync.Mutex
	list []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, err)
}

// tally counts what a pass did.
type tally struct {
	mu                                sync.Mutex
	created, updated, signed, removed int
	failed                            int
	first                             error
}

func (t *tally) add(n *int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
}

func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The same one each time, so that the log does not see a new text.
	if t.failed++; t.first == nil || err.Error() < t.first.Error() {
		t.first = err
	}
}

func (t *tally) failures() (int, error) { return t.failed, t.first }

// summary is nil if nothing was done.
func (t *tally) summary() []any {
	var s []any
	for _, c := range []struct {
		name string
		n    int
	}{{"made", t.created}, {"changed", t.updated}, {"signed", t.signed}, {"removed", t.removed}} {
		if c.n > 0 {
			s = append(s, c.name, c.n)
		}
	}
	return s
}
