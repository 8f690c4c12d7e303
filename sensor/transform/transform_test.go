package transform

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/limit"
)

// compile reads a dependency as a user writes it.
func compile(tb testing.TB, manifest string) (*Transform, error) {
	tb.Helper()
	var d v1alpha1.EventDependency
	if err := yaml.UnmarshalStrict([]byte(manifest), &d); err != nil {
		tb.Fatalf("%v in\n%s", err, manifest)
	}
	return Compile(d.Transform)
}

func apply(t *testing.T, manifest, data string) (string, error) {
	t.Helper()
	tr, err := compile(t, manifest)
	if err := v1alpha1.Fatal(err); err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	out, err := tr.Apply(t.Context(), []byte(data))
	return string(out), err
}

func TestJQ(t *testing.T) {
	for _, c := range []struct{ name, program, data, want string }{
		{"a new field", `.b=2`, `{"a":1}`, `{"a":1,"b":2}`},
		{"the first of several results", `{x:.a},{y:2}`, `{"a":1}`, `{"x":1}`},
		{"an error after the first result", `{x:.a}, error`, `{"a":1}`, `{"x":1}`},
		{"as it is", `.`, `{"b":[1,null,[2],"x",{"k":[]}],"n":null,"e":{},"ea":[]}`, `{"b":[1,null,[2],"x",{"k":[]}],"e":{},"ea":[],"n":null}`},
		{"large whole numbers keep their digits", `.b = .a`, `{"a":12345678901234567890,"c":9007199254740993}`, `{"a":12345678901234567890,"b":12345678901234567890,"c":9007199254740993}`},
		{"calculation with large whole numbers", `{a: (.a + 1), b: (.a * 2)}`, `{"a":12345678901234567890}`, `{"a":12345678901234567891,"b":24691357802469135780}`},
		{"fractions keep their digits", `.`, `{"a":1.50,"b":0.1234567890123456789}`, `{"a":1.50,"b":0.1234567890123456789}`},
		{"multiplication in place", `.body.message *= 2`, `{"body":{"message":21}}`, `{"body":{"message":42}}`},
		{"multiplication of each with each", `{a: [(1,2) * (10,20)]}`, `{}`, `{"a":[10,20,20,40]}`},
		{"multiplication of a text", `{a: (.a * 3), b: ("-" * 0)}`, `{"a":"x"}`, `{"a":"xxx","b":""}`},
		{"multiplication of objects", `{a: ({a:{x:1}} * {a:{y:2}})}`, `{}`, `{"a":{"a":{"x":1,"y":2}}}`},
		{"multiplication and other operators", `def f(x): x * 2; {a: (2 + 3 * 4 - f(1)), b: "\(2 * 3)", c: [.[] | numbers * 3], d: (if .n * 1 == 5 then 1 else 2 end)}`, `{"n":5}`, `{"a":12,"b":"6","c":[15],"d":1}`},
		{"a caught error of multiplication", `{a: (try ({} * 1) catch "no")}`, `{}`, `{"a":"no"}`},
		{"texts are not escaped for HTML", `.`, `{"a":"<&>\u00fc\n"}`, `{"a":"<&>ü\n"}`},
		{"the environment is empty", `{a: $ENV, b: env, c: env.HOME}`, `{}`, `{"a":{},"b":{},"c":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(t, "transform:\n  jq: |-\n    "+c.program, c.data)
			if err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestJQErrors(t *testing.T) {
	for _, c := range []struct{ name, program, data, want string }{
		{"a number", `.a`, `{"a":1}`, "yields number, not an object"},
		{"an array", `[.a]`, `{"a":1}`, "yields array, not an object"},
		{"null", `null`, `{}`, "yields null, not an object"},
		{"nothing", `empty`, `{}`, "yields nothing"},
		{"an error", `error("boo")`, `{}`, "boo"},
		{"a wrong type", `.a.b`, `{"a":1}`, "expected an object but got: number"},
		{"halt", `halt`, `{}`, "halt"},
		{"an array as data", `.b=2`, `[1]`, "not a JSON object"},
		{"null as data", `.b=2`, `null`, "not a JSON object"},
		{"no JSON", `.`, `{"a"`, "not JSON"},
		{"two values", `.`, `{} {}`, "not JSON"},
		{"no data", `.`, ``, "not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(t, "transform:\n  jq: |-\n    "+c.program, c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestScript(t *testing.T) {
	const data = `{"a":1,"b":[1,null,[2],"x",{"k":[]}],"n":null,"e":{},"ea":[]}`
	for _, c := range []struct{ name, script, want string }{
		{"the event untouched", `return event`, `{"a":1,"b":[1,null,[2],"x",{"k":[]}],"e":{},"ea":[],"n":null}`},
		{"a table with a length", `return {1,2,x=3}`, `[1,2]`},
		{"a field", `event.m = "updated" event.b = nil return event`, `{"a":1,"e":{},"ea":[],"m":"updated","n":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := apply(t, "transform:\n  script: |-\n    "+c.script, data)
			if err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	if got, err := apply(t, `transform: {script: x = 1}`, data); err == nil {
		t.Errorf("a script that returns nothing yields %s", got)
	}
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		name, manifest, path, message string
		severity                      v1alpha1.Severity
		works                         bool
	}{
		{"bad jq", `transform: {jq: ".a ="}`, "transform.jq", "unexpected EOF", v1alpha1.Error, false},
		{"an unknown function", `transform: {jq: "frob(.a)"}`, "transform.jq", "function not defined: frob/1", v1alpha1.Error, false},
		{"a module", `transform: {jq: 'import "x" as x; .'}`, "transform.jq", "cannot load module", v1alpha1.Error, false},
		{"other input", `transform: {jq: input}`, "transform.jq", "input", v1alpha1.Error, false},
		{"a very long program", `transform: {jq: "` + strings.Repeat(".", jqSource+1) + `"}`, "transform.jq", "larger than", v1alpha1.Error, false},
		{"bad Lua", `transform: {script: if}`, "transform.script", "syntax error", v1alpha1.Error, false},
		{"both", `transform: {jq: ., script: if}`, "transform.script", "has no effect", v1alpha1.Warning, true},
		{"bad jq and Lua", `transform: {jq: "(", script: return event}`, "transform.script", "has no effect", v1alpha1.Warning, false},
		{"neither", `transform: {}`, "transform", "changes nothing", v1alpha1.Warning, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, err := compile(t, c.manifest)
			found := false
			for _, p := range v1alpha1.Problems(err) {
				found = found || p.Path == c.path && strings.Contains(p.Message, c.message) && p.Severity == c.severity && p.Hint != ""
			}
			if !found {
				t.Errorf("got %v, want %s: %s", err, c.path, c.message)
			}
			if (tr != nil) != c.works {
				t.Errorf("transform %v", tr)
			}
		})
	}
	if tr, err := Compile(nil); tr != nil || err != nil {
		t.Errorf("nothing compiles to %v, %v", tr, err)
	}
	if got, err := apply(t, `transform: {jq: .a = 2, script: 'return {}'}`, `{}`); got != `{"a":2}` {
		t.Errorf("jq does not win: %s, %v", got, err)
	}
}

// Every one of these would go on for ever, or take all memory there is.
func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, program, want string }{
		{"an endless recursion", `def f: f; f`, "stopped"},
		{"an endless loop", `[repeat(1)]`, "stopped"},
		{"an endless loop without memory", `last(range(1e18))`, "stopped"},
		{"an endless loop that catches errors", `def f: try error catch f; f`, "stopped"},
		{"a large array", `[range(1e12)]`, "stopped"},
		{"a recursion that keeps values", `def f: 1 + f; f`, "stopped"},
		{"a large text", `{a: ("x" * 1e9)}`, "more than"},
		{"a large text, the other way round", `{a: (1e9 * "x")}`, "more than"},
		{"a large text in place", `.s *= 1e9`, "more than"},
		{"a large text as the data says", `{a: (.s * .n)}`, "more than"},
		{"a value that holds itself many times", `{a: reduce range(60) as $i (1; [., .])}`, "larger than"},
		{"a result that is too large", `{a: [range(100) | "x" * 100000]}`, "larger than"},
		{"one text that is too large", `{a: (("x" * 5000000) + ("x" * 5000000))}`, "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := compileJQ(c.program)
			if err != nil {
				t.Fatal(err)
			}
			p.limits.Steps, p.limits.Time = 1_000_000, time.Minute // the time has a test of its own
			got, err := p.apply(t.Context(), []byte(`{"s":"xxxxxxxxxx","n":500000000}`))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d bytes, %v; want %q", len(got), err, c.want)
			}
		})
	}
}

func TestTimeLimit(t *testing.T) {
	p, err := compileJQ(`def f: f; f`)
	if err != nil {
		t.Fatal(err)
	}
	p.limits = limit.Limits{Time: 20 * time.Millisecond}
	if _, err := p.apply(t.Context(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "stopped after") {
		t.Errorf("got %v", err)
	}
	p.limits = limit.Limits{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.apply(ctx, []byte(`{}`)); err == nil {
		t.Error("the end of the context does not stop the program")
	}
}

func TestDataIsNotChanged(t *testing.T) {
	for _, manifest := range []string{`transform: {jq: '.a[0] = 9 | .b |= del(.c)'}`, `transform: {script: 'event.a[1] = 9 event.b.c = nil return event'}`} {
		tr, err := compile(t, manifest)
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(`{"a":[1,2],"b":{"c":1}}`)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if out, err := tr.Apply(context.Background(), data); string(out) != `{"a":[9,2],"b":{}}` || err != nil {
						t.Errorf("got %s, %v", out, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if string(data) != `{"a":[1,2],"b":{"c":1}}` {
			t.Errorf("the data became %s", data)
		}
	}
}

func FuzzJQ(f *testing.F) {
	for _, p := range []string{
		`.b=2`, `.a *= 2`, `{x: .a} * {y: 2}`, `.[] |= .`, `to_entries | from_entries`, `def f: f; f`, `reduce .l[] as $x (.; .n += $x)`,
		`{a: ("x" * 100)}`, `.l | map({a: .}) | first`, `{a: (try error("x") catch .)}`, `{a: [limit(3; repeat(1))]}`, `{a: @base64 "\(.a)"}`,
		`. as {$a, l: [$b]} | {a: ($a * $b)}`, `del(.a)`, `with_entries(.value |= tostring)`, `{"a": .a?, (.s): 1}`, `label $f | {a: break $f}`,
	} {
		f.Add(p, `{"a":1,"l":[1,null,[2]],"s":"x","big":12345678901234567890}`)
	}
	f.Fuzz(func(t *testing.T, program, data string) {
		p, err := compileJQ(program)
		if err != nil {
			return
		}
		p.limits = limit.Limits{Time: 100 * time.Millisecond, Steps: 100_000, Heap: jqHeap}
		out, err := p.apply(context.Background(), []byte(data))
		if err != nil {
			return
		}
		if !json.Valid(out) || out[0] != '{' || len(out) > jqResult+1024 {
			t.Errorf("%d bytes: %.100s", len(out), out)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	data := []byte(`{"header":{"Content-Type":["application/json"]},"body":{"a":"x","n":5,"l":[1,2,3],"message":"hello"}}`)
	for _, c := range []struct{ name, manifest string }{
		{"jq", `transform: {jq: .body.message = "updated"}`},
		{"jq multiplication", `transform: {jq: .body.n *= 2}`},
		{"script", `transform: {script: event.body.message = "updated" return event}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			tr, err := compile(b, c.manifest)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Apply(context.Background(), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
