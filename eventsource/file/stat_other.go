//go:build !unix

package file

import "os"

// look is the state of the file at path. Without inodes and change times a
// rename looks like a removal when polling.
func look(path string) (stat, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return stat{}, err
	}
	return stat{size: fi.Size(), mode: uint32(fi.Mode()), modified: fi.ModTime().UnixNano(), dir: fi.IsDir()}, nil
}
