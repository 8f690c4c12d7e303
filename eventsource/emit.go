package eventsource

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-events/signalbox/eventbus"
)

// metrics of one entry. They are looked up once, so that counters begin at 0
// and an event costs no look-up.
type metrics struct {
	running                        prometheus.Gauge
	sent, failed, unread, filtered prometheus.Counter
	duration                       prometheus.Observer
}

func newMetrics(c RunnerConfig) metrics {
	m, labels := c.Metrics, []string{c.Namespace, c.EventSource, c.Event}
	return metrics{
		running:  m.SourcesRunning.WithLabelValues(c.Namespace, c.EventSource),
		sent:     m.EventsSent.WithLabelValues(labels...),
		failed:   m.EventsFailed.WithLabelValues(labels...),
		unread:   m.EventsUnread.WithLabelValues(labels...),
		filtered: m.EventsFiltered.WithLabelValues(labels...),
		duration: m.EventDuration.WithLabelValues(labels...),
	}
}

// emit is the Emit that the source gets.
func (r *Runner) emit(ctx context.Context, e Event) error {
	if e.Filtered {
		r.metrics.filtered.Inc()
		return nil
	}
	began := time.Now()
	if r.filter != nil && !r.passes(e.Data) {
		return nil
	}
	ce, id, err := r.maker.make(&e, began)
	if err == nil {
		err = r.config.Publisher.Publish(ctx, r.address, id, ce)
	}
	if err != nil {
		r.metrics.failed.Inc()
		level := slog.LevelWarn
		if errors.Is(err, context.Canceled) { // whoever sent it has gone, or we stop
			level = slog.LevelDebug
		}
		r.complain(&r.complaints.notStored, level, "event not stored", err)
		if errors.Is(err, eventbus.ErrTooLarge) {
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return err
	}
	now := time.Now()
	r.metrics.sent.Inc()
	r.metrics.duration.Observe(float64(now.Sub(began)) / float64(time.Millisecond))
	r.lastEvent.Store(now.UnixNano())
	return nil
}

// passes applies the entry's filter. What it drops counts as delivered, so that
// upstream does not bring it again.
func (r *Runner) passes(data []byte) bool {
	pass, err := r.filter.Eval(data)
	switch {
	case err != nil:
		r.metrics.unread.Inc()
		r.complain(&r.complaints.unread, slog.LevelWarn, "event dropped: its filter failed", err)
	case !pass:
		r.metrics.filtered.Inc()
	}
	return pass && err == nil
}

// maker makes CloudEvents of the events of one entry.
type maker struct {
	source, subject, eventType string
	foreign                    bool
}

func newMaker(c RunnerConfig) maker {
	m := maker{source: c.EventSource, subject: c.Event, eventType: c.Kind.EventType, foreign: c.Kind.ForeignContext}
	if m.eventType == "" {
		m.eventType = c.Kind.Name
	}
	return m
}

const jsonType = "application/json"

// made is a CloudEvent with all that it points to, in one piece of memory.
type made struct {
	event                event.Event
	context              event.EventContextV1
	source               url.URL
	time                 types.Timestamp
	contentType, subject string
	schemaURL            types.URI
}

// make makes the CloudEvent of e, and the id under which the bus stores it
// once. That is the event's id; where the event has a source of its own,
// "SOURCE ID", because its id is unique within that source only.
func (m *maker) make(e *Event, now time.Time) (ce *event.Event, busID string, err error) {
	c := &made{time: types.Timestamp{Time: e.Time}, contentType: e.ContentType, subject: e.Subject}
	if c.context.ID = e.ID; c.context.ID == "" {
		c.context.ID = NewID()
	}
	busID = c.context.ID
	// As an opaque URL, a source is written as it came, whatever it holds.
	c.source.Opaque = m.source
	if e.Source != "" {
		c.source.Opaque = e.Source
		busID = e.Source + " " + c.context.ID
	}
	c.context.Source = types.URIRef{URL: c.source}
	if c.context.Type = e.Type; c.context.Type == "" {
		c.context.Type = m.eventType
	}
	if c.subject == "" && !m.foreign {
		c.subject = m.subject
	}
	if c.subject != "" {
		c.context.Subject = &c.subject
	}
	if e.Time.IsZero() {
		c.time.Time = now.UTC()
	}
	c.context.Time = &c.time
	if c.contentType == "" && len(e.Data) > 0 {
		c.contentType = jsonType
	}
	if c.contentType != "" {
		c.context.DataContentType = &c.contentType
	}
	if e.DataSchema != "" {
		c.schemaURL.Opaque = e.DataSchema
		c.context.DataSchema = &c.schemaURL
	}
	for name, value := range e.Extensions {
		if err := c.context.SetExtension(name, value); err != nil {
			return nil, "", fmt.Errorf("extension %q: %w", name, err)
		}
	}
	c.event.Context = &c.context
	c.event.DataEncoded = e.Data
	return &c.event, busID, nil
}

// NewID is a random id, 32 hex digits.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	var id [32]byte
	hex.Encode(id[:], b[:])
	return string(id[:])
}
