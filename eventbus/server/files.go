package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	infoFile = "bus.json"
	lockFile = "lock"
)

// Info is how other processes of this machine join an embedded server. It is
// in bus.json in the data directory, readable by the owner only.
type Info struct {
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
	PID      int    `json:"pid"`
	// StoreDir, if not empty, is to be given to the client: it has to fsync.
	StoreDir string `json:"storeDir,omitempty"`
}

// ErrNotRunning means that no embedded server runs on a data directory.
var ErrNotRunning = errors.New("no bus is running here")

// Find says how to join the embedded server that runs on a data directory. The
// error wraps ErrNotRunning if there is none.
func Find(dataDir string) (*Info, error) {
	path := filepath.Join(dataDir, infoFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dataDir, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("find bus: %w", err)
	}
	info := &Info{}
	if err := json.Unmarshal(data, info); err != nil {
		return nil, fmt.Errorf("find bus: %s: %w", path, err)
	}
	// The file of a process that was killed stays behind.
	f, err := os.Open(filepath.Join(dataDir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("find bus: %w", err)
	}
	defer func() { _ = f.Close() }()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return nil, fmt.Errorf("%s: %w", dataDir, ErrNotRunning)
	}
	return info, nil
}

// announce writes bus.json, whole or not at all.
func (s *Server) announce() error {
	data, err := json.MarshalIndent(Info{ //nolint:gosec // the file that hands the password to its owner
		URL: s.URL(), User: s.user.Name, Password: s.user.Password, PID: os.Getpid(), StoreDir: s.StoreDir(),
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.config.DataDir, infoFile)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *Server) withdraw() error {
	err := os.Remove(filepath.Join(s.config.DataDir, infoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lock takes the data directory for this process, until the file is closed or
// the process ends.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		pid, _ := io.ReadAll(f)
		return nil, errors.Join(fmt.Errorf("%s is in use by process %s", dir, strings.TrimSpace(string(pid))), f.Close())
	}
	if err := errors.Join(f.Truncate(0), write(f, pidText()+"\n")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// flock tries for a moment, because Find takes the lock for an instant.
func flock(f *os.File) error {
	for range 5 {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return syscall.EWOULDBLOCK
}

func write(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// free is the space that is left on the file system of dir.
func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// StoreFor is a limit for everything that a server stores in dataDir, when the
// events' stream may take maxBytes: what the disk allows, and at least a quarter
// more than that, so that dead letters and state find room when events do not.
func StoreFor(dataDir string, maxBytes int64) (int64, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return 0, err
	}
	n, err := free(dataDir)
	if err != nil {
		return 0, err
	}
	return max(n/4*3, maxBytes/4*5), nil
}
