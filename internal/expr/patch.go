package expr

import (
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// stepName is the function that every turn of a loop calls. It cannot be
// written in an expression.
const stepName = "$step"

// stepper puts a call of step in front of the body of every loop: the body B
// becomes "$step() ? B : nil".
type stepper struct{}

// Visit implements ast.Visitor.
func (stepper) Visit(node *ast.Node) {
	p, ok := (*node).(*ast.PredicateNode)
	if !ok {
		return
	}
	if c, ok := p.Node.(*ast.ConditionalNode); ok && isStep(c.Cond) {
		return
	}
	p.Node = &ast.ConditionalNode{
		Cond: &ast.CallNode{Callee: &ast.IdentifierNode{Value: stepName}},
		Exp1: p.Node,
		Exp2: &ast.NilNode{},
	}
}

func isStep(n ast.Node) bool {
	call, ok := n.(*ast.CallNode)
	if !ok {
		return false
	}
	name, ok := call.Callee.(*ast.IdentifierNode)
	return ok && name.Value == stepName
}

// namer lets data have keys that are named as built-in functions, such as type
// or count: where such a name is not called, it becomes $env["type"].
type namer struct {
	replaced map[ast.Node]ast.Node
}

// Visit implements ast.Visitor. A node's parts are visited before itself.
func (n *namer) Visit(node *ast.Node) {
	switch v := (*node).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(builtin.Names, v.Value) {
			return
		}
		m := &ast.MemberNode{
			Node:     &ast.IdentifierNode{Value: "$env"},
			Property: &ast.StringNode{Value: v.Value},
		}
		m.SetLocation(v.Location())
		if n.replaced == nil {
			n.replaced = map[ast.Node]ast.Node{}
		}
		n.replaced[m] = v
		*node = m
	case *ast.CallNode:
		if old, ok := n.replaced[v.Callee]; ok {
			v.Callee = old
		}
	}
}
