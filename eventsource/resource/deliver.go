package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-events/signalbox/eventsource"
)

const (
	// sideBySide is how many events of different objects are emitted at once.
	sideBySide = 32
)

// change is what happened to one object.
type change struct {
	kind   string
	object object
	// old is a version at which the object was what it was before.
	old string
	// quiet changes are remembered and not emitted.
	quiet bool
	// bare says that of the object only the identity is known.
	bare bool
}

// data is the payload of an event.
type data struct {
	Type     string            `json:"type"`
	Body     json.RawMessage   `json:"body"`
	OldBody  json.RawMessage   `json:"oldBody"`
	Group    string            `json:"group"`
	Version  string            `json:"version"`
	Resource string            `json:"resource"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// collect takes what has come in behind f, as long as it is about different
// objects. rest is a frame that is to begin the next batch, if more.
func collect(f frame, from <-chan frame) (batch []frame, rest frame, more bool) {
	batch = []frame{f}
	paths := map[string]bool{f.object.path(): true}
	for len(batch) < frameBuffer {
		select {
		case next, open := <-from:
			if !open {
				return batch, frame{}, false
			}
			if paths[next.object.path()] {
				return batch, next, true
			}
			paths[next.object.path()] = true
			batch = append(batch, next)
		default:
			return batch, frame{}, false
		}
	}
	return batch, frame{}, false
}

// take delivers what a watch brought.
func (s *source) take(ctx context.Context, emit eventsource.Emit, batch []frame) error {
	var changes []change
	for _, f := range batch {
		o := f.object
		before, known := s.memory.objects[o.uid]
		c := change{object: o, old: justBefore(o.version), quiet: upTo(o.version, s.others)}
		switch f.kind {
		case frameAdded:
			c.kind = added
			if known {
				c.kind = updated
			}
		case frameModified:
			c.kind = updated
		case frameDeleted:
			c.kind = deleted
		default: // a bookmark
			continue
		}
		if known && c.kind != deleted && upTo(o.version, before.version) {
			continue
		}
		changes = append(changes, c)
	}
	if err := s.deliver(ctx, emit, changes); err != nil {
		return err
	}
	if latest := batch[len(batch)-1].object.version; latest != "" && !older(latest, s.memory.version) {
		s.memory.version = latest
	}
	return nil
}

// justBefore is the version before v; empty if versions are not numbers.
func justBefore(v string) string {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.FormatUint(n-1, 10)
}

// deliver emits changes of different objects side by side, and remembers those
// that are stored. A nil error means all of them.
func (s *source) deliver(ctx context.Context, emit eventsource.Emit, changes []change) error {
	var g errgroup.Group
	g.SetLimit(sideBySide)
	apply := make([]func(), len(changes))
	for i, c := range changes {
		if c.quiet || !s.wanted(c.kind) {
			apply[i] = func() { s.remember(c) }
			continue
		}
		g.Go(func() error {
			err := s.process(ctx, emit, c)
			if err == nil {
				apply[i] = func() { s.remember(c) }
			}
			return err
		})
	}
	err := g.Wait()
	for _, f := range apply {
		if f != nil {
			f()
		}
	}
	return err
}

func (s *source) wanted(kind string) bool { return slices.Contains(s.config.EventTypes, kind) }

func (s *source) remember(c change) {
	if c.kind == deleted {
		s.memory.remove(c.object.uid)
		return
	}
	s.memory.put(c.object, c.object.mark(s.config.Changed), s.filter.passes(c.object))
}

// process emits c if it passes. Nil means that c is done with. It changes
// nothing, because others run beside it.
func (s *source) process(ctx context.Context, emit eventsource.Emit, c change) error {
	before, known := s.memory.objects[c.object.uid]
	id := s.id(c)
	if c.bare {
		if !before.passed && !s.memory.stale {
			return nil
		}
		old, ok, err := s.before(ctx, c)
		if err != nil {
			return err
		}
		if ok {
			c.object = old
		}
		c.bare = !ok
	}
	if !c.bare && !s.filter.passes(c.object) {
		return nil
	}
	d := data{
		Type: c.kind, Body: json.RawMessage(c.object.raw), Metadata: s.config.Metadata,
		Group: s.config.Group, Version: s.config.Version, Resource: s.config.Resource,
	}
	if c.kind == updated {
		paths := s.config.Changed
		marked := known && before.mark != "" && !s.memory.stale
		if marked && before.mark == c.object.mark(paths) {
			return nil
		}
		old, ok, err := s.before(ctx, c)
		if err != nil {
			return err
		}
		if ok {
			if len(paths) > 0 && !marked && old.mark(paths) == c.object.mark(paths) {
				return nil
			}
			d.OldBody = json.RawMessage(old.raw)
		}
	}
	var payload bytes.Buffer
	e := json.NewEncoder(&payload)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		s.log.Error("event dropped: the Kubernetes API sent no JSON", "object", c.object.path(), "error", err)
		return nil
	}
	return s.store(ctx, emit, eventsource.Event{ID: id, Data: bytes.TrimSpace(payload.Bytes())}, c.object.path())
}

// before is the object of c as it was before; ok is false if nobody knows.
func (s *source) before(ctx context.Context, c change) (old object, ok bool, err error) {
	seen, known := s.memory.objects[c.object.uid]
	if o, kept := s.memory.hot.get(c.object.uid); kept && known && o.version == seen.version {
		return o, true, nil
	}
	return s.api.was(ctx, c.object, c.old)
}

// id is the same in every replica and after every restart. An object is added
// and deleted once, at a version that not everybody gets to see; only where
// labels decide can it come and go.
func (s *source) id(c change) string {
	id := c.object.uid + "-" + c.kind
	if c.kind == updated || s.selector != "" {
		id += "-" + c.object.version
	}
	return id
}

// store emits e until it is stored or found to be too large for that. The
// error is that of ctx.
func (s *source) store(ctx context.Context, emit eventsource.Emit, e eventsource.Event, name string) error {
	err := eventsource.Insist(ctx, emit, e)
	if !errors.Is(err, eventsource.ErrTooLarge) {
		return err
	}
	if !s.tooLarge.Swap(true) {
		s.log.Error("event dropped: the object is too large for the event bus", "object", name, "error", err)
	}
	return nil
}

// bareObject is an object of which nothing else is known any more.
func bareObject(apiVersion, kind, uid string, e entry) object {
	meta := map[string]string{"name": e.name, "uid": uid, "resourceVersion": e.version}
	if e.namespace != "" {
		meta["namespace"] = e.namespace
	}
	raw, _ := json.Marshal(map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta}) //nolint:errchkjson // strings
	return object{raw: string(raw), uid: uid, namespace: e.namespace, name: e.name, version: e.version}
}

// saveIfDue writes down what was seen, the larger part of it not as often.
func (s *source) saveIfDue(ctx context.Context) { s.save(ctx, time.Since(s.savedShards) >= saveShards) }

// save writes down what was seen. What fails is tried again at the next time.
func (s *source) save(ctx context.Context, all bool) {
	m, r := s.memory, s.record
	var err error
	if all {
		s.savedShards = time.Now()
		err = r.writeShards(ctx, m)
	}
	if err == nil && m.version != "" && !m.stale {
		err = r.writeHead(ctx, head{Version: m.version, Since: r.head.Since, Config: s.relevant}, s.setBack)
		s.setBack = s.setBack && err != nil
	}
	if err != nil && !r.failing && ctx.Err() == nil {
		s.log.Warn("what was seen is not recorded, trying again", "error", err)
	}
	r.failing = err != nil
}
