package eventbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// publishTimeout bounds a publish whose context has no earlier end.
	publishTimeout = 5 * time.Second
	// callTimeout bounds calls of JetStream's API.
	callTimeout = 10 * time.Second
	// A server keeps the headers of a message below 64 KiB.
	maxHeader = 64<<10 - 512
)

// Error codes of JetStream that decide what we do.
const (
	codeAccountResources = 10002
	codeInsufficient     = 10023
	codeStorage          = 10047
	codeMessageTooLarge  = 10054
	codeWrongSequence    = 10071
	codeStoreFailed      = 10077
	codeHeaderTooLarge   = 10097
	codeWrongSequence2   = 10164
)

// Publish stores an event and returns nil once it is safe: written and, as the
// bus is configured, replicated or on disk. id is the event's id within its
// address; within the window of Limits.Duplicates an id is stored once, so
// calling Publish again after an error is safe. An empty id turns that off.
//
// Without a connection it waits for one, for 5 seconds or until ctx ends.
// Errors wrap ErrFull, ErrTooLarge or ErrUnavailable; after ErrUnavailable the
// event may nevertheless have been stored.
func (b *Bus) Publish(ctx context.Context, to Address, id string, e *event.Event) error {
	h, err := encode(e, 1)
	if err != nil {
		return fmt.Errorf("publish to %s/%s: %w", to.Source, to.Event, err)
	}
	if id != "" {
		h.set(headerMessageID, messageID(to, id))
	}
	m := &nats.Msg{Subject: b.names.event(to), Header: h.h, Data: e.DataEncoded}
	if err := b.store(ctx, b.events, m, id != ""); err != nil {
		return fmt.Errorf("publish to %s/%s: %w", to.Source, to.Event, err)
	}
	return nil
}

// store publishes m to the events stream; if there is no room it makes some and
// tries once more. again says that storing it twice does no harm.
func (b *Bus) store(ctx context.Context, s *stream, m *nats.Msg, again bool) error {
	_, err := s.put(ctx, m, again)
	if !errors.Is(err, ErrFull) {
		return err
	}
	if b.janitor == nil || !b.janitor.makeRoom(ctx) {
		return err
	}
	_, err = s.put(ctx, m, again)
	return err
}

// stream is one stream of a bus, with what it takes to store a message safely.
type stream struct {
	bus  *Bus
	name string
	sync *syncer // nil if fsync is not ours to do
}

// put stores m and returns its sequence. Once it returns the message is safe.
func (s *stream) put(ctx context.Context, m *nats.Msg, again bool) (uint64, error) {
	if size := headerSize(m.Header); size > maxHeader {
		return 0, fmt.Errorf("%w: %d bytes of attributes", ErrTooLarge, size)
	}
	r, err := s.send(ctx, m, again)
	if err != nil {
		return 0, err
	}
	seq, err := parseAck(r.Data)
	if err != nil {
		return 0, err
	}
	if s.sync != nil {
		if err := s.sync.wait(ctx); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

// timers are stopped.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(publishTimeout)
	t.Stop()
	return t
}}

func (s *stream) send(ctx context.Context, m *nats.Msg, again bool) (*nats.Msg, error) {
	l := s.bus.link
	deadline := time.Now().Add(publishTimeout)
	timer := timers.Get().(*time.Timer)
	timer.Reset(publishTimeout)
	r, err := l.request(ctx, m, timer.C)
	timer.Stop()
	timers.Put(timer)
	if err == nil || !errors.Is(err, ErrUnavailable) {
		return r, err
	}
	pause := 10 * time.Millisecond
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errNoAnswer)
	defer cancel()
	for ctx.Err() == nil && (again || unsent(err)) {
		if l.wait(ctx) != nil || rest(ctx, pause) != nil {
			break
		}
		if errors.Is(err, errNoResponders) && pause > 100*time.Millisecond {
			s.bus.restoreStreams(ctx)
		}
		pause = min(2*pause, 250*time.Millisecond)
		if r, err = l.request(ctx, m, nil); err == nil || !errors.Is(err, ErrUnavailable) {
			return r, err
		}
	}
	return nil, err
}

var errNoAnswer = errors.New("no answer in time")

// errUnsent marks requests that did not leave this process or reached nobody.
var errUnsent = fmt.Errorf("%w: no connection", ErrUnavailable)

func unsent(err error) bool { return errors.Is(err, errUnsent) || errors.Is(err, errNoResponders) }

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func headerSize(h nats.Header) int {
	n := len("NATS/1.0\r\n\r\n")
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// publishError says what it means that the client refused a message.
func publishError(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
		return errUnsent
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// parseAck reads JetStream's answer to a publish: {"stream":...,"seq":1} or an error.
func parseAck(data []byte) (uint64, error) {
	if bytes.HasPrefix(data, []byte(`{"stream":`)) {
		if _, after, ok := bytes.Cut(data, []byte(`"seq":`)); ok {
			var seq uint64
			for _, c := range after {
				if c < '0' || c > '9' {
					break
				}
				seq = 10*seq + uint64(c-'0')
			}
			if seq > 0 {
				return seq, nil
			}
		}
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("%w: unreadable acknowledgement: %w", ErrUnavailable, err)
	}
	if ack.Error != nil {
		return 0, ackError(ack.Error)
	}
	if ack.Seq == 0 {
		return 0, fmt.Errorf("%w: acknowledgement without a sequence", ErrUnavailable)
	}
	return ack.Seq, nil
}

func ackError(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case codeAccountResources, codeInsufficient, codeStorage:
		return fmt.Errorf("%w: %w", ErrFull, e)
	case codeMessageTooLarge, codeHeaderTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, e)
	case codeWrongSequence, codeWrongSequence2:
		return fmt.Errorf("%w: %w", ErrConflict, e)
	case codeStoreFailed:
		if strings.Contains(e.Description, "maximum bytes") || strings.Contains(e.Description, "maximum messages") {
			return fmt.Errorf("%w: %w", ErrFull, e)
		}
		if strings.Contains(e.Description, "too large") {
			return fmt.Errorf("%w: %w", ErrTooLarge, e)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, e)
}
