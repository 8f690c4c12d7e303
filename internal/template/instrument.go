package template

import "text/template/parse"

// show is the name of the function that every printed value goes through.
const show = "_signalbox_show"

// instrument changes a parsed template in two ways: what {{...}} prints goes
// through show, and every turn of a range and every call of a template leaves a
// mark in the output.
func instrument(t *parse.Tree) {
	list(t, t.Root)
	t.Root.Nodes = append([]parse.Node{mark(markEnter)}, append(t.Root.Nodes, mark(markLeave))...)
}

func mark(m []byte) parse.Node { return &parse.TextNode{NodeType: parse.NodeText, Text: m} }

func list(t *parse.Tree, l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
					NodeType: parse.NodeCommand,
					Pos:      n.Pos,
					Args:     []parse.Node{parse.NewIdentifier(show).SetPos(n.Pos).SetTree(t)},
				})
			}
		case *parse.IfNode:
			branch(t, &n.BranchNode)
		case *parse.WithNode:
			branch(t, &n.BranchNode)
		case *parse.RangeNode:
			branch(t, &n.BranchNode)
			n.List.Nodes = append([]parse.Node{mark(markTurn)}, n.List.Nodes...)
		}
	}
}

func branch(t *parse.Tree, b *parse.BranchNode) {
	list(t, b.List)
	list(t, b.ElseList)
}
