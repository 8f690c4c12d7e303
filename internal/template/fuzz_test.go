package template_test

import (
	"fmt"
	"testing"

	"github.com/signalbox-events/signalbox/internal/template"
)

func typeName(v any) string { return fmt.Sprintf("%T", v) }

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		`{{ .Input.a | upper }}`, `{{ range .Input.l }}{{ . }}{{ end }}`, `{{ printf "%d" .Input.n }}`, `{{ define "x" }}{{ template "x" }}{{ end }}`,
		`{{ if eq .Input.n 5.0 }}{{ else }}{{ end }}`, `{{ $x := dict "a" .Input }}{{ $x | toJson }}`, `{{ with .Input.zz }}{{ break }}{{ end }}`,
		`{{ until 5 | join "," }}`, `{{ .Input.n | add 1 | mul 2 }}`, `{{ index .Input.l 7 }}`, `{{ repeat 5 "x" | indent 2 }}`,
	} {
		f.Add(s, `{"a":"x","n":5,"l":[1,2.5,null],"big":12345678901234567890}`)
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		in, err := template.Decode([]byte(data))
		if err != nil {
			return
		}
		tmpl, err := template.Compile("t", text)
		if err != nil {
			return
		}
		out, err := tmpl.Execute(in)
		if len(out) > template.MaxOutput {
			t.Errorf("%d bytes", len(out))
		}
		if err != nil && out != "" {
			t.Errorf("an error and %q", out)
		}
	})
}

func BenchmarkExecute(b *testing.B) {
	tmpl, err := template.Compile("t", `{{ .Input.body.a | upper }}-{{ .Input.body.n }}`)
	if err != nil {
		b.Fatal(err)
	}
	in, err := template.Decode([]byte(payload))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Execute(in); err != nil {
			b.Fatal(err)
		}
	}
}
