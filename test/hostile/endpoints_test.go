package hostile_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// endpoint is one kind of source that takes requests.
type endpoint struct {
	// kind below spec.
	kind string
	// entry is the YAML of its one event, beside endpoint and port.
	entry []string
	// body is a request that is accepted.
	body string
	// header signs any body as the sender would, with an id of its own for each
	// n, so that hostile content gets as far as it can.
	header func(body []byte, n int) http.Header
}

// secretValue is the value of the secret "hook", key "token", in all of them.
const secretValue = "s3cr3t"

// endpoints are attacked. A new kind gets a line here.
var endpoints = []endpoint{
	{
		kind: "webhook", entry: []string{"authSecret: {name: hook, key: token}", "rateLimit: {requests: 100000}"},
		body: `{"action":"opened","number":7,"labels":["a","b"],"user":{"name":"jane","admin":false},"at":null}`,
		header: func([]byte, int) http.Header {
			return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + secretValue}}
		},
	},
	{
		kind: "cloudevents", entry: []string{"insecure: true"},
		body: `{"specversion":"1.0","id":"1","source":"/s","type":"com.example","time":"2026-01-02T03:04:05Z","data":{"a":[1,{"b":"c"}]}}`,
		header: func([]byte, int) http.Header {
			return http.Header{"Content-Type": {"application/cloudevents+json"}}
		},
	},
}

func (e *endpoint) path() string { return "/" + strings.ToLower(e.kind) }

// mutations are bodies of which one value is null, of another type, or much too much.
func (e *endpoint) mutations() []string {
	var out []string
	odd := []any{nil, true, "", "\u0000x", json.Number("-1e999999"), json.Number("12345678901234567890123"), []any{}, map[string]any{}, []any{nil, []any{nil}}, strings.Repeat("a/", 5000)}
	var root any
	decoder := json.NewDecoder(strings.NewReader(e.body))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		panic(e.kind + ": the body is no JSON")
	}
	write := func() {
		b, err := json.Marshal(root)
		if err != nil {
			panic(err)
		}
		out = append(out, string(b))
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		for _, o := range odd {
			set(o)
			write()
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for k, child := range v {
				walk(child, func(n any) { v[k] = n })
			}
		case []any:
			for i, child := range v {
				walk(child, func(n any) { v[i] = n })
			}
		}
	}
	walk(root, func(n any) { root = n })
	slices.Sort(out)
	return out
}

// nasty are bodies that are no JSON of any use.
func nasty() []string {
	return []string{
		"", "null", "[", "{", `"`, "\x00", "\xff\xfe", "\"\xc3\x28\"", `{"a":"` + "\xed\xa0\x80" + `"}`, "{\"\xff\":1}",
		strings.Repeat("[", 100_000), strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000), strings.Repeat(`{"a":`, 50_000),
		"[" + strings.Repeat("{},", 100_000) + "{}]", "[" + strings.Repeat("[],", 100_000) + "[]]",
		"1" + strings.Repeat("0", 100_000), "1e" + strings.Repeat("9", 1000), `"` + strings.Repeat(`\u0000`, 20_000) + `"`,
		keys(50_000),
	}
}

func keys(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		b.WriteString(`"` + strconv.Itoa(i) + `":0,`)
	}
	b.WriteString(`"z":0}`)
	return b.String()
}
