package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/eventsource"
)

// The attributes that every CloudEvent has, in the order in which people are
// told that they are missing.
var required = []string{"specversion", "id", "source", "type"}

// binary reads an event whose attributes are headers and whose data is the body
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md).
func binary(h http.Header, body []byte) (eventsource.Event, error) {
	attributes := map[string]string{}
	for header, values := range h {
		name, ok := strings.CutPrefix(header, "Ce-")
		if !ok || len(values) == 0 {
			continue
		}
		// Values are percent-encoded; one that is not properly is taken literally.
		value, err := url.PathUnescape(values[0])
		if err != nil {
			value = values[0]
		}
		attributes[strings.ToLower(name)] = value
	}
	delete(attributes, "datacontenttype") // Content-Type says it
	if t := h.Get("Content-Type"); t != "" {
		attributes["datacontenttype"] = t
	}
	e, err := fromAttributes(attributes)
	if err != nil {
		return eventsource.Event{}, err
	}
	if e.ContentType == "" && len(body) > 0 && !json.Valid(body) {
		e.ContentType = "application/octet-stream"
	}
	e.Data = body
	return e, nil
}

// structured reads an event that is one JSON object
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
func structured(object []byte) (eventsource.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return eventsource.Event{}, fmt.Errorf("the CloudEvent is no JSON object: %w", err)
	}
	data, hasData := members["data"]
	encoded, hasEncoded := members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	attributes := make(map[string]string, len(members))
	for name, raw := range members {
		value, present, err := attribute(raw)
		if err != nil {
			return eventsource.Event{}, fmt.Errorf("attribute %q: %w", name, err)
		}
		if present {
			attributes[name] = value
		}
	}
	e, err := fromAttributes(attributes)
	if err != nil {
		return eventsource.Event{}, err
	}
	switch {
	case hasData && hasEncoded:
		return eventsource.Event{}, errors.New("the CloudEvent has both data and data_base64")
	case hasEncoded:
		var text string
		if json.Unmarshal(encoded, &text) != nil {
			return eventsource.Event{}, errors.New("data_base64 is no string")
		}
		if e.Data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return eventsource.Event{}, fmt.Errorf("data_base64: %w", err)
		}
	case hasData:
		e.Data = data
		var text string
		if !isJSON(e.ContentType) && json.Unmarshal(data, &text) == nil && data[0] == '"' {
			e.Data = []byte(text)
		}
	}
	return e, nil
}

// mostTold is how many mistakes of a batch the sender is told of.
const mostTold = 10

// batch reads a JSON array of events.
func batch(list []byte) ([]eventsource.Event, error) {
	var objects []json.RawMessage
	if err := json.Unmarshal(list, &objects); err != nil {
		return nil, fmt.Errorf("the batch is no JSON array: %w", err)
	}
	events := make([]eventsource.Event, len(objects))
	var errs []error
	for i, object := range objects {
		var err error
		if events[i], err = structured(object); err != nil {
			errs = append(errs, fmt.Errorf("event %d of the batch: %w", i+1, err))
			if len(errs) == mostTold {
				return nil, errors.Join(errs...)
			}
		}
	}
	return events, errors.Join(errs...)
}

// attribute reads a JSON value as the text of an attribute; null means that
// there is none.
func attribute(raw json.RawMessage) (value string, present bool, err error) {
	raw = bytes.TrimSpace(raw)
	switch raw[0] {
	case '"':
		err = json.Unmarshal(raw, &value)
		return value, true, err
	case 'n':
		return "", false, nil
	case '{', '[':
		return "", false, errors.New("is not a string, a number or a boolean")
	default:
		return string(raw), true, nil
	}
}

// fromAttributes makes an event without data, and takes the attributes that it
// uses out of the map.
func fromAttributes(attributes map[string]string) (eventsource.Event, error) {
	var missing []string
	for _, name := range required {
		if attributes[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == len(required) {
		return eventsource.Event{}, errors.New("this is no CloudEvent (specversion, id, source, type): there are neither ce- headers nor a Content-Type of CloudEvents")
	}
	if len(missing) > 0 {
		return eventsource.Event{}, errors.New("the CloudEvent lacks " + strings.Join(missing, ", "))
	}
	for name, value := range attributes {
		if err := check(name, value); err != nil {
			return eventsource.Event{}, fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	take := func(name string) string {
		value := attributes[name]
		delete(attributes, name)
		return value
	}
	if v := take("specversion"); v != "1.0" {
		return eventsource.Event{}, fmt.Errorf("specversion %s is not understood; send 1.0", v)
	}
	e := eventsource.Event{
		ID: take("id"), Source: take("source"), Type: take("type"), Subject: take("subject"),
		ContentType: take("datacontenttype"), DataSchema: take("dataschema"),
	}
	if text := take("time"); text != "" {
		var err error
		if e.Time, err = time.Parse(time.RFC3339, text); err != nil {
			return eventsource.Event{}, fmt.Errorf("time %q is not as RFC 3339 wants it", text)
		}
	}
	for _, uri := range []struct{ name, value string }{{"source", e.Source}, {"dataschema", e.DataSchema}} {
		if _, err := url.Parse(uri.value); err != nil || strings.ContainsAny(uri.value, " \t") {
			return eventsource.Event{}, fmt.Errorf("%s %q is no URI", uri.name, uri.value)
		}
	}
	if len(attributes) > 0 {
		e.Extensions = attributes
	}
	return e, nil
}

// check wants names and values as the specification of CloudEvents does.
func check(name, value string) error {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return errors.New("a name has only small letters and digits")
		}
	}
	if name == "" || name == "data" {
		return errors.New("not a name")
	}
	if !utf8.ValidString(value) {
		return errors.New("is not UTF-8")
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 }) {
		return errors.New("has a control character")
	}
	return nil
}

// isJSON tells whether data of this type is JSON; so it is where none is named.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}
