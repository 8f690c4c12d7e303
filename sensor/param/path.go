package param

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxPadding is the number of nulls that one parameter may add to lists. A dest
// such as a.999999999 would fill the memory otherwise.
const maxPadding = 10000

// path is a dest.
type path struct {
	text string
	// parts of a path that names one place; nil for one with a query or wildcard.
	parts []string
	// lookup is the path in gjson's spelling, in which no colon forces a key.
	lookup string
	// large tells that it has an index that needs a look before it is used.
	large bool
}

func parsePath(text string) path {
	p := path{text: text, lookup: text}
	parts := split(text)
	for _, part := range parts {
		if !isPlain(part) {
			return p
		}
	}
	p.parts = parts
	keys := make([]string, len(parts))
	for i, part := range parts {
		keys[i] = strings.TrimPrefix(part, ":")
		if n, ok := index(part); ok && n > maxPadding/len(parts) {
			p.large = true
		}
	}
	p.lookup = strings.Join(keys, ".")
	return p
}

// get finds the value at p, which may not exist.
func (p path) get(obj []byte) gjson.Result { return gjson.GetBytes(obj, p.lookup) }

// set returns obj with v at p. Parents that are missing are made, and lists are
// filled up with nulls. A query or a wildcard that matches nothing changes nothing.
func (p path) set(obj []byte, v value) ([]byte, error) {
	if p.parts == nil {
		return setQuery(obj, p.text, v)
	}
	if p.large {
		if err := checkPadding(gjson.ParseBytes(obj), p.parts); err != nil {
			return nil, err
		}
	}
	return v.put(obj, p.text)
}

// setQuery resolves each query for one element, #(...), to the element's
// index, so that keys can be added to the element, and leaves what is left
// (wildcards, queries for all elements) to sjson.
func setQuery(obj []byte, dest string, v value) ([]byte, error) {
	parts := split(dest)
	for i, part := range parts {
		if !strings.HasPrefix(part, "#(") || !strings.HasSuffix(part, ")") {
			continue
		}
		list := gjson.ParseBytes(obj)
		if i > 0 {
			list = gjson.GetBytes(obj, strings.Join(parts[:i], "."))
		}
		n := indexOf(list, part)
		if n < 0 {
			return obj, nil
		}
		parts[i] = strconv.Itoa(n)
	}
	if p := parsePath(strings.Join(parts, ".")); p.parts != nil {
		return p.set(obj, v)
	}
	return v.put(obj, strings.Join(parts, "."))
}

// indexOf is the position of the first element of list that query finds, or -1.
func indexOf(list gjson.Result, query string) int {
	if !list.IsArray() {
		return -1
	}
	for i, el := range list.Array() {
		if gjson.Get("["+el.Raw+"]", query).Exists() {
			return i
		}
	}
	return -1
}

// checkPadding counts the nulls that a path of plain parts would add. A number
// is a position in a list, but a key in an object that is already there.
func checkPadding(at gjson.Result, parts []string) error {
	padding := 0
	for _, part := range parts {
		have := 0
		switch {
		case at.IsObject():
			at = at.Get(strings.TrimPrefix(part, ":"))
			continue
		case at.IsArray():
			have = int(at.Get("#").Int())
		}
		if n, ok := index(part); ok {
			padding += max(0, n-have)
		}
		if padding > maxPadding {
			return fmt.Errorf("position %s is too far beyond the end of its list", part)
		}
		at = at.Get(part)
	}
	return nil
}

// index reads a part as a position. A number that is too large for any list is
// cut to one that is still too large.
func index(part string) (int, bool) {
	if part == "" || strings.Trim(part, "0123456789") != "" {
		return 0, false
	}
	digits := strings.TrimLeft(part, "0")
	if len(digits) > 9 {
		return 999999999, true
	}
	n, _ := strconv.Atoi("0" + digits)
	return n, true
}

// isPlain tells whether a part names one key or position.
func isPlain(part string) bool {
	for i := 0; i < len(part); i++ {
		switch part[i] {
		case '\\':
			i++
		case '|', '#', '@', '*', '?':
			return false
		}
	}
	return true
}

// split cuts a path at its dots, but not at escaped ones and not inside a query.
func split(text string) []string {
	var parts []string
	start, depth, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case depth > 0 && c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' && (depth > 0 || i > 0 && text[i-1] == '#'):
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '.' && depth == 0:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}
