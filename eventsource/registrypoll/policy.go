package registrypoll

import (
	"cmp"
	"math/big"
	"regexp"
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
)

const (
	numerical    = "numerical"
	alphabetical = "alphabetical"
	semantic     = "semver"
	ascending    = "ascending"
	descending   = "descending"
)

// picker picks one of a repository's tags.
type picker struct {
	// rank gives what tags are compared by; nil for one that does not count.
	rank func(tag string) any
	// compare ranks; greater is picked.
	compare func(a, b any) int
}

// newPicker returns nil for the policy newest, which is not about names. Its
// errors are Problems with paths in the policy.
func newPicker(p *Policy) (*picker, error) {
	switch {
	case p.Semver != "":
		c, err := semver.NewConstraint(p.Semver)
		if err != nil {
			return nil, v1alpha1.Invalid("semver", "%q is no range of versions: %v", p.Semver, err).Hinted("for example >=1.4 <2")
		}
		return &picker{compare: compareVersions, rank: func(tag string) any {
			if v, err := semver.NewVersion(tag); err == nil && c.Check(v) {
				return v
			}
			return nil
		}}, nil
	case p.Regexp != nil:
		return p.Regexp.picker()
	}
	return nil, nil
}

func (r *RegexpPolicy) picker() (*picker, error) {
	re, err := regexp.Compile("^(?:" + r.Pattern + ")$")
	switch {
	case r.Pattern == "":
		return nil, v1alpha1.Invalid("regexp.pattern", "is missing").Hinted(`for example main-(\d+)`)
	case err != nil:
		return nil, v1alpha1.Invalid("regexp.pattern", "%v", err)
	}
	p := &picker{}
	var value func(text string) any
	switch r.Sort {
	case numerical, "":
		value, p.compare = number, func(a, b any) int { return a.(*big.Rat).Cmp(b.(*big.Rat)) }
	case alphabetical:
		value, p.compare = func(s string) any { return s }, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) }
	case semantic:
		value, p.compare = version, compareVersions
	default:
		return nil, v1alpha1.Invalid("regexp.sort", "there is no order %q", r.Sort).Hinted("numerical, alphabetical or semver")
	}
	switch r.Order {
	case ascending, "":
	case descending:
		up := p.compare
		p.compare = func(a, b any) int { return up(b, a) }
	default:
		return nil, v1alpha1.Invalid("regexp.order", "there is no order %q", r.Order).Hinted("ascending or descending")
	}
	p.rank = func(tag string) any {
		m := re.FindStringSubmatch(tag)
		switch {
		case m == nil:
			return nil
		case len(m) > 1:
			return value(m[1])
		}
		return value(m[0])
	}
	return p, nil
}

// mostDigits bounds numbers, which tags can make as long as they like.
const mostDigits = 40

func number(s string) any {
	if len(s) > mostDigits || !plainNumber.MatchString(s) {
		return nil
	}
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return n
}

var plainNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

func version(s string) any {
	v, err := semver.NewVersion(s)
	if err != nil {
		return nil
	}
	return v
}

func compareVersions(a, b any) int { return a.(*semver.Version).Compare(b.(*semver.Version)) }

// pick returns "" if no tag counts. Of equals the last in the alphabet is picked.
func (p *picker) pick(tags []string) string {
	best, bestRank := "", any(nil)
	for _, tag := range slices.Sorted(slices.Values(tags)) {
		if rank := p.rank(tag); rank != nil && (bestRank == nil || p.compare(rank, bestRank) >= 0) {
			best, bestRank = tag, rank
		}
	}
	return best
}

// above tells whether a ranks above b, or b does not count any more.
func (p *picker) above(a, b string) bool {
	ra, rb := p.rank(a), p.rank(b)
	return ra != nil && (rb == nil || p.compare(ra, rb) > 0)
}
