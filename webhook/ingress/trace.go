package ingress

import (
	"net/http"
	"unicode/utf8"
)

// Trace returns the sender's trace (https://www.w3.org/TR/trace-context) as
// CloudEvents extensions; nil if the request has none.
func Trace(h http.Header) map[string]string {
	parent := first(h, "Traceparent")
	if parent == "" {
		return nil
	}
	extensions := map[string]string{"traceparent": parent}
	if state := first(h, "Tracestate"); state != "" {
		extensions["tracestate"] = state
	}
	return extensions
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 && utf8.ValidString(v[0]) {
		return v[0]
	}
	return ""
}
