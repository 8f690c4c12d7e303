package filter

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tidwall/gjson"

	"github.com/signalbox-events/signalbox/internal/template"
)

// input is one event during one evaluation. What has to be worked out for
// several clauses is worked out once, when it is first needed.
type input struct {
	event *event.Event
	data  []byte

	checked bool
	invalid error

	decoded bool
	tree    any
	bad     error
}

var errNotJSON = errors.New("the event's data is not JSON")

// absent tells that the event has no data, or null.
func (in *input) absent() bool {
	return len(in.data) <= 8 && (len(in.data) == 0 || string(bytes.TrimSpace(in.data)) == "null")
}

// valid fails if the data is not JSON, which gjson does not notice.
func (in *input) valid() error {
	if !in.checked {
		in.checked = true
		// gjson checks faster, but calls itself for every level, however deep.
		shallow := bytes.Count(in.data, []byte("["))+bytes.Count(in.data, []byte("{")) < 5000
		if shallow && !gjson.ValidBytes(in.data) || !shallow && !json.Valid(in.data) {
			in.invalid = errNotJSON
		}
	}
	return in.invalid
}

// value is the data as Go values; see template.Decode.
func (in *input) value() (any, error) {
	if !in.decoded {
		in.decoded = true
		switch {
		case in.absent():
		case in.valid() != nil:
			in.bad = in.invalid
		default:
			in.tree, in.bad = template.Decode(in.data)
		}
	}
	return in.tree, in.bad
}
