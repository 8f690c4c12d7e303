package edit

import (
	"errors"
	"fmt"

	yaml "go.yaml.in/yaml/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func (c *Helm) texts() []text {
	return []text{
		{"file", &c.File},
		{"image", &c.Image},
		{"repository", &c.Repository},
		{"tag", &c.Tag},
		{"digest", &c.Digest},
		{"repositoryPath", &c.RepositoryPath},
		{"tagPath", &c.TagPath},
		{"digestPath", &c.DigestPath},
	}
}

// helmPart is one of the values, and where it goes.
type helmPart struct{ name, value, path string }

func (c *Helm) parts() []helmPart {
	all := []helmPart{{"repository", c.Repository, c.RepositoryPath}, {"tag", c.Tag, c.TagPath}, {"digest", c.Digest, c.DigestPath}}
	for i := range all {
		if all[i].path == "" && c.Image != "" {
			all[i].path = c.Image + "." + all[i].name
		}
	}
	return all
}

func (c *Helm) check(final bool) error {
	errs := []error{checkPath("file", c.File, final)}
	add := func(err error) { errs = append(errs, err) }
	if c.Image != "" {
		add(checkYAMLPath("image", c.Image, final))
	}
	for _, p := range []helmPart{{path: c.RepositoryPath, name: "repository"}, {path: c.TagPath, name: "tag"}, {path: c.DigestPath, name: "digest"}} {
		if p.path != "" {
			add(checkYAMLPath(p.name+"Path", p.path, final))
		}
	}
	set := 0
	for _, p := range c.parts() {
		if p.value == "" {
			continue
		}
		set++
		if p.path == "" {
			add(v1alpha1.Invalid(p.name, "has nowhere to go").Hinted("give image or %sPath", p.name))
		}
	}
	if set == 0 {
		add(v1alpha1.Invalid("tag", "is missing, and so are repository and digest"))
	}
	add(checkPart("repository", c.Repository, nameForm, final, "name"))
	add(checkPart("tag", c.Tag, tagForm, final, "tag"))
	add(checkPart("digest", c.Digest, digestForm, final, "digest"))
	return errors.Join(errs...)
}

func (c *Helm) targets() []string {
	var all []string
	for _, p := range c.parts() {
		if p.value != "" {
			all = append(all, c.File+" "+p.path)
		}
	}
	return all
}

func (c *Helm) apply(files Files) ([]Edit, error) {
	data, err := read(files, c.File, true)
	if err != nil {
		return nil, err
	}
	s, err := parse(c.File, data)
	if err != nil {
		return nil, err
	}
	var edits []Edit
	after, edits, err := c.whole(s)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = s
		for _, p := range c.parts() {
			if p.value == "" {
				continue
			}
			path, err := parsePath(p.path)
			if err != nil {
				return nil, fmt.Errorf("%sPath: %w", p.name, err)
			}
			var more []Edit
			if after, more, err = after.setPath(nil, path, always(p.value), c.Create); err != nil {
				return nil, err
			}
			edits = append(edits, more...)
		}
	}
	if len(edits) == 0 {
		return nil, nil
	}
	var out writes
	out.add(c.File, after.data)
	return edits, out.write(files)
}

// whole sets image if it is a text, REPOSITORY:TAG; after is nil if it is none.
func (c *Helm) whole(s *source) (after *source, edits []Edit, err error) {
	if c.Image == "" || c.RepositoryPath+c.TagPath+c.DigestPath != "" {
		return nil, nil, nil
	}
	path, err := parsePath(c.Image)
	if err != nil {
		return nil, nil, fmt.Errorf("image: %w", err)
	}
	f, err := s.reach(nil, path, c.Create)
	if err != nil {
		return nil, nil, err
	}
	n := f.at.node
	if len(f.rest) > 0 || n.Kind != yaml.ScalarNode || typeOf(n) == typeNull {
		return nil, nil, nil
	}
	if name, _, _ := cutReference(n.Value); typeOf(n) != typeString || c.Repository == "" && name == "" {
		return nil, nil, s.errorf(n, "%s is neither an image nor a block with repository and tag", c.Image)
	}
	return s.setPath(nil, path, always(changed(n.Value, c.Repository, c.Tag, c.Digest)), false)
}

// always is a string, whatever is there.
func always(text string) func(string) (value, error) {
	return func(string) (value, error) { return text1(text), nil }
}
