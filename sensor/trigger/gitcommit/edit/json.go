package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

func (c *JSON) texts() []text {
	return append(fileTexts(c.Files), text{"path", &c.Path}, text{"value", &c.Value})
}

func (c *JSON) check(final bool) error {
	return errors.Join(checkFiles(c.Files, final), checkYAMLPath("path", c.Path, final), checkValue(c.Value, c.Type, final))
}

func (c *JSON) targets() []string { return targetsOf(c.Files, c.Path) }

// node of a JSON text: its bytes are those from start to end.
type node struct {
	start, end int
	// kind is { [ " 0 t n.
	kind byte
	// text of a scalar.
	text string
	// keys of an object, and where they begin.
	keys   []string
	keysAt []int
	kids   []*node
}

const deepest = 1000

// mostNodes bounds the memory for one text.
const mostNodes = 1_000_000

type jsonReader struct {
	data  []byte
	dec   *json.Decoder
	nodes int
}

// parseJSON reads one JSON value.
func parseJSON(data []byte) (*node, error) {
	if bytes.HasPrefix(data, []byte(bom)) { // keeps the positions
		data = append([]byte("   "), data[len(bom):]...)
	}
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	n, err := r.read(0)
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows after the end of the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: is not JSON: %w", bytes.Count(data[:min(int(r.dec.InputOffset()), len(data))], []byte("\n"))+1, err)
	}
	return n, nil
}

func (r *jsonReader) read(depth int) (*node, error) {
	if depth > deepest {
		return nil, errors.New("it is nested too deep")
	}
	if r.nodes++; r.nodes > mostNodes {
		return nil, errors.New("it has too many values to be changed safely")
	}
	at := int(r.dec.InputOffset())
	t, err := r.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	for at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	n := &node{start: at}
	switch t := t.(type) {
	case string:
		n.kind, n.text = '"', t
	case json.Number:
		n.kind, n.text = '0', t.String()
	case bool:
		n.kind, n.text = 't', fmt.Sprint(t)
	case nil:
		n.kind, n.text = 'n', "null"
	case json.Delim:
		n.kind = byte(t)
		for r.dec.More() {
			if n.kind == '{' {
				key, err := r.read(depth + 1)
				if err != nil {
					return nil, err
				}
				n.keys, n.keysAt = append(n.keys, key.text), append(n.keysAt, key.start)
			}
			kid, err := r.read(depth + 1)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, kid)
		}
		if _, err := r.dec.Token(); err != nil {
			return nil, err
		}
	}
	n.end = int(r.dec.InputOffset())
	return n, nil
}

func (n *node) typeOf() string {
	return map[byte]string{'"': typeString, '0': typeNumber, 't': typeBool, 'n': typeNull}[n.kind]
}

// child is what a segment leads to; nil if it is not there.
func (n *node) child(g segment) (*node, error) {
	if n.kind == 'n' {
		return nil, nil
	}
	if g.how == byKey {
		if n.kind != '{' {
			return nil, fmt.Errorf("%s: there are no keys here", g)
		}
		return n.under(g.key)
	}
	if n.kind != '[' {
		return nil, fmt.Errorf("%s: there is no list here", g)
	}
	if g.how == byIndex {
		if g.index < len(n.kids) {
			return n.kids[g.index], nil
		}
		return nil, nil
	}
	var hit *node
	for _, kid := range n.kids {
		if kid.kind != '{' {
			continue
		}
		v, err := kid.under(g.key)
		if err != nil {
			return nil, err
		}
		if v == nil || v.kind == '{' || v.kind == '[' || v.text != g.value {
			continue
		}
		if hit != nil {
			return nil, fmt.Errorf("%s: fits several elements", g)
		}
		hit = kid
	}
	return hit, nil
}

func (n *node) under(key string) (hit *node, err error) {
	for i, k := range n.keys {
		if k != key {
			continue
		}
		if hit != nil {
			return nil, fmt.Errorf("the key %s is here twice", key)
		}
		hit = n.kids[i]
	}
	return hit, nil
}

func (v value) json() string {
	if v.kind != typeString {
		return v.text
	}
	b, _ := encode(v.text) // a string always can be
	return string(b)
}

// json writes the tree on one line.
func (t tree) json() string {
	if t.scalar != nil {
		return t.scalar.json()
	}
	parts := make([]string, len(t.kids))
	for i, k := range t.kids {
		parts[i] = k.json()
		if t.keys != nil {
			parts[i] = text1(t.keys[i]).json() + ": " + parts[i]
		}
	}
	if t.keys != nil {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (c *JSON) apply(files Files) ([]Edit, error) {
	path, err := parsePath(c.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	return each(files, c.Files, func(p string, data []byte) ([]byte, []Edit, error) {
		if !utf8.Valid(data) {
			return nil, nil, fmt.Errorf("%s: is not UTF-8", p)
		}
		after, edits, err := c.change(p, data, path)
		if err != nil && !strings.HasPrefix(err.Error(), p) {
			err = fmt.Errorf("%s: %w", p, err)
		}
		return after, edits, err
	})
}

func (c *JSON) change(p string, data []byte, path []segment) ([]byte, []Edit, error) {
	root, err := parseJSON(data)
	if err != nil {
		return nil, nil, err
	}
	at, rest := root, path
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%s:%d: %w", p, bytes.Count(data[:at.start], []byte("\n"))+1, fmt.Errorf(format, args...))
	}
	for len(rest) > 0 {
		kid, err := at.child(rest[0])
		if err != nil {
			return nil, nil, fault("%w", err)
		}
		if kid == nil {
			break
		}
		at, rest = kid, rest[1:]
	}
	e := Edit{Path: p, What: joined(path)}
	there := ""
	if len(rest) == 0 {
		there, e.Old = at.typeOf(), shown(at.text)
	}
	v, err := valueOf(c.Value, c.Type, there)
	if err != nil {
		return nil, nil, fault("%s: %w", e.What, err)
	}
	e.New = shown(v.text)
	var sp splice
	want := expected{at: at, value: v}
	switch {
	case len(rest) == 0 && (at.kind == '{' || at.kind == '['):
		return nil, nil, fault("%s: here are several values, not one", e.What)
	case len(rest) == 0 && at.typeOf() == v.kind && at.text == v.text:
		return data, nil, nil
	case len(rest) == 0:
		sp = splice{at.start, at.end, v.json()}
	case !c.Create:
		return nil, nil, fault("%s: %s %w (create: true adds it)", e.What, rest[0], errMissing)
	default:
		if err := growable(rest, len(at.kids)); err != nil {
			return nil, nil, fault("%w", err)
		}
		t := grow(rest, v)
		want.tree = &t
		sp = at.insertion(data, t)
	}
	out, err := put(data, []splice{sp})
	if err != nil {
		return nil, nil, err
	}
	if err := tooLarge(p, out); err != nil {
		return nil, nil, err
	}
	after, err := parseJSON(out)
	if err != nil || !want.same(root, after) {
		return nil, nil, fault("%s: the value cannot be written without changing something else", e.What)
	}
	return out, []Edit{e}, nil
}

// insertion adds a tree to a collection as its other children are written.
func (n *node) insertion(data []byte, t tree) splice {
	if n.kind == 'n' {
		return splice{n.start, n.end, t.json()}
	}
	inner := t.json()
	inner = inner[1 : len(inner)-1]
	if len(n.kids) == 0 {
		return splice{n.start + 1, n.start + 1, inner}
	}
	last := n.kids[len(n.kids)-1]
	first := n.kids[0].start
	if n.kind == '{' {
		first = n.keysAt[0]
		inner = text1(t.keys[0]).json() + colon(data, n) + t.kids[0].json()
	}
	space := string(data[n.start+1 : first]) // between the bracket and the first child
	if !strings.ContainsAny(space, "\r\n") {
		space = " "
		if len(n.kids) > 1 && data[n.kids[0].end] == ',' && strings.IndexByte(" \t\r\n", data[n.kids[0].end+1]) < 0 {
			space = ""
		}
	}
	return splice{last.end, last.end, "," + space + inner}
}

// colon is what stands between a key of the object and its value.
func colon(data []byte, n *node) string {
	end := n.kids[0].start
	start := n.keysAt[0] + 1
	for i := start; i < end; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return string(data[i+1 : end])
		}
	}
	return ": "
}

// expected is how a JSON text is to differ from the one before.
type expected struct {
	at    *node
	value value
	tree  *tree
}

func (x expected) same(was, is *node) bool {
	switch {
	case was == x.at && x.tree == nil:
		return is.typeOf() == x.value.kind && is.text == x.value.text
	case was == x.at && was.kind == 'n':
		return x.tree.isJSON(is)
	case was.kind != is.kind || was.text != is.text:
		return false
	}
	kids, keys := is.kids, is.keys
	if was == x.at {
		if len(is.kids) != len(was.kids)+1 {
			return false
		}
		added := &node{kind: is.kind, kids: kids[len(was.kids):]}
		kids = kids[:len(was.kids)]
		if is.kind == '{' {
			added.keys, keys = keys[len(was.keys):], keys[:len(was.keys)]
		}
		if !x.tree.isJSON(added) {
			return false
		}
	}
	if len(kids) != len(was.kids) || len(keys) != len(was.keys) || len(keys) > 0 && !reflect.DeepEqual(keys, was.keys) {
		return false
	}
	for i := range kids {
		if !x.same(was.kids[i], kids[i]) {
			return false
		}
	}
	return true
}

func (t tree) isJSON(n *node) bool {
	if t.scalar != nil {
		return n.typeOf() == t.scalar.kind && n.text == t.scalar.text
	}
	kind := byte('[')
	if t.keys != nil {
		kind = '{'
	}
	if n.kind != kind || len(n.kids) != len(t.kids) || t.keys != nil && !reflect.DeepEqual(n.keys, t.keys) {
		return false
	}
	for i, k := range t.kids {
		if !k.isJSON(n.kids[i]) {
			return false
		}
	}
	return true
}
