package eventbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	codeNoMessage = 10037
	codeNoStream  = 10059
)

// call is one call of JetStream's API, where the client library has no method
// that fits.
func (b *Bus) call(ctx context.Context, subject string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("call %s: %w", subject, err)
	}
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	r, err := b.link.request(ctx, &nats.Msg{Subject: "$JS.API." + subject, Data: body}, timer.C)
	if err != nil {
		return fmt.Errorf("call %s: %w", subject, err)
	}
	var failure struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(r.Data, &failure); err != nil {
		return fmt.Errorf("call %s: %w: unreadable answer: %w", subject, ErrUnavailable, err)
	}
	if failure.Error != nil {
		return fmt.Errorf("call %s: %w", subject, apiError(failure.Error))
	}
	if err := json.Unmarshal(r.Data, response); err != nil {
		return fmt.Errorf("call %s: %w: unreadable answer: %w", subject, ErrUnavailable, err)
	}
	return nil
}

func apiError(e *jetstream.APIError) error {
	if e.ErrorCode == codeNoMessage {
		return fmt.Errorf("%w: %w", ErrNotFound, e)
	}
	if e.ErrorCode == codeNoStream || e.Code >= 500 {
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	}
	return e
}

// storedMessage is a message as the leader of its stream has it.
type storedMessage struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

func (m *storedMessage) headers() (nats.Header, error) {
	if len(m.Header) == 0 {
		return nats.Header{}, nil
	}
	h, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return nil, fmt.Errorf("headers of message %d: %w", m.Seq, err)
	}
	return h, nil
}

// messageQuery picks a message: the last one of a subject, or the first one of a
// subject from a sequence or a time on.
type messageQuery struct {
	Last  string     `json:"last_by_subj,omitempty"`
	Next  string     `json:"next_by_subj,omitempty"`
	Seq   uint64     `json:"seq,omitempty"`
	Start *time.Time `json:"start_time,omitempty"`
}

// get reads a message from the leader, so that it is never an old one. The error
// wraps ErrNotFound if there is none.
func (s *stream) get(ctx context.Context, q messageQuery) (*storedMessage, error) {
	var r struct {
		Message *storedMessage `json:"message"`
	}
	if err := s.bus.call(ctx, "STREAM.MSG.GET."+s.name, q, &r); err != nil {
		return nil, err
	}
	if r.Message == nil {
		return nil, fmt.Errorf("read from %s: %w: no message in the answer", s.name, ErrUnavailable)
	}
	return r.Message, nil
}

// purge removes the messages of a subject, or those below a sequence, or those of
// a subject below a sequence; both zero: everything.
func (s *stream) purge(ctx context.Context, subject string, below uint64) error {
	request := struct {
		Subject string `json:"filter,omitempty"`
		Below   uint64 `json:"seq,omitempty"`
	}{subject, below}
	var r struct{ Success bool }
	if err := s.bus.call(ctx, "STREAM.PURGE."+s.name, request, &r); err != nil {
		return err
	}
	if !r.Success {
		return fmt.Errorf("purge %s: %w: refused", s.name, ErrUnavailable)
	}
	switch {
	case s.sync == nil:
		return nil
	case below > 0 && subject == "":
		return s.sync.rewritten()
	}
	return s.sync.wait(ctx)
}

// errIncomplete means that not all consumers could be asked.
var errIncomplete = fmt.Errorf("%w: not all consumers answer", ErrUnavailable)

// consumerInfos lists all consumers of the events stream. expected is how many
// there should be at least; with fewer, or some whose leader is away, the error
// wraps ErrUnavailable, because what they have not acknowledged is unknown.
func (b *Bus) consumerInfos(ctx context.Context, expected int) ([]*jetstream.ConsumerInfo, error) {
	var all []*jetstream.ConsumerInfo
	for {
		request := struct {
			Offset int `json:"offset"`
		}{len(all)}
		var page struct {
			Total     int                       `json:"total"`
			Consumers []*jetstream.ConsumerInfo `json:"consumers"`
			Missing   []string                  `json:"missing"`
			Offline   map[string]string         `json:"offline"`
		}
		if err := b.call(ctx, "CONSUMER.LIST."+b.names.events, request, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Consumers...)
		if len(page.Missing) > 0 || len(page.Offline) > 0 {
			return all, errIncomplete
		}
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			break
		}
	}
	if len(all) < expected {
		return all, errIncomplete
	}
	return all, nil
}

// oldest finds the oldest message that a consumer has not acknowledged yet,
// or one before it; nil if there is none.
func (b *Bus) oldest(ctx context.Context, c *jetstream.ConsumerInfo) (*storedMessage, error) {
	// In a cluster the consumer's leader may lag behind the stream's, and not know
	// yet that something is pending for it.
	if c.NumPending == 0 && c.NumAckPending == 0 && !b.clustered {
		return nil, nil
	}
	filters := c.Config.FilterSubjects
	if len(filters) == 0 {
		filters = []string{c.Config.FilterSubject}
	}
	var first *storedMessage
	for _, subject := range filters {
		if subject == "" {
			subject = ">"
		}
		m, err := b.events.get(ctx, messageQuery{Next: subject, Seq: c.AckFloor.Stream + 1})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if first == nil || m.Seq < first.Seq {
			first = m
		}
	}
	return first, nil
}
