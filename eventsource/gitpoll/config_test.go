package gitpoll

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		problems []string // part of each, in order; warnings begin with "?", notes with "!"
	}{
		"least":        {"url: https://example.com/a/b.git", nil},
		"everything":   {"url: https://example.com/a/b.git\ninterval: 30s\nbranches: [main, 'release/*']\ntags: ['v*']\nignore: ['refs/heads/dependabot/**']\nchangedFiles: false\nmaxCommits: 0\nemitExisting: true\ncreds: {username: {name: a, key: b}, password: {name: a, key: c}}\ntls: {caCertSecret: {name: a, key: ca}}\nmetadata: {a: b}\nfilter: {expression: git.branch == 'main'}", nil},
		"ssh":          {"url: git@example.com:a/b.git\nsshKeySecret: {name: a, key: b}\nknownHosts: {configMap: {name: hosts, key: known}}", nil},
		"nothing":      {"{}", []string{"url: is required"}},
		"bad access":   {"url: https://ann:pw@example.com/a\nsshKeySecret: {name: a}", []string{"url: holds a user or a password", "sshKeySecret: needs name and key"}},
		"short":        {"url: https://h/a\ninterval: 1s", []string{"!interval: is short"}},
		"too short":    {"url: https://h/a\ninterval: 1ms", []string{"interval: 1ms is too short"}},
		"no interval":  {"url: https://h/a\ninterval: soon", []string{`interval: "soon" is no duration`}},
		"patterns":     {"url: https://h/a\nbranches: ['']\ntags: ['!v1']\nignore: [x, '']", []string{"branches[0]: is empty", `tags[0]: "!v1" begins with !`, "ignore[1]: is empty"}},
		"commits":      {"url: https://h/a\nmaxCommits: -1", []string{"maxCommits: -1 is not between 0 and 1000"}},
		"more commits": {"url: https://h/a\nmaxCommits: 1001", []string{"maxCommits: 1001 is not"}},
		"unknown key":  {"url: https://h/a\nbranch: main", []string{`?branch: unknown key "branch"`}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(c.manifest))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Kind.Decode(raw)
			found := v1alpha1.Problems(err)
			if len(found) != len(c.problems) {
				t.Fatalf("found %d problems, want %d:\n%v", len(found), len(c.problems), err)
			}
			for i, want := range c.problems {
				severity := v1alpha1.Error
				if strings.HasPrefix(want, "?") {
					severity = v1alpha1.Warning
				} else if strings.HasPrefix(want, "!") {
					severity = v1alpha1.Note
				}
				if !strings.Contains(found[i].Error(), strings.TrimLeft(want, "?!")) || found[i].Severity != severity {
					t.Errorf("problem %d is %q, a %s; want %q", i, found[i], found[i].Severity, want)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	for manifest, want := range map[string]string{
		"{url: https://h/a}":                               "[**] []",
		"{url: https://h/a, tags: ['v*']}":                 "[] [v*]",
		"{url: https://h/a, branches: [main], tags: [v1]}": "[main] [v1]",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(manifest), &c); err != nil {
			t.Fatal(err)
		}
		c.Default()
		got := "[" + strings.Join(c.Branches, " ") + "] [" + strings.Join(c.Tags, " ") + "]"
		if got != want || c.Interval.String() != "1m0s" || !*c.ChangedFiles || *c.MaxCommits != 100 {
			t.Errorf("%s: %s, %+v", manifest, got, c)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		branches, tags, ignore, yes, no string // separated by blanks
	}{
		{"**", "", "", "refs/heads/main refs/heads/a/b/c refs/heads/ä", "refs/tags/v1 refs/pull/1/head HEAD refs/heads/"},
		{"*", "", "", "refs/heads/main", "refs/heads/a/b"},
		{"main release/*", "v*", "", "refs/heads/main refs/heads/release/1 refs/tags/v1 refs/tags/v", "refs/heads/main2 refs/heads/release/1/2 refs/tags/main refs/heads/v1 refs/tags/v/1"},
		{"**/fix", "", "", "refs/heads/fix refs/heads/a/fix refs/heads/a/b/fix", "refs/heads/afix refs/heads/fix/a"},
		{"a**", "", "", "refs/heads/a refs/heads/a/b", "refs/heads/b"},
		{"v?.x", "", "", "refs/heads/v1.x refs/heads/vä.x", "refs/heads/v10.x refs/heads/v1yx refs/heads/v/.x"},
		{"[a]{b}.+", "", "", "refs/heads/[a]{b}.+", "refs/heads/a"},
		{"**", "**", "dependabot/** nightly", "refs/heads/main refs/tags/v1", "refs/heads/dependabot/x refs/heads/nightly refs/tags/nightly"},
		{"**", "**", "refs/tags/nightly", "refs/heads/nightly refs/tags/v1", "refs/tags/nightly"},
		{"refs/heads/main", "", "", "refs/heads/main", "refs/heads/other refs/tags/main"},
		{"refs/tags/*", "", "", "refs/heads/refs/tags/a", "refs/tags/a"},
	} {
		m := selection{strings.Fields(c.branches), strings.Fields(c.tags), strings.Fields(c.ignore)}
		for _, ref := range strings.Fields(c.yes) {
			if !m.match(ref) {
				t.Errorf("%v does not match %s", c, ref)
			}
		}
		for _, ref := range strings.Fields(c.no) {
			if m.match(ref) {
				t.Errorf("%v matches %s", c, ref)
			}
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"**", "a/**/b", "**/", "?", "[", "\xff*", "refs/heads/*"} {
		f.Add(s, "refs/heads/a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, ref string) {
		m := selection{Branches: []string{pattern}, Ignore: []string{"**"}}
		if strings.ToValidUTF8(ref, "") == ref && !strings.Contains(ref, "\n") && m.match(ref) {
			t.Errorf("%q is matched by %q, though everything is ignored", ref, pattern)
		}
	})
}
