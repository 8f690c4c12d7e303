package argorollout

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// op is one operation of a JSON patch.
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// MarshalJSON writes null for a test without a value: the field must not be there.
func (o op) MarshalJSON() ([]byte, error) {
	m := map[string]any{"op": o.Op, "path": o.Path}
	if o.Op != "remove" {
		m["value"] = o.Value
	}
	return json.Marshal(m)
}

func test(path string, value any) op { return op{"test", path, value} }
func add(path string, value any) op  { return op{"add", path, value} }

// holds tells whether the tests would succeed on an object.
func holds(object map[string]any, tests []op) bool {
	for _, t := range tests {
		if !same(pointed(object, t.Path), t.Value) {
			return false
		}
	}
	return true
}

// pointed is the value at a JSON pointer; nil if there is none.
func pointed(v any, pointer string) any {
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// same compares JSON values, however their numbers are held.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
