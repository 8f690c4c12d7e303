package template_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-events/signalbox/internal/template"
)

const payload = `{"body":{"a":"x","n":5,"big":1234567,"huge":12345678901234567890,"f":1.50,"large":1234567.5,"t":true,"nul":null,
	"arr":["p","q"],"obj":{"k":1},"empty":"","two":"2","tiny":0.00000012,"whole":3000000.0}}`

func render(t *testing.T, text string) (string, error) {
	t.Helper()
	in, err := template.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.Compile("t", text)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return tmpl.Execute(in)
}

func TestExecute(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"whole numbers", `{{ .Input.body.big }}|{{ .Input.body.n }}`, "1234567|5"},
		{"a number beyond int64 keeps its digits", `{{ .Input.body.huge }}`, "12345678901234567890"},
		{"a fraction is the shortest decimal", `{{ .Input.body.f }} {{ .Input.body.large }} {{ .Input.body.tiny }} {{ .Input.body.whole }}`, "1.5 1234567.5 0.00000012 3000000"},
		{"int64, int and float64", `{{ .Input.body.big | int64 }} {{ .Input.body.big | int }} {{ .Input.body.n | float64 }} {{ .Input.body.f | int64 }}`, "1234567 1234567 5 1"},
		{"a text as a number", `{{ .Input.body.two | int | add 1 }}`, "3"},
		{"sprig's arithmetic", `{{ add .Input.body.n 1 }} {{ mul .Input.body.big 2 }} {{ sub .Input.body.n 7 }} {{ div .Input.body.n 2 }} {{ mod .Input.body.n 2 }}`, "6 2469134 -2 2 1"},
		{"sprig's arithmetic with fractions", `{{ addf .Input.body.f 1 }} {{ mulf .Input.body.big 2.5 }} {{ round .Input.body.f 0 }} {{ floor .Input.body.large }}`, "2.5 3086417.5 2 1234567"},
		{"max of mixed numbers", `{{ max .Input.body.n 7 }} {{ maxf .Input.body.f .Input.body.n }}`, "7 5"},
		{"printf with any verb", `{{ printf "%.0f %d %s %v %5.1f %03d" .Input.body.big .Input.body.big .Input.body.big .Input.body.large .Input.body.n .Input.body.whole }}`, "1234567 1234567 1234567 1234567.5   5.0 3000000"},
		{"printf of a huge number", `{{ printf "%d %s %v" .Input.body.huge .Input.body.huge .Input.body.huge }}`, "12345678901234567890 12345678901234567890 12345678901234567890"},
		{"printf with a width from an argument", `{{ printf "%*d|%%|%-4s|" 4 7 "x" }}`, "   7|%|x   |"},
		{"printf with numbered arguments", `{{ printf "%[2]s %[1]s" "a" "b" }}`, "b a"},
		{"printing functions", `{{ print .Input.body.large }} {{ .Input.body.large | toString }} {{ .Input.body.large | quote }} {{ cat .Input.body.large "x" }} {{ print 1 2 "a" }}`, `1234567.5 1234567.5 "1234567.5" 1234567.5 x 1 2a`},
		{"comparison of a whole number with a fraction", `{{ eq .Input.body.n 5.0 }} {{ gt .Input.body.n 4.5 }} {{ le .Input.body.f 1 }} {{ ne .Input.body.n 6 }} {{ lt .Input.body.n 6 }} {{ ge .Input.body.n 5 }}`, "true true false true true true"},
		{"comparison of huge numbers", `{{ eq .Input.body.huge 12345678901234567891.0 }} {{ gt .Input.body.huge .Input.body.big }}`, "true true"},
		{"comparison of texts", `{{ eq .Input.body.a "y" "x" }} {{ lt .Input.body.a "y" }}`, "true true"},
		{"comparison with nothing", `{{ eq .Input.body.zz nil }} {{ eq .Input.body.a nil }}`, "true false"},
		{"toJson and int", `{{ .Input.body.obj | toJson }} {{ .Input.body.big | int }} {{ .Input.body.huge | toJson }}`, `{"k":1} 1234567 12345678901234567890`},
		{"a missing key", `{{ .Input.body.zz }}`, "<no value>"},
		{"a missing key in longer text", `x-{{ .Input.body.zz }}`, "x-<no value>"},
		{"null", `{{ .Input.body.nul }}`, "<no value>"},
		{"below a missing key", `{{ .Input.zz.yy }}`, "<no value>"},
		{"a default for a missing key", `{{ .Input.body.zz | default "d" }}`, "d"},
		{"an empty text", `{{ .Input.body.empty }}`, ""},
		{"a bool", `{{ .Input.body.t }} {{ if .Input.body.t }}yes{{ end }}`, "true yes"},
		{"a list", `{{ range $i, $e := .Input.body.arr }}{{ $i }}{{ $e }} {{ end }}{{ join "," .Input.body.arr }} {{ index .Input.body.arr 1 }} {{ len .Input.body.arr }}`, "0p 1q p,q q 2"},
		{"a list as a whole", `{{ .Input.body.arr }}`, "[p q]"},
		{"variables, with, else", `{{ $x := .Input.body.n }}{{ with .Input.body.zz }}a{{ else }}{{ $x }}{{ end }}`, "5"},
		{"break and continue", `{{ range .Input.body.arr }}{{ if eq . "p" }}{{ continue }}{{ end }}{{ . }}{{ break }}{{ end }}`, "q"},
		{"defined templates", `{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" .Input.body.n }}{{ template "x" "e" }}`, "<5><e>"},
		{"trimming", `a {{- .Input.body.a -}} b`, "axb"},
		{"text of one letter is no mark", `t{{ "e" }}l{{ range .Input.body.arr }}t{{ end }}`, "telt" + "t"},
		{"date of a number", `{{ dateInZone "2006" .Input.body.n "UTC" }}`, "1970"},
		{"regular expressions", `{{ regexReplaceAll "(p)" "apa" "<${1}>" }} {{ replace "a" "b" "aa" }}`, "a<p>a bb"},
		{"indent, repeat, until, seq, wrap", "{{ indent 2 \"a\" }}|{{ repeat 3 \"ab\" }}|{{ until 3 }}|{{ seq 1 3 }}|{{ wrapWith 2 \"-\" \"abcd\" }}", "  a|ababab|[0 1 2]|1 2 3|ab-cd"},
		{"changing a dictionary", `{{ $d := dict "a" 1 }}{{ $_ := set $d "b" 2 }}{{ $d | toJson }}`, `{"a":1,"b":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(t, c.text)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestExecuteText(t *testing.T) {
	tmpl, err := template.Compile("t", `{{ .Input | upper }}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tmpl.Execute("x"); got != "X" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"syntax", `{{ .Input`, "unclosed action"},
		{"an unknown function", `{{ frobnicate 1 }}`, `"frobnicate" not defined`},
		{"the environment", `{{ env "HOME" }}`, `"env" not defined`},
		{"the environment in a text", `{{ expandenv "$HOME" }}`, `"expandenv" not defined`},
		{"the network", `{{ getHostByName "localhost" }}`, `"getHostByName" not defined`},
		{"too large", strings.Repeat("x", template.MaxSource+1), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := template.Compile("t", c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

func TestExecuteErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a function that fails", `{{ fail "boo" }}`, "boo"},
		{"division by zero", `{{ div 1 0 }}`, "divide by zero"},
		{"comparison of a number with a text", `{{ eq .Input.body.n "5" }}`, "incompatible types"},
		{"order of lists", `{{ lt .Input.body.arr .Input.body.arr }}`, "no order"},
		{"a key of a text", `{{ .Input.body.a.b }}`, "can't evaluate field b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

// Every one of these would go on for ever, or take all memory there is.
func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"an endless loop that prints", `{{ range 1000000000000 }}xxxxxxxxxxxxxxx{{ end }}`},
		{"an endless loop that prints nothing", `{{ range 1000000000000 }}{{ end }}`},
		{"loops in loops", `{{ range until 60000 }}{{ range until 60000 }}{{ end }}{{ end }}`},
		{"a template that calls itself", `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`},
		{"a template that calls itself twice", `{{ define "x" }}{{ if lt . 60 }}{{ template "x" (add1 .) }}{{ template "x" (add1 .) }}{{ end }}{{ end }}{{ template "x" 0 }}`},
		{"repeat", `{{ repeat 1000000000000 "x" }}`},
		{"repeat of repeat", `{{ repeat 1000000 (repeat 1000000 "x") }}`},
		{"replace", `{{ $x := repeat 1000000 "x" }}{{ replace "x" $x $x }}`},
		{"replace by a regular expression", `{{ $x := repeat 1000000 "x" }}{{ regexReplaceAll "x" $x $x }}`},
		{"replace by a literal", `{{ $x := repeat 1000000 "x" }}{{ mustRegexReplaceAllLiteral "x" $x $x }}`},
		{"indent", `{{ indent 1000000 (repeat 1000000 "\n") }}`},
		{"nindent", `{{ nindent 1000000000000 "x" }}`},
		{"wrap", `{{ wrapWith 1 (repeat 1000000 "x") (repeat 1000000 "y") }}`},
		{"until", `{{ len (until 1000000000000) }}`},
		{"until below zero", `{{ len (until -1000000000000) }}`},
		{"untilStep", `{{ len (untilStep 0 1000000000000 1) }}`},
		{"seq", `{{ len (seq 1000000000000) }}`},
		{"random text", `{{ len (randAlphaNum 1000000000000) }}`},
		{"random bytes", `{{ len (randBytes 1000000000000) }}`},
		{"a width", `{{ printf "%1000000000d" 1 }}`},
		{"many widths", `{{ printf (repeat 1000 "%999999d") 1 }}`},
		{"many widths from arguments", `{{ printf "%*d%*d%*d" 999999 1 999999 1 999999 1 }}`},
		{"a large text many times", `{{ $s := repeat 1000000 "x" }}{{ printf "%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s" $s }}`},
		{"a text that doubles", `{{ $s := "x" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}`},
		{"a text that doubles by quoting", `{{ $s := "\\" }}{{ range until 60 }}{{ $s = quote $s }}{{ end }}`},
		{"a text that doubles by js", `{{ $s := "\\" }}{{ range until 60 }}{{ $s = js $s }}{{ end }}`},
		{"a text that doubles by printf", `{{ $s := "x" }}{{ range until 60 }}{{ $s = printf "%s%s" $s $s }}{{ end }}{{ $s }}`},
		{"a list that doubles", `{{ $l := list 1 }}{{ range until 60 }}{{ $l = concat $l $l }}{{ end }}`},
		{"a list of itself twice", `{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ $l | toJson }}`},
		{"a dictionary that holds itself", `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`},
		{"joining one text many times", `{{ $s := repeat 1000000 "x" }}{{ len (join "" (list $s $s $s $s $s $s)) }}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(t, c.text)
			if err == nil {
				t.Fatalf("no error, %d bytes", len(got))
			}
			t.Log(err)
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	tmpl, err := template.Compile("t", `{{ range .Input.l }}{{ . }}{{ end }}{{ .Input.n }}`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				in, _ := template.Decode([]byte(`{"l":[1,2,3],"n":1234567}`))
				if got, err := tmpl.Execute(in); got != "1231234567" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDecode(t *testing.T) {
	for _, bad := range []string{``, `{`, `{} {}`, `nul`, `1 2`} {
		if v, err := template.Decode([]byte(bad)); err == nil {
			t.Errorf("%q decodes to %v", bad, v)
		}
	}
	v, err := template.Decode([]byte(` [1, -9223372036854775808, 1e3, 1.0, 9223372036854775808, 1e999] `))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"int64", "int64", "float64", "float64", "json.Number", "json.Number"} {
		if got := typeName(v.([]any)[i]); got != want {
			t.Errorf("item %d is a %s, want %s", i, got, want)
		}
	}
}
