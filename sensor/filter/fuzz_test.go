package filter_test

import (
	"context"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// sound evaluates f, if it compiles, and looks at what a verdict has to be.
func sound(t *testing.T, f v1alpha1.EventDependencyFilter, op v1alpha1.LogicalOperator, data string) {
	t.Helper()
	c, err := filter.Compile(&f, op)
	if (c == nil) != (v1alpha1.Fatal(err) != nil) {
		t.Fatalf("a filter %v with %v", c, err)
	}
	for _, p := range v1alpha1.Problems(err) {
		if p.Path == "" || p.Message == "" {
			t.Errorf("problem %+v", p)
		}
	}
	if c == nil {
		return
	}
	outcome, clauses := c.Eval(context.Background(), newEvent(data))
	for _, c := range clauses {
		if c.Outcome == verdict.Error && c.Err == "" {
			t.Errorf("an error that does not say why: %+v", c)
		}
		if outcome == pass && op == v1alpha1.And && c.Outcome != pass && c.Outcome != skip && c.Outcome != reject {
			t.Errorf("passes in spite of %+v", c)
		}
	}
	if d := (verdict.Dependency{Outcome: outcome, Filters: clauses}); outcome != pass && d.Why() == nil {
		t.Errorf("%s without a reason: %+v", outcome, clauses)
	}
}

func FuzzDataFilter(f *testing.F) {
	f.Add("body.a", "string", "x", "!=", "", payload)
	f.Add("body.arr.#(==\"q\")", "string", "^q$", "=", "{{ .Input | upper }}", payload)
	f.Add("body.n", "number", "4.5", ">=", "", payload)
	f.Add("body.t", "bool", "1", "", "", payload)
	f.Add("@this|body.*", "string", ".", "<", "", payload)
	f.Add("body.arr.#.x|@flatten", "string", "[", "", "{{", "[[[[")
	f.Fuzz(func(t *testing.T, path, kind, value, comparator, tmpl, data string) {
		sound(t, v1alpha1.EventDependencyFilter{Data: []v1alpha1.DataFilter{
			{Path: path, Type: kind, Value: []string{value}, Comparator: comparator, Template: tmpl},
		}}, v1alpha1.And, data)
	})
}

func FuzzExpr(f *testing.F) {
	for _, e := range []string{
		`a == "x" && n > 4`, `a =~ "x|y"`, `a in ("x", "2020-01-01")`, `"p" in arr`, `n ?? 1 == 5`, `n ? a : b`, `[a] == 'it\'s'`, `!n`, `a.b`, `-n ** 2 % 3`,
		`"2020-01-01" == a`, `'12:00`, `[`, `\`, `n << 3 | 1 & ~2 ^ 4 >> 1`, `0x1F == n`, `a + "2020-01-01" =~ "-"`,
	} {
		f.Add(e, payload)
	}
	f.Fuzz(func(t *testing.T, expr, data string) {
		sound(t, v1alpha1.EventDependencyFilter{Exprs: []v1alpha1.ExprFilter{{Expr: expr, Fields: []v1alpha1.PayloadField{
			{Name: "a", Path: "body.a"}, {Name: "n", Path: "body.n"}, {Name: "arr", Path: "body.arr"}, {Name: "b", Path: "body.nul"}, {Name: "o", Path: "body.obj"},
		}}}}, v1alpha1.And, data)
	})
}

func FuzzCEL(f *testing.F) {
	for _, e := range []string{
		`data.body.n == 5`, `event.type == "webhook"`, `data.body.arr.exists(x, x == "p")`, `has(data.body.zz)`, `data.body.ref.glob("**/r*")`,
		`data.body.tag.semver(">1")`, `event.extensions["x"] == 1`, `data.?a.orValue(true)`, `size(data.body.a) > 1 ? true : data.body.t`,
		`lists.range(10).all(x, x < 10)`, `"%s".format([data])`, `event.time > timestamp("2020-01-01T00:00:00Z")`, `data.body.a.matches("(")`, `base64.decode("x") == b""`,
	} {
		f.Add(e, payload)
	}
	f.Fuzz(func(t *testing.T, expr, data string) {
		if expr != "" {
			sound(t, v1alpha1.EventDependencyFilter{CEL: expr}, v1alpha1.And, data)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	for _, c := range []struct{ name, manifest string }{
		{"data", `filters: {data: [{path: body.a, type: string, value: [^x$]}, {path: body.n, type: number, comparator: ">", value: ["4"]}]}`},
		{"template", `filters: {data: [{path: body.a, type: string, value: [^X$], template: "{{ .Input | upper }}"}]}`},
		{"exprs", `filters: {exprs: [{expr: a == "x" && n > 4, fields: [{name: a, path: body.a}, {name: "n", path: body.n}]}]}`},
		{"context", `filters: {context: {source: webhook, type: webhook}}`},
		{"time", `filters: {time: {start: "01:00:00", stop: "05:00:00", timezone: Europe/Berlin}}`},
		{"script", `filters: {script: return event.body.a == "x" and event.body.n > 4}`},
		{"cel", `filters: {cel: data.body.a == "x" && data.body.n > 4}`},
		{"cel without data", `filters: {cel: event.source == "webhook" && event.type == "webhook"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			f, e, ctx := mustCompile(b, c.manifest), newEvent(payload), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if got, clauses := f.Eval(ctx, e); got != pass {
					b.Fatal(got, clauses)
				}
			}
		})
	}
}
