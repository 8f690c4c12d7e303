package edit

import (
	"bytes"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// longestShown bounds the old and new values of an Edit, in bytes.
const longestShown = 200

func shown(s string) string {
	if len(s) > longestShown {
		return strings.ToValidUTF8(s[:longestShown], "") + "..."
	}
	return s
}

// splice writes a value in the place of a scalar.
func (s *source) splice(p place, v value) (splice, error) {
	n := p.node
	switch {
	case n.Kind == yaml.AliasNode:
		return splice{}, s.errorf(n, "the value is *%s, an alias of what is in line %d; change that, or write it out here", n.Value, n.Alias.Line)
	case n.Kind != yaml.ScalarNode:
		return splice{}, s.errorf(n, "here are several values, not one")
	case n.Style&yaml.TaggedStyle != 0 && (v.kind != typeString || n.ShortTag() != "!!str"):
		return splice{}, s.errorf(n, "the value has the tag %s; take that away first", n.Tag)
	}
	start, end, err := s.token(p)
	if err != nil {
		return splice{}, err
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return splice{start, end, s.block(start, end, p, v)}, nil
	}
	text := v.write(n.Style, p.flow)
	if start == end { // nothing is written there yet
		if start > 0 && !strings.ContainsRune(" \t\n", rune(s.data[start-1])) {
			text = " " + text
		}
		if end < len(s.data) && s.data[end] == '#' {
			text += " "
		}
	}
	return splice{start, end, text}, nil
}

// block writes a value in the place of a block scalar: as one, if it has lines
// that can stand there, or else in quotes.
func (s *source) block(start, end int, p place, v value) string {
	head := s.lineEnd(start)
	comment := ""
	if _, after, ok := bytes.Cut(s.data[start:head], []byte(" #")); ok {
		comment = " #" + string(after)
	}
	lines := strings.Split(strings.TrimSuffix(v.text, "\n"), "\n")
	fits := v.kind == typeString && lines[0] != "" && lines[0][0] != ' ' && lines[len(lines)-1] != ""
	for _, l := range lines {
		fits = fits && printable(strings.ReplaceAll(l, "\t", " ")) && (l == "" || strings.TrimSpace(l) != "")
	}
	if !fits || lines[0][0] == '\t' {
		return v.write(yaml.DoubleQuotedStyle, p.flow) + comment
	}
	style := "|"
	if s.data[start] == '>' && len(lines) == 1 {
		style = ">"
	}
	if !strings.HasSuffix(v.text, "\n") {
		style += "-"
	}
	indent, _ := s.blockIndent(start, p.indent)
	if end == head && p.indent >= 0 { // it had no content
		indent = p.indent + 2
	}
	var b strings.Builder
	b.WriteString(style + comment)
	for _, l := range lines {
		b.WriteString(s.eol())
		if l != "" {
			b.WriteString(strings.Repeat(" ", indent) + l)
		}
	}
	return b.String()
}

// set gives a place the value, and tells whether that changed anything.
func (s *source) set(p place, v value) (*source, bool, error) {
	if v.is(p.node) {
		return s, false, nil
	}
	sp, err := s.splice(p, v)
	if err != nil {
		return nil, false, err
	}
	after, err := s.change([]splice{sp}, differs{set: map[*yaml.Node]value{p.node: v}})
	return after, true, err
}

// add puts what is missing of a path behind its last node that is there.
func (s *source) add(f found, v value) (*source, error) {
	n := f.at.node
	length := 0
	if n.Kind == yaml.SequenceNode {
		length = len(n.Content)
	}
	if err := growable(f.rest, length); err != nil {
		return nil, s.errorf(n, "%v", err)
	}
	t := grow(f.rest, v)
	var sp splice
	var err error
	want := differs{add: map[*yaml.Node]tree{n: t}}
	switch {
	case n.Kind == yaml.ScalarNode: // null
		want = differs{become: map[*yaml.Node]tree{n: t}}
		sp, err = s.insteadOfNull(f, t)
	case n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0 || f.at.flow:
		sp, err = s.addFlow(f.at, t)
	default:
		sp, err = s.addBlock(f.at, t)
	}
	if err != nil {
		return nil, err
	}
	return s.change([]splice{sp}, want)
}

// insteadOfNull writes a collection where there is a key without a value.
func (s *source) insteadOfNull(f found, t tree) (splice, error) {
	start, end, err := s.token(f.at)
	if err != nil {
		return splice{}, err
	}
	if start < end || f.at.flow || f.parent.node == nil || f.parent.node.Kind != yaml.MappingNode || f.at.node.Anchor != "" {
		text := t.flow(0)
		if start == end && start > 0 && s.data[start-1] != ' ' {
			text = " " + text
		}
		return splice{start, end, text}, nil
	}
	at, err := s.restOfLine(start)
	if err != nil {
		return splice{}, err
	}
	lines := indented(t.block(s.step()), f.at.indent+s.step())
	return splice{at, at, s.eol() + strings.Join(lines, s.eol())}, nil
}

// step is how far the file's mappings are indented.
func (s *source) step() int {
	for _, doc := range s.docs {
		root := doc.Content[0]
		if root.Kind != yaml.MappingNode {
			continue
		}
		for i := 1; i < len(root.Content); i += 2 {
			v := root.Content[i]
			if v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle == 0 && len(v.Content) > 0 {
				if step := v.Content[0].Column - root.Content[0].Column; step > 0 && step <= 8 {
					return step
				}
			}
		}
	}
	return 2
}

// restOfLine is the end of the line; there may be nothing but a comment.
func (s *source) restOfLine(at int) (int, error) {
	end := s.lineEnd(at)
	rest := bytes.TrimLeft(s.data[at:end], " \t")
	if len(rest) > 0 && rest[0] != '#' {
		return 0, s.errorf(&yaml.Node{Line: bytes.Count(s.data[:at], []byte("\n")) + 1}, "nothing can be added behind this line; write this part of the file more simply")
	}
	return end, nil
}

// addBlock adds to a block collection a line after its last one.
func (s *source) addBlock(p place, t tree) (splice, error) {
	n := p.node
	end, err := s.end(p)
	if err != nil {
		return splice{}, err
	}
	at, err := s.restOfLine(end)
	if err != nil {
		return splice{}, err
	}
	indent := s.inside(p, n.Content[0]).indent
	return splice{at, at, s.eol() + strings.Join(indented(t.block(s.step()), indent), s.eol())}, nil
}

// addFlow adds to a flow collection before its closing bracket.
func (s *source) addFlow(p place, t tree) (splice, error) {
	n := p.node
	opening, last, closing, err := s.brackets(p)
	if err != nil {
		return splice{}, err
	}
	var keys yaml.Style
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		keys = n.Content[0].Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)
	}
	inner := t.flow(keys)
	inner = inner[1 : len(inner)-1]
	if len(n.Content) == 0 {
		return splice{opening + 1, opening + 1, inner}, nil
	}
	before := ", "
	between := s.data[last:closing]
	at := last
	if i := bytes.IndexByte(between, ','); i >= 0 && !bytes.Contains(between[:i], []byte("#")) { // a comma stands there already
		at, before = last+i+1, " "
	}
	if bytes.ContainsAny(between, "\r\n") {
		first, err := s.offset(n.Content[0])
		if err != nil {
			return splice{}, err
		}
		line := s.data[s.lineStart(first):first]
		if len(bytes.TrimSpace(line)) == 0 {
			before = strings.TrimRight(before, " ") + s.eol() + string(line)
		}
	}
	return splice{at, at, before + inner}, nil
}

// drop removes a pair of a mapping, and the comment on its line.
func (s *source) drop(p place, key string) (*source, error) {
	m := p.node
	i := 0
	for i+1 < len(m.Content) && m.Content[i].Value != key {
		i += 2
	}
	start, err := s.offset(m.Content[i])
	if err != nil {
		return nil, err
	}
	end, err := s.end(s.inside(p, m.Content[i+1]))
	if err != nil {
		return nil, err
	}
	flow := p.flow || m.Style&yaml.FlowStyle != 0
	lineStart := s.lineStart(start)
	alone := len(bytes.TrimSpace(s.data[lineStart:start])) == 0
	switch {
	case !flow && alone:
		start = lineStart
		if end, err = s.restOfLine(end); err != nil {
			return nil, err
		}
		if end < len(s.data) {
			end += lineBreak(s.data[end:])
		} else if start > s.lines[0] { // the last line, without an end
			start--
			if start > 0 && s.data[start] == '\n' && s.data[start-1] == '\r' {
				start--
			}
		}
	case i+2 < len(m.Content):
		if end, err = s.offset(m.Content[i+2]); err != nil {
			return nil, err
		}
	case flow && i > 0:
		if start, err = s.end(s.inside(p, m.Content[i-1])); err != nil {
			return nil, err
		}
	}
	return s.change([]splice{{start, end, ""}}, differs{drop: map[*yaml.Node]int{m: i}})
}
