package template

import (
	"slices"
	"strings"
	"text/template/parse"
)

// forgiving are the functions with which a template deals with what may be missing.
var forgiving = []string{"default", "coalesce", "dig", "empty", "hasKey", "get", "ternary"}

// Missing are the paths below .Input that the template prints and root does not
// have, such as ".Input.push.data.tag", for an error's text.
func (t *Template) Missing(root map[string]any) []string {
	var missing []string
	var walk func(n parse.Node)
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, each := range n.Nodes {
				walk(each)
			}
		case *parse.ActionNode:
			missing = append(missing, missingIn(n.Pipe, root)...)
		}
	}
	walk(t.text.Root)
	return slices.Compact(missing)
}

func missingIn(p *parse.PipeNode, root map[string]any) (missing []string) {
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			switch arg := arg.(type) {
			case *parse.IdentifierNode:
				if slices.Contains(forgiving, arg.Ident) {
					return nil
				}
			case *parse.FieldNode:
				if !has(root, arg.Ident) {
					missing = append(missing, "."+strings.Join(arg.Ident, "."))
				}
			}
		}
	}
	return missing
}

func has(in any, path []string) bool {
	for _, key := range path {
		m, ok := in.(map[string]any)
		if !ok {
			return false
		}
		if in, ok = m[key]; !ok {
			return false
		}
	}
	return true
}
