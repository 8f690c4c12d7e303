package file

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
)

// checkup is how often the watched directory is looked after: an unmounted or
// replaced one says nothing.
const checkup = 5 * time.Second

type source struct {
	folder   folder
	wanted   op
	metadata map[string]string
	log      *slog.Logger
	// poll is 0 for being told by the system.
	poll    time.Duration
	checkup time.Duration

	// memory outlives a Run that ended with an error, so that the next finds
	// what happened in between. It is nil before the first.
	memory   *memory
	tooLarge bool
}

// New makes the source of one entry.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	wanted, opErr := parseOps(c.EventType)
	m, err := c.WatchPathConfig.matcher()
	if err := v1alpha1.Fatal(errors.Join(opErr, err)); err != nil {
		return nil, err
	}
	s := &source{
		folder: folder{filepath.Clean(c.WatchPathConfig.Directory), m},
		wanted: wanted, metadata: c.Metadata, log: env.Log, checkup: checkup,
	}
	if c.Polling {
		s.poll = c.PollInterval.Duration
	}
	return s, nil
}

// Run implements eventsource.Source. Events are emitted in their order; one that
// cannot be stored is tried again until it can, and those after it wait.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	err := s.begin()
	switch {
	case err != nil:
	case s.poll > 0:
		err = s.look(ctx, emit)
	default:
		err = s.listen(ctx, emit)
	}
	if ctx.Err() != nil {
		s.memory = nil
		return nil
	}
	return err
}

// begin looks at what is there before anything is watched. A directory that
// does not exist yet counts as empty: what it has when it comes is new.
func (s *source) begin() error {
	if s.memory != nil {
		return nil
	}
	found, err := s.folder.scan()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.memory = newMemory()
	for name, st := range found {
		s.memory.files[name] = entry{stat: st}
	}
	return nil
}

// look polls.
func (s *source) look(ctx context.Context, emit eventsource.Emit) error {
	if err := s.compare(ctx, emit); err != nil {
		return err
	}
	s.log.Debug("watching", "directory", s.folder.path, "every", s.poll)
	defer s.log.Debug("no longer watching", "directory", s.folder.path)
	for eventsource.Sleep(ctx, s.poll) {
		if err := s.compare(ctx, emit); err != nil {
			return err
		}
	}
	return nil
}

// compare emits what has changed since the last event.
func (s *source) compare(ctx context.Context, emit eventsource.Emit) error {
	now, err := s.folder.scan()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, c := range s.folder.diff(s.memory.known(), now, s.wanted) {
		if !s.tell(ctx, emit, c) {
			return nil
		}
	}
	return err
}

// data is the payload of an event.
type data struct {
	Name     string            `json:"name"`
	Op       op                `json:"op"`
	Metadata map[string]string `json:"metadata"`
}

// tell remembers a change and emits it, if it is wanted, until it is stored or
// found to be too large for that. False means that ctx is done.
func (s *source) tell(ctx context.Context, emit eventsource.Emit, c change) bool {
	path := s.folder.file(c.name)
	id := s.memory.note(path, c)
	if id == "" || c.op&s.wanted == 0 {
		return ctx.Err() == nil
	}
	name := path
	if s.poll > 0 {
		name = c.name
	}
	// Text, a number and a map of texts can always be encoded.
	payload, _ := json.Marshal(data{name, c.op, s.metadata}) //nolint:errchkjson // see above
	e := eventsource.Event{ID: id, Data: payload}
	err := eventsource.Insist(ctx, emit, e)
	if errors.Is(err, eventsource.ErrTooLarge) {
		if !s.tooLarge {
			s.log.Error("events cannot be stored, their metadata is too large", "file", path, "error", err)
		}
		s.tooLarge = true
		return true
	}
	return err == nil
}
