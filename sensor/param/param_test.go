package param_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/param"
)

const payload = `{"body":{"a":"x","n":5,"big":1234567,"huge":12345678901234567890,"f":1.50,"t":true,"nul":null,` +
	`"arr":["p","q"],"obj":{"k":1},"empty":"","e400":1e400,"neg":-3,"quote":"a\"b\\<ü"}}`

func newEvent(t testing.TB, contentType, data string) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID("id-1")
	e.SetType("webhook")
	e.SetSource("webhook")
	e.SetSubject("example")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC))
	if err := e.SetData(contentType, []byte(data)); err != nil {
		t.Fatal(err)
	}
	return &e
}

func events(t testing.TB) map[string]*event.Event {
	t.Helper()
	return map[string]*event.Event{"d": newEvent(t, event.ApplicationJSON, payload)}
}

// parameters reads a YAML list; a src without a dependency is d's.
func parameters(t testing.TB, text string) []v1alpha1.TriggerParameter {
	t.Helper()
	var ps []v1alpha1.TriggerParameter
	if err := yaml.UnmarshalStrict([]byte(text), &ps); err != nil {
		t.Fatal(err)
	}
	for i := range ps {
		if ps[i].Src != nil && ps[i].Src.DependencyName == "" {
			ps[i].Src.DependencyName = "d"
		}
	}
	return ps
}

func compile(t testing.TB, text string) *param.List {
	t.Helper()
	l, err := param.CompilePayload(parameters(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSources has one src each; the text that it gives, and the JSON that it
// gives with useRawData.
func TestSources(t *testing.T) {
	envelope := `{"context":{"id":"id-1","source":"webhook","specversion":"1.0","type":"webhook",` +
		`"datacontenttype":"application/json","subject":"example","time":"2026-01-02T03:04:05Z"},"data":"` +
		base64.StdEncoding.EncodeToString([]byte(payload)) + `"}`
	str := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	for src, want := range map[string]struct{ text, raw string }{
		`{}`:                                      {envelope, str(envelope)},
		`{value: def}`:                            {"def", `"def"`},
		`{dataKey: body.zz, value: def}`:          {"def", `"def"`},
		`{dataKey: body.empty}`:                   {"", `""`},
		`{dataKey: body.nul}`:                     {"null", "null"},
		`{dataKey: body.t}`:                       {"true", "true"},
		`{dataKey: body.big}`:                     {"1234567", "1234567"},
		`{dataKey: body.huge}`:                    {"12345678901234567890", "12345678901234567890"},
		`{dataKey: body.f}`:                       {"1.5", "1.5"},
		`{dataKey: body.neg}`:                     {"-3", "-3"},
		`{dataKey: body.e400}`:                    {"1e400", "1e400"},
		`{dataKey: body.arr}`:                     {`["p","q"]`, `["p","q"]`},
		`{dataKey: body.arr.#}`:                   {"2", "2"},
		`{dataKey: body.obj}`:                     {`{"k":1}`, `{"k":1}`},
		`{dataKey: body.quote}`:                   {`a"b\<ü`, str(`a"b\<ü`)},
		`{dataKey: "@this"}`:                      {payload, payload},
		`{contextKey: time}`:                      {"2026-01-02T03:04:05Z", `"2026-01-02T03:04:05Z"`},
		`{contextKey: type, dataKey: body.a}`:     {"x", `"x"`},
		`{contextTemplate: "{{.Input.subject}}"}`: {"example", `"example"`},
		// Argo Events prints 1.234567e+06 here.
		`{dataTemplate: "{{ .Input.body.big }}|{{ .Input.body.n }}"}`:                  {"1234567|5", `"1234567|5"`},
		`{dataTemplate: "{{ .Input.body.obj | toJson }} {{ .Input.body.big | int }}"}`: {`{"k":1} 1234567`, str(`{"k":1} 1234567`)},
		`{dataTemplate: "x-{{ .Input.body.zz }}"}`:                                     {"x-<no value>", str("x-<no value>")},
		`{dataTemplate: "{{ .Input.body.zz }}", dataKey: body.a}`:                      {"x", `"x"`},
		`{dataTemplate: "{{ .Input.body.empty }}", value: def}`:                        {"def", `"def"`},
		`{dataTemplate: "{{ fail ` + "`no`" + ` }}", dataKey: body.n}`:                 {"5", "5"},
		`{dependencyName: other, dataKey: body.a, value: def}`:                         {"def", `"def"`},
	} {
		t.Run(src, func(t *testing.T) {
			evs := events(t)
			got, err := compile(t, "[{src: "+src+"}]").Payload(evs)
			if err != nil || string(got) != want.text {
				t.Errorf("text %q (%v), want %q", got, err, want.text)
			}
			raw := strings.Replace(src, "{", "{useRawData: true, ", 1)
			got, err = compile(t, "[{src: "+raw+", dest: v}]").Payload(evs)
			if w := `{"v":` + want.raw + `}`; err != nil || !sameJSON(got, w) {
				t.Errorf("raw %s (%v), want %s", got, err, w)
			}
			got, err = compile(t, "[{src: "+src+", dest: v}]").Payload(evs)
			if w := `{"v":` + str(want.text) + `}`; err != nil || !sameJSON(got, w) {
				t.Errorf("string %s (%v), want %s", got, err, w)
			}
		})
	}
}

func TestSourceErrors(t *testing.T) {
	for src, want := range map[string]string{
		`{dataKey: body.zz}`:                          `there is no data at "body.zz"`,
		`{contextKey: zz}`:                            `there is no context at "zz"`,
		`{contextKey: type, dataKey: body.zz}`:        `there is no data at "body.zz"`,
		`{dataTemplate: "{{ .Input.body.zz }}"}`:      `dataTemplate gives nothing`,
		`{contextTemplate: "{{ ` + "``" + ` }}"}`:     `contextTemplate gives nothing`,
		`{dataTemplate: "{{ fail ` + "`no`" + ` }}"}`: `no`,
		`{dataTemplate: "{{ print }}", dataKey: q.r}`: `there is no data at "q.r"`,
	} {
		t.Run(src, func(t *testing.T) {
			for _, dest := range []string{"", ", dest: x"} {
				_, err := compile(t, "[{src: "+src+dest+"}]").Payload(events(t))
				if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "parameter 0") {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	l := compile(t, `[{src: {dataKey: a, value: def}}]`)
	for name, tc := range map[string]struct{ contentType, data, out, err string }{
		"json with charset": {"application/json; charset=utf-8", `{"a":1}`, "1", ""},
		"structured suffix": {"application/vnd.x+json", `{"a":1}`, "1", ""},
		"yaml":              {"application/yaml", "a: [1, b]\n", `[1,"b"]`, ""},
		"no data":           {event.ApplicationJSON, "", "def", ""},
		"null":              {event.ApplicationJSON, "null", "def", ""},
		"broken json":       {event.ApplicationJSON, `{"a":`, "", "the data is no JSON"},
		"broken yaml":       {"application/yaml", "a: [", "", "the data is no YAML"},
		"text":              {"text/plain", "a", "", `the data is "text/plain", neither JSON nor YAML`},
		"no content type":   {"a/b/c", "a", "", "neither JSON nor YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := l.Payload(map[string]*event.Event{"d": newEvent(t, tc.contentType, tc.data)})
			if string(got) != tc.out || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	t.Run("the context of an event without data", func(t *testing.T) {
		e := newEvent(t, "text/plain", "hello")
		e.SetExtension("region", "north")
		got, err := compile(t, `[{src: {contextKey: datacontenttype}, dest: a}, {src: {contextKey: extensions.region}, dest: b}]`).
			Payload(map[string]*event.Event{"d": e})
		if err != nil || string(got) != `{"a":"text/plain","b":"north"}` {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct{ before, params, after string }{
		"append":                 {`{"a":{"b":"q"}}`, `[{src: {dataKey: body.a}, operation: append, dest: a.b}]`, `{"a":{"b":"qx"}}`},
		"prepend":                {`{"a":{"b":"q"}}`, `[{src: {dataKey: body.a}, operation: prepend, dest: a.b}]`, `{"a":{"b":"xq"}}`},
		"append to a number":     {`{"a":{"b":7}}`, `[{src: {dataKey: body.n, useRawData: true}, operation: append, dest: a.b}]`, `{"a":{"b":"75"}}`},
		"append to nothing":      {`{"a":{}}`, `[{src: {dataKey: body.n, useRawData: true}, operation: append, dest: a.b}]`, `{"a":{"b":5}}`},
		"prepend to null":        {`{"a":null}`, `[{src: {dataKey: body.a}, operation: prepend, dest: a}]`, `{"a":"x"}`},
		"append to a forced key": {`{"a":{"1":"q"}}`, `[{src: {dataKey: body.a}, operation: append, dest: "a.:1"}]`, `{"a":{"1":"qx"}}`},
		"append to a queried":    {`{"a":[{"n":"k","v":"q"}]}`, `[{src: {dataKey: body.a}, operation: append, dest: 'a.#(n=="k").v'}]`, `{"a":[{"n":"k","v":"qx"}]}`},
		"to the end of a list":   {`{"a":[]}`, `[{src: {dataKey: body.obj, useRawData: true}, dest: a.-1}]`, `{"a":[{"k":1}]}`},
		"to the end, twice":      {`{"a":[1]}`, `[{src: {dataKey: body.a}, dest: a.-1}, {src: {dataKey: body.n}, dest: a.-1}]`, `{"a":[1,"x","5"]}`},
		"beyond the end":         {`{"a":[]}`, `[{src: {dataKey: body.obj}, dest: a.2}]`, `{"a":[null,null,"{\"k\":1}"]}`},
		"through a string":       {`{"a":"s"}`, `[{src: {dataKey: body.obj}, dest: a.b}]`, `{"a":{"b":"{\"k\":1}"}}`},
		"escaped dot":            {`{"a":{}}`, `[{src: {dataKey: body.a}, dest: 'a.x\.y/z'}]`, `{"a":{"x.y/z":"x"}}`},
		"escaped dot, replaced":  {`{"a":{"x.y/z":1}}`, `[{src: {dataKey: body.a}, dest: 'a.x\.y/z'}]`, `{"a":{"x.y/z":"x"}}`},
		"new list":               {`{}`, `[{src: {dataKey: body.a}, dest: l.0.v}]`, `{"l":[{"v":"x"}]}`},
		"query":                  {`{"a":[{"name":"k","v":1}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(name=="k").v'}]`, `{"a":[{"name":"k","v":"x"}]}`},
		"query for the second":   {`{"a":[{"name":"k.(\")","v":1},{"name":"l","v":2}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(name=="l").v'}]`, `{"a":[{"name":"k.(\")","v":1},{"name":"l","v":"x"}]}`},
		"query, key is new":      {`{"a":[{"name":"k"}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(name=="k").v.w'}]`, `{"a":[{"name":"k","v":{"w":"x"}}]}`},
		"query in a query":       {`{"a":[{"n":1,"b":[{"m":1},{"m":2}]}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(n==1).b.#(m==2).c'}]`, `{"a":[{"n":1,"b":[{"m":1},{"m":2,"c":"x"}]}]}`},
		"query for all":          {`{"a":[{"n":1,"v":0},{"n":1,"v":0},{"n":2,"v":0}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(n==1)#.v'}]`, `{"a":[{"n":1,"v":"x"},{"n":1,"v":"x"},{"n":2,"v":0}]}`},
		"query with a dot":       {`{"a":[{"name":"x.y","v":1}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(name=="x.y").v'}]`, `{"a":[{"name":"x.y","v":"x"}]}`},
		"query without a match":  {`{"a":[{"name":"k"}]}`, `[{src: {dataKey: body.a}, dest: 'a.#(name=="l").v'}]`, `{"a":[{"name":"k"}]}`},
		"query at the root":      {`[{"name":"k"}]`, `[{src: {dataKey: body.a}, dest: '#(name=="k").v'}]`, `[{"name":"k","v":"x"}]`},
		"raw null":               {`{"a":"s"}`, `[{src: {dataKey: body.nul, useRawData: true}, dest: a}]`, `{"a":null}`},
		"null as text":           {`{"a":"s"}`, `[{src: {dataKey: body.nul}, dest: a}]`, `{"a":"null"}`},
		"value is never raw":     {`{"a":"s"}`, `[{src: {value: def, useRawData: true}, dest: a}]`, `{"a":"def"}`},
		"forced key":             {`{}`, `[{src: {dataKey: body.a}, dest: "a.:1"}]`, `{"a":{"1":"x"}}`},
		"number as a key":        {`{"a":{"k":0}}`, `[{src: {dataKey: body.a}, dest: a.123456789}]`, `{"a":{"k":0,"123456789":"x"}}`},
		"missing dependency":     {`{"a":1}`, `[{src: {dependencyName: other}, dest: a}, {src: {dataKey: body.n}, dest: b}]`, `{"a":1,"b":"5"}`},
		"in their order":         {`{"a":1}`, `[{src: {dataKey: body.a}, dest: a}, {src: {dataKey: body.n}, dest: a, operation: append}]`, `{"a":"x5"}`},
		"no parameters":          {`{"a": 1}`, `[]`, `{"a": 1}`},
		"text with odd letters":  {`{}`, `[{src: {dataKey: body.quote}, dest: a}]`, `{"a":"a\"b\\<ü"}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := []byte(tc.before)
			got, err := compile(t, tc.params).Apply(before, events(t))
			if err != nil || !sameJSON(got, tc.after) {
				t.Errorf("got  %s (%v)\nwant %s", got, err, tc.after)
			}
			if string(before) != tc.before {
				t.Errorf("the object was changed to %s", before)
			}
		})
	}
}

func TestApplyErrors(t *testing.T) {
	for name, tc := range map[string]struct{ before, dest, err string }{
		"a list of a billion":     {`{}`, "a.999999999", `parameter 0, to "a.999999999": position 999999999 is too far beyond the end of its list`},
		"a number that overflows": {`{"a":[]}`, "a.99999999999999999999999999", "too far beyond"},
		"many long lists":         {`{}`, strings.Repeat("9000.", 10) + "x", "too far beyond"},
		"a list in place of text": {`{"a":"s"}`, "a.20000", "too far beyond"},
		"behind a query":          {`{"a":[{"n":1}]}`, "a.#(n==1).l.20000", "too far beyond"},
		"key of a list":           {`{"a":[1]}`, "a.b", "non-numeric key"},
		"no JSON":                 {`{"a":`, "a", "the object is no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t, fmt.Sprintf("[{src: {dataKey: body.a}, dest: %q}]", tc.dest)).Apply([]byte(tc.before), events(t))
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %v, want %s", err, tc.err)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	for name, tc := range map[string]struct{ params, body string }{
		"several":             {`[{src: {dataKey: body.n}, dest: x.y}, {src: {dataKey: body.n, useRawData: true}, dest: x.z}, {src: {dataKey: body.obj, useRawData: true}, dest: o}]`, `{"x":{"y":"5","z":5},"o":{"k":1}}`},
		"whole body":          {`[{src: {dataKey: body.obj}, dest: ""}]`, `{"k":1}`},
		"whole body, no JSON": {`[{src: {dataKey: body.n}, dest: x}, {src: {dataKey: body.a}}, {src: {dataKey: body.zz}, dest: y}]`, `x`},
		"missing dependency":  {`[{src: {dependencyName: other, dataKey: x}, dest: x.y}]`, ``},
		"missing whole body":  {`[{src: {dependencyName: other, dataKey: x}}, {src: {dataKey: body.a}, dest: m}]`, `{"m":"x"}`},
		"empty":               {`[]`, ``},
		"operation ignored":   {`[{src: {dataKey: body.a}, dest: x}, {src: {dataKey: body.n}, dest: x, operation: append}]`, `{"x":"5"}`},
		"a list":              {`[{src: {dataKey: body.a}, dest: "1"}]`, `[null,"x"]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := compile(t, tc.params).Payload(events(t))
			if err != nil || string(got) != tc.body {
				t.Errorf("got %s (%v), want %s", got, err, tc.body)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	got, err := compile(t, `[{src: {dataKey: body.a}, dest: X-b}, {src: {dependencyName: other}, dest: X-c},
		{src: {dataKey: body.n, useRawData: true}, dest: x.a, operation: append}]`).Header(events(t))
	if want := []param.Header{{"X-b", "x"}, {"x.a", "5"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

// TestSeveralEvents reads from two events in turn, and from templates that
// change their input.
func TestSeveralEvents(t *testing.T) {
	evs := events(t)
	evs["e"] = newEvent(t, event.ApplicationJSON, `{"body":{"a":"y"}}`)
	got, err := compile(t, `[{src: {dataKey: body.a}, dest: a}, {src: {dependencyName: e, dataKey: body.a}, dest: b},
		{src: {dataTemplate: '{{ $_ := set .Input.body "a" "changed" }}{{ .Input.body.a }}'}, dest: c},
		{src: {dataTemplate: '{{ .Input.body.a }}'}, dest: d}]`).Payload(evs)
	if want := `{"a":"x","b":"y","c":"changed","d":"x"}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func TestCompileErrors(t *testing.T) {
	ps := parameters(t, `
- dest: a
- src: {dataTemplate: "{{ .Input.", contextTemplate: "{{ env }}"}
- {src: {dataKey: a}, dest: b, operation: apend}
- {src: {dataKey: a}, dest: b, operation: zzzzzzzzz}
`)
	ps = append(ps, v1alpha1.TriggerParameter{Src: &v1alpha1.TriggerParameterSource{}, Dest: "x"})
	check := func(err error, want ...string) {
		t.Helper()
		found := v1alpha1.Problems(err)
		for i, p := range found {
			if i >= len(want) || !strings.HasPrefix(p.Error(), want[i]) {
				t.Errorf("problem %d is %v", i, p)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%d problems, want %d", len(found), len(want))
		}
	}
	rest := []string{`[2].operation: unknown operation "apend" (did you mean "append"?)`, "[3].operation: unknown operation", "[4].src.dependencyName: is required"}
	l, err := param.Compile(ps)
	check(err, append([]string{"[0].src: is required", "[1].src.contextTemplate: ", "[1].src.dataTemplate: ", "[1].dest: is required"}, rest...)...)
	if l != nil {
		t.Error("a list comes with the error")
	}
	_, err = param.CompilePayload(ps)
	check(err, append([]string{"[0].src: is required", "[1].src.contextTemplate: ", "[1].src.dataTemplate: "}, rest...)...)
}

func sameJSON(got []byte, want string) bool {
	var a, b any
	return string(got) == want || json.Unmarshal(got, &a) == nil && json.Unmarshal([]byte(want), &b) == nil &&
		!strings.Contains(want, "e400") && fmt.Sprint(a) == fmt.Sprint(b) && string(mustMarshal(a)) == string(mustMarshal(b))
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzApply checks that no dest and no key makes broken JSON, a panic or a
// huge object.
func FuzzApply(f *testing.F) {
	for _, dest := range []string{"a.b", "a.-1", `a.#(x=="y").z`, "a.999999999", `x\.y`, ":1.:2", "#.a", "a.#(n==1)#.v", "@this", "", "a.*", "..", "[a,b]", "!x"} {
		f.Add(`{"a":[{"x":"y","n":1}],"s":"t"}`, dest, "body.a", "append")
	}
	f.Fuzz(func(t *testing.T, obj, dest, key, op string) {
		s := "x"
		l, err := param.Compile([]v1alpha1.TriggerParameter{{
			Src:  &v1alpha1.TriggerParameterSource{DependencyName: "d", DataKey: key, Value: &s, UseRawData: true},
			Dest: dest, Operation: v1alpha1.ParameterOperation(op),
		}})
		if err != nil {
			return
		}
		before := obj
		got, err := l.Apply([]byte(obj), events(t))
		if err != nil {
			return
		}
		if obj != before {
			t.Fatal("the object was changed")
		}
		if !json.Valid(got) {
			t.Fatalf("%s with %q at %q became %s", obj, key, dest, got)
		}
		if len(got) > len(obj)+20*len(dest)+20*len(key)+10*len(payload)+5*10000 {
			t.Fatalf("%d bytes became %d", len(obj), len(got))
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	l := compile(b, `[{src: {dataKey: body.a}, dest: message}, {src: {dataKey: body.big, useRawData: true}, dest: number}]`)
	evs := events(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Payload(evs); err != nil {
			b.Fatal(err)
		}
	}
}
