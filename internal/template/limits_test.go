package template

import (
	"errors"
	"testing"
	"time"
)

func TestWhichLimit(t *testing.T) {
	for _, c := range []struct {
		name, text string
		time       time.Duration
		want       error
	}{
		{"time, in a loop that prints nothing", `{{ range 900000 }}{{ end }}`, 2 * time.Millisecond, errTime},
		{"time, in templates that call each other", `{{ define "x" }}{{ if lt . 30 }}{{ template "x" (add1 .) }}{{ template "x" (add1 .) }}{{ end }}{{ end }}{{ template "x" 0 }}`, 2 * time.Millisecond, errTime},
		{"turns", `{{ range 1000001 }}{{ end }}`, time.Hour, errLoops},
		{"depth", `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, time.Hour, errDepth},
		{"output", `{{ range 100000 }}xxxxxxxxxxxxxxxxxxxxxxxxxxxx{{ end }}`, time.Hour, errOutput},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl, err := Compile("t", c.text)
			if err != nil {
				t.Fatal(err)
			}
			tmpl.time = c.time
			if _, err := tmpl.Execute(nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Templates that are called one after the other are not deep.
func TestDepthIsCountedBack(t *testing.T) {
	tmpl, err := Compile("t", `{{ define "x" }}x{{ end }}{{ range 500 }}{{ template "x" }}{{ end }}`)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tmpl.Execute(nil); len(out) != 500 || err != nil {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
