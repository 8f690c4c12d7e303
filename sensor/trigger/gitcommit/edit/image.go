package edit

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/imageevent"
)

var (
	tagForm    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestForm = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$`)
	nameForm   = regexp.MustCompile(`^(?:[A-Za-z0-9.-]+(?::[0-9]+)?/|\[[0-9a-fA-F:]+\](?::[0-9]+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$`)
)

// checkPart judges a part of an image's reference; empty ones are fine.
func checkPart(field, s string, form *regexp.Regexp, final bool, what string) error {
	if s == "" || !decided(s, final) || form.MatchString(s) {
		return nil
	}
	return v1alpha1.Invalid(field, "%q is no %s of an image", s, what)
}

func checkName(field, s string, final bool) error {
	if decided(s, final) && s == "" {
		return v1alpha1.Invalid(field, "is required")
	}
	return checkPart(field, s, nameForm, final, "name (it has neither tag nor digest)")
}

func (c *Image) texts() []text {
	return append(fileTexts(c.Files), text{"name", &c.Name}, text{"tag", &c.Tag}, text{"digest", &c.Digest}, text{"newName", &c.NewName})
}

func fileTexts(files []string) []text {
	var ts []text
	for i := range files {
		ts = append(ts, text{"files" + v1alpha1.Index(i), &files[i]})
	}
	return ts
}

func (c *Image) check(final bool) error {
	errs := []error{
		checkFiles(c.Files, final), checkName("name", c.Name, final), checkPart("tag", c.Tag, tagForm, final, "tag"),
		checkPart("digest", c.Digest, digestForm, final, "digest"), checkPart("newName", c.NewName, nameForm, final, "name"),
	}
	if c.Tag == "" && c.Digest == "" && c.NewName == "" {
		errs = append(errs, v1alpha1.Invalid("tag", "is missing, and so are digest and newName"))
	}
	return errors.Join(errs...)
}

func (c *Image) targets() []string {
	return []string{strings.Join(c.Files, ",") + " image " + canonical(c.Name)}
}

// canonical is an image's name in full.
func canonical(name string) string {
	host, repository, _, _ := imageevent.Split(name)
	host = imageevent.Host(host)
	if host == "" {
		host = imageevent.DockerHub
	}
	if host == imageevent.DockerHub && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	return host + "/" + repository
}

// cutReference cuts name, :tag and @digest off a reference.
func cutReference(ref string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return name, tag, digest
}

// changed is a reference with the new tag, digest and name.
func (c *Image) changed(ref string) string { return changed(ref, c.NewName, c.Tag, c.Digest) }

func changed(ref, newName, newTag, newDigest string) string {
	name, tag, digest := cutReference(ref)
	if newName != "" {
		name = newName
	}
	if newTag != "" || newDigest != "" {
		tag, digest = newTag, newDigest
	}
	if tag != "" {
		name += ":" + tag
	}
	if digest != "" {
		name += "@" + digest
	}
	return name
}

func (c *Image) apply(files Files) ([]Edit, error) {
	paths, plain, err := find(files, c.Files)
	if err != nil {
		return nil, err
	}
	want := []string{canonical(c.Name)}
	if c.NewName != "" { // those that have been renamed already
		want = append(want, canonical(c.NewName))
	}
	_, repository, _, _ := imageevent.Split(c.Name)
	word := path.Base(repository)
	_, repository, _, _ = imageevent.Split(c.NewName)
	newWord := path.Base(repository)
	var edits []Edit
	var out writes
	seen := 0
	for _, p := range paths {
		data, err := read(files, p, plain[p])
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(data, []byte(word)) && (c.NewName == "" || !bytes.Contains(data, []byte(newWord))) { // not worth parsing
			continue
		}
		s, err := parse(p, data)
		if err != nil {
			return nil, err
		}
		w := imageWalk{source: s, want: want, change: c.changed, set: map[*yaml.Node]value{}}
		for _, doc := range s.docs {
			if err := w.walk(place{node: doc.Content[0], indent: -1}, nil, ""); err != nil {
				return nil, err
			}
		}
		seen += w.seen
		if len(w.splices) == 0 {
			continue
		}
		after, err := s.change(w.splices, differs{set: w.set})
		if err != nil {
			return nil, err
		}
		edits = append(edits, w.edits...)
		out.add(p, after.data)
	}
	if seen == 0 {
		return nil, fmt.Errorf("the image %s is in none of the %d files that were looked at: %s", c.Name, len(paths), some(paths))
	}
	return edits, out.write(files)
}

// some are the first of many paths.
func some(paths []string) string {
	const most = 10
	if len(paths) <= most {
		return strings.Join(paths, ", ")
	}
	return strings.Join(paths[:most], ", ") + fmt.Sprintf(" and %d more", len(paths)-most)
}

// imageWalk looks for an image in a document.
type imageWalk struct {
	*source
	want    []string
	change  func(ref string) string
	seen    int
	splices []splice
	set     map[*yaml.Node]value
	edits   []Edit
}

// trail is the way to a node. It becomes a text only where that is wanted: keys may be
// long, and there may be many nodes below them.
type trail struct {
	up    *trail
	key   string // of a mapping
	index int    // in a list; -1 with a key
}

func (t *trail) String() string {
	s := ""
	for ; t != nil; t = t.up {
		part := v1alpha1.Index(t.index)
		if t.index < 0 {
			part = v1alpha1.Key(t.key[:min(len(t.key), longestShown)])
		}
		s = v1alpha1.Join(part, s)
		if len(s) > longestShown {
			return strings.ToValidUTF8("..."+s[len(s)-longestShown:], "")
		}
	}
	return s
}

// walk looks at a node that stands somewhere, under a key.
func (w *imageWalk) walk(p place, at *trail, key string) error {
	n := p.node
	switch n.Kind {
	case yaml.SequenceNode:
		for i, kid := range n.Content {
			if err := w.walk(w.inside(p, kid), &trail{up: at, index: i}, ""); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			name := k
			if k == "reference" && key == "image" { // of an image volume
				name = "image"
			}
			if err := w.walk(w.inside(p, n.Content[i+1]), &trail{at, k, -1}, name); err != nil {
				return err
			}
		}
	case yaml.AliasNode:
		if key == "image" && n.Alias != nil && n.Alias.Kind == yaml.ScalarNode && n.Alias.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			return w.take(place{node: n.Alias, flow: true}, at) // where it is written, for all who use it
		}
	case yaml.ScalarNode:
		if key == "image" {
			return w.take(p, at)
		}
	}
	return nil
}

func (w *imageWalk) take(p place, at *trail) error {
	n := p.node
	ref := strings.TrimSpace(n.Value)
	name, _, _ := cutReference(ref)
	if typeOf(n) != typeString || name == "" || !slices.Contains(w.want, canonical(name)) {
		return nil
	}
	w.seen++
	v := text1(w.change(ref))
	if _, done := w.set[n]; done || v.is(n) || n.Value == v.text {
		return nil
	}
	sp, err := w.splice(p, v)
	if err != nil {
		return err
	}
	w.splices = append(w.splices, sp)
	w.set[n] = v
	w.edits = append(w.edits, Edit{Path: w.path, What: at.String(), Old: shown(n.Value), New: v.text})
	return nil
}
