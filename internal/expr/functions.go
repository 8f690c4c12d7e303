package expr

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/sprig/v3"
	"github.com/ohler55/ojg/jp"
)

// environment is what an expression sees: names, and the functions, which win
// over names.
func environment(names map[string]any, step func() bool) map[string]any {
	if names == nil {
		names = map[string]any{}
	}
	names["sprig"] = sprigFunctions
	names["toJson"] = toJSON
	names["jsonpath"] = jsonPath
	names["asInt"] = asInt
	names["asFloat"] = asFloat
	names[stepName] = step
	return names
}

// sprigFunctions are sprig's, without those that reach the machine and with
// limits on those that make as much as they are asked for. Nobody changes the map.
var sprigFunctions = limited(sprig.GenericFuncMap())

func limited(f map[string]any) map[string]any {
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(f, name)
	}
	for name, fn := range f {
		switch fn := fn.(type) {
		case func(int) string: // randAlphaNum and its like
			f[name] = func(n int) string {
				check(name, n)
				return fn(n)
			}
		case func(int) (string, error): // randBytes
			f[name] = func(n int) (string, error) {
				check(name, n)
				return fn(n)
			}
		case func(int) []int: // until
			f[name] = func(n int) []int {
				check(name, max(n, -n))
				return fn(n)
			}
		case func(int, int, int) []int: // untilStep
			f[name] = func(from, to, step int) []int {
				checkSpan(name, from, to, step)
				return fn(from, to, step)
			}
		case func(int, string) string: // repeat, indent and others
			f[name] = func(n int, s string) string {
				check(name, n)
				check(name, n*(1+strings.Count(s, "\n")))
				if name == "repeat" {
					check(name, n*len(s))
				}
				return fn(n, s)
			}
		case func(...int) string: // seq
			f[name] = func(p ...int) string {
				switch len(p) {
				case 1:
					checkSpan(name, 1, p[0], 1)
				case 2:
					checkSpan(name, p[0], p[1], 1)
				case 3:
					checkSpan(name, p[0], p[2], p[1])
				}
				return fn(p...)
			}
		}
	}
	return f
}

// check panics, which the machine turns into an error, if a function is asked
// for too much.
func check(function string, n int) {
	if n > maxText {
		panic(fmt.Errorf("%s makes more than %d bytes or elements", function, maxText))
	}
}

func checkSpan(function string, from, to, step int) {
	span := max(from, to) - min(from, to)
	if span < 0 { // overflow
		span = maxText + 1
	}
	if step = max(step, -step); step > 1 {
		span /= step
	}
	check(function, span)
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// jsonPath finds path ($.a.b[0]) in a JSON text. A path that can lead to
// several places gives a list; one that leads nowhere is an error.
func jsonPath(text, path string) (any, error) {
	v, err := decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("jsonpath: the text is no JSON: %w", err)
	}
	x, err := jp.ParseString(path)
	if err != nil {
		return nil, fmt.Errorf("jsonpath %s: %w", path, err)
	}
	if !x.Normal() {
		return x.Get(v), nil
	}
	found, ok := x.FirstFound(v)
	if !ok {
		return nil, fmt.Errorf("jsonpath %s: there is nothing", path)
	}
	return found, nil
}

func asInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		return int(v), nil
	case string:
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			return 0, fmt.Errorf("asInt: %q is no whole number", v)
		}
		return n, nil
	default:
		return 0, fmt.Errorf("asInt: %v (%T) is no number", v, v)
	}
}

func asFloat(v any) (float64, error) {
	switch v := v.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return 0, fmt.Errorf("asFloat: %q is no number", v)
		}
		return f, nil
	default:
		return 0, fmt.Errorf("asFloat: %v (%T) is no number", v, v)
	}
}
