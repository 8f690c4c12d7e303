package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/signalbox-events/signalbox/internal/glob"
)

// mostAhead is how many files are fetched at once because others of the same
// list are read.
const mostAhead = 256

// A Folder has the files of a Draft. Paths have slashes and begin at the
// repository's root.
type Folder struct {
	ctx   context.Context //nolint:containedctx // its methods are those of others, who have none
	draft *Draft
}

// Files are the draft's files, for as long as ctx is not done.
func (d *Draft) Files(ctx context.Context) Folder { return Folder{ctx, d} }

// Read gives a file's contents, changed ones if it has been written. The error
// wraps fs.ErrNotExist if there is no such file. Symbolic links are not followed.
func (f Folder) Read(path string) ([]byte, error) {
	if err := checkPath("read", path); err != nil {
		return nil, err
	}
	d := f.draft
	if b, ok := d.changed[path]; ok {
		if b == nil {
			return nil, failed("read", path, fs.ErrNotExist)
		}
		return bytes.Clone(b), nil
	}
	e, err := d.entry(path)
	if err != nil {
		return nil, failed("read", path, err)
	}
	ahead := []string{path}
	if slices.Contains(d.listed, path) {
		ahead = append(ahead, d.listed[:min(len(d.listed), mostAhead)]...)
	}
	err = d.Fetch(f.ctx, ahead...)
	if errors.Is(err, ErrTooLarge) && len(ahead) > 1 { // together; one by one they may be small enough
		d.listed = nil
		err = d.Fetch(f.ctx, path)
	}
	if err != nil {
		return nil, failed("read", path, err)
	}
	b, err := d.blob(e.Hash)
	if err != nil {
		return nil, failed("read", path, err)
	}
	return b, nil
}

// Write changes a file, or makes one. What is as it was is no change.
func (f Folder) Write(path string, data []byte) error {
	if err := checkPath("write", path); err != nil {
		return err
	}
	d := f.draft
	e, err := d.entry(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return failed("write", path, err)
	}
	for _, parent := range parents(path) {
		if d.changed[parent] != nil {
			return failed("write", path, fmt.Errorf("%s is a file", parent))
		}
	}
	size := len(data)
	for p, b := range d.changed {
		if b != nil && strings.HasPrefix(p, path+"/") {
			return failed("write", path, errors.New("is a folder"))
		}
		if p != path {
			size += len(b)
		}
	}
	if len(data) > MaxFile || size > maxWritten {
		return failed("write", path, errors.New("is too large"))
	}
	d.made = nil
	if err == nil && plumbing.ComputeHash(plumbing.BlobObject, data) == e.Hash {
		delete(d.changed, path)
		return nil
	}
	d.changed[path] = append([]byte{}, data...)
	return nil
}

// Remove removes a file. The error wraps fs.ErrNotExist if there is none. Folders
// go with their last file.
func (f Folder) Remove(path string) error {
	if err := checkPath("remove", path); err != nil {
		return err
	}
	d := f.draft
	was, written := d.changed[path]
	if written && was == nil {
		return failed("remove", path, fs.ErrNotExist)
	}
	_, err := d.entry(path)
	switch {
	case err == nil:
		d.changed[path] = nil
	case written && errors.Is(err, fs.ErrNotExist):
		delete(d.changed, path)
	default:
		return failed("remove", path, err)
	}
	d.made = nil
	return nil
}

// List gives the files that match a glob (internal/glob), sorted.
func (f Folder) List(pattern string) ([]string, error) {
	d := f.draft
	pattern = strings.TrimPrefix(pattern, "/")
	plain := pattern
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		plain = pattern[:i]
	}
	found := map[string]bool{}
	root, err := d.root()
	if err != nil {
		return nil, failed("list", pattern, err)
	}
	seen := 0
	var walk func(folder string, tree plumbing.Hash) error
	walk = func(folder string, tree plumbing.Hash) error {
		entries, err := d.entries(tree)
		if err != nil {
			return err
		}
		if seen += len(entries) + 1; seen > maxEntries || len(folder) > maxPath {
			return ErrTooMany
		}
		for _, e := range entries {
			p := folder + e.Name
			switch {
			case e.Mode == filemode.Dir:
				if within := p + "/"; strings.HasPrefix(within, plain) || strings.HasPrefix(plain, within) {
					if err := walk(within, e.Hash); err != nil {
						return err
					}
				}
			case isFile(e.Mode) && glob.Match(pattern, p):
				found[p] = true
			}
		}
		return f.ctx.Err()
	}
	if err := walk("", root); err != nil {
		return nil, failed("list", pattern, err)
	}
	for p, b := range d.changed {
		delete(found, p)
		if b != nil && glob.Match(pattern, p) {
			found[p] = true
		}
	}
	all := make([]string, 0, len(found))
	for p := range found {
		all = append(all, p)
	}
	slices.Sort(all)
	d.listed = all
	return all, nil
}

func failed(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

// checkPath refuses what cannot be a file of a repository, and what git itself
// would read as its own.
func checkPath(op, path string) error {
	bad := !fs.ValidPath(path) || path == "." || len(path) > maxPath || strings.ContainsAny(path, "\x00\\")
	for part := range strings.SplitSeq(path, "/") {
		name := strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) { // macOS does not see them
				return -1
			}
			return unicode.ToLower(r)
		}, part)
		name, _, _ = strings.Cut(name, ":") // .git::$INDEX_ALLOCATION is .git for Windows
		name = strings.TrimRight(name, ". ")
		bad = bad || name == ".git" || strings.HasPrefix(name, "git~")
	}
	if bad {
		return failed(op, path, errors.New("is no path of a file in a repository"))
	}
	return nil
}

func isFile(m filemode.FileMode) bool {
	return m == filemode.Regular || m == filemode.Executable || m == filemode.Deprecated
}

// parents are the folders above a path.
func parents(path string) []string {
	var all []string
	for i, c := range path {
		if c == '/' {
			all = append(all, path[:i])
		}
	}
	return all
}

// root is the tree of the commit whose files are changed.
func (d *Draft) root() (plumbing.Hash, error) {
	if d.from.IsZero() {
		return plumbing.ZeroHash, nil
	}
	c, err := object.GetCommit(d.copy.store, d.from)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("commit %s: %w: %w", d.from, ErrUnknown, err)
	}
	return c.TreeHash, nil
}

func (d *Draft) entries(tree plumbing.Hash) ([]object.TreeEntry, error) {
	if tree.IsZero() {
		return nil, nil
	}
	if known, ok := d.trees[tree]; ok {
		return known, nil
	}
	t, err := object.GetTree(d.copy.store, tree)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w: %w", tree, ErrUnknown, err)
	}
	if len(d.trees) < 10_000 {
		d.trees[tree] = t.Entries
	}
	return t.Entries, nil
}

// entry finds a file of the commit.
func (d *Draft) entry(path string) (object.TreeEntry, error) {
	tree, err := d.root()
	if err != nil {
		return object.TreeEntry{}, err
	}
	parts := strings.Split(path, "/")
	for i, name := range parts {
		entries, err := d.entries(tree)
		if err != nil {
			return object.TreeEntry{}, err
		}
		at := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == name })
		if at < 0 {
			return object.TreeEntry{}, fs.ErrNotExist
		}
		e := entries[at]
		last := i == len(parts)-1
		switch {
		case last && isFile(e.Mode):
			return e, nil
		case e.Mode == filemode.Symlink:
			return object.TreeEntry{}, fmt.Errorf("%s is a symbolic link", strings.Join(parts[:i+1], "/"))
		case e.Mode == filemode.Submodule:
			return object.TreeEntry{}, fmt.Errorf("%s is a submodule", strings.Join(parts[:i+1], "/"))
		case last:
			return object.TreeEntry{}, errors.New("is a folder")
		case e.Mode != filemode.Dir:
			return object.TreeEntry{}, fmt.Errorf("%s is a file", strings.Join(parts[:i+1], "/"))
		}
		tree = e.Hash
	}
	return object.TreeEntry{}, fs.ErrNotExist
}

// Fetch gets the contents of files, those that there are, in one go. Reading
// them later asks the server no more.
func (d *Draft) Fetch(ctx context.Context, paths ...string) error {
	var wants []plumbing.Hash
	for _, p := range paths {
		e, err := d.entry(p)
		if err == nil && d.copy.store.HasEncodedObject(e.Hash) != nil && !slices.Contains(wants, e.Hash) {
			wants = append(wants, e.Hash)
		}
	}
	if len(wants) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err := d.fetch.talk(ctx)
	if err == nil {
		err = d.fetch.pack(ctx, wants, 0, "")
	}
	if d.remote.ep.Protocol == "ssh" || err != nil {
		d.fetch.close()
	}
	var no *refused
	if errors.As(err, &no) { // then all of them
		err = d.whole(ctx, []plumbing.Hash{d.from}, "")
	}
	return d.remote.explain(ctx, err)
}

func (d *Draft) blob(h plumbing.Hash) ([]byte, error) {
	b, err := object.GetBlob(d.copy.store, h)
	if err != nil {
		return nil, fmt.Errorf("its contents could not be fetched: %w", err)
	}
	if b.Size > MaxFile {
		return nil, fmt.Errorf("is larger than %d MiB", MaxFile>>20)
	}
	r, err := b.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, MaxFile))
}
