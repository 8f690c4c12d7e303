package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

const (
	// mostBytes bounds each file.
	mostBytes = 8 << 20
	bom       = "\ufeff"
)

// source is a YAML file: its bytes, and the nodes parsed from them.
type source struct {
	path string
	data []byte
	// docs are the documents' nodes.
	docs []*yaml.Node
	// lines are where each line begins, as the parser counts them.
	lines []int
	// columns are where every 256th character of a line stands, by line, and indents
	// those of block lists. Both are filled as they are asked for.
	columns map[int][]int
	indents map[*yaml.Node]int
}

// tooLarge judges what is read and what is to be written.
func tooLarge(path string, data []byte) error {
	if len(data) > mostBytes {
		return fmt.Errorf("%s: %d bytes are more than the %d that a changed file may have", path, len(data), mostBytes)
	}
	return nil
}

const (
	// mostMarks bounds what may begin a value, and with that the parser's memory.
	mostMarks = 400_000
	// mostDirectives bounds %TAG, each of which the parser compares with all others.
	mostDirectives = 100
)

// tooDense refuses files of which the parser would make too much.
func tooDense(path string, data []byte) error {
	marks := 0
	for i, c := range data {
		switch c {
		case ',', '[', '{', '?':
			marks++
		case ':', '-':
			if i+1 == len(data) || data[i+1] <= ' ' {
				marks++
			}
		}
	}
	if marks > mostMarks {
		return fmt.Errorf("%s: has too many values to be changed safely", path)
	}
	if bytes.Count(data, []byte("%TAG")) > mostDirectives {
		return fmt.Errorf("%s: has too many %%TAG directives", path)
	}
	return nil
}

func parse(path string, data []byte) (*source, error) {
	if err := tooLarge(path, data); err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: is not UTF-8", path)
	}
	if err := tooDense(path, data); err != nil {
		return nil, err
	}
	docs, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: is not YAML: %w (if it is not meant to be, leave it out of files with !%s)", path, err, path)
	}
	return &source{
		path: path, data: data, docs: docs, lines: lineStarts(data),
		columns: map[int][]int{}, indents: map[*yaml.Node]int{},
	}, nil
}

// decode reads all documents. The parser's panics become errors.
func decode(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gives up: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		docs = append(docs, &n)
	}
}

// lineStarts knows the line breaks that the parser knows.
func lineStarts(data []byte) []int {
	at := 0
	if bytes.HasPrefix(data, []byte(bom)) {
		at = len(bom)
	}
	starts := []int{at}
	for i := at; i < len(data); {
		n := lineBreak(data[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		starts = append(starts, i)
	}
	return starts
}

// lineBreak is the length of the line break that b begins with.
func lineBreak(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	case b[0] == '\n', b[0] == '\r':
		return 1
	case bytes.HasPrefix(b, []byte("\u0085")):
		return 2
	case bytes.HasPrefix(b, []byte("\u2028")), bytes.HasPrefix(b, []byte("\u2029")):
		return 3
	}
	return 0
}

// offset is where a node begins, its anchor and tag included.
func (s *source) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(s.lines) {
		return 0, s.errorf(n, "cannot be found again in the file")
	}
	at, rest := s.column(n.Line-1, n.Column-1)
	for range rest {
		if at >= len(s.data) {
			return 0, s.errorf(n, "cannot be found again in the file")
		}
		_, size := utf8.DecodeRune(s.data[at:])
		at += size
	}
	return at, nil
}

// everyColumn is how far apart the columns are whose places are kept.
const everyColumn = 256

// column is a place in a line at or before a column, and how many characters are
// missing. A line may be the whole file, and is not counted for each value in it.
func (s *source) column(line, col int) (at, rest int) {
	if col < everyColumn {
		return s.lines[line], col
	}
	marks, ok := s.columns[line]
	if !ok {
		end := len(s.data)
		if line+1 < len(s.lines) {
			end = s.lines[line+1]
		}
		n := 0
		for at := s.lines[line]; at < end; n++ {
			if n%everyColumn == 0 {
				marks = append(marks, at)
			}
			_, size := utf8.DecodeRune(s.data[at:])
			at += size
		}
		s.columns[line] = marks
	}
	i := min(col/everyColumn, len(marks)-1)
	if i < 0 {
		return s.lines[line], col
	}
	return marks[i], col - i*everyColumn
}

func (s *source) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", s.path, max(n.Line, 1), fmt.Sprintf(format, args...))
}

// eol is the line break of the file.
func (s *source) eol() string { return eolOf(s.data) }

func eolOf(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// splice is new text in the place of some bytes.
type splice struct {
	start, end int
	text       string
}

// put makes splices, which must not overlap.
func put(data []byte, splices []splice) ([]byte, error) {
	slices.SortFunc(splices, func(a, b splice) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, p := range splices {
		if p.start < at || p.end < p.start || p.end > len(data) {
			return nil, errors.New("two changes of the same place")
		}
		out.Write(data[at:p.start])
		out.WriteString(p.text)
		at = p.end
	}
	out.Write(data[at:])
	return out.Bytes(), nil
}

// differs is what is expected of the nodes after a change, by the node before.
type differs struct {
	// set are scalars with a new value.
	set map[*yaml.Node]value
	// become are empty values that are collections now.
	become map[*yaml.Node]tree
	// add are what collections have at their end.
	add map[*yaml.Node]tree
	// drop are mappings without one of their pairs, by the index of its key.
	drop map[*yaml.Node]int
}

// change puts splices into the file, and checks that it differs as expected, and
// in nothing else.
func (s *source) change(splices []splice, want differs) (*source, error) {
	data, err := put(s.data, splices)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	after, err := parse(s.path, data)
	if err != nil {
		return nil, fmt.Errorf("%s: the value cannot be written where it belongs: %w", s.path, err)
	}
	if len(after.docs) != len(s.docs) {
		return nil, fmt.Errorf("%s: the value cannot be written without changing the number of documents", s.path)
	}
	for i := range s.docs {
		if at := want.compare(s.docs[i], after.docs[i]); at != nil {
			return nil, s.errorf(at, "the value cannot be written without changing something else; write this part of the file more simply")
		}
	}
	return after, nil
}

// compare returns the first node that is not as it should be; nil if all are.
func (d differs) compare(was, is *yaml.Node) *yaml.Node {
	if was.Anchor != is.Anchor {
		return was
	}
	if v, ok := d.set[was]; ok {
		return unless(is.Kind == yaml.ScalarNode && v.is(is), was)
	}
	if t, ok := d.become[was]; ok {
		return unless(t.is(is), was)
	}
	if was.Kind != is.Kind || was.Value != is.Value || was.ShortTag() != is.ShortTag() {
		return was
	}
	kids := was.Content
	if i, ok := d.drop[was]; ok {
		kids = slices.Delete(slices.Clone(kids), i, i+2)
	}
	rest := is.Content
	if len(rest) < len(kids) {
		return was
	}
	for i, k := range kids {
		if at := d.compare(k, rest[i]); at != nil {
			return at
		}
	}
	rest = rest[len(kids):]
	t, ok := d.add[was]
	if !ok {
		return unless(len(rest) == 0, was)
	}
	return unless(t.is(&yaml.Node{Kind: is.Kind, Content: rest}), was)
}

func unless(fine bool, n *yaml.Node) *yaml.Node {
	if fine {
		return nil
	}
	return n
}
