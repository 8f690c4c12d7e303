package ingress

import (
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"
)

// jsonType is shared by all answers; nobody changes it.
var jsonType = []string{"application/json"}

func writeAnswer(w http.ResponseWriter, a Answer) {
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	if a.ContentType != "" {
		w.Header().Set("Content-Type", a.ContentType)
		w.WriteHeader(status)
		_, _ = w.Write(a.Body)
		return
	}
	var space [128]byte
	b := space[:0]
	switch {
	case a.IDs != nil:
		b = append(b, `{"ids":[`...)
		for i, id := range a.IDs {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendJSON(b, id)
		}
		b = append(b, "]}\n"...)
	case a.ID != "":
		b = append(AppendJSON(append(b, `{"id":`...), a.ID), "}\n"...)
	default:
		b = append(b, "{}\n"...)
	}
	w.Header()["Content-Type"] = jsonType
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	// An error means that the sender has gone; it will send again.
	_, _ = w.Write(b)
}

func writeError(w http.ResponseWriter, status int, text string) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	b := append(AppendJSON([]byte(`{"error":`), text), "}\n"...)
	_, _ = w.Write(b) //nolint:gosec // it is a JSON string of type application/json
}

func tooLarge(limit int64) *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the body is larger than %d bytes", limit)}
}

// overloaded is a 503: the sender is to try again.
func overloaded(text string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Text: text + "; try again", RetryAfter: time.Duration(retrySeconds) * time.Second}
}

const hexDigits = "0123456789abcdef"

// AppendJSON appends s to dst as a JSON string. What is not UTF-8 becomes U+FFFD.
func AppendJSON[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			start = i
			continue
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
