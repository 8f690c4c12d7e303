package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/glob"
)

// writes are files that are to be written once all is known to be well.
type writes struct {
	paths []string
	data  [][]byte
}

func (w *writes) add(path string, data []byte) {
	w.paths, w.data = append(w.paths, path), append(w.data, data)
}

func (w *writes) write(files Files) error {
	for i, p := range w.paths {
		if err := tooLarge(p, w.data[i]); err != nil {
			return err
		}
	}
	for i, p := range w.paths {
		if err := files.Write(p, w.data[i]); err != nil {
			return fmt.Errorf("write %s: %w", p, err)
		}
	}
	return nil
}

// read reads a file; one that was named in full gets an error that says so if it
// is not there.
func read(files Files, path string, named bool) ([]byte, error) {
	data, err := files.Read(path)
	switch {
	case named && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the repository has no file %s: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, tooLarge(path, data)
}

// encode gives JSON without the escapes that only browsers need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// checkPath judges the path of one file.
func checkPath(field, p string, final bool) error {
	switch {
	case !decided(p, final):
		return nil
	case p == "":
		return v1alpha1.Invalid(field, "is required")
	case strings.ContainsAny(p, "\\\x00\n\r"), path.IsAbs(p), path.Clean(p) != p && path.Clean(p)+"/" != p, p == "..", strings.HasPrefix(p, "../"):
		return v1alpha1.Invalid(field, "%q is no path inside the repository", p).Hinted("write it from the repository's root with /, without . and ..")
	}
	for part := range strings.SplitSeq(p, "/") {
		if strings.EqualFold(strings.TrimRight(part, ". "), ".git") || strings.EqualFold(part, "git~1") || strings.Contains(part, ":") {
			return v1alpha1.Invalid(field, "%q is refused, as it may mean Git's own files", p)
		}
	}
	return nil
}

// checkFiles judges a list of paths and patterns.
func checkFiles(files []string, final bool) error {
	var errs []error
	some := false
	for i, f := range files {
		name, not := strings.CutPrefix(f, "!")
		some = some || !not
		errs = append(errs, checkPath("files"+v1alpha1.Index(i), name, final))
	}
	if !some {
		errs = append(errs, v1alpha1.Invalid("files", "names no file"))
	}
	return errors.Join(errs...)
}

// find lists the files that patterns name; plain tells which of them were named
// in full, and so must be there.
func find(files Files, patterns []string) (paths []string, plain map[string]bool, err error) {
	plain = map[string]bool{}
	seen := map[string]bool{}
	set := glob.NewSet(patterns)
	for _, p := range patterns {
		switch {
		case strings.HasPrefix(p, "!"):
			continue
		case !strings.ContainsAny(p, "*?"):
			if set.Match(p) && !seen[p] {
				paths = append(paths, p)
				seen[p], plain[p] = true, true
			}
			continue
		}
		found, err := files.List(p)
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", p, err)
		}
		for _, f := range found {
			if !seen[f] && set.Match(f) && checkPath("", f, true) == nil {
				paths = append(paths, f)
				seen[f] = true
			}
		}
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("no file of the repository fits %s", strings.Join(patterns, ", "))
	}
	return paths, plain, nil
}
