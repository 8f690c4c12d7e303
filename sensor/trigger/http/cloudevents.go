package http

import (
	"fmt"
	nethttp "net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"golang.org/x/net/http/httpguts"
)

// eventHeaders tells the attributes of an event as the binary mode of the
// CloudEvents HTTP binding writes them, but for Content-Type: the body is made
// by the payload.
func eventHeaders(e *event.Event, add func(name, value string)) {
	add("Ce-Specversion", e.SpecVersion())
	add("Ce-Id", percent(e.ID()))
	add("Ce-Source", percent(e.Source()))
	add("Ce-Type", percent(e.Type()))
	add("Ce-Subject", percent(e.Subject()))
	if !e.Time().IsZero() {
		add("Ce-Time", e.Time().UTC().Format(time.RFC3339Nano))
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		switch {
		case err != nil:
		case name == "traceparent" || name == "tracestate":
			if httpguts.ValidHeaderFieldValue(text) {
				add("T"+name[1:], text)
			}
		default:
			add(nethttp.CanonicalHeaderKey("Ce-"+name), percent(text))
		}
	}
}

// percent encodes an attribute for a header: all that is no printable ASCII,
// the space, the double quote and the percent sign.
func percent(s string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
