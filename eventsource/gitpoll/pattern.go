package gitpoll

import (
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/glob"
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

// match tells whether a whole ref is selected.
func (s selection) match(ref string) bool {
	var e gitevent.Event
	e.SetRef(ref)
	switch {
	case e.Branch != "":
		return matches(s.Branches, ref, e.Branch) && !matches(s.Ignore, ref, e.Branch)
	case e.Tag != "":
		return matches(s.Tags, ref, e.Tag) && !matches(s.Ignore, ref, e.Tag)
	}
	return false
}

// matches takes a pattern that begins with refs/ for one of whole refs.
func matches(patterns []string, ref, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return glob.Match(p, name) || strings.HasPrefix(p, "refs/") && glob.Match(p, ref)
	})
}
