package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// document is one YAML document of a text.
type document struct {
	text []byte
	line int // of the text's first line, from 1
}

// split cuts a text at the lines that begin a YAML document. Lines keep their
// columns, so that positions stay right. Documents without content are left out.
func split(text []byte) []document {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var docs []document
	begin, beginLine, line := 0, 1, 1
	add := func(end int) {
		if d := text[begin:end]; hasContent(d) {
			docs = append(docs, document{bytes.Clone(d), beginLine})
		}
	}
	for at := 0; at < len(text); line++ {
		next := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if l := text[at:next]; isMarker(l, "---") || isMarker(l, "...") {
			add(at)
			begin, beginLine = at, line
		}
		at = next
	}
	add(len(text))
	for i := range docs {
		if d := docs[i].text; isMarker(d, "---") || isMarker(d, "...") {
			copy(d, "   ")
		}
	}
	return docs
}

func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// hasContent tells whether there is more than comments, directives and the marker.
func hasContent(doc []byte) bool {
	for i, line := range bytes.Split(doc, []byte("\n")) {
		if i == 0 && (isMarker(line, "---") || isMarker(line, "...")) {
			line = line[3:]
		}
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return true
		}
	}
	return false
}

// read parses a document: its value as JSON under the rules that Kubernetes
// has for YAML (1.1: on, off, yes and no are booleans), and its nodes for lines.
// Problems have a line in the file. The JSON is nil if there is none.
func (d document) read() (json.RawMessage, *yamlnode.Node, []Problem) {
	forNodes := d.text
	isJSON := json.Valid(d.text)
	if isJSON { // a tab can only be white space there, and YAML does not take it
		forNodes = bytes.ReplaceAll(d.text, []byte("\t"), []byte(" "))
	}
	var root yamlnode.Node
	if err := yamlnode.Unmarshal(forNodes, &root); err != nil {
		return nil, nil, []Problem{d.syntaxError(err)}
	}
	if len(root.Content) == 0 {
		return nil, nil, nil
	}
	node := root.Content[0]
	if twice := d.duplicates(node, "", 0); len(twice) > 0 {
		return nil, node, twice
	}
	if isJSON {
		return d.text, node, nil
	}
	raw, err := yaml.YAMLToJSON(d.text) // the strict one takes no key beside a merge that has it too
	if err != nil {
		return nil, node, []Problem{d.syntaxError(err)}
	}
	return raw, node, nil
}

var yamlErrorLine = regexp.MustCompile(`line (\d+): `)

func (d document) syntaxError(err error) Problem {
	message := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	message = strings.Join(strings.Fields(strings.TrimPrefix(message, "unmarshal errors:")), " ")
	line := d.line
	if m := yamlErrorLine.FindStringSubmatchIndex(message); m != nil {
		if n, err := strconv.Atoi(message[m[2]:m[3]]); err == nil {
			line += n - 1
		}
		message = message[:m[0]] + message[m[1]:]
	}
	p := v1alpha1.Invalid("", "the YAML cannot be read: %s", message)
	if bytes.ContainsRune(d.text, '\t') && (strings.Contains(message, "cannot start any token") || strings.Contains(message, "tab character")) {
		p.Hinted("indent with spaces, not with tabs")
	}
	return Problem{Line: line, Problem: p}
}

// maxDepth bounds how deep the walks over a document go; no manifest comes near.
const maxDepth = 200

var errDepth = errors.New("nested too deeply")

// duplicates reports every key that a mapping has twice.
func (d document) duplicates(n *yamlnode.Node, path string, depth int) []Problem {
	if depth > maxDepth {
		return []Problem{{Line: d.lineOf(n), Problem: v1alpha1.Invalid("", "%v", errDepth)}}
	}
	var found []Problem
	switch n.Kind {
	case yamlnode.MappingNode:
		first := map[string]*yamlnode.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			key := keyOf(k)
			at := v1alpha1.Join(path, v1alpha1.Key(key))
			if before, ok := first[key]; ok {
				found = append(found, Problem{Line: d.lineOf(k), Problem: v1alpha1.
					Invalid(at, "key %q is there twice, first in line %d", key, d.lineOf(before))})
			}
			first[key] = k
			found = append(found, d.duplicates(v, at, depth+1)...)
		}
	case yamlnode.SequenceNode, yamlnode.DocumentNode:
		for i, v := range n.Content {
			found = append(found, d.duplicates(v, path+v1alpha1.Index(i), depth+1)...)
		}
	}
	return found
}

func (d document) lineOf(n *yamlnode.Node) int { return d.line + max(n.Line, 1) - 1 }

// keyOf is the JSON key that a YAML key becomes.
func keyOf(k *yamlnode.Node) string {
	if k.Kind == yamlnode.AliasNode && k.Alias != nil {
		k = k.Alias
	}
	if k.Style == 0 {
		switch strings.ToLower(k.Value) {
		case "y", "yes", "on", "true":
			return "true"
		case "n", "no", "off", "false":
			return "false"
		}
	}
	return k.Value
}

// place finds lines in a document.
type place struct {
	doc document
	// node of the object, which may stand in a list.
	node *yamlnode.Node
}

// text is the scalar at path as it is written, or "".
func (p place) text(path string) string {
	n := p.node
	for _, seg := range segments(path) {
		if n == nil {
			return ""
		}
		_, n = child(n, seg, 0)
	}
	if n == nil || n.Kind != yamlnode.ScalarNode {
		return ""
	}
	return n.Value
}

// line is the line of the field at path, or of the nearest thing around it
// that is there.
func (p place) line(path string) int {
	if p.node == nil {
		return p.doc.line
	}
	n, line := p.node, p.doc.lineOf(p.node)
	for _, seg := range segments(path) {
		key, value := child(n, seg, 0)
		if value == nil {
			break
		}
		n, line = value, p.doc.lineOf(key)
	}
	return line
}

// child returns the node that names the part seg of n, and the part.
func child(n *yamlnode.Node, seg string, depth int) (key, value *yamlnode.Node) {
	if depth > maxDepth {
		return nil, nil
	}
	if n.Kind == yamlnode.AliasNode {
		return child(n.Alias, seg, depth+1)
	}
	switch n.Kind {
	case yamlnode.SequenceNode:
		if i, err := strconv.Atoi(seg); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if keyOf(n.Content[i]) == seg {
				return n.Content[i], n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value != "<<" {
				continue
			}
			if key, value = child(n.Content[i+1], seg, depth+1); value != nil {
				return key, value
			}
			if n.Content[i+1].Kind != yamlnode.SequenceNode {
				continue
			}
			for _, m := range n.Content[i+1].Content {
				if key, value = child(m, seg, depth+1); value != nil {
					return key, value
				}
			}
		}
	}
	return nil, nil
}

// segments are the keys and indexes of a v1alpha1.Problem's path.
func segments(path string) []string {
	var segs []string
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case strings.HasPrefix(path, `["`):
			quoted, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				return segs
			}
			key, _ := strconv.Unquote(quoted) //nolint:errcheck // QuotedPrefix checked it
			segs = append(segs, key)
			path = strings.TrimPrefix(path[1+len(quoted):], "]")
		case path[0] == '[':
			i, rest, ok := strings.Cut(path[1:], "]")
			if !ok {
				return segs
			}
			segs, path = append(segs, i), rest
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			segs, path = append(segs, path[:end]), path[end:]
		}
	}
	return segs
}
