package lua

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxCaptures is Lua's own limit.
const maxCaptures = 32

// A matcher tries one Lua pattern (manual of Lua 5.1, section 5.4.1) at places
// of one text. It spends a step per character it looks at, so that a pattern
// that goes back and forth without end is stopped like any other loop. Errors
// in the pattern are raised as Lua errors.
type matcher struct {
	l        *lua.LState
	src, pat string
	captures []capture
	pending  int
}

// A capture is src[start:end]; end is open while it is not closed yet, and
// place for an empty capture (), which stands for its position.
type capture struct{ start, end int }

const (
	openEnd  = -1
	placeEnd = -2
)

func (m *matcher) step() {
	if m.pending++; m.pending == 64 {
		spend(m.l, m.pending)
		m.pending = 0
	}
}

// at matches the pattern at s and gives the end of the match, or -1.
func (m *matcher) at(s int) int {
	m.captures = m.captures[:0]
	return m.match(s, 0)
}

func (m *matcher) match(s, p int) int {
	for p < len(m.pat) {
		m.step()
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.capture(s, p+2, placeEnd)
			}
			return m.capture(s, p+1, openEnd)
		case ')':
			return m.close(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			if p+1 < len(m.pat) {
				switch c := m.pat[p+1]; {
				case c == 'b':
					if s = m.balance(s, p+2); s < 0 {
						return -1
					}
					p += 4
					continue
				case c == 'f':
					p += 2
					if p >= len(m.pat) || m.pat[p] != '[' {
						m.l.RaiseError("missing '[' after '%%f' in pattern")
					}
					end := m.classEnd(p)
					if m.in(m.char(s-1), p, end) || !m.in(m.char(s), p, end) {
						return -1
					}
					p = end
					continue
				case c >= '0' && c <= '9':
					if s = m.again(s, c); s < 0 {
						return -1
					}
					p += 2
					continue
				}
			}
		}
		end := m.classEnd(p)
		suffix := byte(0)
		if end < len(m.pat) {
			suffix = m.pat[end]
		}
		switch suffix {
		case '?':
			if m.single(s, p, end) {
				if e := m.match(s+1, end+1); e >= 0 {
					return e
				}
			}
			p = end + 1
		case '*':
			return m.longest(s, p, end, 0)
		case '+':
			return m.longest(s, p, end, 1)
		case '-':
			for {
				if e := m.match(s, end+1); e >= 0 {
					return e
				}
				if !m.single(s, p, end) {
					return -1
				}
				s++
			}
		default:
			if !m.single(s, p, end) {
				return -1
			}
			s++
			p = end
		}
	}
	return s
}

// longest matches the class at pat[p:end] as often as it can, at least least times.
func (m *matcher) longest(s, p, end, least int) int {
	n := 0
	for m.single(s+n, p, end) {
		n++
	}
	for ; n >= least; n-- {
		if e := m.match(s+n, end+1); e >= 0 {
			return e
		}
	}
	return -1
}

func (m *matcher) capture(s, p, end int) int {
	if len(m.captures) >= maxCaptures {
		m.l.RaiseError("too many captures")
	}
	m.captures = append(m.captures, capture{s, end})
	e := m.match(s, p)
	if e < 0 {
		m.captures = m.captures[:len(m.captures)-1]
	}
	return e
}

func (m *matcher) close(s, p int) int {
	for i := len(m.captures) - 1; i >= 0; i-- {
		if m.captures[i].end == openEnd {
			m.captures[i].end = s
			e := m.match(s, p)
			if e < 0 {
				m.captures[i].end = openEnd
			}
			return e
		}
	}
	m.l.RaiseError("invalid pattern capture")
	return -1
}

// balance matches %bxy at s, with x and y at pat[p:].
func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		m.l.RaiseError("unbalanced pattern")
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	depth := 1
	for i := s + 1; i < len(m.src); i++ {
		m.step()
		switch m.src[i] {
		case m.pat[p+1]:
			if depth--; depth == 0 {
				return i + 1
			}
		case m.pat[p]:
			depth++
		}
	}
	return -1
}

// again matches what capture digit holds.
func (m *matcher) again(s int, digit byte) int {
	i := int(digit - '1')
	if i < 0 || i >= len(m.captures) || m.captures[i].end < 0 {
		m.l.RaiseError("invalid capture index")
	}
	c := m.captures[i]
	text := m.src[c.start:c.end]
	spend(m.l, len(text)>>4)
	if strings.HasPrefix(m.src[s:], text) {
		return s + len(text)
	}
	return -1
}

// char is the character at s, and 0 outside the text.
func (m *matcher) char(s int) byte {
	if s < 0 || s >= len(m.src) {
		return 0
	}
	return m.src[s]
}

// classEnd is where the single-character class that begins at p ends.
func (m *matcher) classEnd(p int) int {
	c := m.pat[p]
	p++
	switch c {
	case '%':
		if p >= len(m.pat) {
			m.l.RaiseError("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; ; first = false { // a ] at the beginning is a character
			if p >= len(m.pat) {
				m.l.RaiseError("malformed pattern (missing ']')")
			}
			switch c := m.pat[p]; {
			case c == ']' && !first:
				return p + 1
			case c == '%':
				if p++; p >= len(m.pat) {
					m.l.RaiseError("malformed pattern (missing ']')")
				}
			}
			p++
		}
	}
	return p
}

func (m *matcher) single(s, p, end int) bool {
	m.step()
	return s < len(m.src) && m.in(m.src[s], p, end)
}

// in tells whether c is in the class at pat[p:end].
func (m *matcher) in(c byte, p, end int) bool {
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return class(c, m.pat[p+1])
	case '[':
		return m.set(c, p+1, end-1)
	}
	return c == m.pat[p]
}

// set tells whether c is in the set whose inside is pat[p:end].
func (m *matcher) set(c byte, p, end int) bool {
	not := m.pat[p] == '^'
	if not {
		p++
	}
	for p < end {
		switch {
		case m.pat[p] == '%':
			if class(c, m.pat[p+1]) {
				return !not
			}
			p += 2
		case p+2 < end && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return !not
			}
			p += 3
		default:
			if m.pat[p] == c {
				return !not
			}
			p++
		}
	}
	return not
}

// class tells whether c is in the class %letter; a capital letter negates.
func class(c, letter byte) bool {
	upper := c >= 'A' && c <= 'Z'
	lower := c >= 'a' && c <= 'z'
	digit := c >= '0' && c <= '9'
	var is bool
	switch letter | 0x20 {
	case 'a':
		is = upper || lower
	case 'c':
		is = c < 32 || c == 127
	case 'd':
		is = digit
	case 'l':
		is = lower
	case 'p':
		is = c > 32 && c < 127 && !upper && !lower && !digit
	case 's':
		is = c == ' ' || c >= 9 && c <= 13
	case 'u':
		is = upper
	case 'w':
		is = upper || lower || digit
	case 'x':
		is = digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	case 'z':
		is = c == 0
	default:
		return c == letter
	}
	if letter >= 'a' && letter <= 'z' {
		return is
	}
	if letter >= 'A' && letter <= 'Z' {
		return !is
	}
	return c == letter
}
