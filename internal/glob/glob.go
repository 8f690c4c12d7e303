// Package glob matches names of branches, tags and files with patterns.
package glob

import (
	"slices"
	"strings"
)

// Match matches a whole text: * is any characters but /, ** any characters, ? one
// character but /; and **/ at the beginning or after a / is any number of
// folders, none included. It looks at no character more often than pattern and
// text are long.
func Match(pattern, text string) bool {
	// What comes before the first wildcard costs nothing, and mostly decides.
	plain := strings.IndexAny(pattern, "*?")
	if plain < 0 {
		return pattern == text
	}
	if !strings.HasPrefix(text, pattern[:plain]) {
		return false
	}
	folder := plain == 0 || pattern[plain-1] == '/'
	pattern, text = pattern[plain:], text[plain:]

	// reached[j] tells whether the pattern so far matches text[:j].
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for i := 0; i < len(pattern); i++ {
		switch {
		case folder && strings.HasPrefix(pattern[i:], "**/"):
			i += len("**/") - 1
			skipFolders(reached, text)
		case pattern[i] == '*':
			any := i+1 < len(pattern) && pattern[i+1] == '*'
			if any {
				i++
			}
			for j := range text {
				if reached[j] && (any || text[j] != '/') {
					reached[j+runeLen(text, j)] = true
				}
			}
		default:
			reached = step(reached, text, pattern[i])
		}
		folder = pattern[i] == '/'
	}
	return reached[len(text)]
}

// skipFolders lets a match go on behind each later slash too.
func skipFolders(reached []bool, text string) {
	before := false
	for j := range len(text) {
		before = before || reached[j]
		if before && text[j] == '/' {
			reached[j+1] = true
		}
	}
}

// step goes on by one character of the pattern.
func step(reached []bool, text string, c byte) []bool {
	next := make([]bool, len(text)+1)
	for j := range len(text) {
		switch {
		case !reached[j]:
		case c == '?' && text[j] != '/':
			next[j+runeLen(text, j)] = true
		case c == text[j]:
			next[j+1] = true
		}
	}
	return next
}

func runeLen(s string, at int) int {
	for n := 1; ; n++ {
		if at+n == len(s) || s[at+n]&0xc0 != 0x80 {
			return n
		}
	}
}

// Set is several patterns, of which those that begin with ! take texts away
// again. One that stands alone with ! takes away from everything.
type Set struct{ yes, no []string }

// NewSet sorts patterns.
func NewSet(patterns []string) Set {
	var g Set
	for _, p := range patterns {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			g.no = append(g.no, not)
		} else {
			g.yes = append(g.yes, p)
		}
	}
	return g
}

// Match tells whether the set has a text.
func (g Set) Match(text string) bool {
	in := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, text) })
	}
	return (len(g.yes) == 0 || in(g.yes)) && !in(g.no)
}
