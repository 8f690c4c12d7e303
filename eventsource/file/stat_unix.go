//go:build unix

package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// look is the state of the file at path, following links; of a link to nothing
// it is the link's own. It wraps os.ErrNotExist if there is no file.
func look(path string) (stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Stat(path, &st) })
	if err != nil {
		err = retry(func() error { return unix.Lstat(path, &st) })
	}
	if err != nil {
		return stat{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	//nolint:unconvert // the types differ from system to system
	return stat{
		dev: uint64(st.Dev), inode: uint64(st.Ino), links: uint64(st.Nlink),
		size: st.Size, mode: uint32(st.Mode),
		modified: st.Mtim.Nano(), changed: st.Ctim.Nano(),
		dir: st.Mode&unix.S_IFMT == unix.S_IFDIR,
	}, nil
}

// retry repeats what a signal interrupted; on a network file system that happens.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
