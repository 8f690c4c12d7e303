package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func (c *File) texts() []text { return []text{{"path", &c.Path}, {"content", &c.Content}} }

func (c *File) check(final bool) error {
	errs := []error{checkPath("path", c.Path, final)}
	if decided(c.Path, final) && (strings.HasSuffix(c.Path, "/") || path.Clean(c.Path) == ".") && c.Path != "" {
		errs = append(errs, v1alpha1.Invalid("path", "%q is a folder", c.Path))
	}
	if c.Remove && c.Content != "" {
		errs = append(errs, v1alpha1.Invalid("content", "is given beside remove").Hinted("give one of them"))
	}
	return errors.Join(errs...)
}

func (c *File) targets() []string { return []string{c.Path} }

func (c *File) apply(files Files) ([]Edit, error) {
	old, err := files.Read(c.Path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, fmt.Errorf("read %s: %w", c.Path, err)
	}
	e := Edit{Path: c.Path}
	if !missing {
		e.Old = size(old)
	}
	data := []byte(c.Content)
	switch {
	case c.Remove && missing, !c.Remove && !missing && bytes.Equal(old, data):
		return nil, nil
	case c.Remove:
		if err := files.Remove(c.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove %s: %w", c.Path, err)
		}
		return []Edit{e}, nil
	}
	e.New = size(data)
	var out writes
	out.add(c.Path, data)
	return []Edit{e}, out.write(files)
}

func size(data []byte) string { return fmt.Sprintf("%d bytes", len(data)) }
