package gitrepo

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// maxWalk bounds how many commits are looked at for one pair.
const maxWalk = 100_000

// ErrUnknown is what errors wrap if the Copy does not have what is needed.
var ErrUnknown = errors.New("the commits could not be fetched")

// node is what walking through history needs of a commit.
type node struct {
	parents []plumbing.Hash
	when    time.Time
}

// node is nil if the Copy does not have the commit.
func (c *Copy) node(h plumbing.Hash) *node {
	n, known := c.nodes[h]
	if known {
		return n
	}
	if commit, err := object.GetCommit(c.store, h); err == nil {
		n = &node{commit.ParentHashes, commit.Committer.When}
	}
	c.nodes[h] = n
	return n
}

// walk collects the commits that can be reached from one, that one included,
// without those that stop has. whole tells that none of them is missing;
// border are those of stop that were met.
func (c *Copy) walk(from plumbing.Hash, stop map[plumbing.Hash]bool) (found, border map[plumbing.Hash]bool, whole bool) {
	found, border, whole = map[plumbing.Hash]bool{}, map[plumbing.Hash]bool{}, true
	for next := []plumbing.Hash{from}; len(next) > 0; {
		h := next[len(next)-1]
		next = next[:len(next)-1]
		switch {
		case stop[h]:
			border[h] = true
			continue
		case found[h]:
			continue
		case len(found) >= maxWalk:
			return found, border, false
		}
		n := c.node(h)
		if n == nil {
			whole = false
			continue
		}
		found[h] = true
		next = append(next, n.parents...)
	}
	return found, border, whole
}

// History is what one commit has and another has not.
type History struct {
	// Contained tells whether the history of After contains Before; nil if that is not known.
	Contained *bool
	// Base is the newest commit that both have; empty if there is none, or it is not known.
	Base string
	// Commits that only After has, the newest last; at most as many as were asked for.
	Commits []*object.Commit
	// Total is how many there are; nil if that is not known.
	Total *int
}

// History compares a pair. It keeps the newest commits, max of them. Before may
// be empty: then all of After's are new. The error wraps ErrUnknown if After could not be fetched.
func (c *Copy) History(p Pair, max int) (*History, error) {
	before, after := plumbing.NewHash(p.Before), plumbing.NewHash(p.After)
	if c.node(after) == nil {
		return nil, fmt.Errorf("commit %s: %w", p.After, ErrUnknown)
	}
	old := map[plumbing.Hash]bool{}
	if p.Before != "" {
		if old, _, _ = c.walk(before, nil); len(old) == 0 {
			old[before] = true // it is known by name
		}
	}
	found, border, whole := c.walk(after, old)
	h := &History{Base: c.newest(border)}
	if border[before] {
		h.Contained = new(true)
	} else if whole && p.Before != "" {
		h.Contained = new(false)
	}
	if whole {
		h.Total = new(len(found))
	}
	for _, hash := range c.latest(after, found, max) {
		commit, err := object.GetCommit(c.store, hash)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", hash, err)
		}
		h.Commits = append(h.Commits, commit)
	}
	slices.Reverse(h.Commits)
	return h, nil
}

// unclosed are the pairs of which it cannot be said yet what is new.
func (c *Copy) unclosed(pairs []Pair) []Pair {
	return slices.DeleteFunc(slices.Clone(pairs), func(p Pair) bool {
		h, err := c.History(p, 0)
		return err != nil || h.Total != nil || p.Before == ""
	})
}

// bare are commits whose files are going to be compared, and whose folders are missing.
func (c *Copy) bare(pairs []Pair) []plumbing.Hash {
	var all []plumbing.Hash
	check := func(h plumbing.Hash) {
		commit, err := object.GetCommit(c.store, h)
		if err == nil && c.store.HasEncodedObject(commit.TreeHash) != nil && !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	for _, p := range pairs {
		check(plumbing.NewHash(p.Before))
		check(plumbing.NewHash(p.After))
		if h, err := c.History(p, 0); err == nil && h.Base != "" {
			check(plumbing.NewHash(h.Base))
		}
	}
	return all
}

func (c *Copy) newest(set map[plumbing.Hash]bool) string {
	var best plumbing.Hash
	var at time.Time
	for h := range set {
		n := c.node(h)
		if n == nil { // known by name only; then it is the only one
			return h.String()
		}
		if best.IsZero() || n.when.After(at) || n.when.Equal(at) && h.String() < best.String() {
			best, at = h, n.when
		}
	}
	if best.IsZero() {
		return ""
	}
	return best.String()
}

// latest gives the newest commits of a set, the newest first, and none before a
// child of it that is in the set.
func (c *Copy) latest(from plumbing.Hash, set map[plumbing.Hash]bool, max int) []plumbing.Hash {
	children := map[plumbing.Hash]int{}
	for h := range set {
		for _, p := range c.node(h).parents {
			children[p]++
		}
	}
	ready := &byDate{copy: c}
	if set[from] {
		heap.Push(ready, from)
	}
	var all []plumbing.Hash
	for ready.Len() > 0 && len(all) < max {
		h := heap.Pop(ready).(plumbing.Hash)
		all = append(all, h)
		for _, p := range c.node(h).parents {
			if children[p]--; children[p] == 0 && set[p] {
				heap.Push(ready, p)
			}
		}
	}
	return all
}

// byDate is a heap, the newest commit on top.
type byDate struct {
	copy *Copy
	all  []plumbing.Hash
}

func (b *byDate) Len() int      { return len(b.all) }
func (b *byDate) Swap(i, j int) { b.all[i], b.all[j] = b.all[j], b.all[i] }
func (b *byDate) Push(x any)    { b.all = append(b.all, x.(plumbing.Hash)) }
func (b *byDate) Less(i, j int) bool {
	return b.copy.node(b.all[i]).when.After(b.copy.node(b.all[j]).when)
}

func (b *byDate) Pop() any {
	last := b.all[len(b.all)-1]
	b.all = b.all[:len(b.all)-1]
	return last
}

// ErrTooMany is what errors wrap if there are more files than asked for.
var ErrTooMany = errors.New("too many files")

// Files are paths that differ between two commits, each list sorted.
type Files struct{ Added, Modified, Removed []string }

// Len is the number of paths.
func (f *Files) Len() int { return len(f.Added) + len(f.Modified) + len(f.Removed) }

// Diff compares the files of two commits, without following renames; from may be
// empty. The error wraps ErrTooMany if there are more than max, and ErrUnknown if
// the Copy does not have the commits' folders.
func (c *Copy) Diff(from, to string, max int) (*Files, error) {
	var trees [2]plumbing.Hash
	for i, id := range []string{from, to} {
		if id == "" {
			continue
		}
		commit, err := object.GetCommit(c.store, plumbing.NewHash(id))
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w: %w", id, ErrUnknown, err)
		}
		trees[i] = commit.TreeHash
	}
	d := &differ{copy: c, max: max}
	if err := d.trees("", trees[0], trees[1]); err != nil {
		return nil, err
	}
	for _, list := range [][]string{d.files.Added, d.files.Modified, d.files.Removed} {
		slices.Sort(list)
	}
	return &d.files, nil
}

type differ struct {
	copy  *Copy
	max   int
	seen  int // entries
	files Files
}

// Bounds of a comparison, for trees that are made to be endless.
const (
	maxPath    = 8 << 10
	maxEntries = 2_000_000
)

// trees compares two folders, either of which may be zero for none.
func (d *differ) trees(path string, from, to plumbing.Hash) error {
	if from == to {
		return nil
	}
	if len(path) > maxPath || d.seen > maxEntries {
		return fmt.Errorf("folders without an end: %w", ErrTooMany)
	}
	old, err := d.entries(from)
	if err != nil {
		return err
	}
	now, err := d.entries(to)
	if err != nil {
		return err
	}
	byName := make(map[string]object.TreeEntry, len(old))
	for _, e := range old {
		byName[e.Name] = e
	}
	for _, e := range now {
		before, was := byName[e.Name]
		delete(byName, e.Name)
		if !was || before.Hash != e.Hash || before.Mode != e.Mode {
			if err := d.entry(path+e.Name, before, e); err != nil {
				return err
			}
		}
	}
	for _, e := range old {
		if _, gone := byName[e.Name]; gone {
			if err := d.entry(path+e.Name, e, object.TreeEntry{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry compares two entries of a name, either of which may be zero for none.
func (d *differ) entry(path string, from, to object.TreeEntry) error {
	var trees [2]plumbing.Hash
	var is [2]bool
	for i, e := range []object.TreeEntry{from, to} {
		if e.Mode == filemode.Dir {
			trees[i] = e.Hash
		} else {
			is[i] = !e.Hash.IsZero()
		}
	}
	switch {
	case is[0] && is[1]:
		d.files.Modified = append(d.files.Modified, path)
	case is[0]:
		d.files.Removed = append(d.files.Removed, path)
	case is[1]:
		d.files.Added = append(d.files.Added, path)
	}
	if d.files.Len() > d.max {
		return fmt.Errorf("more than %d: %w", d.max, ErrTooMany)
	}
	return d.trees(path+"/", trees[0], trees[1])
}

func (d *differ) entries(h plumbing.Hash) ([]object.TreeEntry, error) {
	if h.IsZero() {
		return nil, nil
	}
	tree, err := object.GetTree(d.copy.store, h)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w: %w", h, ErrUnknown, err)
	}
	d.seen += len(tree.Entries) + 1
	return tree.Entries, nil
}
