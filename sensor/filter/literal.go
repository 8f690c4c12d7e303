package filter

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/casbin/govaluate"
)

// parse is govaluate's parser without its habit of reading a quoted text that
// looks like a date as a point in time, which then equals no text.
//
// The parser offers no switch for that, so every literal that could be a date
// is replaced before and put back into the tokens.
func parse(expr string) (*govaluate.EvaluableExpression, error) {
	replaced, literals := extract(expr)
	e, err := govaluate.NewEvaluableExpression(replaced)
	if err != nil {
		return nil, fmt.Errorf("%s", restore(err.Error(), literals))
	}
	tokens := e.Tokens()
	for i, t := range tokens {
		name := ""
		switch v := t.Value.(type) {
		case string:
			name = v
		case *regexp.Regexp:
			name = v.String()
		}
		if text, ok := literals[name]; ok && (t.Kind == govaluate.STRING || t.Kind == govaluate.PATTERN) {
			tokens[i] = govaluate.ExpressionToken{Kind: govaluate.STRING, Value: text}
		}
	}
	if len(literals) == 0 {
		return e, nil
	}
	return govaluate.NewEvaluableExpressionFromTokens(tokens)
}

// extract replaces the quoted literals that hold a colon or a dash. It reads
// the text as govaluate does: either quote ends a literal, a backslash escapes
// the next character anywhere, and [ ] quote a name.
func extract(expr string) (string, map[string]string) {
	var out strings.Builder
	literals := map[string]string{}
	for i := 0; i < len(expr); {
		switch c := expr[i]; c {
		case '\\':
			end := min(i+2, len(expr))
			out.WriteString(expr[i:end])
			i = end
		case '[':
			_, end := until(expr, i+1, "]")
			out.WriteString(expr[i:end])
			i = end
		case '"', '\'':
			text, end := until(expr, i+1, `"'`)
			if strings.ContainsAny(text, ":-") && end <= len(expr) && end > i+1 {
				name := fmt.Sprintf("literal%d#", len(literals))
				for strings.Contains(expr, name) {
					name += "#"
				}
				literals[name] = text
				fmt.Fprintf(&out, "%c%s%c", c, name, c)
			} else {
				out.WriteString(expr[i:end])
			}
			i = end
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), literals
}

// until reads up to one of the ends, taking backslashes out; end is behind it.
func until(s string, from int, ends string) (text string, end int) {
	var b strings.Builder
	for i := from; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case strings.IndexByte(ends, s[i]) >= 0:
			return b.String(), i + 1
		default:
			b.WriteByte(s[i])
		}
	}
	return "", len(s)
}

func restore(message string, literals map[string]string) string {
	for name, text := range literals {
		message = strings.ReplaceAll(message, name, text)
	}
	return strings.TrimSpace(message)
}
