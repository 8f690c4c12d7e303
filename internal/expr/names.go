package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// decodeNames reads a JSON object into the names of an expression.
func decodeNames(data []byte) (map[string]any, error) {
	v, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("the data is no JSON: %w", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the data is no JSON object")
	}
	names := make(map[string]any, len(object)+8)
	var dotted []string
	for key, value := range object {
		if strings.Contains(key, ".") {
			dotted = append(dotted, key)
			continue
		}
		names[name(key)] = value
	}
	slices.Sort(dotted)
	for _, key := range dotted {
		nest(names, strings.Split(name(key), "."), object[key])
	}
	return names, nil
}

func name(key string) string { return strings.ReplaceAll(key, "-", "_") }

// nest puts v at path below m. A value that stands in the way wins.
func nest(m map[string]any, path []string, v any) {
	first, rest := path[0], path[1:]
	old, there := m[first]
	if len(rest) == 0 {
		if !there {
			m[first] = v
		}
		return
	}
	below, ok := old.(map[string]any)
	if there && !ok {
		return
	}
	// The map may belong to the data, where the nested key does not exist.
	below = maps.Clone(below)
	if below == nil {
		below = map[string]any{}
	}
	m[first] = below
	nest(below, rest, v)
}

// decode reads one JSON value. Whole numbers that fit become ints, so that they
// keep their digits and can be given to functions; others become float64.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		f, _ := v.Float64() // out of range gives infinity, as it should
		return f
	case map[string]any:
		for key, value := range v {
			v[key] = numbers(value)
		}
	case []any:
		for i, value := range v {
			v[i] = numbers(value)
		}
	}
	return v
}
