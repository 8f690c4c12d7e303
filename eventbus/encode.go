package eventbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

// Headers of our own. The attributes of an event are in headers "ce-<attribute>"
// (NATS protocol binding for CloudEvents, binary mode).
const (
	headerPrefix     = "ce-"
	headerMessageID  = "Nats-Msg-Id"
	headerBase64     = "Signalbox-Base64"
	headerDependency = "Signalbox-Dependency"
	headerSource     = "Signalbox-Source"
	headerEvent      = "Signalbox-Event"
	headerRedrive    = "Signalbox-Redrive"
)

// headers collects single values with two allocations whatever their number.
type headers struct {
	h      nats.Header
	values []string
}

func newHeaders(n int) headers {
	return headers{h: make(nats.Header, n), values: make([]string, 0, n)}
}

func (h *headers) set(name, value string) {
	if len(h.values) == cap(h.values) {
		h.h[name] = []string{value}
		return
	}
	h.values = append(h.values, value)
	n := len(h.values)
	h.h[name] = h.values[n-1 : n : n]
}

// encode turns an event into the headers of a message, with room for extra more
// of them. The body is the event's data, as it is.
func encode(e *event.Event, extra int) (headers, error) {
	if e == nil || e.Context == nil {
		return headers{}, errors.New("encode event: it has no context")
	}
	if e.ID() == "" || e.Source() == "" || e.Type() == "" {
		return headers{}, errors.New("encode event: id, source or type is missing")
	}
	extensions := e.Extensions()
	version := e.SpecVersion()
	h := newHeaders(4 + optional(e) + len(extensions) + extra)
	h.set("ce-specversion", version)
	h.set("ce-id", quote(e.ID()))
	h.set("ce-source", quote(e.Source()))
	h.set("ce-type", quote(e.Type()))
	if s := e.Subject(); s != "" {
		h.set("ce-subject", quote(s))
	}
	if t := e.Time(); !t.IsZero() {
		h.set("ce-time", t.Format(time.RFC3339Nano))
	}
	if s := e.DataContentType(); s != "" {
		h.set("ce-datacontenttype", quote(s))
	}
	if s := e.DataSchema(); s != "" {
		name := "ce-dataschema"
		if version == event.CloudEventsVersionV03 {
			name = "ce-schemaurl"
		}
		h.set(name, quote(s))
	}
	if version == event.CloudEventsVersionV03 {
		if s := e.DeprecatedDataContentEncoding(); s != "" {
			h.set("ce-datacontentencoding", quote(s))
		}
	}
	if e.DataBase64 {
		h.set(headerBase64, "1")
	}
	for name, value := range extensions {
		if !validName(name) {
			return headers{}, fmt.Errorf("encode event: extension %q: not a name", name)
		}
		text, ok := value.(string)
		if !ok {
			var err error
			if text, err = types.Format(value); err != nil {
				return headers{}, fmt.Errorf("encode event: extension %s: %w", name, err)
			}
		}
		h.set(headerPrefix+name, quote(text))
	}
	return h, nil
}

// optional counts the attributes that an event need not have. A map that is made
// a little too large costs twice as much.
func optional(e *event.Event) (n int) {
	for _, there := range []bool{
		e.Subject() != "", !e.Time().IsZero(), e.DataContentType() != "", e.DataSchema() != "", e.DataBase64,
	} {
		if there {
			n++
		}
	}
	return n
}

// validName says whether a name can stand in a header. CloudEvents allows less.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return name != ""
}

const upperHex = "0123456789ABCDEF"

// quote percent-encodes what a header cannot hold, as the HTTP and NATS bindings
// say: everything outside of '!' to '~', the double quote and the percent sign.
func quote(s string) string {
	n := 0
	for i := range len(s) {
		if quoted(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; quoted(c) {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func quoted(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

// unquote takes anything: a percent sign that begins no escape stays.
func unquote(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decode turns a message back into an event. It takes messages of other
// producers too: names in any case, and structured mode. The event keeps data.
func decode(h nats.Header, data []byte) (*event.Event, error) {
	version, contentType := "", ""
	if own := h["ce-specversion"]; len(own) > 0 {
		version = unquote(own[0])
	} else {
		version, contentType = foreign(h)
	}
	if version == "" && strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents") {
		e := &event.Event{}
		if err := json.Unmarshal(data, e); err != nil {
			return nil, fmt.Errorf("decode structured event: %w", err)
		}
		return e, nil
	}
	d := &decoded{}
	e := &d.event
	switch version {
	case event.CloudEventsVersionV1:
		e.Context = &d.context
	case event.CloudEventsVersionV03:
		e.Context = &event.EventContextV03{}
	case "":
		return nil, errors.New("decode event: no ce-specversion header")
	default:
		return nil, fmt.Errorf("decode event: unknown specversion %q", version)
	}
	if len(data) > 0 {
		e.DataEncoded = data
	}
	for name, values := range h {
		if len(values) == 0 || len(name) <= len(headerPrefix) || !strings.EqualFold(name[:len(headerPrefix)], headerPrefix) {
			if len(values) > 0 && strings.EqualFold(name, "content-type") {
				contentType = values[0]
			}
			continue
		}
		if err := d.set(strings.ToLower(name[len(headerPrefix):]), unquote(values[0])); err != nil {
			return nil, err
		}
	}
	if contentType != "" && e.DataContentType() == "" {
		if err := d.set("datacontenttype", contentType); err != nil {
			return nil, err
		}
	}
	if h.Get(headerBase64) != "" || version == event.CloudEventsVersionV1 && !utf8.Valid(data) {
		e.DataBase64 = true
	}
	if e.ID() == "" || e.Source() == "" || e.Type() == "" {
		return nil, errors.New("decode event: id, source or type is missing")
	}
	return e, nil
}

// foreign finds what another producer may have spelt in another way.
func foreign(h nats.Header) (version, contentType string) {
	for name, values := range h {
		switch {
		case len(values) == 0:
		case strings.EqualFold(name, "ce-specversion"):
			version = unquote(values[0])
		case strings.EqualFold(name, "content-type"):
			contentType = values[0]
		}
	}
	return version, contentType
}

// decoded is an event with all that it points to, in one piece of memory.
type decoded struct {
	event                event.Event
	context              event.EventContextV1
	subject, contentType string
	time                 types.Timestamp
}

// set sets what it is given without trimming or checking it, so that an
// event comes back as it was published.
func (d *decoded) set(name, value string) error {
	v1 := &d.context
	if d.event.Context != v1 {
		return setOldAttribute(&d.event, name, value)
	}
	switch name {
	case "specversion":
	case "id":
		v1.ID = value
	case "source":
		if isPlain(value) {
			v1.Source.Path = value
			break
		}
		u, err := url.Parse(value)
		if err != nil {
			return fmt.Errorf("decode event: source: %w", err)
		}
		v1.Source = types.URIRef{URL: *u}
	case "type":
		v1.Type = value
	case "subject":
		d.subject = value
		v1.Subject = &d.subject
	case "datacontenttype":
		d.contentType = value
		v1.DataContentType = &d.contentType
	case "dataschema":
		u, err := url.Parse(value)
		if err != nil {
			return fmt.Errorf("decode event: dataschema: %w", err)
		}
		v1.DataSchema = &types.URI{URL: *u}
	case "time":
		t, err := types.ParseTime(value)
		if err != nil {
			return fmt.Errorf("decode event: time: %w", err)
		}
		d.time.Time = t
		v1.Time = &d.time
	default:
		if v1.Extensions == nil {
			v1.Extensions = map[string]any{}
		}
		v1.Extensions[name] = value
	}
	return nil
}

// isPlain tells whether s is nothing but a path to url.Parse: most names are.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}

// setOldAttribute is set for spec version 0.3.
func setOldAttribute(e *event.Event, name, value string) error {
	var err error
	switch name {
	case "specversion":
	case "id":
		err = e.Context.SetID(value)
	case "source":
		err = e.Context.SetSource(value)
	case "type":
		err = e.Context.SetType(value)
	case "subject":
		err = e.Context.SetSubject(value)
	case "datacontenttype":
		err = e.Context.SetDataContentType(value)
	case "schemaurl":
		err = e.Context.SetDataSchema(value)
	case "datacontentencoding":
		err = e.Context.DeprecatedSetDataContentEncoding(value)
	case "time":
		var t time.Time
		if t, err = types.ParseTime(value); err == nil {
			err = e.Context.SetTime(t)
		}
	default:
		err = e.Context.SetExtension(name, value)
	}
	if err != nil {
		return fmt.Errorf("decode event: %s: %w", name, err)
	}
	return nil
}
