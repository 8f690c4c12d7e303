// Package githost has what the kinds of Git hosts need beside their decoders:
// payloads that are cut into one per ref, lists of unknown honesty, ids of
// deliveries, and a client of a host's API.
package githost

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/webhook/ingress"
)

const (
	// maxItems is how many elements of a List are read.
	maxItems = 250
	// maxRefs and maxCut bound the events that one delivery is cut into.
	maxRefs = 5000
	maxCut  = 64 << 20
	// maxID is the longest id that is taken from a sender.
	maxID = 200
)

// List is a list in a payload. Reading it never fails: of an element of the
// wrong type it has what could be read, anything but a list is an empty one, and
// of a list that is very long it has the first elements.
type List[T any] struct {
	Items []T
	// Cut tells that there were more.
	Cut bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *List[T]) UnmarshalJSON(b []byte) error {
	*l = List[T]{}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for dec.More() {
		if len(l.Items) == maxItems {
			l.Cut = true
			return nil
		}
		var v T
		var wrong *json.UnmarshalTypeError
		if err := dec.Decode(&v); err != nil && !errors.As(err, &wrong) {
			return nil
		}
		l.Items = append(l.Items, v)
	}
	return nil
}

// Parts are a JSON object around a list in it: the pieces of the text they were
// cut from, not copies.
type Parts struct {
	head, tail []byte
	// Items are the elements of the list.
	Items [][]byte
}

// Split finds the list at path in body, a JSON object. It reports false if there
// is none. The error is an *ingress.Error if the list is longer than one delivery
// may be.
func Split(body []byte, path ...string) (Parts, bool, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	for _, key := range path {
		if !enter(dec, key) {
			return Parts{}, false, nil
		}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return Parts{}, false, nil
	}
	p := Parts{head: body[:dec.InputOffset()]}
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return Parts{}, false, nil
		}
		end := dec.InputOffset()
		if len(p.Items) == maxRefs {
			return Parts{}, false, tooMany()
		}
		p.Items = append(p.Items, body[end-int64(len(raw)):end])
	}
	if _, err := dec.Token(); err != nil {
		return Parts{}, false, nil
	}
	p.tail = body[dec.InputOffset()-1:]
	if len(p.Items) > 1 && len(p.Items)*(len(p.head)+len(p.tail))+len(body) > maxCut {
		return Parts{}, false, tooMany()
	}
	return p, true, nil
}

func tooMany() error {
	return &ingress.Error{Status: http.StatusRequestEntityTooLarge, Text: "the push moves more refs than can be made events of"}
}

// enter reads up to the value of key in the object that comes next.
func enter(dec *json.Decoder, key string) bool {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return false
		}
		if t == key {
			return true
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return false
		}
	}
	return false
}

// With is the object with only some of the list's elements.
func (p Parts) With(items ...int) []byte {
	size := len(p.head) + len(p.tail) + len(items)
	for _, i := range items {
		size += len(p.Items[i])
	}
	out := append(make([]byte, 0, size), p.head...)
	for n, i := range items {
		if n > 0 {
			out = append(out, ',')
		}
		out = append(out, p.Items[i]...)
	}
	return append(out, p.tail...)
}

// Read decodes what can be decoded of body into v; the rest stays as it is.
func Read(body []byte, v any) { _ = json.Unmarshal(body, v) } // an error has told nothing that v does not show

// ID is the first of ids that can be an event's id, or else a hash of body.
func ID(body []byte, ids ...string) string {
	for _, id := range ids {
		if id != "" && len(id) <= maxID && utf8.ValidString(id) {
			return id
		}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// First is the first of texts that is not empty.
func First(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
