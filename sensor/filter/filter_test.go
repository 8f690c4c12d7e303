package filter_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// payload has a value of every JSON type.
const payload = `{"body":{"a":"x","n":5,"big":1234567,"huge":12345678901234567890,"f":1.50,"t":true,"nul":null,
	"arr":["p","q"],"obj":{"k":1},"empty":"","date":"2020-01-01","tag":"v1.4.2","ref":"refs/heads/release/1.x"}}`

func newEvent(data string) *event.Event {
	e := event.New()
	e.SetID("id-1")
	e.SetType("webhook")
	e.SetSource("webhook")
	e.SetSubject("example")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC))
	e.SetExtension("traceparent", "00-abc")
	if data != "" {
		e.SetDataContentType(event.ApplicationJSON)
		e.DataEncoded = []byte(data)
	}
	return &e
}

// compile reads a dependency as a user writes it.
func compile(tb testing.TB, manifest string) (*filter.Filter, error) {
	tb.Helper()
	var d v1alpha1.EventDependency
	if err := yaml.UnmarshalStrict([]byte(manifest), &d); err != nil {
		tb.Fatalf("%v in\n%s", err, manifest)
	}
	return filter.Compile(d.Filters, d.FiltersLogicalOperator)
}

func mustCompile(tb testing.TB, manifest string) *filter.Filter {
	tb.Helper()
	f, err := compile(tb, manifest)
	if err := v1alpha1.Fatal(err); err != nil {
		tb.Fatalf("%v in\n%s", err, manifest)
	}
	return f
}

// check evaluates a dependency and looks at the outcome.
func check(t *testing.T, manifest, data string, want verdict.Outcome) []verdict.Clause {
	t.Helper()
	got, clauses := mustCompile(t, manifest).Eval(t.Context(), newEvent(data))
	if got != want {
		said, _ := json.MarshalIndent(clauses, "", " ")
		t.Errorf("got %s, want %s\n%s\n%s", got, want, manifest, said)
	}
	return clauses
}

const (
	pass   = verdict.Pass
	reject = verdict.Reject
	fails  = verdict.Error
	skip   = verdict.Skipped
)

func TestData(t *testing.T) {
	for _, c := range []struct {
		name, item string
		want       verdict.Outcome
	}{
		{"!= of several values is none of them", `{path: body.a, type: string, comparator: "!=", value: [x, w]}`, reject},
		{"!= of several values, none of which it is", `{path: body.a, type: string, comparator: "!=", value: [z, w]}`, pass},
		{"an order never matches a string", `{path: body.a, type: string, comparator: ">", value: [a]}`, reject},
		{"a regular expression looks into an array", `{path: body.arr, type: string, value: [q]}`, pass},
		{"the length of an array", `{path: body.arr.#, type: number, value: ["2"]}`, pass},
		{"an item of an array", `{path: body.arr.1, type: string, value: [q]}`, pass},
		{"a query", `{path: 'body.arr.#(=="q")', type: string, value: [q]}`, pass},
		{"null is the empty text", `{path: body.nul, type: string, value: [^$]}`, pass},
		{"null is not the text null", `{path: body.nul, type: string, value: ["null"]}`, reject},
		{"null is 0", `{path: body.nul, type: number, value: ["0"]}`, pass},
		{"the text of a number", `{path: body.n, type: string, value: ["5"]}`, pass},
		{"a text is 0", `{path: body.a, type: number, value: ["0"]}`, pass},
		{"1 is true", `{path: body.t, type: bool, value: ["1"]}`, pass},
		{"!= of a bool", `{path: body.t, type: bool, comparator: "!=", value: ["true"]}`, reject},
		{"!= of the other bool", `{path: body.t, type: bool, comparator: "!=", value: ["false"]}`, pass},
		{"!= of both bools", `{path: body.t, type: bool, comparator: "!=", value: ["false", "true"]}`, reject},
		{"both bools", `{path: body.t, type: bool, value: ["false", "true"]}`, pass},
		{"a text is false", `{path: body.a, type: bool, value: ["false"]}`, pass},
		{"a fraction loses its zeros", `{path: body.f, type: string, value: [^1.5$]}`, pass},
		{"a missing path", `{path: body.missing, type: string, value: [x]}`, fails},
		{"!= of a missing path", `{path: body.missing, type: string, comparator: "!=", value: [x]}`, fails},
		{"a template", `{path: body.a, type: string, value: [X], template: "{{ .Input | upper }}"}`, pass},
		{"a template is compared as text", `{path: body.n, type: string, value: [^n5$], template: "n{{ .Input }}"}`, pass},
		{"a template yields a number", `{path: body.a, type: number, comparator: ">", value: ["4"], template: "{{ len .Input | add 4 }}"}`, pass},
		{"a template that yields nothing", `{path: body.a, type: string, value: [x], template: "{{ if eq .Input \"y\" }}y{{ end }}"}`, fails},
		{"a template that yields no value", `{path: body.a, type: string, value: [x], template: "{{ .Missing }}"}`, fails},
		{"a template that fails", `{path: body.a, type: string, value: [x], template: "{{ fail \"boo\" }}"}`, fails},
		{"a template over null", `{path: body.nul, type: string, value: [^x$], template: "x{{ .Input }}"}`, pass},
		{"a regular expression is not anchored", `{path: body.date, type: string, value: ["20-01"]}`, pass},
		{"an anchored one is", `{path: body.date, type: string, value: ["^20-01$"]}`, reject},
		{"one of several", `{path: body.a, type: string, value: [w, x]}`, pass},
		{"none of several", `{path: body.a, type: string, value: [w, z]}`, reject},
		{"the empty text", `{path: body.empty, type: string, value: [^$]}`, pass},
		{"a number", `{path: body.f, type: number, value: ["1.5"]}`, pass},
		{"another number", `{path: body.f, type: number, value: ["1.51"]}`, reject},
		{"!= of numbers", `{path: body.n, type: number, comparator: "!=", value: ["5", "6"]}`, reject},
		{"!= of other numbers", `{path: body.n, type: number, comparator: "!=", value: ["7", "6"]}`, pass},
		{">", `{path: body.n, type: number, comparator: ">", value: ["4"]}`, pass},
		{"> of the same", `{path: body.n, type: number, comparator: ">", value: ["5"]}`, reject},
		{">=", `{path: body.n, type: number, comparator: ">=", value: ["5"]}`, pass},
		{">= of more", `{path: body.n, type: number, comparator: ">=", value: ["5.1"]}`, reject},
		{"<", `{path: body.n, type: number, comparator: "<", value: ["6"]}`, pass},
		{"< of the same", `{path: body.n, type: number, comparator: "<", value: ["5"]}`, reject},
		{"<=", `{path: body.n, type: number, comparator: "<=", value: ["5"]}`, pass},
		{"<= of less", `{path: body.n, type: number, comparator: "<=", value: ["4.9"]}`, reject},
		{"true is 1", `{path: body.t, type: number, value: ["1"]}`, pass},
		{"a huge number as text", `{path: body.huge, type: string, value: [^12345678901234567890$]}`, pass},
		{"an object as text", `{path: body.obj, type: string, value: ['^{"k":1}$']}`, pass},
		{"=", `{path: body.a, type: string, comparator: "=", value: [x]}`, pass},
		{"the whole data", `{path: "@this", type: string, value: ['"k":1']}`, pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, "filters: {data: ["+c.item+"]}", payload, c.want)
		})
	}
}

func TestExprs(t *testing.T) {
	const fields = `fields: [{name: a, path: body.a}, {name: "n", path: body.n}, {name: arr, path: body.arr}, {name: nul, path: body.nul},
		{name: t, path: body.t}, {name: a-b, path: body.a}, {name: d, path: body.date}, {name: obj, path: body.obj}, {name: big, path: body.big}]`
	for _, c := range []struct {
		expr string
		want verdict.Outcome
	}{
		{`a =~ "x|y" && n > 4`, pass},
		{`a in ("x","y")`, pass},
		{`"p" in arr`, pass},
		{`"z" in arr`, reject},
		{`n`, reject},
		{`t`, pass},
		{`!t`, reject},
		{`[a-b] == 'x'`, pass},
		{`a == "x" || n == 7`, pass},
		{`a == "y" && n == 5`, reject},
		{`n + 1 == 6 && n * 2 == 10 && n ** 2 == 25 && n % 2 == 1`, pass},
		{`n > 4 ? a == "x" : false`, pass},
		{`a !~ "^y"`, pass},
		{`nul ?? "d" == "d"`, pass},
		{`a < 5`, fails},
		{`a && t`, fails},
		{`d == "2020-01-01"`, pass},
		{`d == '2020-01-02'`, reject},
		{`d != "2020-01-02"`, pass},
		{`d < "2020-01-02" && d > "2019-12-31"`, pass},
		{`d =~ "^2020-01-01$"`, pass},
		{`d in ("2020-01-01", "x")`, pass},
		{`"2020-01-01" == d && "12:30PM" != a`, pass},
		{`a == "2020-01-01T10:00:00Z"`, reject},
		{`(a + "-01") == "x-01"`, pass},
		{`big == 1234567`, pass},
		{`-n < 0`, pass},
	} {
		t.Run(c.expr, func(t *testing.T) {
			check(t, "filters:\n  exprs:\n  - expr: |-\n      "+c.expr+"\n    "+fields, payload, c.want)
		})
	}
	t.Run("a missing path", func(t *testing.T) {
		check(t, `filters: {exprs: [{expr: a == "x", fields: [{name: a, path: body.zz}]}]}`, payload, fails)
	})
	t.Run("a missing path that is not needed", func(t *testing.T) {
		check(t, `filters: {exprs: [{expr: a == "x", fields: [{name: a, path: body.a}, {name: b, path: body.zz}]}]}`, payload, fails)
	})
	t.Run("of two fields with one name the later counts", func(t *testing.T) {
		check(t, `filters: {exprs: [{expr: a == 5, fields: [{name: a, path: body.a}, {name: a, path: body.n}]}]}`, payload, pass)
	})
}

func TestContext(t *testing.T) {
	for _, c := range []struct {
		name, context string
		want          verdict.Outcome
	}{
		{"source", `{source: webhook}`, pass},
		{"another source", `{source: other}`, reject},
		{"all four", `{source: webhook, type: webhook, subject: example, datacontenttype: application/json}`, pass},
		{"one of four differs", `{source: webhook, type: webhook, subject: x, datacontenttype: application/json}`, reject},
		{"content type", `{datacontenttype: text/plain}`, reject},
		{"no wildcards", `{source: "web*"}`, reject},
		{"id and time are not compared", `{type: webhook, id: zzz, time: "2000-01-01T00:00:00Z", specversion: "7"}`, pass},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, "filters: {context: "+c.context+"}", payload, c.want) })
	}
}

func TestTime(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name, filter, at string
		want             verdict.Outcome
	}{
		{"within", `{start: "02:30:00", stop: "04:30:00"}`, "2026-01-02T03:04:05Z", pass},
		{"start is included", `{start: "03:04:05", stop: "04:30:00"}`, "2026-01-02T03:04:05Z", pass},
		{"just before start", `{start: "03:04:05", stop: "04:30:00"}`, "2026-01-02T03:04:04.999999999Z", reject},
		{"stop is excluded", `{start: "02:00:00", stop: "03:04:05"}`, "2026-01-02T03:04:05Z", reject},
		{"just before stop", `{start: "02:00:00", stop: "03:04:05"}`, "2026-01-02T03:04:04.999999999Z", pass},
		{"an hour of one digit", `{start: "2:00:00", stop: "5:00:00"}`, "2026-01-02T03:04:05Z", pass},
		{"over midnight, late", `{start: "22:00:00", stop: "06:00:00"}`, "2026-01-02T23:00:00Z", pass},
		{"over midnight, early", `{start: "22:00:00", stop: "06:00:00"}`, "2026-01-02T03:00:00Z", pass},
		{"over midnight, start", `{start: "22:00:00", stop: "06:00:00"}`, "2026-01-02T22:00:00Z", pass},
		{"over midnight, stop", `{start: "22:00:00", stop: "06:00:00"}`, "2026-01-02T06:00:00Z", reject},
		{"over midnight, noon", `{start: "22:00:00", stop: "06:00:00"}`, "2026-01-02T12:00:00Z", reject},
		{"a time zone, within", `{start: "09:00:00", stop: "17:00:00", timezone: America/New_York}`, "2026-01-02T14:00:00Z", pass},
		{"a time zone, before", `{start: "09:00:00", stop: "17:00:00", timezone: America/New_York}`, "2026-01-02T13:59:59Z", reject},
		{"a time zone in summer", `{start: "09:00:00", stop: "17:00:00", timezone: America/New_York}`, "2026-07-02T13:00:00Z", pass},
		{"the event's own offset does not matter", `{start: "09:00:00", stop: "17:00:00"}`, "2026-01-02T18:00:00+09:00", pass},
		{"a day of another zone", `{start: "23:00:00", stop: "23:59:59", timezone: Pacific/Auckland}`, "2026-01-02T10:30:00Z", pass},
		{"within the hour that the clocks skip", `{start: "02:30:00", stop: "03:10:00", timezone: Europe/Berlin}`, "2026-03-29T12:00:00Z", reject},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEvent(payload)
			e.SetTime(at(c.at))
			got, clauses := mustCompile(t, "filters: {time: "+c.filter+"}").Eval(t.Context(), e)
			if got != c.want {
				t.Errorf("got %s, want %s: %+v", got, c.want, clauses)
			}
		})
	}
	t.Run("an event without a time", func(t *testing.T) {
		e := event.New()
		if got, _ := mustCompile(t, `filters: {time: {start: "01:00:00", stop: "02:00:00"}}`).Eval(t.Context(), &e); got != fails {
			t.Errorf("got %s", got)
		}
	})
}

func TestScript(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         verdict.Outcome
	}{
		{"true", `if event.body.a == "x" then return true end return false`, pass},
		{"false", `return event.body.a == "y"`, reject},
		{"a number is not true", `return 1`, reject},
		{"no result", `local x = 1`, reject},
		{"the last result counts", `return false, true`, pass},
		{"an error", `error("boo")`, fails},
		{"an endless loop", `while true do end`, fails},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, "filters:\n  script: |-\n    "+c.script, payload, c.want) })
	}
	t.Run("an array", func(t *testing.T) { check(t, `filters: {script: return true}`, `[1]`, fails) })
}
