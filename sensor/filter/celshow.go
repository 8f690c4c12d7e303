package filter

import (
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"github.com/tidwall/gjson"

	"github.com/signalbox-events/signalbox/sensor/verdict"
)

// shown are the values that an expression looks at, for people who ask why it
// was not true.
type shown []operand

type operand struct {
	text string
	// path in the data, in gjson syntax; empty for an attribute of the event.
	path string
}

// operands finds data.a.b and event.x in an expression.
func operands(checked *cel.Ast) shown {
	var out shown
	inner := map[int64]bool{} // parts of what is shown already
	// Of a block, the member that a function looks at says why.
	looked := map[int64]string{}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().IsMemberFunction() {
			if member := looksAt[e.AsCall().FunctionName()]; member != "" {
				looked[e.AsCall().Target().ID()] = member
			}
		}
		if inner[e.ID()] {
			return
		}
		var keys []string
		for at := e; ; at = at.AsSelect().Operand() {
			inner[at.ID()] = true
			if at.Kind() == ast.SelectKind {
				keys = append(keys, at.AsSelect().FieldName())
				continue
			}
			if at.Kind() != ast.IdentKind {
				for ; e.ID() != at.ID(); e = e.AsSelect().Operand() {
					delete(inner, e.ID())
				}
				delete(inner, at.ID())
				return
			}
			keys = append(keys, at.AsIdent())
			break
		}
		slices.Reverse(keys)
		if member := looked[e.ID()]; member != "" {
			keys = append(keys, member)
		}
		o := operand{text: strings.Join(keys, ".")}
		switch {
		case keys[0] == "data" && len(keys) == 1, strings.HasPrefix(o.text, "event.extensions"):
			return
		case keys[0] == "data":
			for i, k := range keys[1:] {
				if i > 0 {
					o.path += "."
				}
				o.path += gjson.Escape(k)
			}
		case !strings.HasPrefix(o.text, "event."):
			return
		}
		if !slices.Contains(out, o) && len(out) < 5 {
			out = append(out, o)
		}
	}))
	return out
}

// looksAt is the member of a block that a function of ours looks at.
var looksAt = map[string]string{"changed": "changedFiles", "onBranch": "branch", "pushedTo": "branch", "tagged": "tag"}

// of tells the values in an event.
func (s shown) of(in *input) string {
	var parts []string
	for _, o := range s {
		value := "absent"
		if o.path == "" {
			v, ok := activation{in}.ResolveName(o.text)
			if !ok {
				continue
			}
			value = text(v)
		} else if in.valid() == nil {
			if v := gjson.GetBytes(in.data, o.path); v.Exists() {
				value = verdict.Shorten(v.Raw)
			}
		}
		parts = append(parts, o.text+"="+value)
	}
	return strings.Join(parts, ", ")
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	if t, ok := v.(interface{ String() string }); ok {
		return t.String()
	}
	return ""
}
