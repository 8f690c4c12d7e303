package param_test

import (
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/sensor/param"
)

func TestText(t *testing.T) {
	push, note := event.New(), event.New()
	push.SetID("17")
	note.SetID("18")
	if err := push.SetData(event.ApplicationJSON, []byte(`{"tag":"v1.2","n":1234567}`)); err != nil {
		t.Fatal(err)
	}
	if err := note.SetData("text/plain", []byte("hi")); err != nil {
		t.Fatal(err)
	}
	events := map[string]*event.Event{"push": &push, "a-note": &note}
	for text, want := range map[string]string{
		"":           "",
		"as it is {": "as it is {",
		"{{ .Input.push.data.tag }} {{ .Input.push.data.n }}":             "v1.2 1234567",
		`{{ (index .Input "a-note").data }} {{ .Input.push.context.id }}`: "hi 17",
		`{{ .Input.push.data.nothing | default "none" }}`:                 "none",
		`{{ with .Input.other }}{{ .data }}{{ else }}-{{ end }}`:          "-",
	} {
		x, err := param.CompileText(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Of(events); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
		if x.Empty() != (text == "") || x.Fixed() == strings.Contains(text, "{{") {
			t.Errorf("%s: empty %v, fixed %v", text, x.Empty(), x.Fixed())
		}
	}
	for text, want := range map[string]string{
		"{{ .Input.push.data.nothing }}": "give it a default",
		"{{ .Input.other.data.x }}":      "give it a default",
	} {
		x, err := param.CompileText(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Of(events); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if _, err := param.CompileText("{{ .Input"); err == nil {
		t.Error("no error for what is no template")
	}
}
