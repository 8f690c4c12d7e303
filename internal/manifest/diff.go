package manifest

import (
	"path/filepath"
	"slices"
)

// Changes is what becomes of running objects when manifests have been read anew.
type Changes struct {
	// Added, Changed (the new versions), Removed and Unchanged objects.
	Added, Changed, Removed, Unchanged []*Object
	// Held are running objects that go on as they are although they are not in
	// the new Set, or broken in it: their new version, or a part of their
	// file, cannot be used.
	Held []*Object
	// Next is the Set after the change: what runs then, with the problems of
	// the new one.
	Next *Set
}

// Diff compares what runs with what was read. running is nil at the start.
// Objects that are broken and do not run yet are in none of the lists, but in Next.
func Diff(running, read *Set) Changes {
	if running == nil {
		running = &Set{}
	}
	c := Changes{Next: &Set{Problems: read.Problems, unreadable: read.unreadable}}
	for _, o := range read.Objects {
		old := running.Find(o.ID)
		if old != nil && old.Broken {
			old = nil
		}
		switch {
		case o.Broken && old != nil:
			c.Held = append(c.Held, old)
			o = old
		case o.Broken:
		case old == nil:
			c.Added = append(c.Added, o)
		case old.Hash == o.Hash:
			c.Unchanged = append(c.Unchanged, o)
		default:
			c.Changed = append(c.Changed, o)
		}
		c.Next.Objects = append(c.Next.Objects, o)
	}
	for _, old := range running.Objects {
		switch {
		case read.Find(old.ID) != nil || old.Broken:
		case read.mayHave(old):
			c.Held = append(c.Held, old)
			c.Next.Objects = append(c.Next.Objects, old)
		default:
			c.Removed = append(c.Removed, old)
		}
	}
	byID := func(a, b *Object) int { return compareIDs(a.ID, b.ID) }
	slices.SortFunc(c.Next.Objects, byID)
	slices.SortFunc(c.Held, byID)
	return c
}

// mayHave tells whether o may still be in a part of its file, or of a folder
// around that, that could not be read.
func (s *Set) mayHave(o *Object) bool {
	for path := o.File; ; {
		if s.unreadable[path] {
			return true
		}
		up := filepath.Dir(path)
		if up == path {
			return false
		}
		path = up
	}
}
