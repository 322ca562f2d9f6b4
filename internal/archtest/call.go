package archtest

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clockFile is the one file that may ask the system for the time.
const clockFile = "event/clock.go"

func callRules() []Rule {
	return []Rule{
		{"call/clock", "take an event.Clock and ask it; only " + clockFile + " asks the system", checkClock},
		{"call/open", "let the driver open its files through its database; a second descriptor drops the locks of " +
			"the first when it closes (only storage/*/lock.go opens a file itself)", checkOpen},
		{"call/random", "take an io.Reader of randomness; only demo, examples and bench use math/rand", checkRandom},
		{"call/init", "make it a function that its user calls, or a value that is passed", checkInit},
		{"call/todo", "take the context of the caller", checkTODO},
		{"call/panic", "return an error, or panic with a constant: a formatted panic can print payload", checkPanic},
		{"call/print", "return it, or write to an io.Writer that is passed; " +
			"only internal/cli, cmd and examples print", checkPrint},
		{"call/wrap", "wrap the cause with %w, so that errors.Is still finds it", checkWrap},
		{"call/dot", "import by name, so that a reader (and this test) sees where a name comes from", checkDot},
	}
}

// within tells whether a file lies in one of the directories or below.
func within(f *File, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(f.Path, dir+"/") })
}

// forbid reports each use of a named thing of another package, called or passed on as a value.
func forbid(h *House, say say, keep func(*File) bool, forbidden func(pkg, name string) bool) {
	eachNode(h, keep, func(f *File, n ast.Node) {
		if pkg, name := f.imported(n); pkg != "" && forbidden(pkg, name) {
			at := f.at(n)
			at.Subject = path.Base(pkg) + "." + name
			say(at, at.Subject+" is used here")
		}
	})
}

func checkClock(h *House, say say) {
	names := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	keep := func(f *File) bool { return product(f) && f.Path != clockFile }
	forbid(h, say, keep, func(pkg, name string) bool { return pkg == "time" && slices.Contains(names, name) })
}

func checkOpen(h *House, say say) {
	names := []string{"Open", "OpenFile", "OpenRoot", "OpenInRoot", "ReadFile", "WriteFile", "Create", "CreateTemp"}
	keep := func(f *File) bool {
		return product(f) && strings.HasPrefix(f.Path, "storage/") && path.Base(f.Path) != "lock.go"
	}
	forbid(h, say, keep, func(pkg, name string) bool { return pkg == "os" && slices.Contains(names, name) })
}

func checkRandom(h *House, say say) {
	keep := func(f *File) bool { return product(f) && !within(f, "demo", "examples", "bench") }
	eachFile(h, keep, func(f *File) {
		for _, spec := range f.Syntax.Imports {
			if p := importPath(spec); p == "math/rand" || p == "math/rand/v2" {
				say(f.at(spec), p+" is imported here")
			}
		}
	})
}

func checkInit(h *House, say say) {
	eachNode(h, product, func(f *File, n ast.Node) {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			say(f.function(fn), "an init function works before anybody asked")
		}
	})
}

func checkTODO(h *House, say say) {
	forbid(h, say, product, func(pkg, name string) bool { return pkg == "context" && name == "TODO" })
}

// builtin tells whether a call is the predeclared function of that name, which no declaration of the file hides.
func builtin(call *ast.CallExpr, names ...string) bool {
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Obj == nil && slices.Contains(names, id.Name)
}

func checkPanic(h *House, say say) {
	eachNode(h, product, func(f *File, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if ok && builtin(call, "panic") && len(call.Args) == 1 && formats(f, call.Args[0]) {
			say(f.at(n), "the panic formats its message")
		}
	})
}

// formats tells whether an expression builds a text at run time: a call of fmt, or a sum with a part that is no
// literal.
func formats(f *File, expr ast.Expr) bool {
	found := false
	ast.Inspect(expr, func(n ast.Node) bool {
		if pkg, _ := f.imported(n); pkg == "fmt" {
			found = true
		}
		if sum, ok := n.(*ast.BinaryExpr); ok && sum.Op == token.ADD && !constant(sum) {
			found = true
		}
		return !found
	})
	return found
}

func constant(expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.BinaryExpr:
		return constant(e.X) && constant(e.Y)
	}
	return false
}

func checkPrint(h *House, say say) {
	keep := func(f *File) bool { return product(f) && !within(f, "internal/cli", "cmd", "examples") }
	forbid(h, say, keep, func(pkg, name string) bool {
		return pkg == "log" || pkg == "fmt" && strings.HasPrefix(name, "Print") ||
			pkg == "os" && (name == "Stdout" || name == "Stderr")
	})
	eachNode(h, keep, func(f *File, n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok && builtin(call, "print", "println") {
			say(f.at(n), "the predeclared print is used here")
		}
	})
}

func checkWrap(h *House, say say) {
	eachNode(h, product, func(f *File, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return
		}
		if pkg, name := f.imported(call.Fun); pkg != "fmt" || name != "Errorf" {
			return
		}
		if name := errorName(call.Args[1:]); name != "" && !strings.Contains(literals(call.Args[0]), "%w") {
			say(f.at(n), "fmt.Errorf cuts off the cause "+name)
		}
	})
}

// literals joins the string literals of a format.
func literals(format ast.Expr) string {
	var text strings.Builder
	ast.Inspect(format, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			text.WriteString(lit.Value)
		}
		return true
	})
	return text.String()
}

// errorName finds the first identifier that is an error by its name: err, readErr, ErrClosed, errClosed.
func errorName(args []ast.Expr) string {
	found := ""
	for _, arg := range args {
		ast.Inspect(arg, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && found == "" && isErrorName(id.Name) {
				found = id.Name
			}
			return found == ""
		})
	}
	return found
}

func isErrorName(name string) bool {
	if name == "err" || strings.HasSuffix(name, "Err") {
		return true
	}
	rest, ok := strings.CutPrefix(strings.Replace(name, "E", "e", 1), "err")
	first, _ := utf8.DecodeRuneInString(rest)
	return ok && unicode.IsUpper(first)
}

func checkDot(h *House, say say) {
	eachFile(h, anyFile, func(f *File) {
		for _, spec := range f.Syntax.Imports {
			if spec.Name != nil && spec.Name.Name == "." {
				say(f.at(spec), "a dot import hides where names come from")
			}
		}
	})
}
