package lua

import "github.com/yuin/gopher-lua/ast"

// concat is the name of the local variable that holds our concatenation. No
// script can spell it.
const concat = "(concat)"

// guard replaces every a .. b by a call of our own function, which looks at the
// length of the result. The chunk gets that function as its argument. It also
// gives the identifiers of the script.
func guard(chunk []ast.Stmt) ([]ast.Stmt, map[string]bool) {
	head := &ast.LocalAssignStmt{Names: []string{concat}, Exprs: []ast.Expr{&ast.Comma3Expr{}}}
	head.SetLine(1)
	head.SetLastLine(1)
	head.Exprs[0].SetLine(1)
	head.Exprs[0].SetLastLine(1)
	w := walker{names: map[string]bool{}}
	w.statements(chunk)
	return append([]ast.Stmt{head}, chunk...), w.names
}

type walker struct{ names map[string]bool }

func (w *walker) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			w.expressions(s.Lhs)
			w.expressions(s.Rhs)
		case *ast.LocalAssignStmt:
			w.expressions(s.Exprs)
		case *ast.FuncCallStmt:
			s.Expr = w.expression(s.Expr)
		case *ast.DoBlockStmt:
			w.statements(s.Stmts)
		case *ast.WhileStmt:
			s.Condition = w.expression(s.Condition)
			w.statements(s.Stmts)
		case *ast.RepeatStmt:
			s.Condition = w.expression(s.Condition)
			w.statements(s.Stmts)
		case *ast.IfStmt:
			s.Condition = w.expression(s.Condition)
			w.statements(s.Then)
			w.statements(s.Else)
		case *ast.NumberForStmt:
			s.Init, s.Limit, s.Step = w.expression(s.Init), w.expression(s.Limit), w.expression(s.Step)
			w.statements(s.Stmts)
		case *ast.GenericForStmt:
			w.expressions(s.Exprs)
			w.statements(s.Stmts)
		case *ast.FuncDefStmt:
			s.Name.Func, s.Name.Receiver = w.expression(s.Name.Func), w.expression(s.Name.Receiver)
			w.function(s.Func, s.Name.Method != "")
		case *ast.ReturnStmt:
			w.expressions(s.Exprs)
		}
	}
}

func (w *walker) expressions(list []ast.Expr) {
	for i, e := range list {
		list[i] = w.expression(e)
	}
}

func (w *walker) expression(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case nil:
		return nil
	case *ast.IdentExpr:
		w.names[e.Value] = true
	case *ast.AttrGetExpr:
		e.Object, e.Key = w.expression(e.Object), w.expression(e.Key)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			f.Key, f.Value = w.expression(f.Key), w.expression(f.Value)
		}
	case *ast.FuncCallExpr:
		e.Func, e.Receiver = w.expression(e.Func), w.expression(e.Receiver)
		w.expressions(e.Args)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = w.expression(e.Lhs), w.expression(e.Rhs)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = w.expression(e.Lhs), w.expression(e.Rhs)
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = w.expression(e.Lhs), w.expression(e.Rhs)
	case *ast.UnaryMinusOpExpr:
		e.Expr = w.expression(e.Expr)
	case *ast.UnaryNotOpExpr:
		e.Expr = w.expression(e.Expr)
	case *ast.UnaryLenOpExpr:
		e.Expr = w.expression(e.Expr)
	case *ast.FunctionExpr:
		w.function(e, false)
	case *ast.StringConcatOpExpr:
		return w.concatenation(e)
	}
	return e
}

// function also copies the last parameter to a local variable of the same name:
// gopher-lua 1.1.2 miscompiles a call whose one result is assigned to the last
// parameter (s = (f(s)), s, t = f(s), 1), by loading f over the argument.
func (w *walker) function(f *ast.FunctionExpr, method bool) {
	w.statements(f.Stmts)
	last := ""
	if method {
		last = "self"
	}
	if n := len(f.ParList.Names); n > 0 {
		last = f.ParList.Names[n-1]
	}
	if last == "" {
		return
	}
	from := &ast.IdentExpr{Value: last}
	local := &ast.LocalAssignStmt{Names: []string{last}, Exprs: []ast.Expr{from}}
	for _, n := range []ast.PositionHolder{from, local} {
		n.SetLine(f.Line())
		n.SetLastLine(f.Line())
	}
	f.Stmts = append([]ast.Stmt{local}, f.Stmts...)
}

// concatenation turns a .. b .. c into one call. The number of operands in one
// call is bounded, because they all lie on the stack.
func (w *walker) concatenation(e *ast.StringConcatOpExpr) ast.Expr {
	const most = 50
	var operands []ast.Expr
	rest := ast.Expr(e)
	for len(operands) < most {
		c, ok := rest.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		operands = append(operands, w.expression(c.Lhs))
		rest = c.Rhs
	}
	last := w.expression(rest)
	switch l := last.(type) { // an operand is one value, also where it could be many
	case *ast.FuncCallExpr:
		l.AdjustRet = true
	case *ast.Comma3Expr:
		l.AdjustRet = true
	}
	operands = append(operands, last)
	name := &ast.IdentExpr{Value: concat}
	call := &ast.FuncCallExpr{Func: name, Args: operands, AdjustRet: true}
	for _, n := range []ast.Expr{name, call} {
		n.SetLine(e.Line())
		n.SetLastLine(e.LastLine())
	}
	return call
}
