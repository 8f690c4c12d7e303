package template

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// display is how {{...}} prints a value.
func display(v any) (string, error) {
	if v == nil {
		return NoValue, nil
	}
	s, err := text(v)
	if err == nil && len(s) > MaxOutput {
		return "", errOutput
	}
	return s, err
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case float64:
		return decimal(v), nil
	case json.Number:
		return string(v), nil
	}
	if err := weigh(v); err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

// decimal is the shortest decimal that reads back as f, without an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// decimals replaces floats by their decimal text, for functions that would
// print them with an exponent.
func decimals(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		if f, ok := a.(float64); ok {
			a = decimal(f)
		}
		out[i] = a
	}
	return out
}

// printf is fmt.Sprintf with numbers turned into what each verb wants: %.0f
// takes an int64 and %d takes a float64 that is whole, because a template's
// author cannot know which of the two a number of the event became.
func printf(format string, args ...any) (string, error) {
	args = append([]any(nil), args...)
	next, width := 0, 0.0 // the argument of the next verb; all widths and precisions together
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		i++
		for i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0 {
			switch c := format[i]; {
			case c >= '1' && c <= '9':
				end := i + 1
				for end < len(format) && format[end] >= '0' && format[end] <= '9' {
					end++
				}
				n, _ := strconv.ParseFloat(format[i:end], 64)
				width += n
				i = end
				continue
			case c == '*':
				if next < len(args) {
					n, _ := float(args[next])
					width += math.Abs(n)
				}
				next++
			case c == '[': // arguments are numbered: leave them as they are
				next = len(args)
			}
			i++
		}
		if i >= len(format) || format[i] == '%' {
			continue
		}
		if next < len(args) {
			args[next] = suit(format[i], args[next])
		}
		next++
	}
	if width > MaxOutput {
		return "", errOutput
	}
	if err := weigh(args); err != nil {
		return "", err
	}
	s := fmt.Sprintf(format, args...)
	return s, weigh(s)
}

// suit turns a number into the type that a verb of Printf prints.
func suit(verb byte, v any) any {
	switch verb {
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if f, ok := float(v); ok {
			return f
		}
	case 'b', 'c', 'd', 'o', 'O', 'x', 'X', 'U':
		switch n := v.(type) {
		case float64:
			if n == math.Trunc(n) && math.Abs(n) < 1<<63 {
				return int64(n)
			}
		case json.Number:
			if i, ok := new(big.Int).SetString(string(n), 10); ok {
				return i
			}
		}
	case 'v':
		if f, ok := v.(float64); ok {
			return plain(f)
		}
	case 's', 'q':
		switch n := v.(type) {
		case json.Number:
			return string(n)
		case int64:
			return strconv.FormatInt(n, 10)
		case float64:
			return decimal(n)
		}
	}
	return v
}

// plain is a number that %v prints without an exponent.
type plain float64

// String implements fmt.Stringer.
func (p plain) String() string { return decimal(float64(p)) }
