package edit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// segment is one part of a path: a key, a position, or a selector.
type segment struct {
	key string
	// index is a position if there is no key.
	index int
	// value makes key a selector: the element whose key has that value.
	value string
	how   int
}

const (
	byKey = iota
	byIndex
	bySelector
)

func (g segment) String() string {
	switch g.how {
	case byIndex:
		return fmt.Sprintf("[%d]", g.index)
	case bySelector:
		return fmt.Sprintf("[%s=%s]", g.key, g.value)
	}
	return v1alpha1.Key(g.key)
}

func joined(segments []segment) string {
	s := ""
	for _, g := range segments {
		s = v1alpha1.Join(s, g.String())
	}
	return s
}

// parsePath reads a path; its syntax is documented at YAML.Path.
func parsePath(text string) ([]segment, error) {
	var path []segment
	for i := 0; i < len(text); {
		var g segment
		var n int
		var err error
		if text[i] == '[' {
			g, n, err = parseBracket(text[i:])
		} else {
			if text[i] == '.' && len(path) > 0 {
				i++
			}
			g.key, n, err = parseWord(text[i:], ".[")
		}
		if err != nil {
			return nil, fmt.Errorf("%w at character %d of %q", err, i+1, text)
		}
		path = append(path, g)
		i += n
		if i < len(text) && text[i] != '.' && text[i] != '[' {
			return nil, fmt.Errorf("a dot is missing at character %d of %q", i+1, text)
		}
	}
	if len(path) == 0 {
		return nil, errors.New("is required")
	}
	return path, nil
}

// parseWord reads up to one of the characters in until, which a backslash makes
// an ordinary one.
func parseWord(text, until string) (word string, size int, err error) {
	var b strings.Builder
	for size < len(text) && !strings.ContainsRune(until, rune(text[size])) {
		if text[size] == '\\' {
			if size++; size == len(text) {
				return "", 0, errors.New("nothing follows the backslash")
			}
		}
		b.WriteByte(text[size])
		size++
	}
	if b.Len() == 0 {
		return "", 0, errors.New("a key is missing")
	}
	return b.String(), size, nil
}

func parseQuoted(text string) (word string, size int, err error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil || quoted[0] != '"' {
		return "", 0, errors.New("the quotes are not closed")
	}
	word, err = strconv.Unquote(quoted)
	return word, len(quoted), err
}

func parseBracket(text string) (g segment, size int, err error) {
	size = 1
	word := func(until string) (string, error) {
		var w string
		var n int
		if size < len(text) && text[size] == '"' {
			w, n, err = parseQuoted(text[size:])
		} else {
			w, n, err = parseWord(text[size:], until)
		}
		size += n
		return w, err
	}
	quoted := strings.HasPrefix(text, `["`)
	if g.key, err = word("=]"); err != nil {
		return g, 0, err
	}
	if size < len(text) && text[size] == '=' {
		g.how = bySelector
		size++
		if g.value, err = word("]"); err != nil {
			return g, 0, err
		}
	} else if !quoted {
		if g.index, err = strconv.Atoi(g.key); err != nil || g.index < 0 || g.index > 1<<20 {
			return g, 0, errors.New(`in brackets stands a position, name=value, or a key in quotes`)
		}
		g.key, g.how = "", byIndex
	}
	if size == len(text) || text[size] != ']' {
		return g, 0, errors.New("a ] is missing")
	}
	return g, size + 1, nil
}

// found is how far a path leads.
type found struct {
	// at is the last node that is there.
	at place
	// parent is the place of the collection that at is in.
	parent place
	// rest of the path, which is not there.
	rest []segment
}

// follow goes along a path from the top of a document.
func (s *source) follow(doc *yaml.Node, path []segment) (found, error) {
	f := found{at: place{node: doc.Content[0], indent: -1}, rest: path}
	for len(f.rest) > 0 {
		n := f.at.node
		if n.Kind == yaml.AliasNode {
			return f, s.errorf(n, "%s is *%s, an alias of what is in line %d; change that, or write it out here", joined(path[:len(path)-len(f.rest)]), n.Value, n.Alias.Line)
		}
		kid, err := s.child(n, f.rest[0])
		if err != nil {
			return f, err
		}
		if kid == nil {
			return f, nil
		}
		f.parent = f.at
		f.at, f.rest = s.inside(f.at, kid), f.rest[1:]
	}
	return f, nil
}

// child is what a segment leads to; nil if it is not there.
func (s *source) child(n *yaml.Node, g segment) (*yaml.Node, error) {
	if n.Kind == yaml.ScalarNode && typeOf(n) == typeNull {
		return nil, nil
	}
	if g.how == byKey {
		if n.Kind != yaml.MappingNode {
			return nil, s.errorf(n, "%s: there are no keys here", g)
		}
		return s.valueOf(n, g.key)
	}
	if n.Kind != yaml.SequenceNode {
		return nil, s.errorf(n, "%s: there is no list here", g)
	}
	if g.how == byIndex {
		if g.index < len(n.Content) {
			return n.Content[g.index], nil
		}
		return nil, nil
	}
	var hit *yaml.Node
	for _, kid := range n.Content {
		element := kid
		if kid.Kind == yaml.AliasNode {
			element = kid.Alias
		}
		if element == nil || element.Kind != yaml.MappingNode {
			continue
		}
		v, err := s.valueOf(element, g.key)
		if err != nil {
			return nil, err
		}
		if v == nil || v.Kind != yaml.ScalarNode || v.Value != g.value {
			continue
		}
		if hit != nil {
			return nil, s.errorf(kid, "%s: fits here and in line %d", g, hit.Line)
		}
		hit = kid
	}
	return hit, nil
}

// valueOf is the value of a key; nil if it is not there.
func (s *source) valueOf(m *yaml.Node, key string) (*yaml.Node, error) {
	var hit *yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Kind != yaml.ScalarNode || k.Value != key || k.ShortTag() == "!!merge" {
			continue
		}
		if hit != nil {
			return nil, s.errorf(k, "the key %s is here twice", key)
		}
		hit = m.Content[i+1]
	}
	return hit, nil
}

// grow is the tree of the rest of a path with a value at its end.
func grow(rest []segment, v value) tree {
	if len(rest) == 0 {
		return tree{scalar: &v}
	}
	switch g, kid := rest[0], grow(rest[1:], v); g.how {
	case byKey:
		return tree{keys: []string{g.key}, kids: []tree{kid}}
	case bySelector:
		name := text1(g.value)
		el := tree{keys: []string{g.key}, kids: []tree{{scalar: &name}}}
		if kid.keys != nil {
			el.keys, el.kids = append(el.keys, kid.keys...), append(el.kids, kid.kids...)
		}
		return tree{kids: []tree{el}}
	default:
		return tree{kids: []tree{kid}}
	}
}

// growable tells whether the rest of a path can be made: an element by its
// position only as the next one, and of an element with a name its keys.
func growable(rest []segment, length int) error {
	for i, g := range rest {
		n := 0
		if i == 0 {
			n = length
		}
		if g.how == byIndex && g.index != n {
			return fmt.Errorf("%s cannot be added: the list has %d elements", g, n)
		}
		if g.how == bySelector && (i+1 == len(rest) || rest[i+1].how != byKey || rest[i+1].key == g.key) {
			return fmt.Errorf("%s cannot be added without a further key after it", g)
		}
	}
	return nil
}
