package argoworkflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-events/signalbox/internal/kind"
)

// nodeSelector selects nodes by their fields. All terms have to hold.
type nodeSelector []nodeTerm

type nodeTerm struct {
	key, value string
	not        bool
}

const (
	inputPrefix = "inputs.parameters."
	inputSuffix = ".value"
)

func nodeKeys() []string {
	return []string{"displayName", "templateName", "phase", "name", "id", "templateRef.name", "templateRef.template"}
}

// parseNodeSelector reads terms as KEY=VALUE, KEY==VALUE or KEY!=VALUE, separated
// by commas. Backslash, comma and = in a value are written with a backslash.
func parseNodeSelector(s string) (nodeSelector, error) {
	var all nodeSelector
	for _, part := range splitTerms(s) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		i := strings.IndexAny(part, "=!")
		if i < 0 || part[i] == '!' && !strings.HasPrefix(part[i:], "!=") {
			return nil, fmt.Errorf("%q is no term of a selector, want key=value or key!=value", part)
		}
		t := nodeTerm{key: strings.TrimSpace(part[:i])}
		rest := part[i:]
		switch {
		case strings.HasPrefix(rest, "!="):
			t.not, rest = true, rest[2:]
		case strings.HasPrefix(rest, "=="):
			rest = rest[2:]
		default:
			rest = rest[1:]
		}
		t.value = unescape(strings.TrimSpace(rest))
		input := strings.HasPrefix(t.key, inputPrefix) && strings.HasSuffix(t.key, inputSuffix) && len(t.key) > len(inputPrefix)+len(inputSuffix)
		if !input && !slices.Contains(nodeKeys(), t.key) {
			err := fmt.Errorf("%q is no field of a node to select by", t.key)
			if near := kind.Nearest(t.key, nodeKeys()); near != "" {
				err = fmt.Errorf("%w, did you mean %s?", err, near)
			}
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func splitTerms(s string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\,`, `,`, `\=`, `=`).Replace(s)
}

// matches tells whether all terms hold for a node.
func (s nodeSelector) matches(n node) bool {
	return !slices.ContainsFunc(s, func(t nodeTerm) bool { return (t.of(n) == t.value) == t.not })
}

// of is what a node has where the term looks.
func (t nodeTerm) of(n node) string {
	if !strings.HasPrefix(t.key, inputPrefix) {
		return text(n, strings.Split(t.key, ".")...)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(t.key, inputPrefix), inputSuffix)
	for _, v := range list(n, "inputs", "parameters") {
		if p, ok := v.(map[string]any); ok && text(p, "name") == name {
			return text(p, "value")
		}
	}
	return ""
}
