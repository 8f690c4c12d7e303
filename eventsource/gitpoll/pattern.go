package gitpoll

import (
	"regexp"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/webhook/gitevent"
)

// selection says which refs are looked at. It is a part of what is remembered,
// so that a ref that a changed manifest brings into sight is not taken for new.
type selection struct {
	Branches []string `json:"branches,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Ignore   []string `json:"ignore,omitempty"`
}

func checkPattern(p string) error {
	switch {
	case p == "":
		return v1alpha1.Invalid("", "is empty").Hinted("** matches everything")
	case strings.HasPrefix(p, "!"):
		return v1alpha1.Invalid("", "%q begins with !", p).Hinted("write what is not wanted into ignore")
	}
	return nil
}

// matcher is a selection that is ready for use.
type matcher struct{ branches, tags, ignore []*regexp.Regexp }

func (s selection) matcher() matcher {
	return matcher{compile(s.Branches), compile(s.Tags), compile(s.Ignore)}
}

// match tells whether a whole ref is selected.
func (m matcher) match(ref string) bool {
	var e gitevent.Event
	e.SetRef(ref)
	switch {
	case e.Branch != "":
		return matches(m.branches, ref, e.Branch) && !matches(m.ignore, ref, e.Branch)
	case e.Tag != "":
		return matches(m.tags, ref, e.Tag) && !matches(m.ignore, ref, e.Tag)
	}
	return false
}

func matches(patterns []*regexp.Regexp, ref, name string) bool {
	for _, p := range patterns {
		if p.MatchString(name) || p.MatchString(ref) && strings.HasPrefix(p.String(), "^refs/") {
			return true
		}
	}
	return false
}

// compile makes regular expressions of patterns. They begin with ^ and what the
// pattern begins with.
func compile(patterns []string) []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range patterns {
		var b strings.Builder
		b.WriteString("^")
		for i := 0; i < len(p); {
			rest := p[i:]
			switch {
			case strings.HasPrefix(rest, "**/") && (i == 0 || p[i-1] == '/'):
				b.WriteString("(?:.*/)?")
				i += 3
			case strings.HasPrefix(rest, "**"):
				b.WriteString(".*")
				i += 2
			case rest[0] == '*':
				b.WriteString("[^/]*")
				i++
			case rest[0] == '?':
				b.WriteString("[^/]")
				i++
			default:
				n := strings.IndexAny(rest, "*?")
				if n < 0 {
					n = len(rest)
				}
				b.WriteString(regexp.QuoteMeta(rest[:n]))
				i += n
			}
		}
		b.WriteString("$")
		re, err := regexp.Compile(b.String())
		if err != nil { // of bytes that are no UTF-8; no ref that we know has them
			continue
		}
		all = append(all, re)
	}
	return all
}
