package lua

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/signalbox-events/signalbox/internal/limit"
)

// spend counts work that a function does in one instruction, and ends the run
// when it was too much.
func spend(l *lua.LState, n int) {
	if m, ok := l.Context().(*limit.Meter); ok {
		if err := m.Spend(n); err != nil {
			l.RaiseError("%s", err.Error())
		}
	}
}

// push returns s to the script, unless it is too long.
func push(l *lua.LState, s string) int {
	tooLong(l, len(s))
	l.Push(lua.LString(s))
	return 1
}

func tooLong(l *lua.LState, n int) {
	if n > MaxText {
		l.RaiseError("a string of more than %d bytes", MaxText)
	}
	spend(l, n>>10)
}

func rep(l *lua.LState) int {
	s, n := l.CheckString(1), l.CheckInt(2)
	if n <= 0 || s == "" {
		return push(l, "")
	}
	if n > MaxText/len(s) {
		tooLong(l, MaxText+1)
	}
	return push(l, strings.Repeat(s, n))
}

// operatorConcat is the operator "..": from right to left, with metamethods for
// what is neither a string nor a number.
func operatorConcat(l *lua.LState) int {
	n := l.GetTop()
	size := 0
	for i := 1; i <= n; i++ {
		v := l.Get(i)
		if !lua.LVCanConvToString(v) {
			return concatMeta(l, n)
		}
		if s, ok := v.(lua.LString); ok {
			size += len(s)
		}
	}
	tooLong(l, size)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = lua.LVAsString(l.Get(i + 1))
	}
	return push(l, strings.Join(parts, ""))
}

func concatMeta(l *lua.LState, n int) int {
	right := l.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := l.Get(i)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(right) {
			a, b := lua.LVAsString(left), lua.LVAsString(right)
			tooLong(l, len(a)+len(b))
			right = lua.LString(a + b)
			continue
		}
		op := l.GetMetaField(left, "__concat")
		if op == lua.LNil {
			op = l.GetMetaField(right, "__concat")
		}
		if op == lua.LNil {
			bad := right
			if !lua.LVCanConvToString(left) {
				bad = left
			}
			l.RaiseError("attempt to concatenate a %s value", bad.Type().String())
		}
		l.Push(op)
		l.Push(left)
		l.Push(right)
		l.Call(2, 1)
		right = l.Get(-1)
		l.Pop(1)
	}
	l.Push(right)
	return 1
}

func tableConcat(l *lua.LState) int {
	t, sep := l.CheckTable(1), l.OptString(2, "")
	i, j := l.OptInt(3, 1), l.OptInt(4, t.Len())
	var b strings.Builder
	for k := i; k <= j; k++ {
		spend(l, 1)
		v := t.RawGetInt(k)
		if !lua.LVCanConvToString(v) {
			l.RaiseError("invalid value (%s) at index %d in table for concat", v.Type().String(), k)
		}
		s := lua.LVAsString(v)
		tooLong(l, b.Len()+len(s)+len(sep))
		b.WriteString(s)
		if k < j {
			b.WriteString(sep)
		}
	}
	return push(l, b.String())
}

// format is string.format of Lua 5.1: flags, a width and a precision of at most
// two digits each.
func format(l *lua.LState) int {
	f := l.CheckString(1)
	var b strings.Builder
	arg := 1
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		if i++; i < len(f) && f[i] == '%' {
			b.WriteByte('%')
			continue
		}
		start := i
		for i < len(f) && strings.IndexByte("-+ #0", f[i]) >= 0 {
			i++
		}
		if i-start > 5 {
			l.RaiseError("invalid format (repeated flags)")
		}
		i = digits(l, f, i)
		if i < len(f) && f[i] == '.' {
			i = digits(l, f, i+1)
		}
		if i >= len(f) {
			l.RaiseError("invalid option in format: it ends in the middle")
		}
		arg++
		b.WriteString(option(l, "%"+f[start:i], f[i], arg))
		tooLong(l, b.Len())
	}
	return push(l, b.String())
}

func digits(l *lua.LState, f string, i int) int {
	start := i
	for i < len(f) && f[i] >= '0' && f[i] <= '9' {
		i++
	}
	if i-start > 2 {
		l.RaiseError("invalid format (width or precision too long)")
	}
	return i
}

// option formats one argument; spec is all but the letter.
func option(l *lua.LState, spec string, letter byte, arg int) string {
	switch letter {
	case 'c':
		return fmt.Sprintf(spec+"s", string([]byte{byte(l.CheckInt(arg))}))
	case 'd', 'i':
		n := float64(l.CheckNumber(arg))
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return strconv.FormatFloat(n, 'f', -1, 64)
		}
		return fmt.Sprintf(spec+"d", int64(n))
	case 'o', 'u', 'x', 'X':
		if letter == 'u' {
			letter = 'd'
		}
		n := float64(l.CheckNumber(arg))
		if n < 0 {
			return fmt.Sprintf(spec+string(letter), uint64(int64(n))) //nolint:gosec // two's complement is what C prints
		}
		return fmt.Sprintf(spec+string(letter), uint64(n))
	case 'e', 'E', 'f', 'g', 'G':
		if (letter == 'g' || letter == 'G') && !strings.Contains(spec, ".") {
			spec += ".6"
		}
		return fmt.Sprintf(spec+string(letter), float64(l.CheckNumber(arg)))
	case 'q':
		return quote(l.CheckString(arg))
	case 's':
		l.CheckAny(arg)
		return fmt.Sprintf(spec+"s", l.ToStringMeta(l.Get(arg)).String())
	}
	l.RaiseError("invalid option '%%%s' to 'format'", string(letter))
	return ""
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch s[i] {
		case '"', '\\', '\n':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case '\r':
			b.WriteString(`\r`)
		case 0:
			b.WriteString(`\000`)
		default:
			b.WriteByte(s[i])
		}
	}
	b.WriteByte('"')
	return b.String()
}
