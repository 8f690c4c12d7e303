package eventbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// minPrefix is the least length of an abbreviated dead letter ID.
const minPrefix = 8

// DeadLetters are firings that came to no good end. Each is one message per
// event, with the event as it was on the bus, and a head with the rest that is
// written last: without a head there is no dead letter.
type DeadLetters struct{ b *Bus }

// DeadFilter picks dead letters. Zero fields do not restrict.
type DeadFilter struct {
	Sensor, Trigger string
	// Since is the earliest time of failure.
	Since time.Time
	// Limit keeps the newest ones.
	Limit int
}

// deadHeader is a head as it is stored.
type deadHeader struct {
	DeadLetter
	EventCount int `json:"eventCount"`
}

// DeadLetters of the bus.
func (b *Bus) DeadLetters() *DeadLetters { return &DeadLetters{b} }

// deadPart is the beginning of the subjects of a dead letter.
func (n names) deadPart(sensor, trigger, id string) string {
	return n.deadHeads(escape(sensor), escape(trigger), escape(id))
}

// deadHeads is deadPart of tokens that are escaped, or "*" for any.
func (n names) deadHeads(sensor, trigger, id string) string {
	return "dead." + n.bus + "." + sensor + "." + trigger + "." + id
}

const headSuffix = ".head"

// Put stores a dead letter and returns nil once it is safe. It replaces one with
// the same sensor, trigger and ID. Events are found again only if their size is
// within what the bus takes, which that of published ones is.
func (d *DeadLetters) Put(ctx context.Context, letter *DeadLetter) error {
	if err := d.put(ctx, letter); err != nil {
		return fmt.Errorf("put dead letter %s of %s/%s: %w", letter.ID, letter.Sensor, letter.Trigger, err)
	}
	return nil
}

func (d *DeadLetters) put(ctx context.Context, letter *DeadLetter) error {
	part := d.b.names.deadPart(letter.Sensor, letter.Trigger, letter.ID)
	dependencies := make([]string, 0, len(letter.Events))
	for name := range letter.Events {
		dependencies = append(dependencies, name)
	}
	slices.Sort(dependencies)
	for i, name := range dependencies {
		dead := letter.Events[name]
		h, err := encode(dead.Event, 3)
		if err != nil {
			return fmt.Errorf("event of %s: %w", name, err)
		}
		h.set(headerDependency, quote(name))
		h.set(headerSource, quote(dead.From.Source))
		h.set(headerEvent, quote(dead.From.Event))
		m := &nats.Msg{Subject: part + "." + strconv.Itoa(i), Header: h.h, Data: dead.Event.Data()}
		if _, err := d.b.dead.put(ctx, m, true); err != nil {
			return fmt.Errorf("event of %s: %w", name, err)
		}
	}
	_, err := d.putHead(ctx, letter, len(dependencies), "")
	return err
}

// putHead stores a head; expect, if not empty, is the sequence of the one it replaces.
func (d *DeadLetters) putHead(ctx context.Context, letter *DeadLetter, events int, expect string) (uint64, error) {
	head := deadHeader{DeadLetter: *letter, EventCount: events}
	head.Events = nil
	body, err := json.Marshal(head)
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: d.b.names.deadPart(letter.Sensor, letter.Trigger, letter.ID) + headSuffix, Data: body}
	if expect != "" {
		m.Header = nats.Header{headerExpect: []string{expect}}
	}
	return d.b.dead.put(ctx, m, expect == "")
}

// List returns dead letters without their events, newest last.
func (d *DeadLetters) List(ctx context.Context, filter DeadFilter) ([]DeadLetter, error) {
	token := func(s string) string {
		if s == "" {
			return "*"
		}
		return escape(s)
	}
	var list []DeadLetter
	subject := d.b.names.deadHeads(token(filter.Sensor), token(filter.Trigger), "*") + headSuffix
	err := d.heads(ctx, subject, filter.Since, func(head *deadHeader) {
		if head.Time.Before(filter.Since) {
			return
		}
		list = append(list, head.DeadLetter)
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	slices.SortStableFunc(list, func(a, b DeadLetter) int { return a.Time.Compare(b.Time) })
	if filter.Limit > 0 && len(list) > filter.Limit {
		list = slices.Clone(list[len(list)-filter.Limit:])
	}
	return list, nil
}

// heads reads the heads on a subject that were stored since a time, one after the
// other from the stream's leader: a consumer may be on a server that is behind.
func (d *DeadLetters) heads(ctx context.Context, subject string, since time.Time, each func(*deadHeader)) error {
	next := messageQuery{Next: subject, Seq: 1}
	if !since.IsZero() {
		next = messageQuery{Next: subject, Start: &since}
	}
	for {
		m, err := d.b.dead.get(ctx, next)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		head := &deadHeader{}
		if err := json.Unmarshal(m.Data, head); err != nil {
			return fmt.Errorf("unreadable dead letter %s: %w", m.Subject, err)
		}
		each(head)
		next = messageQuery{Next: subject, Seq: m.Seq + 1}
	}
}

// Get returns a dead letter with its events. id may be abbreviated to 8 or more
// characters if only one begins so. The error wraps ErrNotFound if there is none.
func (d *DeadLetters) Get(ctx context.Context, id string) (*DeadLetter, error) {
	head, _, err := d.find(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("get dead letter %s: %w", id, err)
	}
	part := d.b.names.deadPart(head.Sensor, head.Trigger, head.ID)
	letter := head.DeadLetter
	letter.Events = make(map[string]DeadEvent, head.EventCount)
	for i := range head.EventCount {
		name, dead, err := d.event(ctx, part+"."+strconv.Itoa(i))
		if err != nil {
			return nil, fmt.Errorf("get dead letter %s: event %d: %w", id, i, err)
		}
		letter.Events[name] = *dead
	}
	return &letter, nil
}

func (d *DeadLetters) event(ctx context.Context, subject string) (string, *DeadEvent, error) {
	m, err := d.b.dead.get(ctx, messageQuery{Last: subject})
	if err != nil {
		return "", nil, err
	}
	h, err := m.headers()
	if err != nil {
		return "", nil, err
	}
	e, err := decode(h, m.Data)
	if err != nil {
		return "", nil, err
	}
	from := Address{Source: unquote(h.Get(headerSource)), Event: unquote(h.Get(headerEvent))}
	return unquote(h.Get(headerDependency)), &DeadEvent{From: from, Event: e}, nil
}

// find looks up a head and its sequence.
func (d *DeadLetters) find(ctx context.Context, id string) (*deadHeader, uint64, error) {
	found, err := d.b.subjects(ctx, d.b.names.dead, d.b.names.deadHeads("*", "*", escape(id))+headSuffix)
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 && len(id) >= minPrefix {
		all, err := d.b.subjects(ctx, d.b.names.dead, d.b.names.deadHeads("*", "*", "*")+headSuffix)
		if err != nil {
			return nil, 0, err
		}
		for _, subject := range all {
			tokens := strings.Split(subject, ".")
			if strings.HasPrefix(tokens[len(tokens)-2], escape(id)) {
				found = append(found, subject)
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, 0, ErrNotFound
	case len(found) > 1:
		return nil, 0, fmt.Errorf("%d dead letters begin with this", len(found))
	}
	m, err := d.b.dead.get(ctx, messageQuery{Last: found[0]})
	if err != nil {
		return nil, 0, err
	}
	head := &deadHeader{}
	if err := json.Unmarshal(m.Data, head); err != nil {
		return nil, 0, fmt.Errorf("unreadable: %w", err)
	}
	return head, m.Seq, nil
}

// Drop removes a dead letter. The error wraps ErrNotFound if there is none. See
// Get for id.
func (d *DeadLetters) Drop(ctx context.Context, id string) error {
	head, _, err := d.find(ctx, id)
	if err != nil {
		return fmt.Errorf("drop dead letter %s: %w", id, err)
	}
	part := d.b.names.deadPart(head.Sensor, head.Trigger, head.ID)
	// The head goes first: events without one are nothing to anybody.
	for _, subject := range []string{part + headSuffix, part + ".*"} {
		if err := d.b.dead.purge(ctx, subject, 0); err != nil {
			return fmt.Errorf("drop dead letter %s: %w", id, err)
		}
	}
	return nil
}

// Redrive tells the trigger's consumer to fire a dead letter again, and notes
// when. The dead letter stays until it is dropped. The error wraps ErrNotFound if
// there is no such dead letter or its trigger has no consumer any more. See Get
// for id.
func (d *DeadLetters) Redrive(ctx context.Context, id string) error {
	if err := d.redrive(ctx, id); err != nil {
		return fmt.Errorf("redrive dead letter %s: %w", id, err)
	}
	return nil
}

func (d *DeadLetters) redrive(ctx context.Context, id string) error {
	head, seq, err := d.find(ctx, id)
	if err != nil {
		return err
	}
	cctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := d.b.js.Consumer(cctx, d.b.names.events, d.b.names.consumer(head.Sensor, head.Trigger)); err != nil {
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("%w: trigger %s of sensor %s has no consumer any more", ErrNotFound, head.Trigger, head.Sensor)
		}
		return unavailable(err)
	}
	revision := strconv.FormatUint(seq, 10)
	m := &nats.Msg{Subject: d.b.names.redrive(head.Sensor, head.Trigger), Header: nats.Header{
		headerRedrive: []string{quote(head.ID)},
		// A repetition is the same message until the head below is written.
		headerMessageID: []string{messageID(Address{head.Sensor, head.Trigger}, "redrive "+head.ID+" "+revision)},
	}}
	if err := d.b.store(ctx, d.b.events, m, true); err != nil {
		return err
	}
	letter := head.DeadLetter
	letter.Redriven = time.Now().UTC()
	_, err = d.putHead(ctx, &letter, head.EventCount, revision)
	if errors.Is(err, ErrConflict) {
		return nil // it was fired and dropped, or failed again, in the meantime
	}
	return err
}
