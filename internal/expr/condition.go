// Package expr evaluates expressions of the language of expr-lang.org over the
// data of events. Expressions are other people's programs: they reach neither
// the environment, nor files, nor the network, and their time and memory are
// limited.
package expr

import (
	"errors"
	"fmt"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Limits of one evaluation. An expression without loops takes microseconds.
const (
	maxTime = time.Second
	// maxMemory counts elements of lists and maps that the expression makes.
	maxMemory = 1_000_000
	// maxText is the largest text or list that one function call may make.
	maxText = 1 << 20
)

// Condition is a compiled expression that says yes or no. It is safe for
// concurrent use.
type Condition struct{ program *vm.Program }

// Compile reads an expression. The error says what is wrong with it and where;
// one whose result can never be a boolean is an error too.
func Compile(text string) (*Condition, error) {
	// With AsBool the compiler finds what can never be a boolean, but makes a
	// program that complains of a conversion where the result is something else.
	if _, err := compile(text, expr.AsBool()); err != nil {
		return nil, err
	}
	program, err := compile(text)
	if err != nil {
		return nil, err
	}
	return &Condition{program}, nil
}

func compile(text string, more ...expr.Option) (*vm.Program, error) {
	return expr.Compile(text, append(more,
		expr.Env(environment(nil, (&budget{}).step)),
		expr.AllowUndefinedVariables(),
		expr.Patch(stepper{}),
		expr.Patch(&namer{}),
	)...)
}

// Eval applies the condition to data, which has to be a JSON object. Its
// top-level keys are the names that the expression can use: a dash in them is
// written as _, and a key with dots stands for nested objects. A result that is
// not a boolean is an error.
func (c *Condition) Eval(data []byte) (bool, error) {
	names, err := decodeNames(data)
	if err != nil {
		return false, err
	}
	b := &budget{end: time.Now().Add(maxTime)}
	machine := vm.VM{MemoryBudget: maxMemory}
	result, err := machine.Run(c.program, environment(names, b.step))
	if err != nil {
		return false, err
	}
	yes, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("the result is %v (%T), not true or false", result, result)
	}
	return yes, nil
}

// budget ends an evaluation that takes too long.
type budget struct {
	end   time.Time
	turns int
}

var errSlow = errors.New("the expression takes too long")

// step panics, which the machine turns into an error, once time is up.
func (b *budget) step() bool {
	if b.turns++; b.turns%64 == 0 && time.Now().After(b.end) {
		panic(errSlow)
	}
	return true
}
