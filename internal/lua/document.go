package lua

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	lua "github.com/yuin/gopher-lua"
)

// A document carries an event's data into Lua and back. It remembers what Lua
// cannot hold: which empty tables were arrays, which keys were null, and the
// digits of numbers that are not exact as float64.
type document struct {
	origins map[*lua.LTable]*origin
}

// origin is what a table was in JSON.
type origin struct {
	array bool
	// length of the array; numbers are only put back while it is the same.
	length int
	nulls  []string
	// numbers by key, as they were written.
	numbers map[lua.LValue]written
}

type written struct {
	value lua.LNumber
	text  string
}

func (d *document) origin(t *lua.LTable) *origin {
	o := d.origins[t]
	if o == nil {
		if d.origins == nil {
			d.origins = map[*lua.LTable]*origin{}
		}
		o = &origin{}
		d.origins[t] = o
	}
	return o
}

// decode makes the table of an event. JSON null is an empty object.
func (d *document) decode(data []byte) (*lua.LTable, error) {
	if !json.Valid(data) {
		return nil, errors.New("the data is not JSON")
	}
	v := gjson.ParseBytes(data)
	switch {
	case v.IsObject():
		return d.object(v)
	case v.Type == gjson.Null:
		return &lua.LTable{Metatable: lua.LNil}, nil
	default:
		return nil, errors.New("the data is not a JSON object")
	}
}

func (d *document) object(v gjson.Result) (*lua.LTable, error) {
	t := &lua.LTable{Metatable: lua.LNil}
	var err error
	v.ForEach(func(k, e gjson.Result) bool {
		key := k.String()
		if e.Type == gjson.Null {
			o := d.origin(t)
			o.nulls = append(o.nulls, key)
			return true
		}
		var lv lua.LValue
		if lv, err = d.value(t, lua.LString(key), e); err == nil {
			t.RawSetString(key, lv)
		}
		return err == nil
	})
	return t, err
}

func (d *document) array(v gjson.Result) (*lua.LTable, error) {
	t := &lua.LTable{Metatable: lua.LNil}
	n := 0
	var err error
	v.ForEach(func(_, e gjson.Result) bool {
		if n++; n > maxItems {
			err = fmt.Errorf("the data has an array of more than %d items", maxItems)
			return false
		}
		lv := lua.LValue(library().null)
		if e.Type != gjson.Null {
			lv, err = d.value(t, lua.LNumber(n), e)
		}
		if err == nil {
			t.Append(lv)
		}
		return err == nil
	})
	o := d.origin(t)
	o.array, o.length = true, n
	return t, err
}

// value is the Lua value of e, which will be at key of t.
func (d *document) value(t *lua.LTable, key lua.LValue, e gjson.Result) (lua.LValue, error) {
	switch e.Type {
	case gjson.True:
		return lua.LTrue, nil
	case gjson.False:
		return lua.LFalse, nil
	case gjson.String:
		return lua.LString(e.Str), nil
	case gjson.Number:
		n := lua.LNumber(e.Num)
		if !short(e.Raw) && string(appendNumber(nil, float64(n))) != e.Raw {
			o := d.origin(t)
			if o.numbers == nil {
				o.numbers = map[lua.LValue]written{}
			}
			o.numbers[key] = written{n, e.Raw}
		}
		return n, nil
	default:
		if e.IsArray() {
			return d.array(e)
		}
		return d.object(e)
	}
}

// short tells that a number is a few digits, which needs no closer look.
func short(s string) bool {
	if len(s) > 15 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

var (
	errCycle = errors.New("the result holds itself, or is nested more than 500 deep")
	errLong  = fmt.Errorf("the result is larger than %d bytes", MaxText)
)

// encode writes a value as JSON, the keys of objects in order.
func (d *document) encode(v lua.LValue) ([]byte, error) {
	return d.append(make([]byte, 0, 512), v, 500)
}

func (d *document) append(b []byte, v lua.LValue, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errCycle
	}
	if len(b) > MaxText {
		return nil, errLong
	}
	switch v := v.(type) {
	case *lua.LNilType:
		return append(b, "null"...), nil
	case lua.LBool:
		return strconv.AppendBool(b, bool(v)), nil
	case lua.LString:
		return appendString(b, string(v)), nil
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("the result holds %v, which JSON cannot say", v)
		}
		return appendNumber(b, float64(v)), nil
	case *lua.LTable:
		if n := v.Len(); n > 0 || d.emptyArray(v) {
			return d.appendArray(b, v, n, depth)
		}
		return d.appendObject(b, v, depth)
	case *lua.LUserData:
		if v == library().null {
			return append(b, "null"...), nil
		}
	}
	return nil, fmt.Errorf("the result holds a %s, which JSON cannot say", v.Type())
}

func (d *document) emptyArray(t *lua.LTable) bool {
	if k, _ := t.Next(lua.LNil); k != lua.LNil {
		return false
	}
	if mt, ok := t.Metatable.(*lua.LTable); ok && mt.RawGetString("__is_array") == lua.LTrue {
		return true
	}
	o := d.origins[t]
	return o != nil && o.array
}

func (d *document) appendArray(b []byte, t *lua.LTable, n, depth int) ([]byte, error) {
	o := d.origins[t]
	if o != nil && (!o.array || o.length != n) {
		o = nil
	}
	b = append(b, '[')
	for i := 1; i <= n; i++ {
		if i > 1 {
			b = append(b, ',')
		}
		var err error
		if b, err = d.appendAt(b, o, lua.LNumber(i), t.RawGetInt(i), depth); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (d *document) appendObject(b []byte, t *lua.LTable, depth int) ([]byte, error) {
	type member struct {
		key  string
		k, v lua.LValue
	}
	var members []member
	var err error
	t.ForEach(func(k, v lua.LValue) {
		if !lua.LVCanConvToString(k) {
			err = fmt.Errorf("the result has a key that is a %s, which JSON cannot say", k.Type())
			return
		}
		members = append(members, member{lua.LVAsString(k), k, v})
	})
	if err != nil {
		return nil, err
	}
	o := d.origins[t]
	if o != nil {
		for _, key := range o.nulls {
			if t.RawGetString(key) == lua.LNil {
				members = append(members, member{key, lua.LString(key), lua.LNil})
			}
		}
	}
	slices.SortFunc(members, func(a, b member) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.key), ':')
		if b, err = d.appendAt(b, o, m.k, m.v, depth); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendAt writes the value at a key of a table with the given origin.
func (d *document) appendAt(b []byte, o *origin, key, v lua.LValue, depth int) ([]byte, error) {
	if n, ok := v.(lua.LNumber); ok && o != nil {
		if w, ok := o.numbers[key]; ok && w.value == n {
			return append(b, w.text...), nil
		}
	}
	return d.append(b, v, depth-1)
}

// appendNumber writes a float as JSON does in JavaScript: whole numbers without
// a fraction, an exponent only for very large and very small ones.
func appendNumber(b []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

const hex = "0123456789abcdef"

// appendString writes s in quotes; bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			b = append(append(b, s[from:i]...), `\ufffd`...)
			i++
			from = i
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
