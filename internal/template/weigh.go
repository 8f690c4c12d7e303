package template

import (
	"errors"
	"reflect"
)

// The limits of one value.
const (
	maxWeight  = 4 * MaxOutput
	maxNesting = 500
)

var (
	errWeight  = errors.New("a value is larger than templates may make")
	errNesting = errors.New("a value is nested too deeply")
)

// weigh fails if v is too large or nested too deeply (into itself, for one) to
// be worked with. What is in v twice counts twice, as it would if it were printed.
func weigh(v any) error {
	left := maxWeight
	return weighed(v, &left, maxNesting)
}

func weighed(v any, left *int, depth int) error {
	if depth == 0 {
		return errNesting
	}
	*left -= 16
	switch v := v.(type) {
	case nil, bool, int, int64, float64:
	case string:
		*left -= len(v)
	case []any:
		for _, e := range v {
			if err := weighed(e, left, depth-1); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			*left -= len(k)
			if err := weighed(e, left, depth-1); err != nil {
				return err
			}
		}
	default:
		if err := reflected(reflect.ValueOf(v), left, depth); err != nil {
			return err
		}
	}
	if *left < 0 {
		return errWeight
	}
	return nil
}

func reflected(r reflect.Value, left *int, depth int) error {
	switch r.Kind() {
	case reflect.String:
		*left -= r.Len()
	case reflect.Slice:
		if k := r.Type().Elem().Kind(); k >= reflect.Bool && k <= reflect.Float64 {
			*left -= r.Len() * int(r.Type().Elem().Size())
			return nil
		}
		for i := range r.Len() {
			if err := weighed(r.Index(i).Interface(), left, depth-1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := r.MapRange(); it.Next(); {
			if err := weighed(it.Value().Interface(), left, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}
