package edit

import (
	"bytes"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// place is where a node stands.
type place struct {
	node *yaml.Node
	// indent of the collection around it; -1 at the top.
	indent int
	// flow tells that it is inside [] or {}.
	flow bool
}

// inside is the place of a collection's child.
func (s *source) inside(p place, kid *yaml.Node) place {
	in := place{node: kid, indent: p.indent, flow: p.flow || p.node.Style&yaml.FlowStyle != 0}
	if in.flow || len(p.node.Content) == 0 {
		return in
	}
	switch p.node.Kind {
	case yaml.MappingNode:
		in.indent = p.node.Content[0].Column - 1
	case yaml.SequenceNode:
		known, ok := s.indents[p.node]
		if !ok {
			known = in.indent
			if dash, err := s.dash(p.node); err == nil {
				known = dash - s.lineStart(dash)
			}
			s.indents[p.node] = known
		}
		in.indent = known
	}
	return in
}

// dash is where the - of a block sequence's first element stands.
func (s *source) dash(seq *yaml.Node) (int, error) {
	at, err := s.offset(seq.Content[0])
	if err != nil {
		return 0, err
	}
	for at--; at >= 0; at-- {
		switch s.data[at] {
		case ' ', '\t', '\n', '\r':
			continue
		case '-':
			return at, nil
		}
		break
	}
	return 0, s.errorf(seq, "the list is written in a way that is not understood")
}

func (s *source) lineStart(at int) int {
	start := s.lines[0]
	lo, hi := 0, len(s.lines)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.lines[mid] <= at {
			start, lo = s.lines[mid], mid+1
		} else {
			hi = mid
		}
	}
	return start
}

// lineEnd is where the line ends that at is in, before its line break.
func (s *source) lineEnd(at int) int {
	for at < len(s.data) && lineBreak(s.data[at:]) == 0 {
		at++
	}
	return at
}

// token is the text of a scalar without anchor and tag; for one that is not
// written at all, such as that of "key:", the place where it would be.
func (s *source) token(p place) (start, end int, err error) {
	n := p.node
	at, err := s.offset(n)
	if err != nil {
		return 0, 0, err
	}
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		at = s.properties(at)
	}
	unclear := func() (int, int, error) {
		return 0, 0, s.errorf(n, "the value is written in a way that is not understood; write it on one line")
	}
	rest := s.data[at:]
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		if len(rest) == 0 || rest[0] != '"' {
			return unclear()
		}
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				return at, at + i + 1, nil
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		if len(rest) == 0 || rest[0] != '\'' {
			return unclear()
		}
		for i := 1; i < len(rest); i++ {
			if rest[i] != '\'' {
				continue
			}
			if i+1 < len(rest) && rest[i+1] == '\'' {
				i++
				continue
			}
			return at, at + i + 1, nil
		}
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if len(rest) == 0 || rest[0] != '|' && rest[0] != '>' {
			return unclear()
		}
		return at, s.blockEnd(at, p.indent), nil
	default:
		if size, ok := folded(rest, n.Value); ok {
			return at, at + size, nil
		}
	}
	return unclear()
}

// properties skips anchor and tag.
func (s *source) properties(at int) int {
	for at < len(s.data) && (s.data[at] == '&' || s.data[at] == '!') {
		for at < len(s.data) && !strings.ContainsRune(" \t\r\n,[]{}", rune(s.data[at])) {
			at++
		}
		next := at
		for next < len(s.data) && (s.data[next] == ' ' || s.data[next] == '\t') {
			next++
		}
		if next == len(s.data) || lineBreak(s.data[next:]) > 0 {
			return at
		}
		at = next
	}
	return at
}

// folded matches a plain scalar with the source: a space may be a line break,
// and n line breaks are n+1.
func folded(src []byte, text string) (size int, ok bool) {
	i, solid := 0, 0 // no line breaks before solid
	for t := 0; t < len(text); {
		if i < len(src) && src[i] == text[t] && text[t] != '\n' {
			if text[t] == ' ' && i >= solid {
				solid = i + blanks(src[i:])
			}
			if text[t] != ' ' || i < solid {
				i++
				t++
				continue
			}
		}
		if text[t] != ' ' && text[t] != '\n' {
			return 0, false
		}
		breaks := 0
		for i < len(src) {
			if src[i] == ' ' || src[i] == '\t' {
				i++
			} else if n := lineBreak(src[i:]); n > 0 {
				breaks++
				i += n
			} else {
				break
			}
		}
		want := 0
		for t+want < len(text) && text[t+want] == '\n' {
			want++
		}
		if breaks != want+1 {
			return 0, false
		}
		t += max(want, 1)
	}
	return i, true
}

// blanks is how many blanks src begins with; 0 if a line break follows them.
func blanks(src []byte) int {
	rest := bytes.TrimLeft(src, " \t")
	if len(rest) > 0 && lineBreak(rest) > 0 {
		return 0
	}
	return len(src) - len(rest)
}

// blockIndent is the indentation of a block scalar's content, and where that begins.
func (s *source) blockIndent(at, parent int) (indent, body int) {
	head := s.lineEnd(at)
	body = head
	if head < len(s.data) {
		body += lineBreak(s.data[head:])
	}
	least := max(parent, 0) + 1
	if parent < 0 {
		least = 0
	}
	for _, c := range s.data[at+1 : head] {
		if c >= '1' && c <= '9' {
			return max(parent, 0) + int(c-'0'), body
		}
		if c != '+' && c != '-' {
			break
		}
	}
	for line := body; line < len(s.data); {
		end := s.lineEnd(line)
		spaces := 0
		for line+spaces < end && s.data[line+spaces] == ' ' {
			spaces++
		}
		if line+spaces < end {
			return max(spaces, least), body
		}
		if end == len(s.data) {
			break
		}
		line = end + lineBreak(s.data[end:])
	}
	return least, body
}

// blockEnd is where the last line of a block scalar ends that is not blank.
func (s *source) blockEnd(at, parent int) int {
	indent, line := s.blockIndent(at, parent)
	last := s.lineEnd(at)
	for line < len(s.data) {
		end := s.lineEnd(line)
		text := s.data[line:end]
		if rest := bytes.TrimLeft(text, " "); len(rest) > 0 {
			if len(text)-len(rest) < indent || indent == 0 && marker(text) {
				break
			}
			last = end
		}
		if end == len(s.data) {
			break
		}
		line = end + lineBreak(s.data[end:])
	}
	return last
}

// marker tells whether a line begins or ends a document.
func marker(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("..."))
}

// end is where a node ends.
func (s *source) end(p place) (int, error) {
	n := p.node
	switch n.Kind {
	case yaml.ScalarNode:
		_, end, err := s.token(p)
		return end, err
	case yaml.AliasNode:
		at, err := s.offset(n)
		return at + 1 + len(n.Value), err
	case yaml.DocumentNode:
		return s.end(place{node: n.Content[0], indent: -1})
	}
	if n.Style&yaml.FlowStyle == 0 {
		return s.end(s.inside(p, n.Content[len(n.Content)-1]))
	}
	_, _, closing, err := s.brackets(p)
	return closing + 1, err
}

// brackets are where a flow collection's opening bracket stands, where its last
// child ends (or the bracket, without children), and its closing one.
func (s *source) brackets(p place) (opening, last, closing int, err error) {
	n := p.node
	at, err := s.offset(n)
	if err != nil {
		return 0, 0, 0, err
	}
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		at = s.properties(at)
	}
	opening, last = at, at+1
	if len(n.Content) > 0 {
		if last, err = s.end(s.inside(p, n.Content[len(n.Content)-1])); err != nil {
			return 0, 0, 0, err
		}
	}
	bracket := byte(']')
	if n.Kind == yaml.MappingNode {
		bracket = '}'
	}
	for i := last; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == bracket:
			return opening, last, i, nil
		case c == '#':
			i = s.lineEnd(i)
		case !strings.ContainsRune(" \t\r\n,", rune(c)):
			return 0, 0, 0, s.errorf(n, "is written in a way that is not understood")
		}
	}
	return 0, 0, 0, s.errorf(n, "is not closed")
}
