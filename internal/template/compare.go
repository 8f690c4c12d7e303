package template

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
)

var (
	errIncomparable = errors.New("incompatible types for comparison")
	errOrder        = errors.New("values of this type have no order")
)

// float is the number that v is, if it is one.
func float(v any) (float64, bool) {
	if n, ok := v.(json.Number); ok {
		f, err := n.Float64()
		return f, err == nil
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

// whole is the whole number that v is, if it is one of a whole type.
func whole(v any) (*big.Int, bool) {
	if n, ok := v.(json.Number); ok {
		return new(big.Int).SetString(string(n), 10)
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return big.NewInt(r.Int()), true
	case r.CanUint():
		return new(big.Int).SetUint64(r.Uint()), true
	}
	return nil, false
}

// compareNumbers orders two numbers of any types; ok is false if either is none.
func compareNumbers(a, b any) (order int, ok bool) {
	x, okx := float(a)
	y, oky := float(b)
	if !okx || !oky {
		return 0, false
	}
	if i, ok := whole(a); ok {
		if j, ok := whole(b); ok {
			return i.Cmp(j), true
		}
	}
	return cmp.Compare(x, y), true
}

func equal(a, b any) (bool, error) {
	if order, ok := compareNumbers(a, b); ok {
		return order == 0, nil
	}
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	ta, tb := reflect.TypeOf(a), reflect.TypeOf(b)
	if ta != tb {
		return false, errIncomparable
	}
	if !ta.Comparable() {
		return false, errIncomparable
	}
	return a == b, nil
}

// eq is the built-in eq, for numbers of different types too: 5 equals 5.0.
func eq(a any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("missing argument for comparison")
	}
	for _, b := range others {
		same, err := equal(a, b)
		if same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func ne(a, b any) (bool, error) {
	same, err := equal(a, b)
	return !same && err == nil, err
}

func order(a, b any) (int, error) {
	if o, ok := compareNumbers(a, b); ok {
		return o, nil
	}
	x, okx := a.(string)
	y, oky := b.(string)
	switch {
	case okx && oky:
		return cmp.Compare(x, y), nil
	case okx || oky:
		return 0, errIncomparable
	default:
		return 0, errOrder
	}
}

func lt(a, b any) (bool, error) {
	o, err := order(a, b)
	return err == nil && o < 0, err
}

func le(a, b any) (bool, error) {
	o, err := order(a, b)
	return err == nil && o <= 0, err
}

func gt(a, b any) (bool, error) {
	o, err := order(a, b)
	return err == nil && o > 0, err
}

func ge(a, b any) (bool, error) {
	o, err := order(a, b)
	return err == nil && o >= 0, err
}
