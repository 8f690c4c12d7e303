// Package condition reads the conditions of triggers: boolean expressions of
// dependency names.
//
//	expression = term { "||" term }
//	term       = factor { "&&" factor }
//	factor     = name | "(" expression ")"
//
// A name is the longest of the known names that stands at its place, so names
// may hold anything: dots, dashes, even spaces and operators. Where no known
// name stands, a dash counts as an underscore, as in Argo Events: a-b finds a_b.
package condition

import (
	"slices"
	"strings"
)

// Expr is a parsed condition. It is never changed and safe for concurrent use.
type Expr struct {
	root  node
	names []string
	and   bool
}

// A node is an operand (name set) or an operator with two or more parts.
type node struct {
	name  string
	op    operator
	parts []node
}

type operator string

const (
	operand operator = ""
	and     operator = "&&"
	or      operator = "||"
)

// Default is the condition of a trigger that states none: all names joined by
// &&. Without names it is never true.
func Default(names []string) *Expr {
	parts := make([]node, 0, len(names))
	for _, n := range names {
		parts = append(parts, node{name: n})
	}
	return newExpr(join(and, parts))
}

func newExpr(root node) *Expr {
	e := &Expr{root: root}
	e.survey(root)
	return e
}

func (e *Expr) survey(n node) {
	if n.op == operand {
		if n.name != "" && !slices.Contains(e.names, n.name) {
			e.names = append(e.names, n.name)
		}
		return
	}
	e.and = e.and || n.op == and
	for _, p := range n.parts {
		e.survey(p)
	}
}

// join makes one node of parts; parts with the same operator are taken in.
func join(op operator, parts []node) node {
	var flat []node
	for _, p := range parts {
		if p.op == op {
			flat = append(flat, p.parts...)
		} else {
			flat = append(flat, p)
		}
	}
	switch len(flat) {
	case 0:
		return node{}
	case 1:
		return flat[0]
	default:
		return node{op: op, parts: flat}
	}
}

// Eval tells whether the condition is met by the dependencies that has says
// have an event.
func (e *Expr) Eval(has func(name string) bool) bool { return e.root.eval(has) }

func (n node) eval(has func(string) bool) bool {
	switch n.op {
	case and:
		for _, p := range n.parts {
			if !p.eval(has) {
				return false
			}
		}
		return true
	case or:
		for _, p := range n.parts {
			if p.eval(has) {
				return true
			}
		}
		return false
	default:
		return n.name != "" && has(n.name)
	}
}

// Names are the dependencies in the expression, each once, in the order in
// which they first appear.
func (e *Expr) Names() []string { return slices.Clone(e.names) }

// HasAnd tells whether the expression has an && in it. One without is met by
// every event alone; one with waits and remembers.
func (e *Expr) HasAnd() bool { return e.and }

// String writes the expression with the names it resolved to and without
// needless parentheses.
func (e *Expr) String() string {
	var b strings.Builder
	e.root.write(&b, operand)
	return b.String()
}

func (n node) write(b *strings.Builder, within operator) {
	if n.op == operand {
		b.WriteString(n.name)
		return
	}
	wrap := n.op == or && within == and
	if wrap {
		b.WriteByte('(')
	}
	for i, p := range n.parts {
		if i > 0 {
			b.WriteString(" " + string(n.op) + " ")
		}
		p.write(b, n.op)
	}
	if wrap {
		b.WriteByte(')')
	}
}
