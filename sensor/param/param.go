// Package param copies values from events into objects, as the parameters,
// payload and dynamicHeaders of triggers say.
//
// A source (src) gives text, found by a gjson path or made by a template; with
// useRawData a JSON value that is no string stays what it is. A destination
// (dest) is a path in sjson syntax. Everything is parsed once, by Compile.
package param

import (
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// List is a compiled list of parameters. It is never changed and safe for
// concurrent use. A nil List is an empty one.
type List struct{ items []item }

type item struct {
	index int
	src   source
	dest  path
	op    v1alpha1.ParameterOperation
}

// Compile parses parameters that each need a dest. The error joins
// v1alpha1.Problems, all of them errors, with paths such as [0].src.dependencyName.
func Compile(ps []v1alpha1.TriggerParameter) (*List, error) { return compile(ps, true) }

// CompilePayload is Compile where an empty dest is allowed: the whole body.
func CompilePayload(ps []v1alpha1.TriggerParameter) (*List, error) { return compile(ps, false) }

func compile(ps []v1alpha1.TriggerParameter, needDest bool) (*List, error) {
	l := &List{items: make([]item, 0, len(ps))}
	var errs []error
	for i, p := range ps {
		it, err := newItem(p, needDest)
		it.index = i
		errs = append(errs, v1alpha1.At(v1alpha1.Index(i), err))
		l.items = append(l.items, it)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

func newItem(p v1alpha1.TriggerParameter, needDest bool) (item, error) {
	var errs []error
	it := item{dest: parsePath(p.Dest), op: p.Operation}
	if p.Src == nil {
		errs = append(errs, v1alpha1.Invalid("src", "is required"))
	} else {
		var err error
		it.src, err = newSource(*p.Src)
		errs = append(errs, v1alpha1.At("src", err))
	}
	if p.Dest == "" && needDest {
		errs = append(errs, v1alpha1.Invalid("dest", "is required"))
	}
	switch p.Operation {
	case "", v1alpha1.Overwrite, v1alpha1.Append, v1alpha1.Prepend:
	default:
		bad := v1alpha1.Invalid("operation", "unknown operation %q", p.Operation)
		known := []string{string(v1alpha1.Overwrite), string(v1alpha1.Append), string(v1alpha1.Prepend)}
		if near := kind.Nearest(string(p.Operation), known); near != "" {
			errs = append(errs, bad.Hinted("did you mean %q?", near))
		} else {
			errs = append(errs, bad.Hinted("there are overwrite, append and prepend"))
		}
	}
	return it, errors.Join(errs...)
}

// Empty tells whether there are no parameters.
func (l *List) Empty() bool { return l == nil || len(l.items) == 0 }

// Apply returns obj, which is JSON, with the parameters put into it one after
// the other. One whose dependency has no event is left out. obj is not changed.
func (l *List) Apply(obj []byte, events map[string]*event.Event) ([]byte, error) {
	if l.Empty() {
		return obj, nil
	}
	if !gjson.ValidBytes(obj) {
		return nil, errors.New("parameters: the object is no JSON")
	}
	views := newViews(events)
	for _, it := range l.items {
		v, ok, err := it.src.resolve(views)
		if err == nil && ok {
			obj, err = it.apply(obj, v)
		}
		if err != nil {
			return nil, it.failed(err)
		}
	}
	return obj, nil
}

func (it *item) apply(obj []byte, v value) ([]byte, error) {
	if it.op == v1alpha1.Append || it.op == v1alpha1.Prepend {
		if old := it.dest.get(obj); old.Exists() {
			was := text(old)
			if old.Type == gjson.Null {
				was = ""
			}
			if it.op == v1alpha1.Append {
				v = value{text: was + v.text}
			} else {
				v = value{text: v.text + was}
			}
		}
	}
	return it.dest.set(obj, v)
}

// Payload makes a body of the parameters; their operations are ignored. One
// with an empty dest gives the whole body, whatever stands beside it. Without
// any value, because the list is empty or no dependency has an event, the body
// is empty.
func (l *List) Payload(events map[string]*event.Event) ([]byte, error) {
	if l.Empty() {
		return nil, nil
	}
	var body []byte
	views := newViews(events)
	for _, it := range l.items {
		v, ok, err := it.src.resolve(views)
		switch {
		case err != nil:
		case !ok:
			continue
		case it.dest.text == "":
			return []byte(v.text), nil
		default:
			body, err = it.dest.set(body, v)
		}
		if err != nil {
			return nil, it.failed(err)
		}
	}
	return body, nil
}

// A Header is a name, spelled as in dest, and its value.
type Header struct{ Name, Value string }

// Header makes headers of the parameters, in their order.
func (l *List) Header(events map[string]*event.Event) ([]Header, error) {
	if l.Empty() {
		return nil, nil
	}
	hs := make([]Header, 0, len(l.items))
	views := newViews(events)
	for _, it := range l.items {
		v, ok, err := it.src.resolve(views)
		if err != nil {
			return nil, it.failed(err)
		}
		if ok {
			hs = append(hs, Header{it.dest.text, v.text})
		}
	}
	return hs, nil
}

func (it *item) failed(err error) error {
	if it.dest.text == "" {
		return fmt.Errorf("parameter %d: %w", it.index, err)
	}
	return fmt.Errorf("parameter %d, to %q: %w", it.index, it.dest.text, err)
}

// value is what a source gives: text, or the JSON that is to be set as it is.
type value struct{ text, raw string }

func (v value) put(obj []byte, dest string) ([]byte, error) {
	if v.raw != "" {
		return sjson.SetRawBytes(obj, dest, []byte(v.raw))
	}
	return sjson.SetBytes(obj, dest, v.text)
}
