// Package emit is the trigger that puts a new event on the sensor's event bus,
// so that sensors can follow one another.
package emit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
	"github.com/signalbox-events/signalbox/sensor/param"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

const textPlain = "text/plain; charset=utf-8"

// Kind is template.emit.
var Kind = trigger.Kind{Kind: kind.Of("emit", newEmitter)}

// emitter implements trigger.Trigger.
type emitter struct {
	publish trigger.Publish
	conf    Config
	params  *param.List
	// payload of a configuration without parameters.
	payload *param.List
	closed  atomic.Bool
}

func newEmitter(c Config, env trigger.Env) (trigger.Trigger, error) {
	t := &emitter{publish: env.Publish, conf: c}
	var err error
	if t.params, err = param.Compile(c.Parameters); err != nil {
		return nil, v1alpha1.At("parameters", err)
	}
	if t.payload, err = param.CompilePayload(c.Payload); err != nil {
		return nil, v1alpha1.At("payload", err)
	}
	return t, nil
}

// emission is one event, complete but for its time, and where it goes.
type emission struct {
	source, name string
	event        *event.Event
}

func (t *emitter) emission(ctx context.Context, in trigger.Input) (*emission, error) {
	if t.closed.Load() {
		return nil, trigger.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, payload := t.conf, t.payload
	if !t.params.Empty() {
		var err error
		if c, err = trigger.Override(t.conf, t.params, in.Events); err != nil {
			return nil, err
		}
		if payload, err = param.CompilePayload(c.Payload); err != nil {
			return nil, trigger.Permanent(err)
		}
	}
	hops, err := trigger.NextHop(in.Events, int64(c.MaxHops))
	if err != nil {
		return nil, err
	}
	out := &emission{source: or(c.EventSourceName, in.Sensor), name: or(c.EventName, in.Trigger)}
	e := event.New()
	e.SetID(in.ID)
	e.SetType(c.Type)
	e.SetSource(or(c.Source, asReference(out.source)))
	e.SetSubject(or(c.Subject, out.name))
	for name, value := range c.Extensions {
		e.SetExtension(name, value)
	}
	e.SetExtension(trigger.ExtHops, hops)
	e.SetExtension(trigger.ExtFrom, in.Namespace+"/"+in.Sensor+"/"+in.Trigger)
	trigger.CarryTrace(&e, in.Events)
	contentType, data, err := makeData(c, payload, in.Events)
	if err != nil {
		return nil, trigger.Permanent(err)
	}
	if err := e.SetData(contentType, data); err != nil {
		return nil, trigger.Permanent(err)
	}
	// How the data is written where the event becomes JSON.
	e.DataBase64 = contentType == event.ApplicationJSON && !json.Valid(data) || !utf8.Valid(data)
	if err := e.Validate(); err != nil {
		return nil, trigger.Permanent(fmt.Errorf("the event is not valid: %w", err))
	}
	out.event = &e
	return out, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// asReference makes a URI reference of a name, as CloudEvents wants it.
func asReference(name string) string {
	if _, err := url.Parse(name); err != nil {
		return url.PathEscape(name)
	}
	return name
}

// makeData gives the data and its content type.
func makeData(c Config, payload *param.List, events map[string]*event.Event) (string, []byte, error) {
	switch {
	case len(c.Payload) > 0:
		b, err := payload.Payload(events)
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("payload: %w", err)
		case len(b) == 0:
			return event.ApplicationJSON, []byte("{}"), nil
		case !json.Valid(b):
			return textPlain, b, nil
		default:
			return event.ApplicationJSON, b, nil
		}
	case len(events) == 1:
		for _, e := range events {
			return or(e.DataContentType(), event.ApplicationJSON), e.Data(), nil
		}
	}
	all := make(map[string]json.RawMessage, len(events))
	for name, e := range events {
		b, err := param.Data(e)
		if err != nil {
			b = quote(e.Data())
		}
		all[name] = b
	}
	b, err := encode(all)
	return event.ApplicationJSON, b, err
}

// quote makes a JSON string of data that is no JSON: its text, or base64 if it
// is no text.
func quote(data []byte) json.RawMessage {
	var v any = data
	if utf8.Valid(data) {
		v = string(data)
	}
	b, _ := json.Marshal(v) // neither can fail
	return b
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Render implements trigger.Trigger. The Spec has eventSourceName, eventName
// and event: the CloudEvent as JSON, without its time.
func (t *emitter) Render(ctx context.Context, in trigger.Input) (trigger.Action, error) {
	m, err := t.emission(ctx, in)
	if err != nil {
		return trigger.Action{}, err
	}
	spec, err := encode(struct {
		EventSourceName string       `json:"eventSourceName"`
		EventName       string       `json:"eventName"`
		Event           *event.Event `json:"event"`
	}{m.source, m.name, m.event})
	return trigger.Action{Kind: "emit", Spec: spec}, err
}

// Fire implements trigger.Trigger.
func (t *emitter) Fire(ctx context.Context, in trigger.Input) (trigger.Result, error) {
	m, err := t.emission(ctx, in)
	if err != nil {
		return trigger.Result{}, err
	}
	if t.publish == nil {
		return trigger.Result{}, errors.New("there is no event bus to publish to")
	}
	m.event.SetTime(time.Now())
	if err := t.publish(ctx, m.source, m.name, in.ID, m.event); err != nil {
		return trigger.Result{}, fmt.Errorf("publish to %s/%s: %w", m.source, m.name, err)
	}
	return trigger.Result{Summary: fmt.Sprintf("emitted %s/%s", m.source, m.name)}, nil
}

// Close implements trigger.Trigger.
func (t *emitter) Close() error {
	t.closed.Store(true)
	return nil
}
