package resource

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource"
	"github.com/signalbox-events/signalbox/internal/cluster"
)

const (
	// saveHead and saveShards are how often what was seen is written down.
	saveHead, saveShards = time.Second, 15 * time.Second
	// saveLimit bounds the writing at the end.
	saveLimit = 5 * time.Second
	// atLeast is how long a watch has to last for the next one to begin at once.
	atLeast = time.Second
)

type source struct {
	config   *Config
	selector string
	filter   filter
	// relevant is a fingerprint of what decides about marks.
	relevant string
	cluster  *cluster.Cluster
	state    eventsource.State
	log      *slog.Logger

	api    *api
	record *record
	// memory outlives a Run that ended with an error.
	memory *memory
	// others is the version up to which a replica has emitted everything.
	others string
	// first says that the source has never seen the objects before, and since
	// when it has been running if an earlier process did not finish looking.
	first bool
	since time.Time
	// setBack says that the API server's history was replaced by an older one.
	setBack bool
	// savedShards is when they were written down last.
	savedShards time.Time

	tooLarge atomic.Bool // keeps what may be the same for many objects from being logged for each
}

// New makes the source of one entry.
func New(c Config, env eventsource.Env) (eventsource.Source, error) {
	selector, err := c.Filter.labels()
	fields, fieldsErr := c.Filter.fields()
	if err := v1alpha1.Fatal(errors.Join(err, fieldsErr)); err != nil {
		return nil, err
	}
	s := &source{
		config: &c, selector: selector.String(), filter: filter{fields: fields},
		cluster: env.Kubernetes, state: env.State, log: env.Log,
	}
	var selectors []Selector
	if f := c.Filter; f != nil {
		s.filter.prefix, selectors = f.Prefix, f.Fields
		if f.CreatedBy != nil {
			s.filter.createdBy = f.CreatedBy.Time
		}
	}
	s.relevant = fingerprint(struct {
		Changed []string
		Prefix  string
		Created time.Time
		Fields  []Selector
	}{c.Changed, s.filter.prefix, s.filter.createdBy.UTC(), selectors})
	return s, nil
}

// Run implements eventsource.Source. Events of one object are emitted in their
// order; one that cannot be stored is tried again until it can.
func (s *source) Run(ctx context.Context, emit eventsource.Emit) error {
	err := s.run(ctx, emit)
	if s.memory != nil {
		saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
		defer cancel()
		s.save(saving, true)
		s.since = s.record.head.Since
	}
	if ctx.Err() != nil {
		s.memory = nil // another process may be the next
		return nil
	}
	if errors.Is(err, cluster.ErrNone) {
		return eventsource.Permanent(err)
	}
	return err
}

func (s *source) run(ctx context.Context, emit eventsource.Emit) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	for gone := false; ctx.Err() == nil; {
		began := time.Now()
		compare, err := s.begin(ctx)
		if err == nil && (compare || gone) {
			err = s.compare(ctx, emit)
		}
		if err == nil {
			err = s.follow(ctx, emit)
		}
		gone = errors.Is(err, errGone)
		switch {
		case gone:
			s.log.Info("comparing with what was seen before", "resource", s.config.what(), "reason", err)
		case err != nil:
			return err
		}
		eventsource.Sleep(ctx, atLeast-time.Since(began))
	}
	return nil
}

// open makes the client and reads what was seen before.
func (s *source) open(ctx context.Context) error {
	if s.api == nil {
		a, err := connect(s.cluster, s.config, s.selector)
		if err != nil {
			return err
		}
		s.api = a
		s.record = newRecord(s.state, a.host, s.config.Group, s.config.Version, s.config.Resource, s.config.Namespace, s.selector)
	}
	if s.memory != nil {
		return nil
	}
	h, err := s.record.readHead(ctx)
	if err != nil {
		return err
	}
	m := &memory{version: h.Version, stale: h.Config != s.relevant}
	if m.objects, err = s.record.readShards(ctx); err != nil {
		return err
	}
	if slices.Contains(s.config.EventTypes, updated) {
		m.hot = newHot()
	}
	s.record.head, s.since, s.first, s.setBack = h, h.Since, h.Version == "", false
	s.memory = m
	if h.Since.IsZero() {
		// On record at once: a process that ends while it looks at the objects
		// for the first time is followed by one that knows it.
		h.Since = time.Now().UTC().Truncate(time.Second)
		return s.record.writeHead(ctx, h, false)
	}
	return nil
}

// begin looks, before each watch, at whether the API server is still the one it
// was. It tells whether the objects have to be compared with the memory.
func (s *source) begin(ctx context.Context) (compare bool, err error) {
	p, err := s.api.list(ctx, 1, "")
	if err == nil {
		err = s.learn(ctx)
	}
	if err != nil {
		return false, err
	}
	if older(p.version, s.memory.version) || older(p.version, s.others) {
		s.log.Warn("the Kubernetes API was set back to an earlier state", "resource", s.config.what(), "from", s.memory.version, "to", p.version)
		s.setBack, s.others, s.memory.version = true, "", ""
	}
	return s.memory.version == "" || s.memory.stale, nil
}

// learn looks at how far the replicas are. Whatever waited for the API server
// has to look once more.
func (s *source) learn(ctx context.Context) error {
	h, err := s.record.readHead(ctx)
	if err == nil && !s.setBack {
		s.others = h.Version
	}
	return err
}

// compare lists all objects and emits what is different from the memory.
func (s *source) compare(ctx context.Context, emit eventsource.Emit) error {
	m := s.memory
	gone, byPath := map[string]bool{}, map[string]string{}
	for uid, e := range m.objects {
		gone[uid], byPath[e.namespace+"/"+e.name] = true, uid
	}
	var last *page
	for next := ""; last == nil || next != ""; next = last.next {
		p, err := s.api.list(ctx, pageSize, next)
		if err != nil {
			return err
		}
		if last == nil {
			if err := s.learn(ctx); err != nil {
				return err
			}
		}
		last = p
		var replaced, changes []change
		for _, o := range p.objects {
			before, known := m.objects[o.uid]
			delete(gone, o.uid)
			if uid := byPath[o.path()]; uid != "" && uid != o.uid && gone[uid] {
				delete(gone, uid)
				replaced = append(replaced, s.vanished(uid, m.objects[uid], p))
			}
			c := change{kind: added, object: o, old: m.version, quiet: s.seenBefore(o, before, known)}
			if known {
				c.kind = updated
			}
			changes = append(changes, c)
		}
		// What had the place of a new object goes first.
		if err := errors.Join(s.deliver(ctx, emit, replaced), s.deliver(ctx, emit, changes)); err != nil {
			return err
		}
		s.saveIfDue(ctx)
	}
	var vanished []change
	for uid := range gone {
		vanished = append(vanished, s.vanished(uid, m.objects[uid], last))
	}
	if err := s.deliver(ctx, emit, vanished); err != nil {
		return err
	}
	m.version, m.stale, s.first = last.version, false, false
	s.save(ctx, true)
	return ctx.Err()
}

// seenBefore tells whether an object in a list is no news.
func (s *source) seenBefore(o object, before entry, known bool) bool {
	switch {
	case known && (upTo(o.version, before.version) && !s.setBack || o.version == before.version):
		return true
	case !s.setBack && (upTo(o.version, s.memory.version) || upTo(o.version, s.others)):
		return true
	case s.first && !known && s.config.Filter != nil && s.config.Filter.AfterStart:
		return s.since.IsZero() || o.created().Before(s.since)
	}
	return false
}

// vanished is the deletion of an object of which only little is known.
func (s *source) vanished(uid string, e entry, p *page) change {
	return change{
		kind: deleted, old: s.memory.version, bare: true,
		object: bareObject(p.apiVersion, p.kind, uid, e),
	}
}

// follow emits changes as they happen. It returns nil when the watch was long
// enough.
func (s *source) follow(ctx context.Context, emit eventsource.Emit) error {
	w, err := s.api.watch(ctx, s.memory.version)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := s.learn(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(saveHead)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.saveIfDue(ctx)
		case f, open := <-w.frames:
			if !open {
				return w.err
			}
			for more := true; more; {
				var batch []frame
				batch, f, more = collect(f, w.frames)
				if err := s.take(ctx, emit, batch); err != nil {
					return err
				}
			}
		}
	}
}
