package edit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func (c *YAML) texts() []text {
	ts := append(fileTexts(c.Files), text{"path", &c.Path}, text{"value", &c.Value})
	if d := c.Document; d != nil {
		ts = append(ts, text{"document.apiVersion", &d.APIVersion}, text{"document.kind", &d.Kind},
			text{"document.name", &d.Name}, text{"document.namespace", &d.Namespace})
	}
	return ts
}

func (c *YAML) check(final bool) error {
	errs := []error{checkFiles(c.Files, final), checkYAMLPath("path", c.Path, final), checkValue(c.Value, c.Type, final)}
	if d := c.Document; d != nil {
		if *d == (Document{}) {
			errs = append(errs, v1alpha1.Invalid("document", "says nothing").Hinted("give kind and name, or index"))
		}
		if d.Index != nil && *d.Index < 0 {
			errs = append(errs, v1alpha1.Invalid("document.index", "is negative"))
		}
	}
	return errors.Join(errs...)
}

func checkYAMLPath(field, p string, final bool) error {
	if !decided(p, final) {
		return nil
	}
	if _, err := parsePath(p); err != nil {
		return v1alpha1.Invalid(field, "%v", err)
	}
	return nil
}

func checkValue(text, kind string, final bool) error {
	if kind != "" && !slices.Contains(types, kind) {
		return v1alpha1.Invalid("type", "%q is unknown", kind).Hinted("one of %s", strings.Join(types, ", "))
	}
	if kind == typeNull && text != "" {
		return v1alpha1.Invalid("value", "is given beside type null")
	}
	if decided(text, final) {
		if _, err := valueOf(text, kind, ""); err != nil {
			return v1alpha1.Invalid("value", "%v", err)
		}
	}
	return nil
}

func (d *Document) String() string {
	if d == nil {
		return ""
	}
	var words []string
	for _, w := range []string{d.APIVersion, d.Kind, d.Namespace, d.Name} {
		if w != "" {
			words = append(words, w)
		}
	}
	if d.Index != nil {
		words = append(words, strconv.Itoa(int(*d.Index)))
	}
	return strings.Join(words, "/") + " "
}

func (c *YAML) targets() []string { return targetsOf(c.Files, c.Document.String()+c.Path) }

func targetsOf(files []string, what string) []string {
	all := make([]string, 0, len(files))
	for _, f := range files {
		if !strings.HasPrefix(f, "!") {
			all = append(all, f+" "+what)
		}
	}
	return all
}

// fits tells whether a document is meant.
func (d *Document) fits(index int, doc *yaml.Node) bool {
	if d == nil {
		return true
	}
	if d.Index != nil && int(*d.Index) != index {
		return false
	}
	get := func(keys ...string) string {
		n := doc.Content[0]
		for _, key := range keys {
			if n.Kind != yaml.MappingNode {
				return ""
			}
			var next *yaml.Node
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == key {
					next = n.Content[i+1]
				}
			}
			if next == nil {
				return ""
			}
			n = next
		}
		return n.Value
	}
	for _, w := range []struct{ want, is string }{
		{d.APIVersion, get("apiVersion")}, {d.Kind, get("kind")}, {d.Name, get("metadata", "name")}, {d.Namespace, get("metadata", "namespace")},
	} {
		if w.want != "" && w.want != w.is {
			return false
		}
	}
	return true
}

// errMissing is what errors wrap if document or path are not there.
var errMissing = errors.New("is not there")

// reach finds the one document that has the path, or, if that may be added, the
// one document that there is.
func (s *source) reach(d *Document, path []segment, create bool) (found, error) {
	var has, fits []found
	var fault error
	for i, doc := range s.docs {
		if !d.fits(i, doc) {
			continue
		}
		f, err := s.follow(doc, path)
		if err != nil {
			fault = err
			continue
		}
		if len(f.rest) == 0 {
			has = append(has, f)
		}
		fits = append(fits, f)
	}
	switch {
	case len(has) == 1:
		return has[0], nil
	case len(has) > 1:
		return found{}, s.errorf(has[1].at.node, "%s is in %d documents of the file, in line %d and here; say in document which one is meant", joined(path), len(has), has[0].at.node.Line)
	case fault != nil:
		return found{}, fault
	case len(fits) == 0 && d != nil:
		return found{}, fmt.Errorf("%s: the document %s%w", s.path, d, errMissing)
	case len(fits) == 0:
		return found{}, fmt.Errorf("%s: the file has no content: %w", s.path, errMissing)
	case !create:
		at := fits[0].at.node
		return found{}, fmt.Errorf("%s:%d: %s: %s %w (create: true adds it)", s.path, max(at.Line, 1), joined(path), fits[0].rest[0], errMissing)
	case len(fits) > 1:
		return found{}, s.errorf(fits[1].at.node, "%s can be added to %d documents of the file; say in document which one is meant", joined(path), len(fits))
	}
	return fits[0], nil
}

// setPath sets the value at a path. The file stays the same if it is so already.
func (s *source) setPath(d *Document, path []segment, make func(there string) (value, error), create bool) (*source, []Edit, error) {
	f, err := s.reach(d, path, create)
	if err != nil {
		return nil, nil, err
	}
	e := Edit{Path: s.path, What: joined(path)}
	if len(f.rest) > 0 {
		v, err := make("")
		if err != nil {
			return nil, nil, s.errorf(f.at.node, "%s: %v", e.What, err)
		}
		e.New = shown(v.text)
		after, err := s.add(f, v)
		return after, []Edit{e}, err
	}
	v, err := make(typeOf(f.at.node))
	if err != nil {
		return nil, nil, s.errorf(f.at.node, "%s: %v", e.What, err)
	}
	after, did, err := s.set(f.at, v)
	if err != nil || !did {
		return s, nil, err
	}
	e.Old, e.New = shown(f.at.node.Value), shown(v.text)
	return after, []Edit{e}, nil
}

func (c *YAML) apply(files Files) ([]Edit, error) {
	path, err := parsePath(c.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	make := func(there string) (value, error) { return valueOf(c.Value, c.Type, there) }
	return each(files, c.Files, func(p string, data []byte) ([]byte, []Edit, error) {
		s, err := parse(p, data)
		if err != nil {
			return nil, nil, err
		}
		after, edits, err := s.setPath(c.Document, path, make, c.Create)
		if err != nil {
			return nil, nil, err
		}
		return after.data, edits, nil
	})
}

// each changes all files that patterns name. Those that a pattern found need not
// have what is to be changed, but one of them must.
func each(files Files, patterns []string, change func(path string, data []byte) ([]byte, []Edit, error)) ([]Edit, error) {
	paths, plain, err := find(files, patterns)
	if err != nil {
		return nil, err
	}
	var out writes
	var all []Edit
	var missing error
	fit := false
	for _, p := range paths {
		data, err := read(files, p, plain[p])
		if err != nil {
			return nil, err
		}
		after, edits, err := change(p, data)
		switch {
		case errors.Is(err, errMissing) && !plain[p]:
			missing = err
			continue
		case err != nil:
			return nil, err
		}
		fit = true
		if len(edits) > 0 {
			all = append(all, edits...)
			out.add(p, after)
		}
	}
	if !fit {
		return nil, fmt.Errorf("none of %d files has it, such as %w", len(paths), missing)
	}
	return all, out.write(files)
}
