package param

import (
	"errors"
	"fmt"
	"math"

	"github.com/tidwall/gjson"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/template"
)

// source is where a value comes from: a group (context or data) with a
// template, a key or both; else the fixed value; else the whole event.
type source struct {
	dependency string
	group      group
	key        string
	tmpl       *template.Template
	value      *string
	raw        bool
}

type group string

const (
	wholeEvent   group = ""
	eventContext group = "context"
	eventData    group = "data"
)

func newSource(s v1alpha1.TriggerParameterSource) (source, error) {
	var errs []error
	out := source{dependency: s.DependencyName, value: s.Value, raw: s.UseRawData}
	if s.DependencyName == "" {
		errs = append(errs, v1alpha1.Invalid("dependencyName", "is required"))
	}
	parse := func(field, text string) *template.Template {
		if text == "" {
			return nil
		}
		t, err := template.Compile(field, text)
		if err != nil {
			errs = append(errs, v1alpha1.Invalid(field, "%v", err))
		}
		return t
	}
	ofContext, ofData := parse("contextTemplate", s.ContextTemplate), parse("dataTemplate", s.DataTemplate)
	switch {
	case s.DataKey != "" || s.DataTemplate != "":
		out.group, out.key, out.tmpl = eventData, s.DataKey, ofData
	case s.ContextKey != "" || s.ContextTemplate != "":
		out.group, out.key, out.tmpl = eventContext, s.ContextKey, ofContext
	}
	return out, errors.Join(errs...)
}

// resolve returns false where the dependency has no event and there is no
// value in its stead.
func (s *source) resolve(vs *views) (value, bool, error) {
	v := vs.of(s.dependency)
	if v == nil {
		if s.value == nil {
			return value{}, false, nil
		}
		return value{text: *s.value}, true, nil
	}
	if s.group == wholeEvent {
		if s.value != nil {
			return value{text: *s.value}, true, nil
		}
		b, err := v.whole()
		return value{text: string(b)}, true, err
	}
	json, err := v.json(s.group)
	if err != nil {
		return value{}, false, fmt.Errorf("event of dependency %q: %w", s.dependency, err)
	}
	got, why := s.look(v, json)
	if why == nil {
		return got, true, nil
	}
	if s.value != nil {
		return value{text: *s.value}, true, nil
	}
	return value{}, false, fmt.Errorf("event of dependency %q: %w", s.dependency, why)
}

// look tries the template, then the key.
func (s *source) look(v *view, json []byte) (value, error) {
	var why error
	if s.tmpl != nil {
		input, err := v.decoded(s.group)
		if err != nil {
			return value{}, err
		}
		out, err := s.tmpl.Execute(input)
		switch {
		case err != nil:
			why = err
		case out == "" || out == template.NoValue:
			why = fmt.Errorf("%sTemplate gives nothing", s.group)
		default:
			return value{text: out}, nil
		}
	}
	if s.key == "" {
		return value{}, why
	}
	r := gjson.GetBytes(json, s.key)
	if !r.Exists() {
		return value{}, errors.Join(why, fmt.Errorf("there is no %s at %q", s.group, s.key))
	}
	out := value{text: text(r)}
	if s.raw && r.Type != gjson.String {
		out.raw = out.text
	}
	return out, nil
}

// text is the text of a JSON value: strings as they are, numbers in plain
// decimals with every digit of an integer, the JSON text of all else.
func text(r gjson.Result) string {
	switch {
	case r.Type == gjson.Null:
		return "null"
	case r.Type == gjson.Number && math.IsInf(r.Num, 0):
		return r.Raw
	default:
		return r.String()
	}
}
