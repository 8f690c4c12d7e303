package gitpoll

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/gitrepo"
)

const (
	// listTimeout bounds the listing of refs.
	listTimeout = time.Minute
	// longestFirst bounds the random wait before the first look.
	longestFirst = 5 * time.Second
	// saveTimeout bounds the writing down of what was emitted.
	saveTimeout = 5 * time.Second
	// batch is for how many changes history is fetched at once, and kept on disk.
	batch = 500
	// saveEach is after how many events it is written down that they are stored.
	saveEach = 100
)

// source looks at one repository.
//
// Only one replica does so (eventsource.Leader): it is kinder to the host, and two of them
// could see a branch at different commits and tell overlapping stories. What is
// found is written down before it is emitted (memory.Pending), with the ids that the events
// will have, and again when they are stored. So a process that dies at any moment
// is followed by one that emits what was left with the same ids, of which the bus
// stores one each; and nothing is lost if the ref has moved on meanwhile. The
// memory is read before each look: should two replicas look at once all the same,
// for a moment, they begin with the same memory and make the same ids.
type source struct {
	config    *Config
	selection selection
	remote    *gitrepo.Remote
	url       string
	record    eventsource.Kept[memory]
	lead      eventsource.Leader
	log       *slog.Logger

	// notBefore is when the host wants to be asked again.
	notBefore time.Time
	// empty says that the last look saw no refs at all.
	empty bool
}

// New makes the source of one entry.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	remote, err := gitrepo.New(c.Access, env.Secrets)
	if err != nil {
		return nil, err
	}
	url := c.Place().Clone
	return &source{
		config: &c, selection: c.selection(), remote: remote, url: url,
		record: newRecord(env.State, url), lead: env.Lead, log: env.Log,
	}, nil
}

// Run implements eventsource.Source. Events are emitted in the order of the names
// of their refs; one that cannot be stored is tried again until it can. It
// ends with an error when the host or the bus fails: the runner tries again
// within a minute, and says so.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	defer s.remote.Close()
	work := func(ctx context.Context) error { return s.poll(ctx, emit) }
	var err error
	if s.lead == nil { // there are no other replicas
		err = work(ctx)
	} else {
		err = s.lead.Lead(ctx, "poll", work)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// poll looks until ctx is done, and then returns nil.
func (s *source) poll(ctx context.Context, emit eventsource.Emit) error {
	interval := s.config.Interval.Duration
	wait := rand.N(min(interval/10, longestFirst) + 1)
	for eventsource.Sleep(ctx, max(wait, time.Until(s.notBefore))) {
		err := s.look(ctx, emit)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			var later *gitrepo.Later
			if errors.As(err, &later) {
				s.notBefore = later.Until
			}
			return err
		}
		wait = interval - interval/10 + rand.N(interval/5+1)
	}
	return nil
}

// look lists the refs, and emits what has changed.
func (s *source) look(ctx context.Context, emit eventsource.Emit) error {
	m, err := s.record.Load(ctx)
	if err != nil {
		return err
	}
	if err := s.tell(ctx, emit, m); err != nil {
		return err
	}
	refs, err := s.list(ctx)
	if err != nil {
		return err
	}
	// A host in trouble may show an empty repository. That all is gone is
	// believed when it is seen twice.
	if doubtful := len(refs.Tips) == 0 && len(m.Refs) > 0; doubtful && !s.empty {
		s.empty = true
		return nil
	}
	s.empty = false
	first := m.Refs == nil
	if !m.learn(refs, s.selection, s.config.EmitExisting) {
		return nil
	}
	if err := s.record.Save(ctx, m); err != nil {
		return err
	}
	if first {
		s.log.Info("repository seen for the first time", "repository", s.url, "refs", len(m.Refs), "emitted", len(m.Pending))
	}
	return s.tell(ctx, emit, m)
}

func (s *source) list(ctx context.Context) (*gitrepo.Refs, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return s.remote.List(ctx)
}

// tell emits what is pending.
func (s *source) tell(ctx context.Context, emit eventsource.Emit, m *memory) error {
	for len(m.Pending) > 0 && ctx.Err() == nil {
		if err := s.tellSome(ctx, emit, m, min(batch, len(m.Pending))); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tellSome emits the first n changes that are pending.
func (s *source) tellSome(ctx context.Context, emit eventsource.Emit, m *memory, n int) error {
	d := s.describe(ctx, m, m.Pending[:n])
	defer d.close()
	for stored := 0; n > 0; n-- {
		// A shutdown must not turn an event into a poorer one of the same id.
		err := ctx.Err()
		if err == nil {
			err = s.emit(ctx, emit, d, m.Pending[0])
		}
		if err == nil {
			m.Pending = m.Pending[1:]
			stored++
		}
		if err != nil || n == 1 || stored%saveEach == 0 {
			err = errors.Join(err, s.keep(ctx, m))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keep writes down what is stored, also when ctx is done.
func (s *source) keep(ctx context.Context, m *memory) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return s.record.Save(ctx, m)
}
