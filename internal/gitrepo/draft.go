package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

const (
	// maxCheckout bounds what is fetched from servers that can leave nothing out, in
	// bytes. It goes to disk.
	maxCheckout = 1 << 30
	// MaxFile is the size up to which a file can be read and written, in bytes.
	MaxFile = smallObject
	// maxWritten bounds all that is written for one commit, in bytes.
	maxWritten = 8 * MaxFile
	// mostCommits bounds History.
	mostCommits = 500
)

var (
	// ErrNoBranch is what errors wrap if there is no such branch.
	ErrNoBranch = errors.New("there is no such branch")
	// ErrMoved is what errors wrap if somebody else has pushed to the branch meanwhile.
	ErrMoved = errors.New("somebody else has pushed meanwhile")
)

// A Draft is the newest commit of a branch with files changed. It is in a
// temporary folder until Close. It is used by one goroutine.
type Draft struct {
	// Branch without refs/heads/.
	Branch string
	// Tip is the branch's commit on the server; empty if the branch is not there yet.
	Tip string
	// Base is the commit of the branch that it begins at or is to be merged into;
	// empty if there is no such branch.
	Base string
	// BaseBranch is its name.
	BaseBranch string

	remote  *Remote
	fetch   *fetcher
	copy    *Copy
	from    plumbing.Hash   // the commit whose files are changed; zero for none
	parents []plumbing.Hash // of the new commit

	trees   map[plumbing.Hash][]object.TreeEntry
	changed map[string][]byte // nil removes
	listed  []string          // what the last List found
	made    *made             // the new commit
}

// Draft fetches the newest commit of a branch, with the names of its files, and
// the commits before it to a depth of about 50. The contents of files are
// fetched when they are read, from servers that know partial clones (GitHub, GitLab, Gitea,
// git with uploadpack.allowFilter; over ssh those that hand out any object
// as well); from others come all files of the newest commits.
//
// An empty branch, or HEAD, is the repository's default one. If base is given, it is a
// branch that the branch begins at where it is not there yet. Without it, that is an
// error which wraps ErrNoBranch, unless the repository has no commits at all.
func (r *Remote) Draft(ctx context.Context, branch, base string) (_ *Draft, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "signalbox-git-")
	if err != nil {
		return nil, fmt.Errorf("a temporary folder for commits is needed: %w", err)
	}
	c := &Copy{dir: dir, nodes: map[plumbing.Hash]*node{}}
	c.open()
	d := &Draft{remote: r, copy: c, fetch: &fetcher{remote: r, copy: c, limit: r.maxPack}}
	if err := d.begin(ctx, branch, base); err != nil {
		return nil, errors.Join(r.explain(ctx, err), d.Close())
	}
	return d, nil
}

// Close removes what was fetched.
func (d *Draft) Close() error {
	d.fetch.close()
	return d.copy.Close()
}

func (d *Draft) begin(ctx context.Context, branch, base string) error {
	err := d.fetch.talk(ctx)
	empty := errors.Is(err, transport.ErrEmptyRemoteRepository)
	if err != nil && !empty {
		return err
	}
	refs := &Refs{}
	if !empty {
		refs = refsOf(d.fetch.adv)
	}
	if d.Branch, err = nameOf(refs, branch); err != nil {
		return err
	}
	d.Tip = refs.Tips["refs/heads/"+d.Branch].Commit
	if base != "" {
		if d.BaseBranch, err = nameOf(refs, base); err != nil {
			return err
		}
		d.Base = refs.Tips["refs/heads/"+d.BaseBranch].Commit
		if d.Base == "" && !empty {
			return fmt.Errorf("%s: %w", d.BaseBranch, ErrNoBranch)
		}
	}
	if d.Tip == "" && d.Base == "" && len(refs.Tips) > 0 {
		return fmt.Errorf("%s: %w", d.Branch, ErrNoBranch)
	}
	if err := d.fetchCommits(ctx); err != nil {
		return err
	}
	d.onto(d.Tip, d.Tip)
	if d.Tip == "" || d.Base != "" && d.isIn(d.Tip, d.Base) {
		d.onto(d.Base, d.Base)
	}
	return nil
}

// nameOf is a branch's name, or that of the default one.
func nameOf(refs *Refs, branch string) (string, error) {
	if branch != "" && branch != "HEAD" {
		return strings.TrimPrefix(branch, "refs/heads/"), nil
	}
	name, ok := strings.CutPrefix(refs.Default, "refs/heads/")
	if !ok {
		return "", errors.New("the server does not tell which branch is the default one: name the branch")
	}
	return name, nil
}

// onto sets which commit's files are changed, and what the new commit follows.
func (d *Draft) onto(files string, parents ...string) {
	d.from, d.parents = plumbing.ZeroHash, nil
	if files != "" {
		d.from = plumbing.NewHash(files)
	}
	for _, p := range parents {
		if h := plumbing.NewHash(p); p != "" && !slices.Contains(d.parents, h) {
			d.parents = append(d.parents, h)
		}
	}
	d.trees, d.changed, d.listed, d.made = map[plumbing.Hash][]object.TreeEntry{}, map[string][]byte{}, nil, nil
}

// Restart begins anew with the files of Base, whatever the branch has. The
// branch's own commits stay in its history: the new commit merges, so that the
// push is no forced one, and the difference to Base is what is changed from now on.
func (d *Draft) Restart() {
	switch {
	case d.Base == "":
	case d.Tip == "" || d.isIn(d.Tip, d.Base):
		d.onto(d.Base, d.Base)
	default:
		d.onto(d.Base, d.Tip, d.Base)
	}
}

// isIn tells whether a commit is known to be part of another one's history.
func (d *Draft) isIn(commit, of string) bool {
	h, err := d.copy.History(Pair{Before: commit, After: of}, 0)
	return err == nil && h.Contained != nil && *h.Contained
}

// fetchCommits fetches commits and folders, and files where they cannot be left out.
func (d *Draft) fetchCommits(ctx context.Context) error {
	var wants []plumbing.Hash
	for _, id := range []string{d.Tip, d.Base} {
		if h := plumbing.NewHash(id); id != "" && !slices.Contains(wants, h) {
			wants = append(wants, h)
		}
	}
	if len(wants) == 0 {
		return nil
	}
	if d.sparse() {
		err := d.fetch.get(ctx, wants, depthFirst, noBlobs)
		if errors.Is(err, ErrTooLarge) {
			if err = d.whole(ctx, wants, noBlobs); err == nil {
				_ = d.fetch.get(ctx, wants, depthFirst, noTrees) // a shorter history then
			}
		}
		return err
	}
	err := d.fetch.get(ctx, wants, depthFirst, "")
	if errors.Is(err, ErrTooLarge) {
		err = d.whole(ctx, wants, "")
	}
	return err
}

// whole fetches the newest commits only, with all that belongs to them.
func (d *Draft) whole(ctx context.Context, wants []plumbing.Hash, filter packp.Filter) error {
	d.fetch.limit = maxCheckout
	defer func() { d.fetch.limit = d.remote.maxPack }()
	err := d.fetch.get(ctx, wants, 1, filter)
	if errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("the newest files are more than %d MiB, and the server cannot leave out what is not needed", maxCheckout>>20)
	}
	return err
}

// sparse tells whether the server leaves out files, and hands them out one by one.
func (d *Draft) sparse() bool {
	return d.fetch.filters() && (d.remote.ep.Protocol != "ssh" || capable(d.fetch.adv))
}

// From is the commit whose files are changed; empty for none.
func (d *Draft) From() string {
	if d.from.IsZero() {
		return ""
	}
	return d.from.String()
}

// History are the newest commits of branch and base, the newest last.
func (d *Draft) History() ([]*object.Commit, error) {
	seen := map[plumbing.Hash]*object.Commit{}
	for _, id := range []string{d.Tip, d.Base} {
		if id == "" {
			continue
		}
		h, err := d.copy.History(Pair{After: id}, mostCommits)
		if err != nil {
			return nil, err
		}
		for _, c := range h.Commits {
			seen[c.Hash] = c
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(a, b *object.Commit) int {
		return a.Committer.When.Compare(b.Committer.When)
	}), nil
}

// Own are the commits that the branch has and its base has not, the newest last.
func (d *Draft) Own() ([]*object.Commit, error) {
	if d.Tip == "" {
		return nil, nil
	}
	h, err := d.copy.History(Pair{Before: d.Base, After: d.Tip}, mostCommits)
	if err != nil {
		return nil, err
	}
	return h.Commits, nil
}

// Reset forgets all changes.
func (d *Draft) Reset() { d.changed, d.made = map[string][]byte{}, nil }

// Mark remembers the changes so far; the function goes back to them.
func (d *Draft) Mark() (back func()) {
	was := maps.Clone(d.changed)
	return func() { d.changed, d.made = was, nil }
}

// Changed tells whether any file differs.
func (d *Draft) Changed() bool { return len(d.changed) > 0 }
