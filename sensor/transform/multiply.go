package transform

import (
	"fmt"
	"reflect"

	"github.com/itchyny/gojq"
)

// multiply is the function that stands for the operator * in programs, because
// "-" * .body.n would else make a text of up to 2 GiB if an event says so.
const multiply = "_signalbox_multiply"

// bound replaces every multiplication below v, which is part of a parsed program.
func bound(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if err := bound(v.Elem()); err != nil {
			return err
		}
		if q, ok := v.Interface().(*gojq.Query); ok {
			return replace(q)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := bound(v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := bound(v.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func replace(q *gojq.Query) error {
	var text string
	switch q.Op {
	case gojq.OpMul:
		text = fmt.Sprintf("%s((%s); (%s))", multiply, q.Left, q.Right)
	case gojq.OpUpdateMul:
		text = fmt.Sprintf("(%s) as $%s | (%s) |= %s(.; $%s)", q.Right, multiply, q.Left, multiply, multiply)
	default:
		return nil
	}
	with, err := gojq.Parse(text)
	if err != nil {
		return err
	}
	with.FuncDefs, with.Meta, with.Imports = q.FuncDefs, q.Meta, q.Imports
	*q = *with
	return nil
}

// multiplication is * with a look at the size of a repeated text.
func multiplication() gojq.CompilerOption {
	code := must(gojq.Compile(must(gojq.Parse("$a * $b")), gojq.WithVariables([]string{"$a", "$b"})))
	return gojq.WithFunction(multiply, 2, 2, func(_ any, args []any) any {
		a, b := args[0], args[1]
		if text, n, ok := repetition(a, b); ok && n*float64(len(text)) > jqResult {
			return fmt.Errorf("a text of more than %d bytes", jqResult)
		}
		v, _ := code.Run(nil, a, b).Next()
		return v
	})
}

func repetition(a, b any) (text string, n float64, ok bool) {
	if s, is := a.(string); is {
		n, ok = gojq.ToFloat64(b)
		return s, n, ok
	}
	if s, is := b.(string); is {
		n, ok = gojq.ToFloat64(a)
		return s, n, ok
	}
	return "", 0, false
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the texts are constants
	}
	return v
}
