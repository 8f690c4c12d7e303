package manifest_test

import (
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

func TestReport(t *testing.T) {
	problems := manifest.Read("m.yaml", []byte(eventSource("  webhook:\n    a: {prot: \"<1>\"}\n")+"---\nx: 1\n"), options()).Problems
	var text, js strings.Builder
	if err := manifest.WriteText(&text, problems); err != nil {
		t.Fatal(err)
	}
	if want := `m.yaml:6: error: EventSource/es: spec.webhook.a.endpoint: is required
m.yaml:6: warning: EventSource/es: spec.webhook.a.prot: unknown key "prot" is ignored (did you mean "port"?)
m.yaml:8: note: is no Kubernetes object, ignored (it has no apiVersion and kind)
`; text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	if err := manifest.WriteJSON(&js, problems); err != nil {
		t.Fatal(err)
	}
	want := `{
  "problems": [
    {
      "file": "m.yaml",
      "line": 6,
      "object": "EventSource/es",
      "path": "spec.webhook.a.endpoint",
      "severity": "error",
      "message": "is required"
    },
    {
      "file": "m.yaml",
      "line": 6,
      "object": "EventSource/es",
      "path": "spec.webhook.a.prot",
      "severity": "warning",
      "message": "unknown key \"prot\" is ignored",
      "hint": "did you mean \"port\"?"
    },
    {
      "file": "m.yaml",
      "line": 8,
      "severity": "note",
      "message": "is no Kubernetes object, ignored",
      "hint": "it has no apiVersion and kind"
    }
  ],
  "summary": {
    "errors": 1,
    "warnings": 1,
    "notes": 1
  }
}
`
	if js.String() != want {
		t.Errorf("got\n%s", js.String())
	}
	if got := manifest.Summarize(problems).String(); got != "1 error, 1 warning, 1 note" {
		t.Error(got)
	}
	js.Reset()
	if err := manifest.WriteJSON(&js, nil); err != nil || !strings.Contains(js.String(), `"problems": []`) {
		t.Errorf("%s %v", js.String(), err)
	}
}
