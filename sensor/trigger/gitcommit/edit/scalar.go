package edit

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v3"
)

// The types of a value.
const (
	typeString = "string"
	typeNumber = "number"
	typeBool   = "bool"
	typeNull   = "null"
)

var types = []string{typeString, typeNumber, typeBool, typeNull}

// value is a scalar that is to be written.
type value struct{ kind, text string }

func text1(s string) value { return value{typeString, s} }

// is tells whether a node has this value already.
func (v value) is(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || typeOf(n) != v.kind {
		return false
	}
	return v.kind == typeNull || n.Value == v.text
}

// typeOf is the type of a scalar; empty if it is none of ours.
func typeOf(n *yaml.Node) string {
	switch n.ShortTag() {
	case "!!str":
		return typeString
	case "!!int", "!!float":
		return typeNumber
	case "!!bool":
		return typeBool
	case "!!null":
		return typeNull
	}
	return ""
}

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	whole      = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
)

// valueOf makes a value of text. Without a type it gets the one of what is
// there, if it reads the same with it.
func valueOf(text, kind, there string) (value, error) {
	text1 := value{typeString, text}
	switch kind {
	case typeString:
		return text1, nil
	case typeNumber:
		if !jsonNumber.MatchString(text) {
			return value{}, fmt.Errorf("%q is no number", text)
		}
		return value{typeNumber, text}, nil
	case typeBool:
		if text != "true" && text != "false" {
			return value{}, fmt.Errorf("%q is neither true nor false", text)
		}
		return value{typeBool, text}, nil
	case typeNull:
		return value{typeNull, "null"}, nil
	}
	if there == typeNumber && faithful(text) || there == typeBool && (text == "true" || text == "false") {
		return value{there, text}, nil
	}
	return text1, nil
}

// faithful tells whether a number is written again as it is after a program has
// read it.
func faithful(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || text == "-0":
		return false
	case whole.MatchString(text):
		return math.Abs(f) <= 1<<53
	}
	return jsonNumber.MatchString(text) && strconv.FormatFloat(f, 'f', -1, 64) == text
}

// write is the value as YAML, in the style if it can be. It stands on one line.
func (v value) write(style yaml.Style, flow bool) string {
	switch {
	case v.kind != typeString:
		return v.text
	case style&yaml.SingleQuotedStyle != 0 && printable(v.text):
		return "'" + strings.ReplaceAll(v.text, "'", "''") + "'"
	case style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && plain(v.text, flow):
		return v.text
	}
	return doubleQuoted(v.text)
}

// printable tells whether a text can stand in a line without escapes.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func doubleQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// words that some version of YAML takes for something else than a string.
var words = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}

// numeric is what some version of YAML takes for a number or a time.
var numeric = regexp.MustCompile(`^[-+]?(0b[01_]*|0o[0-7_]*|0x[0-9a-fA-F_]*|[0-9][0-9_,]*(:[0-9]+)*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9_]+([eE][-+]?[0-9]+)?|\.[iI][nN][fF]|\.[nN][aA][nN])$|^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$`)

// plain tells whether a string can do without quotes: with YAML 1.1 and 1.2, and
// whatever stands around it.
func plain(s string, flow bool) bool {
	if s == "" || !printable(s) || strings.TrimSpace(s) != s || numeric.MatchString(s) || slices.Contains(words, strings.ToLower(s)) {
		return false
	}
	first := []rune(s)[0]
	if !unicode.IsLetter(first) && !unicode.IsDigit(first) && !strings.ContainsRune("/._+$(", first) || strings.HasPrefix(s, "...") {
		return false
	}
	if strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return false
	}
	return !flow || !strings.ContainsAny(s, ",[]{}")
}

// tree is something that is added: a scalar, a mapping (keys) or a sequence.
type tree struct {
	scalar *value
	keys   []string
	kids   []tree
}

// is tells whether a node is the tree.
func (t tree) is(n *yaml.Node) bool {
	switch {
	case t.scalar != nil:
		return t.scalar.is(n)
	case t.keys != nil:
		if n.Kind != yaml.MappingNode || len(n.Content) != 2*len(t.keys) {
			return false
		}
		for i, k := range t.keys {
			if !text1(k).is(n.Content[2*i]) || !t.kids[i].is(n.Content[2*i+1]) {
				return false
			}
		}
		return true
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) != len(t.kids) {
		return false
	}
	for i, k := range t.kids {
		if !k.is(n.Content[i]) {
			return false
		}
	}
	return true
}

// flow writes the tree on one line, with quotes of that style around keys.
func (t tree) flow(keys yaml.Style) string {
	if t.scalar != nil {
		return t.scalar.write(keys, true)
	}
	parts := make([]string, len(t.kids))
	for i, k := range t.kids {
		parts[i] = k.flow(keys)
		if t.keys != nil {
			parts[i] = text1(t.keys[i]).write(keys, true) + ": " + parts[i]
		}
	}
	if t.keys != nil {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// block writes the tree in lines, without indentation for the first level.
func (t tree) block(step int) []string {
	var lines []string
	for i, k := range t.kids {
		kid := k.lines(step)
		if t.keys == nil {
			lines = append(lines, "- "+kid[0])
			lines = append(lines, indented(kid[1:], 2)...)
			continue
		}
		key := text1(t.keys[i]).write(0, false) + ":"
		switch {
		case k.scalar != nil:
			lines = append(lines, key+" "+kid[0])
		case k.keys != nil:
			lines = append(append(lines, key), indented(kid, step)...)
		default:
			lines = append(append(lines, key), kid...)
		}
	}
	return lines
}

func (t tree) lines(step int) []string {
	if t.scalar != nil {
		return []string{t.scalar.write(0, false)}
	}
	return t.block(step)
}

func indented(lines []string, by int) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.Repeat(" ", by) + l
	}
	return out
}
