package manifest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/signalbox-events/signalbox/internal/manifest"
)

func words(objects []*manifest.Object) string {
	var ns []string
	for _, o := range objects {
		ns = append(ns, o.Name)
	}
	return strings.Join(ns, " ")
}

func summary(c manifest.Changes) string {
	return "added " + words(c.Added) + ", changed " + words(c.Changed) + ", removed " + words(c.Removed) +
		", unchanged " + words(c.Unchanged) + ", held " + words(c.Held) + ", next " + words(c.Next.Objects)
}

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	load := func() *manifest.Set { return manifest.Load([]string{dir}, options()) }
	write(t, dir+"/a.yaml", hooks("a", "/a"))
	write(t, dir+"/bc.yaml", hooks("b", "/b")+"---\n"+hooks("c", "/c"))
	write(t, dir+"/sub/d.yaml", hooks("d", "/d"))

	c := manifest.Diff(nil, load())
	if got := summary(c); got != "added a b c d, changed , removed , unchanged , held , next a b c d" {
		t.Error(got)
	}

	write(t, dir+"/a.yaml", "# a comment is no change\n"+hooks("a", "/a"))
	write(t, dir+"/sub/d.yaml", hooks("d", "/dd"))
	c = manifest.Diff(c.Next, load())
	if got := summary(c); got != "added , changed d, removed , unchanged a b c, held , next a b c d" {
		t.Error(got)
	}

	write(t, dir+"/a.yaml", hooks("a", "''"))                  // broken
	write(t, dir+"/bc.yaml", hooks("b", "/b2")+"---\nkind: [") // c may be in what cannot be read
	c = manifest.Diff(c.Next, load())
	if got := summary(c); got != "added , changed b, removed , unchanged d, held a c, next a b c d" {
		t.Error(got)
	}
	for _, o := range c.Next.Objects {
		if o.Broken {
			t.Errorf("%s runs broken", o.ID)
		}
	}

	write(t, dir+"/a.yaml", hooks("a", "/a"))
	write(t, dir+"/bc.yaml", hooks("b", "/b2"))
	c = manifest.Diff(c.Next, load())
	if got := summary(c); got != "added , changed , removed c, unchanged a b d, held , next a b d" {
		t.Error(got)
	}

	c = manifest.Diff(c.Next, manifest.Load([]string{dir + "-gone"}, options()))
	if got := summary(c); got != "added , changed , removed a b d, unchanged , held , next " {
		t.Error(got)
	}
}

func TestDiffOfWhatNeverRan(t *testing.T) {
	broken := manifest.Read("m.yaml", []byte(hooks("a", "''")), options())
	c := manifest.Diff(nil, broken)
	if got := summary(c); got != "added , changed , removed , unchanged , held , next a" {
		t.Error(got)
	}
	c = manifest.Diff(c.Next, manifest.Read("m.yaml", []byte(hooks("a", "/a")), options()))
	if got := summary(c); got != "added a, changed , removed , unchanged , held , next a" {
		t.Error(got)
	}
	c = manifest.Diff(manifest.Diff(nil, broken).Next, manifest.Read("m.yaml", nil, options()))
	if got := summary(c); got != "added , changed , removed , unchanged , held , next " {
		t.Error(got)
	}
}

// A folder that cannot be looked at for a moment, because a mount is being
// swapped, must not stop what runs from it.
func TestDiffHoldsWhatAMissingFolderHad(t *testing.T) {
	dir := t.TempDir() + "/mount"
	write(t, dir+"/a.yaml", hooks("a", "/a"))
	paths := []string{dir}
	c := manifest.Diff(nil, manifest.Load(paths, options()))
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	c = manifest.Diff(c.Next, manifest.Load(paths, options()))
	if got := summary(c); got != "added , changed , removed , unchanged , held a, next a" {
		t.Error(got)
	}
}

func TestHashCoversWhatTheUserWrote(t *testing.T) {
	hash := func(text string) string {
		return manifest.Read("m.yaml", []byte(text), options()).Objects[0].Hash
	}
	base := hash(hooks("a", "/a"))
	for name, tc := range map[string]struct {
		text string
		same bool
	}{
		"order and style": {"spec:\n  webhook:\n    e:\n      endpoint: \"/a\"\nmetadata:\n  name: a\nkind: EventSource\napiVersion: argoproj.io/v1alpha1\n", true},
		"status":          {hooks("a", "/a") + "status: {conditions: []}\n", true},
		"server's fields": {strings.Replace(hooks("a", "/a"), "{name: a}", "{name: a, resourceVersion: \"5\", generation: 3}", 1), true},
		"label":           {strings.Replace(hooks("a", "/a"), "{name: a}", "{name: a, labels: {x: y}}", 1), false},
		"spec":            {hooks("a", "/b"), false},
	} {
		if (hash(tc.text) == base) != tc.same {
			t.Errorf("%s: want same %v", name, tc.same)
		}
	}
}
