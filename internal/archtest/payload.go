package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// payloadTypes are the types that hold what users stored. Printing one must show ids and sizes, never content.
func payloadTypes() []string { return []string{"event.Draft", "event.Event", "storage.Record"} }

// redactors are the methods through which fmt (%v and %+v, then %#v) and log/slog print a value.
func redactors() []string { return []string{"String", "GoString", "LogValue"} }

// payloadFields are the fields in which payload travels.
func payloadFields() []string { return []string{"Data", "Body", "Metadata"} }

func payloadRules() []Rule {
	return []Rule{
		{"payload/redact", "give the type String, GoString and LogValue with value receivers that show ids and sizes",
			checkRedact},
		{"payload/print", "name the event's id and the size instead: payload never enters a message", checkPayload},
	}
}

func checkRedact(h *House, say say) {
	for _, qualified := range payloadTypes() {
		dir, name, _ := strings.Cut(qualified, ".")
		p := h.pkg(dir)
		if p == nil {
			continue
		}
		f, spec := h.typeSpec(dir, name)
		if spec == nil {
			at := Spot{File: p.Files[0].Path, Line: 1, Subject: name}
			say(at, qualified+" does not exist, but payloadTypes in internal/archtest lists it")
			continue
		}
		at := f.at(spec)
		at.Subject = name
		for _, method := range redactors() {
			if why := redacts(p, name, method); why != "" {
				say(at, fmt.Sprintf("%s holds payload and its %s %s", qualified, method, why))
			}
		}
	}
}

// redacts looks at one method of a type; the answer is what is wrong with it, or "".
func redacts(p *Package, typ, method string) string {
	for _, f := range p.Files {
		for _, decl := range f.Syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || f.Test || fn.Name.Name != method {
				continue
			}
			name, pointer := receiver(fn)
			switch {
			case name != typ:
				continue
			case pointer:
				return "has a pointer receiver, so a value prints in full"
			case fn.Body != nil && mentions(fn.Body) != "":
				return "shows " + mentions(fn.Body)
			}
			return ""
		}
	}
	return "is missing"
}

// mentions finds a payload field that is used for more than its length.
func mentions(n ast.Node) string {
	found := ""
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && builtin(call, "len", "cap") {
			return false
		}
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(payloadFields(), sel.Sel.Name) {
			found = sel.Sel.Name
		}
		return found == ""
	})
	return found
}

func checkPayload(h *House, say say) {
	keep := func(f *File) bool { return product(f) && !within(f, "internal/cli", "cmd") }
	eachNode(h, keep, func(f *File, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || !speaks(f, call) {
			return
		}
		for _, arg := range call.Args {
			if field := payload(arg); field != "" {
				say(f.at(arg), fmt.Sprintf("the field %s is put into a message", field))
			}
		}
	})
}

// speaks tells whether a call makes a message: a function of fmt, errors or log/slog, or a method with the name of a
// logger's. Syntax alone cannot tell a logger from another value with a method Info, so both count.
func speaks(f *File, call *ast.CallExpr) bool {
	switch pkg, _ := f.imported(call.Fun); pkg {
	case "fmt", "errors", "log/slog":
		return true
	case "":
	default:
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	level := strings.TrimSuffix(sel.Sel.Name, "Context")
	return slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs"}, level)
}

// payload finds the payload field an argument hands over, as it is, converted, sliced or dereferenced. A field
// inside a call (its length, its hash) is handed to that call, not to the message.
func payload(arg ast.Expr) string {
	switch e := arg.(type) {
	case *ast.SelectorExpr:
		if slices.Contains(payloadFields(), e.Sel.Name) {
			return e.Sel.Name
		}
	case *ast.ParenExpr:
		return payload(e.X)
	case *ast.StarExpr:
		return payload(e.X)
	case *ast.UnaryExpr:
		return payload(e.X)
	case *ast.SliceExpr:
		return payload(e.X)
	case *ast.IndexExpr:
		return payload(e.X)
	case *ast.BinaryExpr:
		return payload(e.X) + payload(e.Y)
	case *ast.CallExpr:
		if len(e.Args) == 1 && conversion(e.Fun) {
			return payload(e.Args[0])
		}
	}
	return ""
}

func conversion(fun ast.Expr) bool {
	switch t := fun.(type) {
	case *ast.Ident:
		return t.Name == "string"
	case *ast.ArrayType:
		return true
	case *ast.ParenExpr:
		return conversion(t.X)
	}
	return false
}
