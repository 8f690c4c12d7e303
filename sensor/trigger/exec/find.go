package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// errNotAllowed is what a process says that was not told which programs it may run.
var errNotAllowed = errors.New("this process runs no programs: start it with --allow-exec DIR, the folder that has them (signalbox run)")

// find resolves the command and the working directory, and says which folder
// has the command. Links are followed, and what they lead to has to lie in one
// of the folders, too. Whoever can exchange a file between this and its start may
// write in the folders, and so could have put any program there.
func (c *call) find(folders []string) (program, dir string, err error) {
	if len(folders) == 0 {
		return "", "", trigger.Permanent(errNotAllowed)
	}
	roots := make([]string, len(folders))
	for i, f := range folders {
		if roots[i], err = resolve(f); err != nil {
			return "", "", fmt.Errorf("--allow-exec: %w", err)
		}
	}
	program, root, err := in(roots, c.conf.Command)
	if err != nil {
		return "", "", err
	}
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return "", "", err
	case !info.Mode().IsRegular():
		return "", "", fmt.Errorf("%s is no file", program)
	case info.Mode().Perm()&0o111 == 0:
		return "", "", fmt.Errorf("%s is not executable", program)
	case info.Mode().Perm()&0o002 != 0:
		return "", "", fmt.Errorf("everybody may write %s: chmod o-w", program)
	}
	if c.conf.WorkingDirectory == "" {
		return program, root, nil
	}
	if dir, _, err = in(roots, c.conf.WorkingDirectory); err != nil {
		return "", "", fmt.Errorf("workingDirectory: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return "", "", err
	} else if !info.IsDir() {
		return "", "", fmt.Errorf("workingDirectory: %s is no folder", dir)
	}
	return program, dir, nil
}

func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// in resolves a path, and says in which of the roots it lies. A relative one is looked
// for in each.
func in(roots []string, path string) (found, root string, err error) {
	if err := validPath(path); err != nil {
		return "", "", trigger.Permanent(fmt.Errorf("%s %w", path, err))
	}
	candidates := []string{path}
	if !filepath.IsAbs(path) {
		candidates = nil
		for _, r := range roots {
			candidates = append(candidates, filepath.Join(r, path))
		}
	}
	for _, candidate := range candidates {
		found, err = filepath.EvalSymlinks(candidate)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return "", "", err
		}
		for _, r := range roots {
			if within(found, r) {
				return found, r, nil
			}
		}
		return "", "", trigger.Permanent(fmt.Errorf("%s is not in a folder of --allow-exec", found))
	}
	if filepath.IsAbs(path) {
		return "", "", err
	}
	return "", "", fmt.Errorf("%s: %w in the folders of --allow-exec", path, os.ErrNotExist)
}

func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator))
}
