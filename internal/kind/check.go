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
// type does not have (a warning that names the nearest key it has), each with
// its path. Keys are case-sensitive. What lies below a type with its own
// UnmarshalJSON is handed to that and not looked into.
func Check(t reflect.Type, raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return v1alpha1.Invalid("", "is no JSON: %v", err)
	}
	var c checker
	c.value("", t, v)
	return errors.Join(c.errs...)
}

type checker struct{ errs []error }

func (c *checker) add(p *v1alpha1.Problem) { c.errs = append(c.errs, p) }

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (c *checker) value(path string, t reflect.Type, v any) {
	if v == nil { // null is "not given" for every type
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		c.custom(path, t, v)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			c.object(path, t, m)
			return
		}
	case reflect.Map:
		if m, ok := v.(map[string]any); ok {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				c.value(v1alpha1.Join(path, v1alpha1.Key(k)), t.Elem(), m[k])
			}
			return
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			if _, ok := v.(string); ok {
				return
			}
			break
		}
		if l, ok := v.([]any); ok {
			for i, e := range l {
				c.value(path+v1alpha1.Index(i), t.Elem(), e)
			}
			return
		}
	case reflect.Interface:
		return
	default:
		b, err := json.Marshal(v)
		if err == nil && json.Unmarshal(b, reflect.New(t).Interface()) == nil {
			return
		}
	}
	c.add(v1alpha1.Invalid(path, "want %s, got %s", typeName(t), valueName(v)).Hinted("%s", quoteHint(t, v)))
}

func (c *checker) object(path string, t reflect.Type, m map[string]any) {
	fields := jsonFields(t)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if ft, ok := fields[k]; ok {
			c.value(v1alpha1.Join(path, v1alpha1.Key(k)), ft, m[k])
			continue
		}
		c.add(UnknownKey(v1alpha1.Join(path, v1alpha1.Key(k)), k, slices.Sorted(maps.Keys(fields))))
	}
}

func (c *checker) custom(path string, t reflect.Type, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, reflect.New(t).Interface())
	}
	if err != nil {
		c.add(v1alpha1.Invalid(path, "%v", err))
	}
}

// UnknownKey is the warning for a key that is not among known.
func UnknownKey(path, key string, known []string) *v1alpha1.Problem {
	p := v1alpha1.Warn(path, "unknown key %q is ignored", key)
	if near := Nearest(key, known); near != "" {
		return p.Hinted("did you mean %q?", near)
	}
	return p
}

// Nearest is the word of known that key was most likely meant to be, or "".
func Nearest(key string, known []string) string {
	best, limit := "", max(1, len(key)/3)+1
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return k
		}
		if d := distance(strings.ToLower(key), strings.ToLower(k)); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, changes and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range len(a) {
		older, old, now := rows[i%3], rows[(i+1)%3], rows[(i+2)%3]
		now[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(old[j+1]+1, now[j]+1, old[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], older[j-1]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
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
			maps.Copy(fields, jsonFields(e))
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
