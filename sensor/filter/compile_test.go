package filter_test

import (
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, manifest string
		path, message  string
		severity       v1alpha1.Severity
	}{
		{"an unknown operator between groups", `{filtersLogicalOperator: OR, filters: {cel: "true"}}`, "filtersLogicalOperator", `unknown operator "OR"`, v1alpha1.Error},
		{"an unknown operator without filters", `filtersLogicalOperator: xor`, "filtersLogicalOperator", `unknown operator "xor"`, v1alpha1.Error},
		{"an unknown operator of data", `filters: {dataLogicalOperator: Or, data: [{path: a, type: string, value: [x]}]}`, "filters.dataLogicalOperator", "unknown operator", v1alpha1.Error},
		{"an unknown operator of exprs", `filters: {exprLogicalOperator: nor}`, "filters.exprLogicalOperator", "unknown operator", v1alpha1.Error},
		{"nothing in filters", `filters: {}`, "filters", "every event passes", v1alpha1.Warning},
		{"nothing in filters with or", `{filters: {}, filtersLogicalOperator: or}`, "filters", "no event passes", v1alpha1.Warning},
		{"no path", `filters: {data: [{path: "", type: string, value: [x]}]}`, "filters.data[0].path", "is missing", v1alpha1.Error},
		{"no type", `filters: {data: [{path: a, type: "", value: [x]}]}`, "filters.data[0].type", "is missing", v1alpha1.Error},
		{"an unknown type", `filters: {data: [{path: a, type: Number, value: ["1"]}]}`, "filters.data[0].type", `unknown type "Number" (did you mean "number"?)`, v1alpha1.Error},
		{"no value", `filters: {data: [{path: a, type: string, value: []}]}`, "filters.data[0].value", "is missing", v1alpha1.Error},
		{"an empty value", `filters: {data: [{path: a, type: string, value: [x, ""]}]}`, "filters.data[0].value[1]", "is empty", v1alpha1.Error},
		{"no number", `filters: {data: [{path: a, type: number, value: ["1", many]}]}`, "filters.data[0].value[1]", `"many" is no number`, v1alpha1.Error},
		{"no bool", `filters: {data: [{path: a, type: bool, value: ["yes"]}]}`, "filters.data[0].value[0]", `"yes" is neither true nor false`, v1alpha1.Error},
		{"no regular expression", `filters: {data: [{path: a, type: string, value: ["a("]}]}`, "filters.data[0].value[0]", "no regular expression", v1alpha1.Error},
		{"an unknown comparator", `filters: {data: [{path: a, type: string, comparator: "==", value: [x]}]}`, "filters.data[0].comparator", `unknown comparator "=="`, v1alpha1.Error},
		{"an order of strings", `filters: {data: [{path: a, type: string, comparator: "<", value: [x]}]}`, "filters.data[0].comparator", "never matches", v1alpha1.Warning},
		{"an order of bools", `filters: {data: [{path: a, type: bool, comparator: "<", value: ["true"]}]}`, "filters.data[0].comparator", "is read as =", v1alpha1.Warning},
		{"a template that does not parse", `filters: {data: [{path: a, type: string, value: [x], template: "{{ .Input"}]}`, "filters.data[0].template", "unclosed action", v1alpha1.Error},
		{"a template that asks for the environment", `filters: {data: [{path: a, type: string, value: [x], template: '{{ env "HOME" }}'}]}`, "filters.data[0].template", `"env" not defined`, v1alpha1.Error},
		{"no expr", `filters: {exprs: [{expr: "", fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "is missing", v1alpha1.Error},
		{"an expr that does not parse", `filters: {exprs: [{expr: "a ==", fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "unexpected end", v1alpha1.Error},
		{"an expr with odd quotes", `filters: {exprs: [{expr: 'a == "2020-01-01', fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "unclosed string", v1alpha1.Error},
		{"an expr with odd parentheses", `filters: {exprs: [{expr: "(a == 1", fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "unbalanced", v1alpha1.Error},
		{"a function in expr", `filters: {exprs: [{expr: "len(a) > 1", fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "there are no functions here", v1alpha1.Error},
		{"a bad pattern in expr", `filters: {exprs: [{expr: 'a =~ "x("', fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "error parsing regexp", v1alpha1.Error},
		{"a bad pattern with a date in expr", `filters: {exprs: [{expr: 'a =~ "2020-01-01("', fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "error parsing regexp", v1alpha1.Error},
		{"an unknown name in expr", `filters: {exprs: [{expr: 'status == 1 && a == 1', fields: [{name: a, path: a}, {name: state, path: b}]}]}`, "filters.exprs[0].expr", `"status" is not among the fields (did you mean "state"?)`, v1alpha1.Error},
		{"nil in expr", `filters: {exprs: [{expr: 'a == nil', fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "there is no nil", v1alpha1.Error},
		{"a name that YAML reads as a boolean", `filters: {exprs: [{expr: 'n > 1', fields: [{name: n, path: a}]}]}`, "filters.exprs[0].expr", "YAML reads the name n as a boolean", v1alpha1.Error},
		{"a look into a value in expr", `filters: {exprs: [{expr: 'a.b == 1', fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "a.b looks into a value", v1alpha1.Error},
		{"a very long expr", `filters: {exprs: [{expr: "` + strings.Repeat("(", 20000) + `", fields: [{name: a, path: a}]}]}`, "filters.exprs[0].expr", "longer than", v1alpha1.Error},
		{"no fields", `filters: {exprs: [{expr: "true", fields: []}]}`, "filters.exprs[0].fields", "is missing", v1alpha1.Error},
		{"a field without a name", `filters: {exprs: [{expr: "true", fields: [{name: "", path: a}]}]}`, "filters.exprs[0].fields[0].name", "is missing", v1alpha1.Error},
		{"a field without a path", `filters: {exprs: [{expr: "a == 1", fields: [{name: a, path: ""}]}]}`, "filters.exprs[0].fields[0].path", "is missing", v1alpha1.Error},
		{"a field twice", `filters: {exprs: [{expr: "a == 1", fields: [{name: a, path: a}, {name: a, path: b}]}]}`, "filters.exprs[0].fields[1].name", "bound twice", v1alpha1.Warning},
		{"a context that compares nothing", `filters: {context: {}}`, "filters.context", "compares nothing", v1alpha1.Error},
		{"a context that compares only what is ignored", `filters: {context: {id: x}}`, "filters.context", "compares nothing", v1alpha1.Error},
		{"an ignored attribute", `filters: {context: {id: x, type: y}}`, "filters.context.id", "is not compared", v1alpha1.Warning},
		{"no start", `filters: {time: {start: "", stop: "01:00:00"}}`, "filters.time.start", "is missing", v1alpha1.Error},
		{"no time of day", `filters: {time: {start: "9am", stop: "01:00:00"}}`, "filters.time.start", `"9am" is no time of day`, v1alpha1.Error},
		{"24:00:00", `filters: {time: {start: "01:00:00", stop: "24:00:00"}}`, "filters.time.stop", "the end of the day is 00:00:00", v1alpha1.Error},
		{"no seconds", `filters: {time: {start: "01:00", stop: "02:00:00"}}`, "filters.time.start", "is no time of day", v1alpha1.Error},
		{"stop is start", `filters: {time: {start: "01:00:00", stop: "1:00:00"}}`, "filters.time.stop", "the same as start", v1alpha1.Error},
		{"an unknown time zone", `filters: {time: {start: "01:00:00", stop: "02:00:00", timezone: Mars}}`, "filters.time.timezone", `unknown time zone "Mars"`, v1alpha1.Error},
		{"the machine's time zone", `filters: {time: {start: "01:00:00", stop: "02:00:00", timezone: Local}}`, "filters.time.timezone", "unknown time zone", v1alpha1.Error},
		{"a script that does not parse", `filters: {script: "return ="}`, "filters.script", "syntax error", v1alpha1.Error},
		{"CEL that does not parse", `filters: {cel: "data.body.n >"}`, "filters.cel", "line 1, column 14", v1alpha1.Error},
		{"CEL of a wrong type", `filters: {cel: "event.type == 5"}`, "filters.cel", "no matching overload", v1alpha1.Error},
		{"CEL that yields no bool", `filters: {cel: "event.type"}`, "filters.cel", "yields string", v1alpha1.Error},
		{"CEL with an unknown attribute", `filters: {cel: 'event.kind == "x"'}`, "filters.cel", "event has id, source", v1alpha1.Error},
		{"CEL without data", `filters: {cel: 'body.n == 5'}`, "filters.cel", "write data.body", v1alpha1.Error},
		{"CEL with a bad pattern", `filters: {cel: 'event.type.matches("a(")'}`, "filters.cel", "missing closing )", v1alpha1.Error},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := compile(t, c.manifest)
			var found *v1alpha1.Problem
			for _, p := range v1alpha1.Problems(err) {
				if p.Path == c.path && strings.Contains(p.Error(), c.message) {
					found = p
				}
			}
			if found == nil {
				t.Fatalf("got %v\nwant %s: %s", err, c.path, c.message)
			}
			if found.Severity != c.severity {
				t.Errorf("severity %s", found.Severity)
			}
			if c.severity == v1alpha1.Error && f != nil {
				t.Error("a filter in spite of a fatal problem")
			}
			if c.severity == v1alpha1.Warning && f == nil {
				t.Error("no filter although there are only warnings")
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := compile(t, `
filtersLogicalOperator: nor
filters:
  exprs: [{expr: a == b, fields: [{name: a, path: x}]}, {expr: "(", fields: []}]
  data: [{path: "", type: text, value: ["("]}, {path: a, type: number, value: [x, w]}]
  context: {id: x}
  time: {start: x, stop: y, timezone: z}
  script: if
  cel: x
`)
	var paths []string
	for _, p := range v1alpha1.Problems(err) {
		paths = append(paths, p.Path)
		if p.Severity == v1alpha1.Error && p.Hint == "" && !strings.HasPrefix(p.Path, "filters.exprs") {
			t.Errorf("no hint: %v", p)
		}
	}
	want := "filtersLogicalOperator filters.exprs[0].expr filters.exprs[1].fields filters.exprs[1].expr filters.data[0].path filters.data[0].type " +
		"filters.data[1].value[0] filters.data[1].value[1] filters.context.id filters.context filters.time.start filters.time.stop filters.time.timezone " +
		"filters.script filters.cel"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
