package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/webhook/ingress"
)

// shape writes the data of events. What is the same in all of them is written once.
type shape struct {
	variables []string // of the endpoint's path
	metadata  []byte   // the member of the JSON object, with its comma; nil if there is none
}

var variable = regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9_]*)(?:\}|:)`)

func newShape(endpoint string, metadata map[string]string) shape {
	var s shape
	for _, m := range variable.FindAllStringSubmatch(endpoint, -1) {
		s.variables = append(s.variables, m[1])
	}
	if len(metadata) > 0 {
		s.metadata = append(s.metadata, `,"metadata":{`...)
		for i, k := range sortedKeys(metadata, nil) {
			s.metadata = appendKey(s.metadata, i, k)
			s.metadata = ingress.AppendJSON(s.metadata, metadata[k])
		}
		s.metadata = append(s.metadata, '}')
	}
	return s
}

// append appends the data of a request to dst: a JSON object.
func (s *shape) append(dst []byte, r *http.Request, body []byte) ([]byte, error) {
	if want := len(body) + 1024; cap(dst) < want {
		dst = make([]byte, 0, want)
	}
	dst = append(dst, `{"header":`...)
	dst = ingress.AppendHeader(dst, r.Header)
	var err error
	if r.Method == http.MethodGet {
		// A GET request's body is its query, as in Argo Events.
		dst = appendLists(append(dst, `,"body":`...), query(r))
	} else {
		if dst, err = appendBody(dst, r.Header.Get("Content-Type"), body); err != nil {
			return nil, err
		}
		if r.URL.RawQuery != "" {
			if q := query(r); len(q) > 0 {
				dst = appendLists(append(dst, `,"query":`...), q)
			}
		}
	}
	if len(s.variables) > 0 {
		dst = append(dst, `,"path":{`...)
		for i, name := range s.variables {
			dst = appendKey(dst, i, name)
			dst = ingress.AppendJSON(dst, r.PathValue(name))
		}
		dst = append(dst, '}')
	}
	dst = append(dst, s.metadata...)
	return append(dst, '}'), nil
}

// query leaves out what cannot be read, as net/url does.
func query(r *http.Request) url.Values { return r.URL.Query() }

// appendBody appends the member body, and bodyEncoding if the body is binary.
//
//   - A form becomes an object of lists.
//   - A body that is said to be JSON has to be.
//   - Nothing becomes null.
//   - What else is JSON is taken as JSON, as Argo Events does whatever the type;
//     but a scalar of type text/* stays the text that it is.
//   - Other text becomes a string, everything else base64.
func appendBody(dst []byte, contentType string, body []byte) ([]byte, error) {
	dst = append(dst, `,"body":`...)
	media := mediaType(contentType)
	if strings.EqualFold(media, "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, badRequest("the body is said to be a form, but cannot be read as one: " + err.Error())
		}
		return appendLists(dst, form), nil
	}
	text := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // Windows' byte order mark
	text = bytes.TrimSpace(text)
	if len(text) == 0 && (len(body) == 0 || isJSON(media)) {
		return append(dst, "null"...), nil
	}
	switch {
	case (isJSON(media) || mayBeJSON(text) || !isText(media)) && ingress.ValidJSON(text):
		return append(dst, text...), nil
	case isJSON(media):
		return nil, badRequest("the body is said to be JSON (Content-Type: " + media + "), but is not: " + whyNot(text))
	case utf8.Valid(body):
		return ingress.AppendJSON(dst, body), nil
	default:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, body)
		return append(dst, `","bodyEncoding":"base64"`...), nil
	}
}

func badRequest(text string) error {
	return &ingress.Error{Status: http.StatusBadRequest, Text: text}
}

// whyNot tells what is wrong with JSON that is not valid.
func whyNot(text []byte) string {
	if !utf8.Valid(text) {
		return "it is not UTF-8"
	}
	var v json.RawMessage
	if err := json.Unmarshal(text, &v); err != nil {
		return err.Error()
	}
	return "it cannot be read"
}

// mediaType is the type without its parameters.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(t)
}

func isJSON(media string) bool {
	return strings.EqualFold(media, "application/json") || hasSuffixFold(media, "+json") || strings.EqualFold(media, "text/json")
}

func isText(media string) bool { return len(media) >= 5 && strings.EqualFold(media[:5], "text/") }

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func mayBeJSON(text []byte) bool { return len(text) > 0 && (text[0] == '{' || text[0] == '[') }

// sortedKeys appends the keys of m to space, in order.
func sortedKeys[V any, M ~map[string]V](m M, space []string) []string {
	for k := range m {
		space = append(space, k)
	}
	slices.Sort(space)
	return space
}

func appendKey(dst []byte, i int, key string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return append(ingress.AppendJSON(dst, key), ':')
}

func appendLists(dst []byte, m map[string][]string) []byte {
	dst = append(dst, '{')
	for i, k := range sortedKeys(m, nil) {
		dst = appendKey(dst, i, k)
		dst = appendList(dst, m[k])
	}
	return append(dst, '}')
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = ingress.AppendJSON(dst, s)
	}
	return append(dst, ']')
}
