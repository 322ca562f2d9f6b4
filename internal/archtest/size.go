package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// Limits of docs/ARCHITECTURE.md. They catch the tail; what to aim at is lower.
const (
	maxFile       = 600
	maxTestFile   = 1000
	maxMain       = 30 // cmd/*/main.go
	maxFunction   = 80
	maxNesting    = 4
	maxParameters = 5 // besides a leading context and test
	maxMethods    = 7
	maxPackage    = 4000
	maxRoot       = 1500
	maxImports    = 8
	maxServer     = 12
	maxWidth      = 120
	tabWidth      = 1
)

func sizeRules() []Rule {
	return []Rule{
		{"size/file", "split the file by idea", checkFileSize},
		{"size/function", "give a part of it a name of its own", checkFunctionSize},
		{"size/nesting", "return early, or move the inner block into a function", checkNesting},
		{"size/parameters", "gather parameters that belong together in a struct", checkParameters},
		{"size/interface", "split the interface into roles", checkInterface},
		{"size/package", "split the package; a new package needs one sentence without \"and\"", checkPackageSize},
		{"size/imports", "this package knows too many rooms: split it, or let its caller pass things in", checkImports},
		{"size/width", "break the line", checkWidth},
	}
}

func checkFileSize(h *House, say say) {
	eachFile(h, anyFile, func(f *File) {
		limit := maxFile
		switch {
		case f.Test:
			limit = maxTestFile
		case strings.HasPrefix(f.Path, "cmd/") && path.Base(f.Path) == "main.go":
			limit = maxMain
		}
		if n := f.lines(); n > limit {
			say(Spot{File: f.Path, Line: limit + 1}, fmt.Sprintf("the file has %d lines, the limit is %d", n, limit))
		}
	})
}

// eachFunction visits declared functions and the function literals outside of them.
func eachFunction(h *House, visit func(*File, Spot, ast.Node, *ast.BlockStmt)) {
	eachFile(h, anyFile, func(f *File) {
		for _, decl := range f.Syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && fn.Body != nil {
				visit(f, f.function(fn), fn, fn.Body)
			}
			if ok {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				lit, ok := n.(*ast.FuncLit)
				if ok {
					visit(f, f.at(lit), lit, lit.Body)
				}
				return !ok
			})
		}
	})
}

// function is the spot of a declared function, with Type.Method as the subject of a method.
func (f *File) function(fn *ast.FuncDecl) Spot {
	at := f.at(fn)
	at.Subject = fn.Name.Name
	if name, _ := receiver(fn); name != "" {
		at.Subject = name + "." + at.Subject
	}
	return at
}

// receiver is the name of a method's type, and whether the receiver is a pointer.
func receiver(fn *ast.FuncDecl) (name string, pointer bool) {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return "", false
	}
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ, pointer = t.X, true
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name, pointer
		default:
			return "", pointer
		}
	}
}

func checkFunctionSize(h *House, say say) {
	eachFunction(h, func(f *File, at Spot, fn ast.Node, _ *ast.BlockStmt) {
		if n := f.line(fn.End()) - at.Line + 1; n > maxFunction {
			say(at, fmt.Sprintf("%s has %d lines, the limit is %d", named(at), n, maxFunction))
		}
	})
}

func named(at Spot) string {
	if at.Subject == "" {
		return "the function literal"
	}
	return at.Subject
}

func checkNesting(h *House, say say) {
	eachFunction(h, func(f *File, at Spot, _ ast.Node, body *ast.BlockStmt) {
		deepest := nest{}
		ast.Walk(nesting{0, &deepest}, body)
		if deepest.depth > maxNesting {
			where := at
			where.Line = f.line(deepest.pos)
			say(where, fmt.Sprintf("%s nests %d deep, the limit is %d", named(at), deepest.depth, maxNesting))
		}
	})
}

type nest struct {
	depth int
	pos   token.Pos
}

// nesting walks a body and remembers the deepest block: the bodies of if, for, switch, select and function literals
// nest, an else-if continues its chain, and a case lies as deep as its switch.
type nesting struct {
	depth   int
	deepest *nest
}

func (v nesting) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.FuncLit:
		return v.enter(n)
	case *ast.IfStmt:
		inner := v.enter(n)
		if n.Init != nil {
			ast.Walk(v, n.Init)
		}
		ast.Walk(v, n.Cond)
		ast.Walk(inner, n.Body)
		switch other := n.Else.(type) {
		case *ast.IfStmt:
			ast.Walk(v, other)
		case *ast.BlockStmt:
			ast.Walk(inner, other)
		}
		return nil
	}
	return v
}

func (v nesting) enter(n ast.Node) nesting {
	v.depth++
	if v.depth > v.deepest.depth {
		*v.deepest = nest{v.depth, n.Pos()}
	}
	return v
}

func checkParameters(h *House, say say) {
	eachNode(h, anyFile, func(f *File, n ast.Node) {
		typ, ok := n.(*ast.FuncType)
		if !ok {
			return
		}
		if n := parameters(f, typ); n > maxParameters {
			say(f.at(typ), fmt.Sprintf("the function takes %d parameters, the limit is %d", n, maxParameters))
		}
	})
}

// parameters counts them, leaving out a leading context and test.
func parameters(f *File, typ *ast.FuncType) int {
	count, leading := 0, true
	for _, field := range typ.Params.List {
		leading = leading && isCompany(f, field.Type)
		if !leading {
			count += max(1, len(field.Names))
		}
	}
	return count
}

// isCompany knows the parameters that accompany every call: context.Context and what a test is handed.
func isCompany(f *File, typ ast.Expr) bool {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	switch pkg, name := f.imported(typ); pkg {
	case "context":
		return name == "Context"
	case "testing":
		return name == "T" || name == "B" || name == "F" || name == "TB"
	case "pgregory.net/rapid":
		return name == "T" || name == "TB"
	}
	return false
}

func checkPackageSize(h *House, say say) {
	for _, p := range h.Packages {
		limit := maxPackage
		if p.Path == "" {
			limit = maxRoot
		}
		total := 0
		for _, f := range p.Files {
			if !f.Test && !f.Generated {
				total += f.lines()
			}
		}
		if total > limit {
			at := Spot{File: p.Files[0].Path, Line: 1, Subject: p.Path}
			say(at, fmt.Sprintf("%s has %d lines without tests, the limit is %d", p.Name(), total, limit))
		}
	}
}

func checkImports(h *House, say say) {
	t := h.floors()
	for _, p := range h.Packages {
		if r, ok := t.room(h, p.Path); ok && r.free() {
			continue
		}
		limit := maxImports
		if p.Path == "server" {
			limit = maxServer
		}
		known := map[string]bool{}
		for _, f := range p.Files {
			for _, spec := range f.Syntax.Imports {
				name, in := h.inside(importPath(spec))
				if in && name != p.Path && !f.Test && !f.Generated {
					known[name] = true
				}
			}
		}
		if len(known) > limit {
			at := Spot{File: p.Files[0].Path, Line: 1, Subject: p.Path}
			say(at, fmt.Sprintf("%s imports %d packages of the house, the limit is %d", p.Name(), len(known), limit))
		}
	}
}
