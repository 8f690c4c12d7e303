package resource

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventsource/sourcetest"
)

func TestConfig(t *testing.T) {
	const ok = "version: v1\nresource: pods\neventTypes: [ADD]\n"
	for name, tc := range map[string]struct {
		manifest string
		problems []string // part of each, in order; warnings begin with "?"
	}{
		"least":             {ok, nil},
		"nothing":           {"{}", []string{"version: is missing", "resource: is missing", "eventTypes: is empty"}},
		"a kind":            {"version: v1\nresource: Pod\neventTypes: [ADD]", []string{`resource: "Pod" has upper-case letters (the plural`}},
		"a path":            {"version: v1\nresource: pods/status\neventTypes: [ADD]", []string{`resource: "pods/status" is no name`}},
		"group and version": {"version: apps/v1\nresource: pods\neventTypes: [ADD]", []string{`version: "apps/v1" is no name`}},
		"unknown type":      {"version: v1\nresource: pods\neventTypes: [ADD, add, MODIFIED]", []string{`eventTypes[1]: "add" is unknown (ADD, UPDATE, DELETE)`, `eventTypes[2]: "MODIFIED"`}},
		"filter":            {ok + "filter: {prefix: a, labels: [{key: a, value: b}], fields: [{key: a, value: b}], createdBy: 2020-01-02T03:04:05Z, afterStart: true}", nil},
		"label":             {ok + "filter: {labels: [{key: 'a b'}, {key: a, operation: like, value: b}, {key: a, operation: gt, value: b}, {key: a, operation: in}]}", []string{"filter.labels[0]: ", "filter.labels[1]: ", "filter.labels[2]: "}},
		"field":             {ok + "filter: {fields: [{key: a, operation: exists}, {value: '('}]}", []string{`filter.fields[0].operation: "exists" is unknown (=, ==, !=)`, "filter.fields[1].key: is missing", "filter.fields[1].value: "}},
		"changed":           {"version: v1\nresource: pods\neventTypes: [UPDATE]\nchanged: [status.phase]", nil},
		"changed, no type":  {ok + "changed: [status.phase]", []string{"?changed: has no effect"}},
		"changed, empty":    {"version: v1\nresource: pods\neventTypes: [UPDATE]\nchanged: ['']", []string{"changed[0]: is empty"}},
		"expression":        {ok + "filter: {expression: a}", []string{`?filter.expression: unknown key`}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(tc.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			if len(found) != len(tc.problems) {
				t.Fatalf("found %d problems, want %d:\n%v", len(found), len(tc.problems), err)
			}
			for i, want := range tc.problems {
				want, warning := strings.CutPrefix(want, "?")
				if !strings.Contains(found[i].Error(), want) || (found[i].Severity == v1alpha1.Warning) != warning {
					t.Errorf("problem %d is the %s %q, want %q", i, found[i].Severity, found[i], want)
				}
			}
		})
	}
}

func TestOlder(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"1", "2", true},
		{"2", "1", false},
		{"1", "1", false},
		{"9", "10", true},
		{"10", "9", false},
		{"99999999999999999999", "100000000000000000000", true},
		{"", "1", false},
		{"1", "", false},
		{"a", "b", false},
		{"1", "b", false},
		{"01", "2", false},
	} {
		if got := older(tc.a, tc.b); got != tc.want {
			t.Errorf("older(%q, %q) is %v", tc.a, tc.b, got)
		}
	}
}

func TestParse(t *testing.T) {
	o := parse(`{"metadata":{"uid":"u","name":"n","namespace":"s","resourceVersion":"7"}}`, "v1", "Pod")
	if got := fmt.Sprint(o); got != `{{"apiVersion":"v1","kind":"Pod","metadata":{"uid":"u","name":"n","namespace":"s","resourceVersion":"7"}} u s n 7}` {
		t.Error(got)
	}
	if o := parse(`{"kind":"X","metadata":{"name":"n"}}`, "v1", "Pod"); o.raw != `{"kind":"X","metadata":{"name":"n"}}` || o.uid != "/n" {
		t.Error(o)
	}
	if o := parse(`{ }`, "v1", "Pod"); o.raw != `{"apiVersion":"v1","kind":"Pod"}` {
		t.Error(o)
	}
}

func TestMark(t *testing.T) {
	paths := []string{"a", "b.c"}
	same := object{raw: `{"a":{"x":1,"y":[2]},"b":{"c":"1"}}`}.mark(paths)
	for raw, equal := range map[string]bool{
		`{"b":{"d":1,"c":"1"},"a":{"y":[2],"x":1}}`:  true,
		`{"a":{"x":1,"y":[2]},"b":{"c":1}}`:          false,
		`{"a":{"x":1,"y":[2]}}`:                      false,
		`{"a":{"x":1,"y":[2,3]},"b":{"c":"1"}}`:      false,
		`{"a":null,"b":{"c":{"x":1,"y":[2]}},"z":1}`: false,
	} {
		if got := (object{raw: raw}).mark(paths) == same; got != equal {
			t.Errorf("%s is the same: %v", raw, got)
		}
	}
	if m := (object{raw: "{}"}).mark(nil); m != "" {
		t.Errorf("without paths the mark is %q", m)
	}
}

func TestRecord(t *testing.T) {
	state := &sourcetest.State{}
	r := newRecord(state, "a")
	m := &memory{objects: map[string]entry{}}
	for i := range 200 {
		m.put(object{raw: "{}", uid: fmt.Sprint("u", i), namespace: "n", name: fmt.Sprint("name ", i), version: fmt.Sprint(i)}, "m", i%2 == 0)
	}
	m.remove("u7")
	if err := r.writeShards(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	back, err := newRecord(state, "a").readShards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(back) != 199 || back["u8"] != (entry{"n", "name 8", "8", "m", true}) || back["u9"].passed {
		t.Errorf("%d objects came back, and %+v", len(back), back["u8"])
	}
	if other, err := newRecord(state, "b").readShards(t.Context()); err != nil || len(other) != 0 {
		t.Errorf("another selection has %d objects, %v", len(other), err)
	}
	before := state.All()
	m.put(object{raw: "{}", uid: "u8", namespace: "n", name: "name 8", version: "1000"}, "m", true)
	m.put(object{raw: "{}", uid: "u9", namespace: "n", name: "name 9", version: "1000"}, "other", false)
	if err := r.writeShards(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	written := 0
	for k, v := range state.All() {
		if before[k] != v {
			written++
		}
	}
	if written != 1 {
		t.Errorf("%d values were written", written)
	}
}

func TestHeadGoesForward(t *testing.T) {
	state := &sourcetest.State{}
	one, two := newRecord(state), newRecord(state)
	for _, step := range []struct {
		r       *record
		version string
		force   bool
		want    string
	}{{one, "9", false, "9"}, {two, "10", false, "10"}, {one, "9", false, "10"}, {one, "8", false, "10"}, {two, "11", false, "11"}, {one, "3", true, "3"}, {two, "4", false, "4"}} {
		if err := step.r.writeHead(t.Context(), head{Version: step.version}, step.force); err != nil {
			t.Fatal(err)
		}
		if h, err := one.readHead(t.Context()); err != nil || h.Version != step.want {
			t.Errorf("after %s the head is %+v, want %s (%v)", step.version, h, step.want, err)
		}
	}
}

func TestHotIsBounded(t *testing.T) {
	h := newHot()
	big := strings.Repeat("x", hotBytes/20)
	for i := range 100 {
		h.put(object{raw: fmt.Sprintf(`{"metadata":{"uid":"u%d"},"x":%q}`, i, big)})
	}
	if h.size > hotBytes || h.order.Len() != len(h.byUID) || h.order.Len() < 15 {
		t.Errorf("%d bytes in %d objects, %d", h.size, h.order.Len(), len(h.byUID))
	}
	if _, ok := h.get("u99"); !ok {
		t.Error("the latest is gone")
	}
	if _, ok := h.get("u0"); ok {
		t.Error("the oldest is there")
	}
	h.put(object{raw: fmt.Sprintf(`{"metadata":{"uid":"u99"},"x":%q}`, big+big), uid: "u99"})
	if _, ok := h.get("u99"); ok {
		t.Error("an object that is too large left its earlier version")
	}
}
