package file

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// stat is the state of a file, by which two looks at it are compared.
type stat struct {
	dev, inode, links uint64 // 0 where the system has no such thing
	size              int64
	mode              uint32
	modified, changed int64 // nanoseconds since 1970
	dir               bool
}

// folder is the directory that is watched, and which of its files matter.
type folder struct {
	path string
	matcher
}

func (f folder) file(name string) string { return filepath.Join(f.path, name) }

// stat is that of the directory itself.
func (f folder) stat() (os.FileInfo, error) {
	fi, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("watch directory: %w", err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("watch directory: %s is not a directory", f.path)
	}
	return fi, nil
}

// scan looks at every file that matters. Its error wraps os.ErrNotExist if the
// directory does not exist.
func (f folder) scan() (map[string]stat, error) {
	if _, err := f.stat(); err != nil {
		return nil, err
	}
	names := []string{f.only}
	if f.pattern != nil {
		var err error
		if names, err = f.names(); err != nil {
			return nil, err
		}
	}
	found := map[string]stat{}
	for _, name := range names {
		if name == "" || !f.match(name) {
			continue
		}
		st, err := look(f.file(name))
		switch {
		case err == nil:
			found[name] = st
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}
	return found, nil
}

func (f folder) names() ([]string, error) {
	dir, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	defer dir.Close() //nolint:errcheck // only read from
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	return names, nil
}

// identity knows a file again under another name. An inode is not enough: that
// of a removed file is given to the next new one.
type identity struct {
	dev, inode uint64
	size       int64
	modified   int64
}

func (st stat) identity() identity { return identity{st.dev, st.inode, st.size, st.modified} }

// links is how many names each file in the directory has, whether it matters or not.
func (f folder) links() map[identity]uint64 {
	found := map[identity]uint64{}
	names, err := f.names()
	if err != nil {
		return found // the directory is gone, and its files with it
	}
	for _, name := range names {
		if st, err := look(f.file(name)); err == nil {
			found[st.identity()] = st.links
		}
	}
	return found
}

// change is something that happened to a file.
type change struct {
	name string
	op   op
	// stat is the last that is known, nil if nothing is.
	stat *stat
}

// diff is how the folder came from the state before to the state now, as far as
// that is among the wanted operations: first what went, then what came or
// changed, the oldest first.
//
// A look now and then cannot tell a new file from a new file that was written
// to, nor a file that was replaced from one that was removed and made again.
// Both are CREATE; if only WRITE is wanted, they are that.
func (f folder) diff(before, now map[string]stat, wanted op) []change {
	var changes []change
	links := sync.OnceValue(f.links)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[name]; ok {
			continue
		}
		old, gone := before[name], opRemove
		// A file that is still there with as many names as before was renamed;
		// one that lost a name by removal has fewer.
		if old.inode != 0 && links()[old.identity()] == old.links {
			gone = opRename
		}
		changes = append(changes, change{name, gone, &old})
	}
	names := slices.SortedFunc(maps.Keys(now), func(a, b string) int {
		return cmp.Or(cmp.Compare(now[a].changed, now[b].changed), cmp.Compare(a, b))
	})
	for _, name := range names {
		st := now[name]
		old, ok := before[name]
		switch {
		case ok && old == st:
		case !ok || old.inode != st.inode || old.dev != st.dev:
			o := opCreate
			if wanted&opCreate == 0 && st.size > 0 && !st.dir {
				o = opWrite
			}
			changes = append(changes, change{name, o, &st})
		default:
			written := !st.dir && (old.size != st.size || old.modified != st.modified)
			if written {
				changes = append(changes, change{name, opWrite, &st})
			}
			// Writing moves the time of change, too, and so does, for a
			// directory, what happens in it.
			if old.mode != st.mode || !written && !st.dir && old.changed != st.changed {
				changes = append(changes, change{name, opChmod, &st})
			}
		}
	}
	return changes
}
