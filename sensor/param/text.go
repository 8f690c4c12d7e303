package param

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/signalbox-events/signalbox/internal/template"
)

// Text is a text with a Go template over all events of a firing: .Input has the
// dependencies by name, each with data and context, as in
//
//	{{ .Input.push.data.image.tag }}, {{ (index .Input "nightly-tick").context.time }}
//
// A dependency without an event has no key. Functions and limits are those of
// dataTemplate. The zero Text is empty.
type Text struct {
	plain    string
	template *template.Template
}

// CompileText parses a text. A text without {{ is taken as it is.
func CompileText(text string) (Text, error) {
	if !strings.Contains(text, "{{") {
		return Text{plain: text}, nil
	}
	t, err := template.Compile("text", text)
	if err != nil {
		return Text{}, err
	}
	return Text{template: t}, nil
}

// Empty tells whether the text is empty whatever the events are.
func (t Text) Empty() bool { return t.template == nil && t.plain == "" }

// Fixed tells whether the text is the same whatever the events are.
func (t Text) Fixed() bool { return t.template == nil }

// Of is the text for the events. A key that they do not have is an error, unless
// the template deals with it (default, with, if, dig).
func (t Text) Of(events map[string]*event.Event) (string, error) {
	if t.template == nil {
		return t.plain, nil
	}
	input, err := Input(events)
	if err != nil {
		return "", err
	}
	return t.With(map[string]any{"Input": input})
}

// Input is what templates over all events have as .Input. It is made anew each
// time, because a template can change it.
func Input(events map[string]*event.Event) (map[string]any, error) {
	input := make(map[string]any, len(events))
	for name, e := range events {
		v := &view{dependency: name, event: e}
		context, err := v.decoded(eventContext)
		if err != nil {
			return nil, fmt.Errorf("the context of %s: %w", name, err)
		}
		data, err := v.decoded(eventData)
		if err != nil { // neither JSON nor YAML: its text
			if !utf8.Valid(e.Data()) {
				return nil, fmt.Errorf("the data of %s: %w", name, err)
			}
			data = string(e.Data())
		}
		input[name] = map[string]any{"data": data, "context": context}
	}
	return input, nil
}

// With is the text for a dot of the caller's, which has Input and more.
func (t Text) With(root map[string]any) (string, error) {
	if t.template == nil {
		return t.plain, nil
	}
	out, err := t.template.ExecuteRoot(root)
	if err != nil {
		return "", err
	}
	if strings.Contains(out, template.NoValue) {
		what := "something that the template names"
		if missing := t.template.Missing(root); len(missing) > 0 {
			what = strings.Join(missing, ", ")
		}
		return "", fmt.Errorf("the events do not have %s; where that is right, give it a default: {{ .Input.x.data.y | default \"...\" }}", what)
	}
	return out, nil
}
