package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-events/signalbox/webhook/imageevent"
	"github.com/signalbox-events/signalbox/webhook/ingress"
	"github.com/signalbox-events/signalbox/webhook/verify"
)

// input is a delivery, out of the envelopes that clouds put around it.
type input struct {
	header http.Header
	// body as it came; payload is what is inside of its envelopes.
	body, payload []byte
	// members of the payload, or of the first of its elements if it is a list.
	members map[string]json.RawMessage
	list    bool

	message *verify.SNSMessage // the envelope of SNS
	cloud   *cloudEvent        // the envelope of CloudEvents
	pubsub  *pubsubMessage     // the envelope of Google Pub/Sub
	// delivery is the sender's id of it.
	delivery string
	// doubt tells that something was not of the type that it should be.
	doubt bool
}

// found is an event in a delivery.
type found struct {
	imageevent.Event
	// id of the event. Where it is empty there are, in this order, the delivery's, and a
	// random one.
	id string
	// body for the event alone; nil is the whole delivery.
	body []byte
}

// maxID is the longest id that is kept as it is.
const maxID = 200

func (f *found) eventID() string {
	if len(f.id) > maxID || strings.ContainsFunc(f.id, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return hashed(f.id)
	}
	return f.id
}

// hashed makes an id of what identifies something.
func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

type cloudEvent struct {
	ID       string          `json:"id"`
	Source   string          `json:"source"`
	Type     string          `json:"type"`
	Subject  string          `json:"subject"`
	Time     string          `json:"time"`
	Operator string          `json:"operator"`
	Data     json.RawMessage `json:"data"`
}

type pubsubMessage struct {
	Message struct {
		Data      string `json:"data"`
		MessageID string `json:"messageId"`
		Published string `json:"publishTime"`
	} `json:"message"`
	Subscription string `json:"subscription"`
}

// unwrap takes a delivery out of its envelopes.
func unwrap(h http.Header, body []byte) (*input, error) {
	in := &input{header: h, body: body, payload: body}
	if isSNS(h) {
		m, err := verify.ParseSNS(body)
		if err != nil {
			return nil, &ingress.Error{Status: http.StatusBadRequest, Text: err.Error()}
		}
		in.message, in.delivery = m, m.MessageID
		if m.Type != verify.SNSNotification {
			return in, nil
		}
		in.payload = []byte(m.Message)
	}
	in.look()
	switch {
	case in.has("specversion", "type"):
		in.cloud = &cloudEvent{}
		in.read(in.payload, in.cloud)
		if in.payload = in.cloud.Data; len(in.payload) == 0 {
			in.payload = []byte("null")
		}
		in.look()
	case h.Get("Ce-Type") != "":
		get := func(name string) string {
			v := h.Get("Ce-" + name)
			if plain, err := url.PathUnescape(v); err == nil {
				return plain
			}
			return v
		}
		in.cloud = &cloudEvent{
			ID: get("Id"), Source: get("Source"), Type: get("Type"), Subject: get("Subject"), Time: get("Time"), Operator: get("Operator"),
		}
	case in.has("message", "subscription"):
		in.pubsub = &pubsubMessage{}
		in.read(in.payload, in.pubsub)
		in.delivery = in.pubsub.Message.MessageID
		inner, err := base64.StdEncoding.DecodeString(in.pubsub.Message.Data)
		if err != nil || !ingress.ValidJSON(bytes.TrimSpace(inner)) {
			in.doubt, inner = true, []byte("null")
		}
		in.payload = inner
		in.look()
	}
	if in.cloud != nil {
		in.delivery = in.cloud.ID
	}
	return in, nil
}

// look finds out what members the payload has.
func (in *input) look() {
	in.members, in.list = nil, false
	if json.Unmarshal(in.payload, &in.members) == nil {
		return
	}
	var elements []json.RawMessage
	if json.Unmarshal(in.payload, &elements) == nil {
		in.list = true
		if len(elements) > 0 {
			_ = json.Unmarshal(elements[0], &in.members)
		}
	}
}

// has tells whether the payload has all of these members.
func (in *input) has(names ...string) bool {
	for _, n := range names {
		if _, ok := in.members[n]; !ok {
			return false
		}
	}
	return true
}

// inside tells whether the member that is an object has a member of that name.
func (in *input) inside(member, name string) bool {
	var m map[string]json.RawMessage
	_ = json.Unmarshal(in.members[member], &m)
	_, ok := m[name]
	return ok
}

// text is a member that is a string.
func (in *input) text(member string) string {
	var t string
	_ = json.Unmarshal(in.members[member], &t)
	return t
}

// read decodes raw as far as it is of the types of v, and notes if it is not.
func (in *input) read(raw []byte, v any) {
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, v); errors.As(err, &mistyped) || err != nil {
		in.doubt = true
	}
}

// parseTime reads RFC 3339, or Unix seconds; nil if it is neither, or far off.
func parseTime(text string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil
		}
		return unixTime(n)
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return nil
	}
	t = t.UTC()
	return &t
}

func unixTime(sec float64) *time.Time {
	if !(sec > 0 && sec < 253402300800) { // the year 10000
		return nil
	}
	whole, part := math.Modf(sec)
	t := time.Unix(int64(whole), int64(part*1e9)).UTC()
	return &t
}

// action translates a registry's word; an empty one is not known.
func action(words map[string]string, raw string) string {
	if raw == "" {
		return ""
	}
	if a, ok := words[raw]; ok {
		return a
	}
	return imageevent.Other
}
