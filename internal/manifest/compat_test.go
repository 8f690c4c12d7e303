package manifest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	sources "github.com/signalbox-events/signalbox/eventsource/all"
	"github.com/signalbox-events/signalbox/internal/manifest"
	triggers "github.com/signalbox-events/signalbox/sensor/trigger/all"
)

// allKinds are the kinds of the program itself.
func allKinds() manifest.Options {
	return manifest.Options{Sources: sources.Kinds, Triggers: triggers.Kinds}
}

// compatDir holds manifests of Argo Events, beside this repository.
const compatDir = "../../../shared/compat/manifests"

type knownBad struct{ file, class, where, reason string }

func compat(t *testing.T) (files []string, bad []knownBad) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(compatDir, "known-bad.tsv"))
	if err != nil {
		t.Skip("the manifests of Argo Events are not beside this repository")
	}
	for line := range strings.Lines(string(text)) {
		if col := strings.Split(strings.TrimSpace(line), "\t"); !strings.HasPrefix(line, "#") && len(col) >= 4 {
			bad = append(bad, knownBad{col[0], col[1], col[2], col[3]})
		}
	}
	err = filepath.WalkDir(compatDir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".yaml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 100 || len(bad) < 30 {
		t.Fatalf("%d files, %d known-bad rows, %v", len(files), len(bad), err)
	}
	return files, bad
}

// names tells whether a problem speaks of what a row says is wrong.
func (b knownBad) names(p manifest.Problem) bool {
	if p.Severity == v1alpha1.Note {
		return false
	}
	all := p.String()
	last := b.where[strings.LastIndexByte(b.where, '.')+1:]
	switch b.class {
	case "unknown-key":
		return p.Path == b.where && strings.Contains(p.Message, "unknown key")
	case "misplaced-key":
		return p.Path == b.where && strings.Contains(p.Hint, last+" belongs beside template")
	case "invalid":
		return p.Path == b.where && strings.Contains(p.Message, "is required")
	case "dangling":
		_, event, _ := strings.Cut(b.where, "/")
		return strings.HasSuffix(p.Path, ".eventName") && strings.Contains(p.Message, `no event "`+event+`"`)
	case "never-matches":
		return strings.Contains(p.Message, "custom-webhook") && strings.Contains(p.Message, "no event can match")
	case "dead-path":
		if !strings.Contains(p.Message, "never exists") {
			return false
		}
		switch {
		case strings.Contains(b.where, "filters.data") && strings.Contains(p.Path, "filters.data"),
			strings.Contains(b.where, "filters.exprs") && strings.Contains(p.Path, "filters.exprs"):
			return true
		case strings.Contains(b.where, "filters."):
			return false
		case strings.HasPrefix(b.where, "s3."):
			return strings.Contains(all, `"s3.bucket.name" never`)
		}
		for _, key := range strings.FieldsFunc(b.where, func(r rune) bool { return r == ' ' || r == ',' }) {
			if strings.Contains(p.Message, `"`+key+`" never`) && strings.HasSuffix(p.Path, ".dataKey") {
				return true
			}
		}
	}
	return false
}

func checkCompat(t *testing.T, set *manifest.Set, files []string, bad []knownBad, byItself bool) {
	t.Helper()
	isBad := map[string]bool{}
	for _, b := range bad {
		isBad[filepath.Join(compatDir, b.file)] = b.class != "placeholder"
	}
	problems := map[string][]manifest.Problem{}
	for _, p := range set.Problems {
		problems[p.File] = append(problems[p.File], p)
		if p.Severity == v1alpha1.Error && !isBad[p.File] {
			t.Errorf("error in a good manifest: %s", p)
		}
		if p.Line == 0 {
			t.Errorf("no line: %s", p)
		}
	}
	for _, file := range files {
		for _, b := range bad {
			if filepath.Join(compatDir, b.file) != file || byItself && b.class == "dangling" { // needs the other file
				continue
			}
			found := false
			for _, p := range problems[file] {
				found = found || b.names(p)
				if b.class == "placeholder" && strings.Contains(p.String(), "THIS_WILL_BE_REPLACED") {
					t.Errorf("a placeholder is not accepted: %s", p)
				}
			}
			if b.class != "placeholder" && !found {
				t.Errorf("%s: nothing names the mistake at %s: %s; there is\n%v", b.file, b.where, b.reason, problems[file])
			}
		}
	}
}

func TestArgoEventsManifestsTogether(t *testing.T) {
	files, bad := compat(t)
	checkCompat(t, manifest.Load([]string{compatDir}, allKinds()), files, bad, false)
}

func TestArgoEventsManifestsOneByOne(t *testing.T) {
	files, bad := compat(t)
	for _, file := range files {
		checkCompat(t, manifest.Load([]string{file}, allKinds()), []string{file}, bad, true)
	}
}
