package kind

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// Check compares a JSON text with a Go type, without decoding into it, and
// reports at once every value of a wrong type (an error) and every key that the
// type does not have (a warning that says where it belongs, or which key was
// most likely meant), each with its path. Keys are case-sensitive. What lies
// below a type with its own UnmarshalJSON is handed to that and not looked into,
// except where the type says by KeepsOtherKeys that it only adds keys: then its
// own fields are checked and other keys pass.
func Check(t reflect.Type, raw []byte) error {
	_, err := Prune(t, raw)
	return err
}

// Prune is Check that also returns the JSON with null in the place of each value
// that is an error, so that the rest can be decoded and looked at.
func Prune(t reflect.Type, raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return []byte("null"), v1alpha1.Invalid("", "is no JSON: %v", err)
	}
	var c checker
	if !c.value("", t, v) {
		v = nil
	}
	good, err := json.Marshal(v)
	if err != nil {
		c.add(v1alpha1.Invalid("", "%v", err))
	}
	return good, errors.Join(c.errs...)
}

// Beside leaves out the errors of err that may only be there because of the
// errors of found: those at, above or below one of them.
func Beside(err, found error) error {
	var bad []string
	for _, p := range v1alpha1.Problems(v1alpha1.Fatal(found)) {
		bad = append(bad, p.Path)
	}
	var errs []error
	for _, p := range v1alpha1.Problems(err) {
		due := p.Severity == v1alpha1.Error && slices.ContainsFunc(bad, func(b string) bool { return within(p.Path, b) || within(b, p.Path) })
		if !due {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// within tells whether path is at or below outer.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

type checker struct {
	errs []error
	// above are the structs around the value, outermost first.
	above []map[string]reflect.Type
}

func (c *checker) add(p *v1alpha1.Problem) { c.errs = append(c.errs, p) }

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	open        = reflect.TypeFor[interface{ KeepsOtherKeys() }]()
)

// value checks v and puts null for values in it that are errors. It is false
// if v is one itself.
func (c *checker) value(path string, t reflect.Type, v any) bool {
	if v == nil { // null is "not given" for every type
		return true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) && !reflect.PointerTo(t).Implements(open) {
		return c.custom(path, t, v)
	}
	switch t.Kind() {
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			c.object(path, t, m)
			return true
		}
	case reflect.Map:
		if m, ok := v.(map[string]any); ok {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				if !c.value(v1alpha1.Join(path, v1alpha1.Key(k)), t.Elem(), m[k]) {
					m[k] = nil
				}
			}
			return true
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			if c.fits(t, v) {
				return true
			}
			break
		}
		if l, ok := v.([]any); ok {
			for i, e := range l {
				if !c.value(path+v1alpha1.Index(i), t.Elem(), e) {
					l[i] = nil
				}
			}
			return true
		}
	case reflect.Interface:
		return true
	default:
		if c.fits(t, v) {
			return true
		}
	}
	c.add(v1alpha1.Invalid(path, "want %s, got %s", typeName(t), valueName(v)).Hinted("%s", quoteHint(t, v)))
	return false
}

func (c *checker) fits(t reflect.Type, v any) bool {
	b, err := json.Marshal(v)
	return err == nil && json.Unmarshal(b, reflect.New(t).Interface()) == nil
}

func (c *checker) object(path string, t reflect.Type, m map[string]any) {
	fields := jsonFields(t)
	keepsOthers := reflect.PointerTo(t).Implements(open)
	c.above = append(c.above, fields)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch ft, ok := fields[k]; {
		case ok:
			if !c.value(v1alpha1.Join(path, v1alpha1.Key(k)), ft, m[k]) {
				m[k] = nil
			}
		case !keepsOthers:
			c.unknown(path, k, fields)
		}
	}
	c.above = c.above[:len(c.above)-1]
}

// unknown reports key k of the object at path. A key that is at home one level
// up or down is more likely misplaced than misspelt.
func (c *checker) unknown(path, k string, fields map[string]reflect.Type) {
	p := UnknownKey(v1alpha1.Join(path, v1alpha1.Key(k)), k, slices.Sorted(maps.Keys(fields)))
	c.add(p)
	for f := range fields {
		if strings.EqualFold(f, k) {
			return
		}
	}
	if n := len(c.above); n > 1 {
		if _, ok := c.above[n-2][k]; ok {
			p.Hinted("it belongs beside %s, one level up", lastKey(path))
			return
		}
	}
	var in []string
	for name, t := range fields {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		ownJSON := reflect.PointerTo(t).Implements(unmarshaler) && !reflect.PointerTo(t).Implements(open)
		if t.Kind() == reflect.Struct && !ownJSON && jsonFields(t)[k] != nil {
			in = append(in, name)
		}
	}
	if len(in) == 1 {
		p.Hinted("it belongs inside %s", in[0])
	}
}

// lastKey is the last key of a path, without the index behind it.
func lastKey(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		path = path[i+1:]
	}
	key, _, _ := strings.Cut(path, "[")
	return key
}

func (c *checker) custom(path string, t reflect.Type, v any) bool {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, reflect.New(t).Interface())
	}
	if err != nil {
		c.add(v1alpha1.Invalid(path, "%v", err))
	}
	return err == nil
}

// jsonFields are the JSON keys of a struct with their types, embedded ones included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case key == "-":
		case f.Anonymous && key == "":
			e := f.Type
			if e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			if e.Kind() == reflect.Struct {
				maps.Copy(fields, jsonFields(e))
			} else if f.IsExported() {
				fields[f.Name] = f.Type
			}
		case key != "":
			fields[key] = f.Type
		case f.IsExported():
			fields[f.Name] = f.Type
		}
	}
	return fields
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a base64 string"
		}
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func valueName(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		if len(v) > 40 {
			v = v[:40] + "..."
		}
		return fmt.Sprintf("the string %q", v)
	case json.Number:
		return "the number " + v.String()
	default:
		return fmt.Sprintf("%v", v)
	}
}

func quoteHint(t reflect.Type, v any) string {
	switch v := v.(type) {
	case json.Number:
		if t.Kind() == reflect.String {
			return fmt.Sprintf("put it in quotes: %q", v.String())
		}
	case bool:
		if t.Kind() == reflect.String {
			return fmt.Sprintf("put it in quotes: \"%v\"; yes, no, on, off, y and n are booleans in YAML too", v)
		}
	case string:
		if t.Kind() == reflect.Bool || t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 {
			return "write it without quotes"
		}
	}
	return ""
}
