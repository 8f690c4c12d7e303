// Package lua runs Lua 5.1 scripts of manifests over the data of an event.
//
// A script sees the global event, the data as a table, and what is harmless of
// Lua's libraries: the basic functions without those that load code, string,
// table, math, and time, date, clock and difftime of os. There is no file, no
// environment, no network and no output (print does nothing). Each run has a
// state of its own, so that nothing a script keeps reaches the next event.
//
// A run is bounded in time, in steps, in the length of every string and, as far
// as that can be seen from outside, in memory.
//
// # How JSON looks in Lua
//
// Objects and arrays are tables, arrays counting from 1. A null in an object is
// absent (nil); a null in an array is the value json.null, so that the items
// after it keep their places. A script makes a null with json.null.
//
// # How Lua looks in JSON
//
// A table with a positive length is an array. An empty table is an array if it
// was one in the event or if its metatable has __is_array = true, else it is an
// object. What a script does not touch comes out as it came in: nulls,
// empty arrays, and the digits of numbers that Lua cannot hold (those above
// 2^53). A null of an object cannot be deleted, only replaced. Numbers that a
// script moves or calculates are float64.
package lua

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"github.com/signalbox-events/signalbox/internal/limit"
)

// The limits of one run.
const (
	// MaxTime is how long a run may take.
	MaxTime = time.Second
	// MaxSteps is the number of instructions of Lua's machine.
	MaxSteps = 10_000_000
	// MaxText is the length of a string, and of the JSON that comes out, in bytes.
	MaxText = 8 << 20
	// MaxHeap is by how much the process may grow, in bytes.
	MaxHeap = 256 << 20
	// MaxSource is the largest script, in bytes.
	MaxSource = 256 << 10
	// maxCalls and maxRegisters bound the stack: calls in each other, and values on it.
	maxCalls     = 250
	maxRegisters = 64 << 10
	// maxItems is the length of an array. A table that is written to far beyond
	// its end grows up to there at once.
	maxItems = 1 << 20
)

// The library has no other place for this limit. Nothing else uses it.
func init() { lua.MaxArrayIndex = maxItems + 1 }

// A Script is compiled once and run often, from any number of goroutines.
type Script struct {
	proto  *lua.FunctionProto
	names  map[string]bool // the identifiers in it; nil if it could use any global
	limits limit.Limits
}

// Compile parses src. Errors carry name and the line.
func Compile(name, src string) (s *Script, err error) {
	if len(src) > MaxSource {
		return nil, fmt.Errorf("the script is larger than %d bytes", MaxSource)
	}
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("compile %s: %v", name, r)
		}
	}()
	chunk, err := parse.Parse(strings.NewReader(src), name)
	if err != nil {
		return nil, tidy(err)
	}
	chunk, names := guard(chunk)
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		return nil, tidy(err)
	}
	if names["_G"] {
		names = nil
	}
	return &Script{proto: proto, names: names, limits: limit.Limits{Time: MaxTime, Steps: MaxSteps, Heap: MaxHeap}}, nil
}

func tidy(err error) error { return errors.New(strings.Join(strings.Fields(err.Error()), " ")) }

// Test runs the script over data, a JSON object, and tells whether the last
// value it returns is the boolean true.
func (s *Script) Test(ctx context.Context, data []byte) (bool, error) {
	pass := false
	err := s.run(ctx, data, func(_ *document, result lua.LValue) error {
		pass = result == lua.LTrue
		return nil
	})
	return pass, err
}

// Transform runs the script over data, a JSON object, and returns the table it
// returns (the last value, if there are several) as JSON.
func (s *Script) Transform(ctx context.Context, data []byte) ([]byte, error) {
	var out []byte
	err := s.run(ctx, data, func(d *document, result lua.LValue) error {
		if _, ok := result.(*lua.LTable); !ok {
			return fmt.Errorf("the script returns %s, not a table", article(result))
		}
		var err error
		out, err = d.encode(result)
		return err
	})
	return out, err
}

func article(v lua.LValue) string {
	if v == lua.LNil {
		return "nothing"
	}
	return "a " + v.Type().String()
}

func (s *Script) run(ctx context.Context, data []byte, then func(*document, lua.LValue) error) error {
	var d document
	event, err := d.decode(data)
	if err != nil {
		return err
	}
	meter := limit.New(ctx, s.limits)
	l := lua.NewState(lua.Options{
		SkipOpenLibs:        true,
		CallStackSize:       maxCalls,
		MinimizeStackMemory: true,
		RegistrySize:        256,
		RegistryGrowStep:    256,
		RegistryMaxSize:     maxRegisters,
	})
	defer l.Close()
	l.SetContext(meter)
	open(l, s.names)
	l.SetGlobal("event", event)
	l.Push(l.NewFunctionFromProto(s.proto))
	l.Push(library().concat)
	if err := l.PCall(1, lua.MultRet, nil); err != nil {
		return failure(meter, err)
	}
	result := lua.LValue(lua.LNil)
	if l.GetTop() > 0 {
		result = l.Get(-1)
	}
	return then(&d, result)
}

// failure is the error of a run without Lua's traceback.
func failure(meter *limit.Meter, err error) error {
	if stop := meter.Err(); stop != nil {
		return fmt.Errorf("the script was %w", stop)
	}
	var e *lua.ApiError
	if errors.As(err, &e) && e.Object != lua.LNil && e.Object != nil {
		return errors.New(e.Object.String())
	}
	return tidy(err)
}
