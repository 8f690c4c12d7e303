package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/signalbox-events/signalbox/eventsource"
)

// listen is told of changes by the system. While an event waits to be stored,
// those after it wait in the system's queue, which has a limit; what does not
// fit is found by comparing.
func (s *source) listen(ctx context.Context, emit eventsource.Emit) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch directory: %w", explain(err))
	}
	defer w.Close() //nolint:errcheck // nothing is lost by it
	if err := w.Add(s.folder.path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return s.compare(ctx, emit) // its files are gone with it
		}
		return fmt.Errorf("watch directory %s: %w", s.folder.path, explain(err))
	}
	watched, err := s.folder.stat()
	if err != nil {
		return err
	}
	// What happened since begin, or since the Run before, is in no queue.
	if err := s.compare(ctx, emit); err != nil {
		return err
	}
	s.log.Debug("watching", "directory", s.folder.path)
	defer s.log.Debug("no longer watching", "directory", s.folder.path)

	health := time.NewTicker(s.checkup)
	defer health.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if err := s.heard(ctx, emit, e); err != nil {
				return err
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch directory %s: %w", s.folder.path, err)
			}
			s.log.Warn("the system's queue of file events was full, comparing", "directory", s.folder.path)
			if err := s.compare(ctx, emit); err != nil {
				return err
			}
		case <-health.C:
			now, err := s.folder.stat()
			if err != nil {
				return err
			}
			if len(w.WatchList()) == 0 || !os.SameFile(watched, now) {
				return fmt.Errorf("watch directory: %s is another directory than before", s.folder.path)
			}
		}
	}
}

func (s *source) heard(ctx context.Context, emit eventsource.Emit, e fsnotify.Event) error {
	if e.Name == s.folder.path {
		if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			return fmt.Errorf("watch directory: %s was removed or renamed", s.folder.path)
		}
		return nil
	}
	name := filepath.Base(e.Name)
	if !s.folder.match(name) {
		return nil
	}
	for _, o := range opNames {
		if op(e.Op)&o.op == 0 {
			continue
		}
		c := change{name: name, op: o.op}
		if o.op&(opRemove|opRename) == 0 {
			if st, err := look(s.folder.file(name)); err == nil {
				c.stat = &st
			}
		}
		s.tell(ctx, emit, c)
	}
	return nil
}

// explain adds what to do about the limits that people meet.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w (raise the limit fs.inotify.max_user_instances, or use polling: true)", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w (raise the limit fs.inotify.max_user_watches, or use polling: true)", err)
	default:
		return err
	}
}
