package lua

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// value is capture i of a match from start to end; without captures the first
// is the whole match.
func (m *matcher) value(i, start, end int) lua.LValue {
	if i >= len(m.captures) {
		if i != 0 {
			m.l.RaiseError("invalid capture index")
		}
		return lua.LString(m.src[start:end])
	}
	switch c := m.captures[i]; c.end {
	case placeEnd:
		return lua.LNumber(c.start + 1)
	case openEnd:
		m.l.RaiseError("unfinished capture")
		return lua.LNil
	default:
		return lua.LString(m.src[c.start:c.end])
	}
}

func (m *matcher) values(start, end int) []lua.LValue {
	vs := make([]lua.LValue, max(len(m.captures), 1))
	for i := range vs {
		vs[i] = m.value(i, start, end)
	}
	return vs
}

// scan looks for the first match from s on; start is -1 if there is none.
func (m *matcher) scan(s int) (start, end int) {
	anchored := strings.HasPrefix(m.pat, "^")
	if anchored {
		m.pat = m.pat[1:]
	}
	for ; s <= len(m.src); s++ {
		if end := m.at(s); end >= 0 {
			return s, end
		}
		if anchored {
			break
		}
	}
	return -1, -1
}

// position turns Lua's optional argument init into an offset; -1 is behind the end.
func position(l *lua.LState, arg int, s string) int {
	i := l.OptInt(arg, 1)
	if i < 0 {
		i = max(len(s)+i+1, 1)
	}
	i = max(i, 1) - 1
	if i > len(s) {
		return -1
	}
	return i
}

func find(l *lua.LState) int {
	s, pat := l.CheckString(1), l.CheckString(2)
	from := position(l, 3, s)
	if from < 0 {
		l.Push(lua.LNil)
		return 1
	}
	if l.ToBool(4) || !strings.ContainsAny(pat, "^$*+?.([%-") {
		spend(l, len(s)>>6)
		i := strings.Index(s[from:], pat)
		if i < 0 {
			l.Push(lua.LNil)
			return 1
		}
		l.Push(lua.LNumber(from + i + 1))
		l.Push(lua.LNumber(from + i + len(pat)))
		return 2
	}
	m := matcher{l: l, src: s, pat: pat}
	start, end := m.scan(from)
	if start < 0 {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(lua.LNumber(start + 1))
	l.Push(lua.LNumber(end))
	for i := range m.captures {
		l.Push(m.value(i, start, end))
	}
	return 2 + len(m.captures)
}

func match(l *lua.LState) int {
	s := l.CheckString(1)
	m := matcher{l: l, src: s, pat: l.CheckString(2)}
	from := position(l, 3, s)
	if from >= 0 {
		if start, end := m.scan(from); start >= 0 {
			vs := m.values(start, end)
			for _, v := range vs {
				l.Push(v)
			}
			return len(vs)
		}
	}
	l.Push(lua.LNil)
	return 1
}

func gmatch(l *lua.LState) int {
	m := &matcher{src: l.CheckString(1), pat: l.CheckString(2)}
	next := 0
	l.Push(l.NewFunction(func(l *lua.LState) int {
		m.l = l
		for ; next <= len(m.src); next++ {
			end := m.at(next)
			if end < 0 {
				continue
			}
			start := next
			if next = end; end == start { // an empty match: go on behind it
				next++
			}
			vs := m.values(start, end)
			for _, v := range vs {
				l.Push(v)
			}
			return len(vs)
		}
		l.Push(lua.LNil)
		return 1
	}))
	return 1
}

func gsub(l *lua.LState) int {
	s, pat, with := l.CheckString(1), l.CheckString(2), l.Get(3)
	switch with.(type) {
	case lua.LString, lua.LNumber, *lua.LTable, *lua.LFunction:
	default:
		l.ArgError(3, "string, function or table expected")
	}
	most := l.OptInt(4, len(s)+1)
	anchored := strings.HasPrefix(pat, "^")
	m := &matcher{l: l, src: s, pat: strings.TrimPrefix(pat, "^")}
	var b strings.Builder
	n, at := 0, 0
	for n < most {
		end := m.at(at)
		if end >= 0 {
			n++
			m.replace(&b, at, end, with)
			tooLong(l, b.Len())
		}
		switch {
		case end > at:
			at = end
		case at < len(s):
			b.WriteByte(s[at])
			at++
		default:
			at++
		}
		if at > len(s) || anchored {
			break
		}
	}
	if at < len(s) {
		b.WriteString(s[at:])
	}
	push(l, b.String())
	l.Push(lua.LNumber(n))
	return 2
}

// replace writes what stands for the match src[start:end].
func (m *matcher) replace(b *strings.Builder, start, end int, with lua.LValue) {
	var v lua.LValue
	switch w := with.(type) {
	case *lua.LTable:
		v = m.l.GetTable(w, m.value(0, start, end))
	case *lua.LFunction:
		args := m.values(start, end)
		m.l.Push(w)
		for _, a := range args {
			m.l.Push(a)
		}
		m.l.Call(len(args), 1)
		v = m.l.Get(-1)
		m.l.Pop(1)
	default:
		m.expand(b, start, end, lua.LVAsString(with))
		return
	}
	switch {
	case !lua.LVAsBool(v):
		b.WriteString(m.src[start:end])
	case lua.LVCanConvToString(v):
		b.WriteString(lua.LVAsString(v))
	default:
		m.l.RaiseError("invalid replacement value (a %s)", v.Type().String())
	}
}

// expand writes a replacement text with its %0 to %9.
func (m *matcher) expand(b *strings.Builder, start, end int, text string) {
	if strings.IndexByte(text, '%') < 0 {
		b.WriteString(text)
		return
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch c := text[i]; {
		case c == '0':
			b.WriteString(m.src[start:end])
		case c >= '1' && c <= '9':
			b.WriteString(lua.LVAsString(m.value(int(c-'1'), start, end)))
		default:
			b.WriteByte(c)
		}
		tooLong(m.l, b.Len())
	}
}
