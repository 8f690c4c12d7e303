package registrypoll

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/seldom"
	"github.com/signalbox-events/signalbox/webhook/hooks"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

const (
	// longestFirst bounds the random wait before the first look.
	longestFirst = 5 * time.Second
	// lookTimeout bounds one look at one repository.
	lookTimeout = 5 * time.Minute
	// saveTimeout bounds the writing down of what was emitted.
	saveTimeout = 5 * time.Second
	// saveEach is after how many events it is written down that they are stored.
	saveEach = 100
	// mostComplaints bounds the texts that are known to have been logged.
	mostComplaints = 100
)

// source looks at the repositories of one entry.
//
// One replica does so at a time (eventsource.Leader). What is found is written
// down before it is emitted (memory.Pending), with the ids that the events will
// have, and again when they are stored: so a process that dies at any moment is
// followed by one that emits what was left with the same ids, of which the bus
// stores one each.
type source struct {
	config    *Config
	places    []place
	picker    *picker
	selection string
	client    *client
	state     eventsource.State
	lead      eventsource.Leader
	log       *slog.Logger

	// turn lets another repository be the first of each look, since the last ones
	// may find the requests used up.
	turn int
	// cursors tell, by repository, after which tag digests are checked next.
	cursors map[string]string
	// empty are repositories that were seen without a tag in the last look.
	empty      map[string]bool
	complaints map[string]*seldom.Complaint
}

// New makes the source of one entry.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	s := &source{
		config: &c, selection: selectionOf(&c), state: env.State, lead: env.Lead, log: env.Log,
		client:  &client{config: &c, secrets: env.Secrets, meter: &meter{}},
		cursors: map[string]string{}, empty: map[string]bool{}, complaints: map[string]*seldom.Complaint{},
	}
	for _, r := range c.Repositories {
		p, err := placeOf(r, c.PlainHTTP)
		if err != nil {
			return nil, err
		}
		s.places = append(s.places, p)
	}
	if c.Policy != nil {
		var err error
		if s.picker, err = newPicker(c.Policy); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Run implements eventsource.Source. It ends with an error when no repository
// can be looked at, or the bus fails: the runner tries again within a minute, and
// says so. One of several that cannot be looked at is logged.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	defer s.client.close()
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
	for eventsource.Sleep(ctx, wait) {
		if err := s.look(ctx, emit); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wait = interval - interval/10 + rand.N(interval/5+1)
	}
	return nil
}

// look looks at all repositories.
func (s *source) look(ctx context.Context, emit eventsource.Emit) error {
	if err := s.client.refresh(ctx); err != nil {
		return err
	}
	s.client.meter.fill(int(*s.config.MaxRequests))
	var failed []error
	looked := 0
	n := len(s.places)
	for i := range n {
		p := s.places[(s.turn+i)%n]
		repositories, err := s.client.repositories(ctx, p)
		for _, r := range repositories {
			one := s.one(ctx, emit, r)
			var bus *busError
			if errors.As(one, &bus) || ctx.Err() != nil {
				return one
			}
			if one == nil {
				looked++
			}
			err = errors.Join(err, one)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	s.turn++
	if looked == 0 && len(failed) > 0 {
		return s.unlimited(ctx, errors.Join(failed...))
	}
	for _, err := range failed {
		s.complain(err)
	}
	return nil
}

// unlimited waits where the reason is that a registry wants to be left alone.
func (s *source) unlimited(ctx context.Context, err error) error {
	var limited *hooks.Limited
	if !errors.As(err, &limited) {
		return err
	}
	s.complain(err)
	eventsource.Sleep(ctx, time.Until(limited.Until))
	return nil
}

func (s *source) complain(err error) {
	text := err.Error()
	if len(s.complaints) > mostComplaints {
		clear(s.complaints)
	}
	if s.complaints[text] == nil {
		s.complaints[text] = &seldom.Complaint{}
	}
	if due, skipped := s.complaints[text].Due(text); due {
		s.log.Warn("a repository could not be looked at", "error", err, "repeated", skipped)
	}
}

// busError is an error of the bus rather than of a registry.
type busError struct{ error }

func (e *busError) Unwrap() error { return e.error }

func ofBus(err error) error {
	if err == nil {
		return nil
	}
	return &busError{err}
}

// one looks at one repository, and emits what has changed.
func (s *source) one(ctx context.Context, emit eventsource.Emit, r name.Repository) error {
	record := newRecord(s.state, r.Name())
	m, err := record.Load(ctx)
	if err != nil {
		return ofBus(err)
	}
	if err := s.tell(ctx, emit, r, record, m); err != nil {
		return ofBus(err)
	}
	lookCtx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	tags, err := s.client.tags(lookCtx, r)
	if err != nil {
		return err
	}
	// A registry in trouble may show an empty repository. That all is gone is
	// believed when it is seen twice.
	if len(tags) == 0 && len(m.Tags) > 0 && !s.empty[r.Name()] {
		s.empty[r.Name()] = true
		return nil
	}
	delete(s.empty, r.Name())
	first := m.Tags == nil
	changed, err := s.learn(lookCtx, r, m, tags)
	if changed {
		if failed := record.Save(ctx, m); failed != nil {
			return errors.Join(err, ofBus(failed)) // nothing is told that is not written down
		}
		if first {
			s.log.Info("repository seen for the first time", "repository", r.Name(), "tags", len(m.Tags), "emitted", len(m.Pending))
		}
	}
	return errors.Join(err, ofBus(s.tell(ctx, emit, r, record, m)))
}

// tell emits what is pending.
func (s *source) tell(ctx context.Context, emit eventsource.Emit, r name.Repository, record eventsource.Kept[memory], m *memory) error {
	for stored := 0; len(m.Pending) > 0; {
		err := ctx.Err()
		if err == nil {
			err = s.emit(ctx, emit, r, m.Pending[0])
		}
		if errors.Is(err, eventsource.ErrTooLarge) { // and it will always be
			s.log.Error("an event is lost", "repository", r.Name(), "tag", m.Pending[0].Tag, "error", err)
			err = nil
		}
		if err == nil {
			m.Pending = m.Pending[1:]
			stored++
		}
		if err != nil && stored == 0 {
			return err
		}
		if err != nil || len(m.Pending) == 0 || stored%saveEach == 0 {
			// Also when ctx is done.
			saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
			err = errors.Join(err, record.Save(saving, m))
			cancel()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *source) emit(ctx context.Context, emit eventsource.Emit, r name.Repository, c change) error {
	block := imageevent.Event{
		Provider: "registry", Registry: r.RegistryStr(), Repository: r.RepositoryStr(), Tag: c.Tag, Digest: c.After, MediaType: c.MediaType,
		Action: imageevent.Push, RawEvent: "poll", Verified: "polled", DigestChecked: true,
	}
	if c.After == "" {
		block.Action, block.Digest, block.DigestChecked = imageevent.Delete, c.Before, false
	}
	id := c.id(r.Name())
	block.DeliveryID = id
	block.Complete()
	data, err := json.Marshal(struct {
		Image    *imageevent.Event `json:"image"`
		Metadata map[string]string `json:"metadata,omitempty"`
	}{&block, s.config.Metadata})
	if err != nil {
		return err
	}
	return eventsource.Insist(ctx, emit, eventsource.Event{ID: id, Data: data})
}
