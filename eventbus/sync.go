package eventbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// syncers share one fsync among everybody who waits for one. They exist where
// the server is on this machine and leaves fsync to its clients: it has written a
// message to the stream's current block file before it acknowledges it (a test
// proves that for the server we are built with), so syncing that file
// afterwards makes the message durable.
type syncers struct {
	mu    sync.Mutex
	byDir map[string]*syncer
}

func newSyncers() *syncers { return &syncers{byDir: map[string]*syncer{}} }

// open returns the syncer of a stream, shared by all Buses of a Link. storeDir
// is the server's JetStream folder.
func (s *syncers) open(storeDir, stream string) (*syncer, error) {
	dir := filepath.Join(storeDir, "$G", "streams", stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	if y, ok := s.byDir[dir]; ok {
		return y, nil
	}
	y := &syncer{top: storeDir, dir: dir, turn: make(chan struct{}, 1)}
	if err := y.anchor(); err != nil {
		return nil, err
	}
	s.byDir[dir] = y
	return y, nil
}

func (s *syncers) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, y := range s.byDir {
		errs = append(errs, y.close())
	}
	s.byDir = map[string]*syncer{}
	return errors.Join(errs...)
}

// syncer makes one stream's messages durable.
type syncer struct {
	top, dir string // of the store, of the stream

	mu   sync.Mutex
	next *syncBatch
	// failed is the first error of fsync. After one the kernel may have dropped
	// the pages, and a later fsync would succeed without them: nothing is
	// durable any more until the process is started again.
	failed error

	turn chan struct{} // who holds it syncs, and owns what follows

	block int // number of the current block; 0: to be looked for
	file  *os.File
}

// syncBatch is a group of callers who wait for the same fsync.
type syncBatch struct {
	done chan struct{}
	err  error // valid after done
}

// wait returns nil once everything that was written before the call is on disk.
func (y *syncer) wait(ctx context.Context) error {
	y.mu.Lock()
	if y.failed != nil {
		y.mu.Unlock()
		return y.failed
	}
	if y.next == nil {
		y.next = &syncBatch{done: make(chan struct{})}
	}
	mine := y.next
	y.mu.Unlock()
	for {
		select {
		case <-mine.done:
			return mine.err
		case y.turn <- struct{}{}:
			select {
			case <-mine.done: // by the one who had the turn before
			default:
				y.lead()
			}
			<-y.turn
		case <-ctx.Done():
			return fmt.Errorf("%w: stored, but not known to be on disk: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// lead syncs for the batch that gathered so far. The caller holds the turn.
func (y *syncer) lead() {
	y.mu.Lock()
	batch, err := y.next, y.failed
	y.next = nil
	y.mu.Unlock()
	if batch == nil {
		return
	}
	if err == nil {
		if err = y.sync(); err != nil {
			err = fmt.Errorf("%w: sync %s: %w", ErrUnavailable, y.dir, err)
			y.mu.Lock()
			y.failed = err
			y.mu.Unlock()
		}
	}
	batch.err = err
	close(batch.done)
}

func (y *syncer) blockPath(n int) string {
	return filepath.Join(y.dir, "msgs", strconv.Itoa(n)+".blk")
}

// sync makes the current block durable, and those that followed it since.
func (y *syncer) sync() error {
	if y.file == nil {
		return y.syncAll()
	}
	for {
		if err := y.file.Sync(); err != nil {
			return err
		}
		next, err := os.Open(y.blockPath(y.block + 1))
		switch {
		case err == nil:
			// The server began a new block, perhaps after our sync of this one.
			if err := errors.Join(y.file.Sync(), y.file.Close(), syncPath(filepath.Join(y.dir, "msgs"))); err != nil {
				y.file = nil
				return errors.Join(err, next.Close())
			}
			y.file, y.block = next, y.block+1
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case y.replaced():
			return y.syncAll()
		default:
			return nil
		}
	}
}

// replaced says whether the file we hold is no longer the block: the server
// purges blocks and writes shorter ones in their place.
func (y *syncer) replaced() bool {
	held, err := y.file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(y.blockPath(y.block))
	return err != nil || !os.SameFile(held, named)
}

// syncAll makes every block durable and finds the current one.
func (y *syncer) syncAll() error {
	if y.file != nil {
		if err := y.file.Close(); err != nil {
			return err
		}
		y.file = nil
	}
	if err := y.anchor(); err != nil {
		return err
	}
	dir := filepath.Join(y.dir, "msgs")
	for range 10 {
		blocks, err := blocks(dir)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			return fmt.Errorf("%s holds no block file after a message was stored", dir)
		}
		y.block = blocks[len(blocks)-1]
		for _, n := range blocks[:len(blocks)-1] {
			if err := syncPath(y.blockPath(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		file, err := os.Open(y.blockPath(y.block))
		if errors.Is(err, fs.ErrNotExist) {
			continue // replaced at this moment
		}
		if err != nil {
			return err
		}
		y.file = file
		if err := errors.Join(file.Sync(), syncPath(dir)); err != nil {
			return err
		}
		if _, err := os.Stat(y.blockPath(y.block + 1)); errors.Is(err, fs.ErrNotExist) && !y.replaced() {
			return nil
		}
		if err := file.Close(); err != nil {
			return err
		}
		y.file = nil
	}
	return fmt.Errorf("%s changes faster than it can be synced", dir)
}

// rewritten is to be called after a purge, which rewrites a block without
// syncing it.
func (y *syncer) rewritten() error {
	y.turn <- struct{}{}
	defer func() { <-y.turn }()
	if err := y.syncAll(); err != nil {
		return fmt.Errorf("sync %s after a purge: %w", y.dir, err)
	}
	return nil
}

// consumer makes a consumer's definition durable: without it a power failure
// could lose the consumer, and with it what it has not acted on.
func (y *syncer) consumer(name string) error {
	obs := filepath.Join(y.dir, "obs")
	if err := syncAbove(y.dir, filepath.Join(obs, name), "meta.inf", "meta.sum"); err != nil {
		return fmt.Errorf("sync consumer %s: %w", name, err)
	}
	return nil
}

// anchor makes the stream's own files durable, up to the store's folder, and
// checks that the files are where we expect them.
func (y *syncer) anchor() error {
	if err := syncAbove(y.top, y.dir, "meta.inf", "meta.sum"); err != nil {
		return fmt.Errorf("sync stream: %w (the server's store is not as expected; --fsync with a duration does without)", err)
	}
	if err := syncPath(filepath.Join(y.dir, "msgs")); err != nil {
		return fmt.Errorf("sync stream: %w (the server's store is not as expected; --fsync with a duration does without)", err)
	}
	return nil
}

func (y *syncer) close() error {
	y.turn <- struct{}{}
	defer func() { <-y.turn }()
	y.mu.Lock()
	if y.failed == nil {
		y.failed = fmt.Errorf("%w: the link is closed", ErrUnavailable)
	}
	y.mu.Unlock()
	if y.file == nil {
		return nil
	}
	err := y.file.Close()
	y.file = nil
	return err
}

// syncAbove syncs files in dir, dir, and its parents up to top.
func syncAbove(top, dir string, files ...string) error {
	for _, name := range files {
		if err := syncPath(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for {
		if err := syncPath(dir); err != nil {
			return err
		}
		if dir == top || len(dir) <= len(top) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// blocks lists the numbers of the block files, ascending.
func blocks(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".blk")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}
