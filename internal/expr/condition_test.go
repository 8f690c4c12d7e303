package expr

import (
	"os"
	"strings"
	"testing"
)

const sample = `{"header":{"X-Foo":["x"]},"my-key":"5","a.b":"5","a.c.d":6,"type":"push","count":3,"filter":"f",
"body":{"n":5,"big":9007199254740993,"f":1.5,"name":"Jane","a":"x","nul":null,"list":[1,2,3],"a.b":"no","num":"42","text":"{\"k\":[{\"v\":7},{\"v\":8}]}"}}`

func TestEval(t *testing.T) {
	t.Setenv("SIGNALBOX_TEST", "seen")
	tests := []struct {
		name, expression, data string
		want                   bool
		wantErr                string // of Eval; part of it
	}{
		{"number", `body.n == 5`, sample, true, ""},
		{"number and text", `body.n > 4 && body.name != "Joe"`, sample, true, ""},
		{"false", `body.n == 6`, sample, false, ""},
		{"whole numbers keep their digits", `body.big == 9007199254740993 && body.big != 9007199254740992`, sample, true, ""},
		{"whole and fraction compare", `body.n > body.f && body.n == 5.0`, sample, true, ""},
		{"remainder", `body.n % 2 == 1`, sample, true, ""},
		{"header", `header["X-Foo"][0] == "x"`, sample, true, ""},
		{"dash in a top-level key", `my_key == "5"`, sample, true, ""},
		{"dots in a top-level key", `a.b == "5" && a.c.d == 6`, sample, true, ""},
		{"dots in a nested key", `body["a.b"] == "no"`, sample, true, ""},
		{"dots in a nested key are not expanded", `body.a.b == "no"`, sample, false, "(1:8)"},
		{"keys named as functions", `type == "push" && count == 3 && filter == "f"`, sample, true, ""},
		{"missing leaf is nil", `body.zz == nil`, sample, true, ""},
		{"missing name is nil", `zz == nil`, sample, true, ""},
		{"below a missing leaf", `body.zz.q == "x"`, sample, false, "nil"},
		{"no boolean", `body.n`, sample, false, "not true or false"},
		{"sprig", `sprig.hasPrefix("x", body.a)`, sample, true, ""},
		{"sprig with a whole number", `sprig.trunc(2, body.name) == "Ja"`, sample, true, ""},
		{"sprig with a number of the data", `len(sprig.repeat(body.n, "ab")) == 10`, sample, true, ""},
		{"asInt", `asInt(body.num) + 1 == 43`, sample, true, ""},
		{"asInt of a word", `asInt(body.name) == 1`, sample, false, "no whole number"},
		{"asFloat", `asFloat("1.5") == body.f`, sample, true, ""},
		{"toJson", `toJson(body.list) == "[1,2,3]"`, sample, true, ""},
		{"jsonpath", `jsonpath(body.text, "$.k[1].v") == 8`, sample, true, ""},
		{"jsonpath to many", `jsonpath(body.text, "$.k[*].v") == [7, 8]`, sample, true, ""},
		{"jsonpath to nothing", `jsonpath(body.text, "$.zz") == 8`, sample, false, "there is nothing"},
		{"loops", `all(body.list, # > 0) && any(body.list, {# == 2}) && sum(map(body.list, # * 2)) == 12`, sample, true, ""},
		{"loop over objects", `len(filter(jsonpath(body.text, "$.k"), .v > 7)) == 1`, sample, true, ""},
		{"in a list", `body.n in [4, 5]`, sample, true, ""},
		{"matches", `body.name matches "^J"`, sample, true, ""},
		{"environment is not there", `sprig.env("SIGNALBOX_TEST") == "seen"`, sample, false, "nil"},
		{"environment in text is not there", `sprig.expandenv("$SIGNALBOX_TEST") == "seen"`, sample, false, "nil"},
		{"look-up of hosts is not there", `sprig.getHostByName("localhost") != ""`, sample, false, "nil"},
		{"data is a list", `true`, `[1]`, false, "no JSON object"},
		{"data is text", `true`, `"x"`, false, "no JSON object"},
		{"data is no JSON", `true`, `{`, false, "no JSON"},
		{"data with something behind", `true`, `{} {}`, false, "no JSON"},
		{"too much text", `len(sprig.repeat(1000000000, "abc")) > 1`, sample, false, "makes more than"},
		{"too long a list", `len(sprig.until(1000000000)) > 1`, sample, false, "makes more than"},
		{"too many digits", `sprig.randNumeric(1000000000) != ""`, sample, false, "makes more than"},
		{"too long a sequence", `sprig.seq(1, 1, 1000000000) != ""`, sample, false, "makes more than"},
		{"memory", `len(map(1..900000, 1..900000)) > 1`, sample, false, "memory"},
		{"time", `let l = 1..3000; all(l, all(l, all(l, # > 0)))`, sample, false, "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Compile(tt.expression)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Eval([]byte(tt.data))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if os.Getenv("SIGNALBOX_TEST") != "seen" {
		t.Error("the test of the environment tests nothing")
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, expression := range map[string]string{
		"syntax":         `body.n ==`,
		"a number":       `1 + 1`,
		"a text":         `"x"`,
		"unclosed":       `(body.n`,
		"no such method": `foo(1)(`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(expression); err == nil {
				t.Errorf("%s compiles", expression)
			}
		})
	}
}

func TestEvalSideBySide(t *testing.T) {
	c, err := Compile(`any(body.list, # == 2)`)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 8 {
		go func() {
			var last error
			for range 100 {
				if ok, err := c.Eval([]byte(sample)); err != nil || !ok {
					last = err
				}
			}
			done <- last
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, e := range []string{`body.n == 5`, `all(body.list, # > 0)`, `sprig.upper(body.a) == "X"`, `let x = body.n; x in 1..9`, `body | toJson() matches "x"`} {
		f.Add(e, []byte(sample))
	}
	f.Fuzz(func(t *testing.T, expression string, data []byte) {
		if len(expression) > 200 {
			return
		}
		c, err := Compile(expression)
		if err != nil {
			return
		}
		_, _ = c.Eval(data)
	})
}

func BenchmarkEval(b *testing.B) {
	c, err := Compile(`body.n > 4 && body.name != "Joe"`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Eval([]byte(sample)); err != nil {
			b.Fatal(err)
		}
	}
}
