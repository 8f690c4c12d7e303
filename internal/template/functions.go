package template

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// functions are sprig's without those that reach out of the process, each
// bounded. The built-in ones that print or compare are replaced by ones that
// know numbers of any type.
var functions = sync.OnceValue(func() template.FuncMap {
	f := template.FuncMap(sprig.TxtFuncMap())
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(f, name)
	}
	for name, fn := range beforehand(f) {
		f[name] = fn
	}
	f["html"] = template.HTMLEscaper
	f["js"] = template.JSEscaper
	f["urlquery"] = template.URLQueryEscaper
	for name, fn := range f {
		f[name] = guarded(name, fn)
	}
	f["printf"] = printf
	f["eq"], f["ne"] = eq, ne
	f["lt"], f["le"], f["gt"], f["ge"] = lt, le, gt, ge
	f[show] = display
	return f
})

// beforehand are the functions whose result can be far larger than what they
// are given: they look at the size before they make it. Names as in sprig.
func beforehand(sprig template.FuncMap) template.FuncMap {
	repeat := sprig["repeat"].(func(int, string) string)
	replace := sprig["replace"].(func(string, string, string) string)
	indent := sprig["indent"].(func(int, string) string)
	nindent := sprig["nindent"].(func(int, string) string)
	until := sprig["until"].(func(int) []int)
	untilStep := sprig["untilStep"].(func(int, int, int) []int)
	seq := sprig["seq"].(func(...int) string)
	wrapWith := sprig["wrapWith"].(func(int, string, string) string)
	join := sprig["join"].(func(string, any) string)
	f := template.FuncMap{
		"repeat": func(n int, s string) (string, error) {
			if err := fits(n, len(s)); err != nil {
				return "", err
			}
			return repeat(n, s), nil
		},
		"replace": func(from, to, s string) (string, error) {
			if err := fits(strings.Count(s, from), len(to)); err != nil {
				return "", err
			}
			return replace(from, to, s), nil
		},
		"indent": func(n int, s string) (string, error) {
			if err := fits(n, strings.Count(s, "\n")+1); err != nil {
				return "", err
			}
			return indent(n, s), nil
		},
		"nindent": func(n int, s string) (string, error) {
			if err := fits(n, strings.Count(s, "\n")+1); err != nil {
				return "", err
			}
			return nindent(n, s), nil
		},
		"until": func(n int) ([]int, error) {
			if err := fits(max(n, -n), 16); err != nil {
				return nil, err
			}
			return until(n), nil
		},
		"untilStep": func(start, stop, step int) ([]int, error) {
			if err := steps(start, stop, step); err != nil {
				return nil, err
			}
			return untilStep(start, stop, step), nil
		},
		"seq": func(p ...int) (string, error) {
			var err error
			switch len(p) {
			case 1:
				err = steps(1, p[0], 1)
			case 2:
				err = steps(p[0], p[1], 1)
			case 3:
				err = steps(p[0], p[2], p[1])
			}
			if err != nil {
				return "", err
			}
			return seq(p...), nil
		},
		"wrapWith": func(n int, sep, s string) (string, error) {
			if err := fits(len(s)/max(n, 1)+1, len(sep)); err != nil {
				return "", err
			}
			return wrapWith(n, sep, s), nil
		},
		"join": func(sep string, v any) (string, error) {
			if r := reflect.ValueOf(v); r.Kind() == reflect.Slice {
				if err := fits(r.Len(), len(sep)); err != nil {
					return "", err
				}
			}
			return join(sep, v), nil
		},
	}
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		fn := sprig[name].(func(int) string)
		f[name] = func(n int) (string, error) {
			if err := fits(n, 1); err != nil {
				return "", err
			}
			return fn(n), nil
		}
	}
	randBytes := sprig["randBytes"].(func(int) (string, error))
	f["randBytes"] = func(n int) (string, error) {
		if err := fits(n, 2); err != nil {
			return "", err
		}
		return randBytes(n)
	}
	for _, name := range []string{"regexReplaceAll", "regexReplaceAllLiteral"} {
		fn := sprig["must"+strings.ToUpper(name[:1])+name[1:]].(func(string, string, string) (string, error))
		bounded := func(regex, s, to string) (string, error) {
			// A replacement may hold each match many times; together they are no longer than s.
			if (len(s)+1)*(len(to)+1) > 64*MaxOutput {
				return "", errOutput
			}
			return fn(regex, s, to)
		}
		f[name], f["must"+strings.ToUpper(name[:1])+name[1:]] = bounded, bounded
	}
	for _, name := range []string{"quote", "squote", "cat"} {
		fn := sprig[name].(func(...any) string)
		f[name] = func(v ...any) string { return fn(decimals(v)...) }
	}
	f["print"] = func(v ...any) string { return fmt.Sprint(plains(v)...) }
	f["println"] = func(v ...any) string { return fmt.Sprintln(plains(v)...) }
	f["toString"] = text
	return f
}

// plains makes floats print without an exponent and leaves them numbers, which
// matters to the blanks that Sprint puts between values.
func plains(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = suit('v', a)
	}
	return out
}

// fits tells whether n times size bytes is a permitted value.
func fits(n, size int) error {
	if size > 0 && n > MaxOutput/size {
		return errOutput
	}
	return nil
}

func steps(start, stop, step int) error {
	if step == 0 {
		return nil
	}
	n := (float64(stop) - float64(start)) / float64(step)
	return fits(int(min(max(n, -n), MaxOutput)), 16)
}

var errorType = reflect.TypeFor[error]()

// guarded is fn with a look at its result, so that no chain of calls builds up
// a value that is larger than the limits.
func guarded(name string, fn any) any {
	f := reflect.ValueOf(fn)
	t := f.Type()
	switch t.Out(0).Kind() {
	case reflect.String, reflect.Slice, reflect.Map, reflect.Interface:
	default:
		return fn
	}
	var in []reflect.Type
	for i := range t.NumIn() {
		in = append(in, t.In(i))
	}
	call := f.Call
	if t.IsVariadic() {
		call = f.CallSlice
	}
	none := reflect.Zero(errorType)
	return reflect.MakeFunc(reflect.FuncOf(in, []reflect.Type{t.Out(0), errorType}, t.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		if name == "set" || name == "join" || name == "cat" || name == "print" || name == "println" {
			for _, a := range args {
				if err := weigh(a.Interface()); err != nil {
					return []reflect.Value{reflect.Zero(t.Out(0)), reflect.ValueOf(&err).Elem()}
				}
			}
		}
		out := call(args)
		if len(out) == 1 {
			out = append(out, none)
		}
		if err := weigh(out[0].Interface()); err != nil {
			out[1] = reflect.ValueOf(&err).Elem()
		}
		return out
	}).Interface()
}
