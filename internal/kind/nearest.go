package kind

import (
	"cmp"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

// UnknownKey is the warning for a key that is not among known.
func UnknownKey(path, key string, known []string) *v1alpha1.Problem {
	p := v1alpha1.Warn(path, "unknown key %q is ignored", key)
	if near := Nearest(key, known); near != "" {
		return p.Hinted("did you mean %q?", near)
	}
	return p
}

// Nearest is the word of known that key was most likely meant to be, or "": one
// that a few slips of the pen turn it into, or one of which it is a part.
func Nearest(key string, known []string) string {
	best, limit := "", max(1, len(key)/3)+1
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return k
		}
		if d := distance(strings.ToLower(key), strings.ToLower(k)); d < limit && d < len(key) {
			best, limit = k, d
		}
	}
	if best == "" {
		best = nearestPart(key, known)
	}
	return best
}

// nearestPart is the word of known that has key in it, as eventSourceName has
// eventSource, or the other way round. Of several it is the shortest, if key is
// more than half of that; otherwise there is too much choice.
func nearestPart(key string, known []string) string {
	var longer, shorter []string
	for _, k := range known {
		switch {
		case hasPart(k, key):
			longer = append(longer, k)
		case hasPart(key, k) && len(k) < len(key):
			shorter = append(shorter, k)
		}
	}
	byLength := func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
	if len(longer) > 0 {
		best := slices.MinFunc(longer, byLength)
		if len(longer) > 1 && 2*len(key) <= len(best) {
			return ""
		}
		return best
	}
	if len(shorter) > 0 {
		return slices.MaxFunc(shorter, byLength)
	}
	return ""
}

// hasPart tells whether part begins where a word of whole begins (event, Source
// and Name in eventSourceName), and, unless it has four letters or more, ends
// where one ends. Case does not matter otherwise.
func hasPart(whole, part string) bool {
	if len(part) < 3 {
		return false
	}
	for i := 0; i+len(part) <= len(whole); i++ {
		end := i + len(part)
		if wordBegins(whole, i) && strings.EqualFold(whole[i:end], part) && (len(part) > 3 || wordBegins(whole, end)) {
			return true
		}
	}
	return false
}

// wordBegins tells whether a word of s begins, or the last one ends, at i.
func wordBegins(s string, i int) bool {
	if i == 0 || i >= len(s) {
		return true
	}
	upper := func(b byte) bool { return 'A' <= b && b <= 'Z' }
	letter := func(b byte) bool { return upper(b) || 'a' <= b && b <= 'z' }
	return letter(s[i]) != letter(s[i-1]) || upper(s[i]) && !upper(s[i-1])
}

// distance is the number of insertions, deletions, changes and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range len(a) {
		older, old, now := rows[i%3], rows[(i+1)%3], rows[(i+2)%3]
		now[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(old[j+1]+1, now[j]+1, old[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], older[j-1]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
