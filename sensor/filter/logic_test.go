package filter_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/sensor/filter"
	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// Groups with a known outcome, to be combined.
var groups = map[string]map[verdict.Outcome]string{
	"exprs": {
		pass:   `exprs: [{expr: a == "x", fields: [{name: a, path: body.a}]}]`,
		reject: `exprs: [{expr: a == "y", fields: [{name: a, path: body.a}]}]`,
		fails:  `exprs: [{expr: a == "y", fields: [{name: a, path: body.zz}]}]`,
	},
	"data": {
		pass:   `data: [{path: body.a, type: string, value: [x]}]`,
		reject: `data: [{path: body.a, type: string, value: [w]}]`,
		fails:  `data: [{path: body.zz, type: string, value: [w]}]`,
	},
	"context": {pass: `context: {type: webhook}`, reject: `context: {type: other}`},
	"time":    {pass: `time: {start: "00:00:00", stop: "23:59:59"}`, reject: `time: {start: "23:00:00", stop: "23:59:59"}`},
	"script":  {pass: `script: return true`, reject: `script: return false`, fails: `script: error("boo")`},
	"cel":     {pass: `cel: 'true'`, reject: `cel: 'false'`, fails: `cel: data.body.zz == 1`},
}

// Every pair of groups with every pair of outcomes, under both operators.
func TestOperators(t *testing.T) {
	order := []string{"exprs", "data", "context", "time", "script", "cel"}
	combine := func(op, first string, a verdict.Outcome, second string, b verdict.Outcome) (verdict.Outcome, []verdict.Outcome) {
		switch {
		case op == "and" && a == pass:
			return b, []verdict.Outcome{a, b}
		case op == "and":
			return a, []verdict.Outcome{a, skip}
		case first == "script" && a == fails:
			return fails, []verdict.Outcome{a, skip}
		case a == pass && second == "script" && b == fails: // a script's error always rejects
			return fails, []verdict.Outcome{a, b}
		case a == pass && second == "script":
			return pass, []verdict.Outcome{a, b}
		case a == pass:
			return pass, []verdict.Outcome{a, skip}
		case b == pass:
			return pass, []verdict.Outcome{a, b}
		case a == fails || b == fails:
			return fails, []verdict.Outcome{a, b}
		default:
			return reject, []verdict.Outcome{a, b}
		}
	}
	for i, first := range order {
		for _, second := range order[i+1:] {
			for a, x := range groups[first] {
				for b, y := range groups[second] {
					for _, op := range []string{"and", "or"} {
						t.Run(fmt.Sprintf("%s %s %s %s %s", first, a, op, second, b), func(t *testing.T) {
							want, said := combine(op, first, a, second, b)
							clauses := check(t, fmt.Sprintf("filtersLogicalOperator: %s\nfilters:\n  %s\n  %s", op, y, x), payload, want)
							var got []verdict.Outcome
							for _, c := range clauses {
								got = append(got, c.Outcome)
							}
							if !slices.Equal(got, said) {
								t.Errorf("the clauses said %v, want %v", got, said)
							}
							if len(clauses) == 2 && (!strings.HasPrefix(clauses[0].Path, "filters."+first) || !strings.HasPrefix(clauses[1].Path, "filters."+second)) {
								t.Errorf("clauses %s, %s", clauses[0].Path, clauses[1].Path)
							}
						})
					}
				}
			}
		}
	}
}

func TestItems(t *testing.T) {
	item := map[string]string{
		"pass": `{path: body.a, type: string, value: [x]}`, "reject": `{path: body.a, type: string, value: [w]}`, "error": `{path: body.zz, type: string, value: [w]}`,
	}
	expr := map[string]string{
		"pass": `{expr: a == "x", fields: [{name: a, path: body.a}]}`, "reject": `{expr: a == "y", fields: [{name: a, path: body.a}]}`,
		"error": `{expr: a == "y", fields: [{name: a, path: body.zz}]}`,
	}
	for _, c := range []struct {
		op, items string
		want      verdict.Outcome
		said      []verdict.Outcome
	}{
		{"and", "pass pass", pass, []verdict.Outcome{pass, pass}},
		{"and", "pass reject pass", reject, []verdict.Outcome{pass, reject, skip}},
		{"and", "error pass", fails, []verdict.Outcome{fails, skip}},
		{"and", "reject error", reject, []verdict.Outcome{reject, skip}},
		{"or", "reject pass reject", pass, []verdict.Outcome{reject, pass, skip}},
		{"or", "error pass", pass, []verdict.Outcome{fails, pass}},
		{"or", "error reject", fails, []verdict.Outcome{fails, reject}},
		{"or", "reject reject", reject, []verdict.Outcome{reject, reject}},
		{`""`, "pass reject", reject, []verdict.Outcome{pass, reject}},
	} {
		for kind, from := range map[string]map[string]string{"data": item, "exprs": expr} {
			t.Run(kind+" "+c.op+" "+c.items, func(t *testing.T) {
				var list []string
				for _, w := range strings.Fields(c.items) {
					list = append(list, from[w])
				}
				operator := map[string]string{"data": "dataLogicalOperator", "exprs": "exprLogicalOperator"}[kind]
				clauses := check(t, fmt.Sprintf("filters: {%s: %s, %s: [%s]}", operator, c.op, kind, strings.Join(list, ", ")), payload, c.want)
				var got []verdict.Outcome
				for i, s := range clauses {
					got = append(got, s.Outcome)
					if want := fmt.Sprintf("filters.%s[%d]", kind, i); s.Path != want {
						t.Errorf("path %s, want %s", s.Path, want)
					}
				}
				if !slices.Equal(got, c.said) {
					t.Errorf("the items said %v, want %v", got, c.said)
				}
			})
		}
	}
}

func TestNoFilters(t *testing.T) {
	for _, c := range []struct {
		name, manifest string
		want           verdict.Outcome
	}{
		{"no filters", `{}`, pass},
		{"no filters with or", `filtersLogicalOperator: or`, pass},
		{"empty filters with and", `{filters: {}, filtersLogicalOperator: and}`, pass},
		{"empty filters", `filters: {}`, pass},
		{"empty filters with or", `{filters: {}, filtersLogicalOperator: or}`, reject},
		{"empty lists with or", `{filters: {data: [], exprs: []}, filtersLogicalOperator: or}`, reject},
	} {
		t.Run(c.name, func(t *testing.T) {
			clauses := check(t, c.manifest, payload, c.want)
			d := verdict.Dependency{Outcome: c.want, Filters: clauses}
			if c.want != pass && d.Why() == nil {
				t.Error("the verdict does not say why")
			}
		})
	}
	var none *filter.Filter
	if got, _ := none.Eval(t.Context(), newEvent("")); got != pass {
		t.Errorf("a nil filter: %s", got)
	}
}

func TestUnusualData(t *testing.T) {
	each := map[string]string{}
	for name, g := range groups {
		each[name] = g[reject]
	}
	for _, c := range []struct {
		name, data string
		want       map[string]verdict.Outcome
	}{
		{"no data", "", map[string]verdict.Outcome{"exprs": pass, "data": pass, "script": pass, "context": reject, "time": reject, "cel": reject}},
		{"null", " null ", map[string]verdict.Outcome{"exprs": pass, "data": pass, "script": pass, "context": reject, "time": reject, "cel": reject}},
		{"no JSON", "hello", map[string]verdict.Outcome{"exprs": fails, "data": fails, "script": fails, "context": reject, "time": reject, "cel": reject}},
		{"half of JSON", `{"body":{"a":"x"}`, map[string]verdict.Outcome{"exprs": fails, "data": fails, "script": fails, "context": reject, "time": reject, "cel": reject}},
		{"very deep", strings.Repeat("[", 2_000_000), map[string]verdict.Outcome{"exprs": fails, "data": fails, "script": fails}},
		{"very deep and closed", strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000), map[string]verdict.Outcome{"exprs": fails, "data": fails, "script": fails}},
	} {
		for name, want := range c.want {
			t.Run(c.name+" "+name, func(t *testing.T) { check(t, "filters: {"+each[name]+"}", c.data, want) })
		}
	}
}

func TestVerdict(t *testing.T) {
	clauses := check(t, `
filtersLogicalOperator: or
filters:
  exprs:
  - {expr: a == "y" && n > 4, fields: [{name: a, path: body.a}, {name: "n", path: body.n}]}
  dataLogicalOperator: or
  data:
  - {path: body.a, type: string, value: [w, z]}
  - {path: body.n, type: number, comparator: ">", value: ["50"]}
  - {path: body.t, type: bool, comparator: "!=", value: ["true"]}
  - {path: body.zz, type: string, value: [w]}
  - {path: body.a, type: string, comparator: "!=", value: [x, w], template: "{{ .Input | lower }}"}
  context: {source: other, type: webhook}
  time: {start: "09:00:00", stop: "17:00:00", timezone: Europe/Berlin}
  script: return false
  cel: data.body.n > 50 || event.type == "push" || data.body.obj.k == 7
`, payload, fails)
	want := []verdict.Clause{
		{Path: "filters.exprs[0]", Outcome: reject, Want: `a == "y" && n > 4`, Got: `n=5, a="x"`},
		{Path: "filters.data[0]", Outcome: reject, Want: `body.a = "w" or "z"`, Got: `"x"`},
		{Path: "filters.data[1]", Outcome: reject, Want: `body.n > 50`, Got: `5`},
		{Path: "filters.data[2]", Outcome: reject, Want: `body.t != true`, Got: `true`},
		{Path: "filters.data[3]", Outcome: fails, Want: `body.zz = "w"`, Err: "the event has no value at body.zz"},
		{Path: "filters.data[4]", Outcome: reject, Want: `{{ .Input | lower }} (of body.a) != "x" and "w"`, Got: `"x"`},
		{Path: "filters.context.type", Outcome: pass, Want: `type = "webhook"`, Got: `"webhook"`},
		{Path: "filters.context.source", Outcome: reject, Want: `source = "other"`, Got: `"webhook"`},
		{Path: "filters.time", Outcome: reject, Want: "time from 09:00:00 to before 17:00:00 in Europe/Berlin", Got: "2026-01-02T04:04:05+01:00"},
		{Path: "filters.script", Outcome: reject, Want: "the script returns true"},
		{Path: "filters.cel", Outcome: reject, Want: `data.body.n > 50 || event.type == "push" || data.body.obj.k == 7`, Got: `data.body.n=5, event.type="webhook", data.body.obj.k=1`},
	}
	for i := range max(len(want), len(clauses)) {
		if i >= len(want) || i >= len(clauses) || want[i] != clauses[i] {
			t.Errorf("clause %d\ngot  %+v\nwant %+v", i, at(clauses, i), at(want, i))
		}
	}
	d := verdict.Dependency{Outcome: reject, Filters: clauses}
	if d.Why().Path != "filters.exprs[0]" {
		t.Errorf("why: %+v", d.Why())
	}
}

func at(l []verdict.Clause, i int) any {
	if i < len(l) {
		return l[i]
	}
	return nil
}

func TestLongValuesAreShortened(t *testing.T) {
	clauses := check(t, `filters: {data: [{path: body, type: string, value: [x]}]}`, `{"body":"`+strings.Repeat("y", 5000)+`"}`, reject)
	if len(clauses[0].Got) > 210 {
		t.Errorf("%d bytes", len(clauses[0].Got))
	}
}

func TestConcurrentUse(t *testing.T) {
	f := mustCompile(t, "filters:\n  "+groups["exprs"][pass]+"\n  "+groups["data"][pass]+"\n  "+groups["script"][pass]+
		"\n  time: {start: \"00:00:00\", stop: \"23:00:00\", timezone: Europe/Berlin}\n  cel: data.body.n == 5 && data.body.tag.semver(\">=1\")")
	e := newEvent(payload)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, clauses := f.Eval(t.Context(), e); got != pass {
					t.Errorf("got %s: %+v", got, clauses)
					return
				}
			}
		})
	}
	wg.Wait()
}
