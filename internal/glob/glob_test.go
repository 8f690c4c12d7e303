package glob

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"*.md", "README.md", true},
		{"*.md", "doc/README.md", false},
		{"**/*.md", "README.md", true},
		{"**/*.md", "a/b/README.md", true},
		{"**/*.md", "a/b/README.mdx", false},
		{"a/**/c", "a/c", true},
		{"a/**/c", "a/b/b/c", true},
		{"a/**/c", "ab/c", false},
		{"a/**", "a/b/c", true},
		{"a/**", "a", false},
		{"a**/c", "ab/c", true},
		{"a**/c", "a/c", true},
		{"**", "", true},
		{"*", "", true},
		{"?", "é", true},
		{"?", "/", false},
		{"x?z/*", "xyz/", true},
		{"**/", "a/b/", true},
		{"**/", "a/b", false},
		{"", "", true},
		{"", "a", false},
	} {
		if got := Match(c.pattern, c.text); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}
