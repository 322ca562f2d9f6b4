package starlark

import (
	"math/big"

	"go.starlark.net/syntax"
)

// Names of what stands for operations in a rewritten script. No script can write them. That of an operator is its sign
// after a star.
const (
	indexName = "*[]"
	putName   = "*[]="
	sliceName = "*[:]"
	attrName  = "*."
	keyName   = "*key"
	dictName  = "*dict"
	inPlace   = "="
)

// rewrite puts calls that pay into the place of what costs more than a step, and refuses what is not there.
func rewrite(file *syntax.File) error {
	r := &rewriter{}
	r.block(file.Stmts)
	return r.err
}

type rewriter struct {
	err   error // the first one
	depth int
}

func (r *rewriter) refuse(pos syntax.Position, text string) {
	if r.err == nil {
		r.err = at(pos, fault(text))
	}
}

// enter bounds the depth of what is compiled; leave is called after it in any case.
func (r *rewriter) enter(n syntax.Node) bool {
	if r.depth++; r.depth > MaxDepth {
		pos, _ := n.Span()
		r.refuse(pos, "it is nested too deep")
	}
	return r.err == nil
}

func (r *rewriter) leave() { r.depth-- }

func (r *rewriter) block(list []syntax.Stmt) {
	for i := range list {
		if r.err != nil {
			return
		}
		list[i] = r.stmt(list[i])
	}
}

func (r *rewriter) stmt(s syntax.Stmt) syntax.Stmt {
	r.depth++
	defer r.leave()
	if r.depth > MaxDepth {
		r.refuse(syntax.Start(s), "it is nested too deep")
		return s
	}
	switch s := s.(type) {
	case *syntax.AssignStmt:
		return r.assign(s)
	case *syntax.DefStmt:
		r.params(s.Params)
		r.block(s.Body)
	case *syntax.ExprStmt:
		s.X = r.expr(s.X)
	case *syntax.IfStmt:
		s.Cond = r.expr(s.Cond)
		r.block(s.True)
		r.block(s.False)
	case *syntax.ForStmt:
		r.target(s.Vars)
		s.X = r.expr(s.X)
		r.block(s.Body)
	case *syntax.ReturnStmt:
		s.Result = r.expr(s.Result)
	case *syntax.BranchStmt:
	default:
		r.refuse(syntax.Start(s), "this statement is not there")
	}
	return s
}

// assign makes d[k] = v a call, and x += y an assignment.
func (r *rewriter) assign(s *syntax.AssignStmt) syntax.Stmt {
	index, indexed := s.LHS.(*syntax.IndexExpr)
	if indexed && s.Op != syntax.EQ && (!plain(index.X, 0) || !plain(index.Y, 0)) {
		r.refuse(s.OpPos, "give what is left of this a name first")
		return s
	}
	if s.Op != syntax.EQ {
		op := syntax.PLUS + (s.Op - syntax.PLUS_EQ)
		if op == syntax.SLASH {
			r.refuse(s.OpPos, "there are no floats; // divides whole numbers")
			return s
		}
		s.RHS = call(s.OpPos, "*"+op.String()+inPlace, r.expr(copied(s.LHS)), r.expr(s.RHS))
		s.Op = syntax.EQ
	} else {
		s.RHS = r.expr(s.RHS)
	}
	if indexed {
		return &syntax.ExprStmt{X: call(index.Lbrack, putName, r.expr(index.X), r.expr(index.Y), s.RHS)}
	}
	r.target(s.LHS)
	return s
}

// plain reports whether evaluating an expression twice is the same as once.
func plain(e syntax.Expr, depth int) bool {
	switch e := e.(type) {
	case *syntax.Ident, *syntax.Literal:
		return true
	case *syntax.IndexExpr:
		return depth < MaxDepth && plain(e.X, depth+1) && plain(e.Y, depth+1)
	}
	return false
}

// copied is a tree of its own for a plain expression.
func copied(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.Ident:
		return &syntax.Ident{NamePos: e.NamePos, Name: e.Name}
	case *syntax.IndexExpr:
		return &syntax.IndexExpr{X: copied(e.X), Lbrack: e.Lbrack, Y: copied(e.Y), Rbrack: e.Rbrack}
	}
	return e
}

// target allows names, and lists of names.
func (r *rewriter) target(e syntax.Expr) {
	if !r.enter(e) {
		r.leave()
		return
	}
	defer r.leave()
	var list []syntax.Expr
	switch e := e.(type) {
	case *syntax.Ident:
	case *syntax.ParenExpr:
		list = []syntax.Expr{e.X}
	case *syntax.TupleExpr:
		list = e.List
	case *syntax.ListExpr:
		list = e.List
	default:
		r.refuse(syntax.Start(e), "assign to a name here")
	}
	for _, x := range list {
		r.target(x)
	}
}

// params allows names, with or without what they are when they are not given.
func (r *rewriter) params(list []syntax.Expr) {
	for _, p := range list {
		switch p := p.(type) {
		case *syntax.Ident:
		case *syntax.BinaryExpr:
			p.Y = r.expr(p.Y)
		default:
			r.refuse(syntax.Start(p), "name every parameter")
		}
	}
}

func call(pos syntax.Position, name string, args ...syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: name}, Lparen: pos, Args: args, Rparen: pos}
}

func (r *rewriter) exprs(list []syntax.Expr) {
	for i := range list {
		list[i] = r.expr(list[i])
	}
}

func (r *rewriter) expr(e syntax.Expr) syntax.Expr {
	if e == nil {
		return nil
	}
	defer r.leave()
	if !r.enter(e) {
		return e
	}
	switch e := e.(type) {
	case *syntax.Ident:
	case *syntax.Literal:
		r.literal(e)
	case *syntax.ParenExpr:
		e.X = r.expr(e.X)
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = r.expr(e.Cond), r.expr(e.True), r.expr(e.False)
	case *syntax.ListExpr:
		r.exprs(e.List)
	case *syntax.TupleExpr:
		r.exprs(e.List)
	case *syntax.DictExpr:
		r.exprs(e.List)
		return call(e.Lbrace, dictName, e)
	case *syntax.DictEntry:
		e.Key, e.Value = call(e.Colon, keyName, r.expr(e.Key)), r.expr(e.Value)
	case *syntax.LambdaExpr:
		r.params(e.Params)
		e.Body = r.expr(e.Body)
	case *syntax.Comprehension:
		r.comprehension(e)
	case *syntax.CallExpr:
		e.Fn = r.expr(e.Fn)
		r.args(e.Args)
	default:
		return r.operation(e)
	}
	return e
}

// operation makes a call of what takes values and gives one.
func (r *rewriter) operation(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.UnaryExpr:
		if e.Op == syntax.STAR || e.Op == syntax.STARSTAR {
			r.refuse(e.OpPos, "name every argument")
			return e
		}
		e.X = r.expr(e.X)
	case *syntax.BinaryExpr:
		x, y := r.expr(e.X), r.expr(e.Y)
		switch e.Op {
		case syntax.AND, syntax.OR:
			e.X, e.Y = x, y
			return e
		case syntax.SLASH:
			r.refuse(e.OpPos, "there are no floats; // divides whole numbers")
		}
		return call(e.OpPos, "*"+e.Op.String(), x, y)
	case *syntax.IndexExpr:
		return call(e.Lbrack, indexName, r.expr(e.X), r.expr(e.Y))
	case *syntax.DotExpr:
		name := &syntax.Literal{Token: syntax.STRING, TokenPos: e.NamePos, Raw: e.Name.Name, Value: e.Name.Name}
		return call(e.Dot, attrName, r.expr(e.X), name)
	case *syntax.SliceExpr:
		if e.Step != nil {
			r.refuse(e.Lbrack, "there are no steps of slices")
		}
		return call(e.Lbrack, sliceName, r.expr(e.X), r.bound(e, e.Lo), r.bound(e, e.Hi))
	default:
		r.refuse(syntax.Start(e), "this expression is not there")
	}
	return e
}

func (r *rewriter) bound(e *syntax.SliceExpr, b syntax.Expr) syntax.Expr {
	if b == nil {
		return &syntax.Ident{NamePos: e.Lbrack, Name: "None"}
	}
	return r.expr(b)
}

func (r *rewriter) args(list []syntax.Expr) {
	for i, a := range list {
		if named, ok := a.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
			named.Y = r.expr(named.Y)
			continue
		}
		list[i] = r.expr(a)
	}
}

func (r *rewriter) comprehension(e *syntax.Comprehension) {
	e.Body = r.expr(e.Body)
	for _, clause := range e.Clauses {
		switch c := clause.(type) {
		case *syntax.ForClause:
			r.target(c.Vars)
			c.X = r.expr(c.X)
		case *syntax.IfClause:
			c.Cond = r.expr(c.Cond)
		}
	}
}

func (r *rewriter) literal(e *syntax.Literal) {
	switch e.Token {
	case syntax.FLOAT:
		r.refuse(e.TokenPos, `there are no floats; number("1.5") is a number to be moved`)
	case syntax.BYTES:
		r.refuse(e.TokenPos, "there are no bytes")
	case syntax.INT:
		if n, ok := e.Value.(*big.Int); ok && n.BitLen() > MaxBits {
			r.refuse(e.TokenPos, tooLong)
		}
	}
}
