package condition

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/internal/kind"
)

// maxDepth is the number of parentheses that may be open at one place.
const maxDepth = 200

// Parse reads a condition over names. Blank text means Default. The error
// joins v1alpha1.Problems without a path that say at which column what is
// wrong: every unknown name, or the first mistake in the syntax.
func Parse(text string, names []string) (*Expr, error) {
	if strings.TrimSpace(text) == "" {
		return Default(names), nil
	}
	byLength := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })
	slices.SortStableFunc(byLength, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	p := &parser{text: text, names: byLength}
	root, err := p.expression(0)
	if err == nil && p.pos < len(p.text) {
		err = p.unexpected("&& or ||")
	}
	if err != nil {
		return nil, errors.Join(append(p.unknown, err)...)
	}
	if len(p.unknown) > 0 {
		return nil, errors.Join(p.unknown...)
	}
	return newExpr(root), nil
}

type parser struct {
	text string
	// names, longest first.
	names []string
	pos   int
	// unknown are the names that could not be resolved. They do not end the
	// parsing, so that all of them are told.
	unknown []error
}

func (p *parser) expression(depth int) (node, error) { return p.chain(or, depth, p.term) }

func (p *parser) term(depth int) (node, error) { return p.chain(and, depth, p.factor) }

func (p *parser) chain(op operator, depth int, part func(int) (node, error)) (node, error) {
	var parts []node
	for {
		n, err := part(depth)
		if err != nil {
			return node{}, err
		}
		parts = append(parts, n)
		if !strings.HasPrefix(p.rest(), string(op)) {
			return join(op, parts), nil
		}
		p.pos += len(op)
	}
}

func (p *parser) factor(depth int) (node, error) {
	rest := p.rest()
	if name := p.known(rest); name != "" {
		p.pos += len(name)
		p.rest()
		return node{name: name}, nil
	}
	if strings.HasPrefix(rest, "(") {
		return p.parenthesis(depth)
	}
	word := rest[:wordLength(rest)]
	if word == "" || word[0] == '!' {
		return node{}, p.unexpected("a dependency name or (")
	}
	n := node{name: p.resolve(word)}
	p.pos += len(word)
	p.rest()
	return n, nil
}

func (p *parser) parenthesis(depth int) (node, error) {
	open := p.pos
	if depth == maxDepth {
		return node{}, p.problem(open, "more than 200 parentheses in one another")
	}
	p.pos++
	n, err := p.expression(depth + 1)
	if err != nil {
		return node{}, err
	}
	if p.pos == len(p.text) {
		return node{}, p.problem(open, "this ( is never closed")
	}
	if p.text[p.pos] != ')' {
		return node{}, p.unexpected("&&, || or )")
	}
	p.pos++
	p.rest()
	return n, nil
}

// rest skips white space and returns what is still to be read.
func (p *parser) rest() string {
	rest := strings.TrimLeft(p.text[p.pos:], " \t\r\n")
	p.pos = len(p.text) - len(rest)
	return rest
}

// known is the longest name that rest begins with and that ends where a word
// can end.
func (p *parser) known(rest string) string {
	for _, n := range p.names {
		if after, ok := strings.CutPrefix(rest, n); ok && wordLength(after) == 0 {
			return n
		}
	}
	return ""
}

// resolve finds the name that word means with dashes read as underscores, and
// notes a problem if there is none or more than one.
func (p *parser) resolve(word string) string {
	var found []string
	for _, n := range p.names {
		if underscored(n) == underscored(word) && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 1:
		return found[0]
	case 0:
		bad := p.problem(p.pos, "unknown dependency %q", word)
		if near := kind.Nearest(word, p.names); near != "" {
			bad.Hinted("did you mean %q?", near)
		}
		p.unknown = append(p.unknown, bad)
	default:
		slices.Sort(found)
		p.unknown = append(p.unknown, p.problem(p.pos, "%q can mean any of %q", word, found).Hinted("write one of them"))
	}
	return word
}

func underscored(s string) string { return strings.ReplaceAll(s, "-", "_") }

// wordLength is the length of the word that s begins with; 0 if it begins with
// white space, an operator or a parenthesis, or is empty.
func wordLength(s string) int {
	if i := strings.IndexAny(s, " \t\r\n()&|"); i >= 0 {
		return i
	}
	return len(s)
}

func (p *parser) unexpected(want string) *v1alpha1.Problem {
	rest := p.rest()
	if rest == "" {
		return p.problem(p.pos, "ends where %s is expected", want)
	}
	got := rest[:wordLength(rest)]
	if got == "" {
		got = rest[:1]
	}
	bad := p.problem(p.pos, "%s expected, found %q", want, got)
	switch strings.ToLower(got) {
	case "&", "and":
		bad.Hinted("write && for and")
	case "|", "or":
		bad.Hinted("write || for or")
	case "not":
		bad.Hinted("there is no negation")
	}
	if got[0] == '!' {
		bad.Hinted("there is no negation")
	}
	return bad
}

func (p *parser) problem(pos int, format string, args ...any) *v1alpha1.Problem {
	return v1alpha1.Invalid("", "column %d: "+format, append([]any{utf8.RuneCountInString(p.text[:pos]) + 1}, args...)...)
}
