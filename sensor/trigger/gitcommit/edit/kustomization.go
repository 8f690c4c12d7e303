package edit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func (c *Kustomization) texts() []text {
	return []text{{"path", &c.Path}, {"name", &c.Name}, {"newName", &c.NewName}, {"newTag", &c.NewTag}, {"digest", &c.Digest}}
}

func (c *Kustomization) check(final bool) error {
	errs := []error{
		checkPath("path", c.Path, final), checkPart("newName", c.NewName, nameForm, final, "name"),
		checkPart("newTag", c.NewTag, tagForm, final, "tag"), checkPart("digest", c.Digest, digestForm, final, "digest"),
	}
	switch name, tag, digest := cutReference(c.Name); {
	case !decided(c.Name, final):
	case name == "":
		errs = append(errs, v1alpha1.Invalid("name", "is required"))
	case tag != "" || digest != "":
		errs = append(errs, v1alpha1.Invalid("name", "%q has a tag or a digest", c.Name).Hinted("write the name alone"))
	}
	if c.NewName == "" && c.NewTag == "" && c.Digest == "" {
		errs = append(errs, v1alpha1.Invalid("newTag", "is missing, and so are newName and digest"))
	}
	return errors.Join(errs...)
}

func (c *Kustomization) targets() []string {
	return []string{strings.TrimSuffix(c.Path, "/") + " images " + c.Name}
}

// names that kustomize looks for in a folder.
var kustomizations = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// file finds the kustomization file.
func (c *Kustomization) file(files Files) (string, []byte, error) {
	p := path.Clean(c.Path)
	if strings.HasSuffix(p, ".yaml") || strings.HasSuffix(p, ".yml") || path.Base(p) == "Kustomization" {
		data, err := read(files, p, true)
		return p, data, err
	}
	for _, name := range kustomizations {
		full := path.Join(p, name)
		data, err := read(files, full, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return full, data, err
	}
	return "", nil, fmt.Errorf("the folder %s has none of %s", p, strings.Join(kustomizations, ", "))
}

func (c *Kustomization) apply(files Files) ([]Edit, error) {
	p, data, err := c.file(files)
	if err != nil {
		return nil, err
	}
	s, err := parse(p, data)
	if err != nil {
		return nil, err
	}
	if len(s.docs) != 1 || s.docs[0].Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: is no kustomization", p)
	}
	entry := []segment{{key: "images"}, {key: "name", value: c.entry(s), how: bySelector}}
	var edits []Edit
	for _, part := range []struct{ key, value string }{{"newName", c.NewName}, {"newTag", c.NewTag}, {"digest", c.Digest}} {
		at := append(entry[:2:2], segment{key: part.key})
		var more []Edit
		switch {
		case part.value != "":
			s, more, err = s.setPath(nil, at, always(part.value), true)
		case part.key != "newName" && c.NewTag+c.Digest != "":
			s, more, err = s.without(at)
		}
		if err != nil {
			return nil, err
		}
		edits = append(edits, more...)
	}
	if len(edits) == 0 {
		return nil, nil
	}
	var out writes
	out.add(p, s.data)
	return edits, out.write(files)
}

// entry is the name of the image's entry: the same, or else another way to write
// it, if there is one such.
func (c *Kustomization) entry(s *source) string {
	images, err := s.valueOf(s.docs[0].Content[0], "images")
	if err != nil || images == nil {
		return c.Name
	}
	same := map[string]bool{}
	for _, e := range images.Content {
		if e.Kind != yaml.MappingNode {
			continue
		}
		if n, err := s.valueOf(e, "name"); err == nil && n != nil && canonical(n.Value) == canonical(c.Name) {
			same[n.Value] = true
		}
	}
	if len(same) == 1 {
		for name := range same {
			return name
		}
	}
	return c.Name
}

// without removes the last key of a path, if it is there.
func (s *source) without(path []segment) (*source, []Edit, error) {
	f, err := s.follow(s.docs[0], path)
	if err != nil || len(f.rest) > 0 {
		return s, nil, err
	}
	after, err := s.drop(f.parent, path[len(path)-1].key)
	if err != nil {
		return nil, nil, err
	}
	return after, []Edit{{Path: s.path, What: joined(path), Old: shown(f.at.node.Value)}}, nil
}
