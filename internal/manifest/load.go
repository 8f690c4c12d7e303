package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// maxFile is the size of the largest file that is read.
const maxFile = 16 << 20

// Load reads the given files, whatever their names, and all *.yaml, *.yml and
// *.json files in and below the given folders, without those whose names begin
// with a dot. It never fails as a whole: what cannot be read is a problem in
// the Set.
func Load(paths []string, opts Options) *Set {
	l := newLoader(opts)
	f := listFiles(paths)
	for _, p := range f.failed {
		l.unreadable(p.path, v1alpha1.Invalid("", "%v", p.err))
	}
	for _, file := range f.files {
		text, err := readFile(file)
		if err != nil {
			l.unreadable(file, v1alpha1.Invalid("", "%v", err))
			continue
		}
		l.text(file, text)
	}
	return l.set()
}

// Read is Load for one text, of which name is said to be the file.
func Read(name string, text []byte, opts Options) *Set {
	l := newLoader(opts)
	l.text(name, text)
	return l.set()
}

type loader struct {
	opts     Options
	checker  *checker
	objects  []*Object
	problems []Problem
	lost     map[string]bool
	others   []Other
}

func newLoader(opts Options) *loader {
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	return &loader{opts: opts, checker: newChecker(opts), lost: map[string]bool{}}
}

func (l *loader) unreadable(file string, p *v1alpha1.Problem) {
	l.lost[file] = true
	l.problems = append(l.problems, Problem{File: file, Problem: p})
}

func (l *loader) text(file string, text []byte) {
	for _, d := range split(text) {
		raw, node, problems := d.read()
		for _, p := range problems {
			p.File = file
			l.problems = append(l.problems, p)
			l.lost[file] = true
		}
		if raw != nil && len(problems) == 0 {
			l.document(file, place{d, node}, raw, 0)
		}
	}
}

// document takes one object, or the objects of a list.
func (l *loader) document(file string, at place, raw json.RawMessage, depth int) {
	note := func(p *v1alpha1.Problem) {
		l.problems = append(l.problems, Problem{File: file, Line: at.line(p.Path), Problem: p})
	}
	h, p := readHeader(raw)
	if p != nil {
		note(p)
		return
	}
	if h.isList() && depth == 0 {
		l.list(file, at, raw)
		return
	}
	if h.APIVersion == OtherVersion {
		id := ID{h.Kind, cmp.Or(h.Metadata.Namespace, l.opts.Namespace), h.Metadata.Name}
		l.others = append(l.others, Other{ID: id, File: file, Line: at.line(""), Raw: raw})
		return
	}
	if !h.isOurs() {
		if p := h.foreign(); p != nil {
			note(p)
			if p.Severity == v1alpha1.Error {
				l.lost[file] = true
			}
		}
		return
	}
	if h.Metadata.Name == "" {
		note(noName(h, raw, at))
		l.lost[file] = true
		return
	}
	o := l.checker.object(h, raw)
	o.File, o.Line, o.place = file, at.line(""), at
	l.objects = append(l.objects, o)
}

func (l *loader) list(file string, at place, raw json.RawMessage) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		l.problems = append(l.problems, Problem{File: file, Line: at.line("items"), Problem: v1alpha1.Invalid("items", "want a list")})
		l.lost[file] = true
		return
	}
	for i, item := range list.Items {
		in := at
		var items *yamlnode.Node
		if at.node != nil {
			_, items = child(at.node, "items", 0)
		}
		if items != nil {
			if _, n := child(items, fmt.Sprint(i), 0); n != nil {
				in.node = n
			}
		}
		l.document(file, in, item, 1)
	}
}

// set ends the reading: it checks the objects against each other.
func (l *loader) set() *Set {
	s := &Set{unreadable: l.lost, others: l.others}
	objects := slices.Clone(l.objects)
	slices.SortStableFunc(objects, func(a, b *Object) int { return compareIDs(a.ID, b.ID) })
	for _, o := range objects {
		if n := len(s.Objects); n > 0 && s.Objects[n-1].ID == o.ID {
			first := s.Objects[n-1]
			o.problems = append(o.problems, v1alpha1.Warn("metadata.name", "%s is defined twice; this one is ignored, the one in %s line %d counts", o.ID, first.File, first.Line))
			continue
		}
		s.Objects = append(s.Objects, o)
	}
	l.checker.together(s, l.objects)
	s.Problems = l.problems
	for _, o := range l.objects {
		for _, p := range o.problems {
			o.Broken = o.Broken || p.Severity == v1alpha1.Error
			s.Problems = append(s.Problems, Problem{File: o.File, Line: o.place.line(p.Path), Object: o.String(), Problem: p})
		}
	}
	s.Problems = sorted(s.Problems)
	return s
}

// found are the files to read and the places that could not be looked at.
type found struct {
	files   []string
	folders []string
	failed  []failure
	seen    map[string]bool
}

type failure struct {
	path string
	err  error
}

func listFiles(paths []string) *found {
	f := &found{seen: map[string]bool{}}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err != nil:
			f.fail(p, err)
		case info.IsDir():
			f.folder(p)
		default:
			f.file(p)
		}
	}
	return f
}

func (f *found) fail(path string, err error) {
	var pe *os.PathError
	if errors.As(err, &pe) { // the path is told beside the message
		err = pe.Err
	}
	f.failed = append(f.failed, failure{path, err})
}

func (f *found) file(path string) {
	path = filepath.Clean(path)
	if !f.seen[path] {
		f.seen[path] = true
		f.files = append(f.files, path)
	}
}

// folder takes what is in a folder and below it. Links are followed, each
// folder once.
func (f *found) folder(path string) {
	path = filepath.Clean(path)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		f.fail(path, err)
		return
	}
	if f.seen["folder "+real] {
		return
	}
	f.seen["folder "+real] = true
	f.folders = append(f.folders, path)
	entries, err := os.ReadDir(path)
	if err != nil {
		f.fail(path, err)
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		at := filepath.Join(path, e.Name())
		info, err := os.Stat(at)
		isManifest := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name()))
		switch {
		case err != nil && isManifest:
			f.fail(at, err)
		case err != nil:
		case info.IsDir():
			f.folder(at)
		case isManifest:
			f.file(at)
		}
	}
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err == nil {
		defer file.Close() //nolint:errcheck // only read
		var b bytes.Buffer
		var n int64
		if n, err = io.Copy(&b, io.LimitReader(file, maxFile+1)); n > maxFile {
			return nil, fmt.Errorf("is larger than %d MiB", maxFile>>20)
		}
		if err == nil {
			return b.Bytes(), nil
		}
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, fmt.Errorf("cannot be read: %w", err)
}
