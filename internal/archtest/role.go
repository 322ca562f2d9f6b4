package archtest

import (
	"fmt"
	"go/ast"
)

func checkInterface(h *House, say say) {
	eachInterface(h, anyFile, func(f *File, spec *ast.TypeSpec, typ *ast.InterfaceType) {
		if n := h.methods(f, typ, map[*ast.InterfaceType]bool{}); n > maxMethods {
			at := f.at(spec)
			at.Subject = spec.Name.Name
			say(at, fmt.Sprintf("%s has %d methods, the limit is %d", spec.Name.Name, n, maxMethods))
		}
	})
}

func eachInterface(h *House, keep func(*File) bool, visit func(*File, *ast.TypeSpec, *ast.InterfaceType)) {
	eachNode(h, keep, func(f *File, n ast.Node) {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return
		}
		if typ, ok := spec.Type.(*ast.InterfaceType); ok {
			visit(f, spec, typ)
		}
	})
}

// methods counts with the embedded interfaces of this module; a foreign one counts as a single method.
func (h *House) methods(f *File, typ *ast.InterfaceType, seen map[*ast.InterfaceType]bool) int {
	if seen[typ] {
		return 0
	}
	seen[typ] = true
	count := 0
	for _, field := range typ.Methods.List {
		if len(field.Names) > 0 {
			count += len(field.Names)
			continue
		}
		file, embedded := h.embedded(f, field.Type)
		if embedded == nil {
			count++
			continue
		}
		count += h.methods(file, embedded, seen)
	}
	return count
}

// embedded finds the interface that an embedding names, in the same package or in another one of this module.
func (h *House) embedded(f *File, typ ast.Expr) (*File, *ast.InterfaceType) {
	if id, ok := typ.(*ast.Ident); ok {
		file, spec := h.typeSpec(f.dir(), id.Name)
		return file, asInterface(spec)
	}
	imported, name := f.imported(typ)
	dir, ok := h.inside(imported)
	if !ok {
		return nil, nil
	}
	file, spec := h.typeSpec(dir, name)
	return file, asInterface(spec)
}

func asInterface(spec *ast.TypeSpec) *ast.InterfaceType {
	if spec == nil {
		return nil
	}
	typ, _ := spec.Type.(*ast.InterfaceType)
	return typ
}

// typeSpec finds a package-level type in the non-test files of a package.
func (h *House) typeSpec(dir, name string) (*File, *ast.TypeSpec) {
	p := h.pkg(dir)
	if p == nil {
		return nil, nil
	}
	for _, f := range p.Files {
		if obj := f.Syntax.Scope.Lookup(name); !f.Test && obj != nil {
			if spec, ok := obj.Decl.(*ast.TypeSpec); ok {
				return f, spec
			}
		}
	}
	return nil, nil
}

// seams are the packages whose interfaces are contracts; the suites <seam>/…test hold them.
func seams() []string { return []string{"storage", "kms", "bus"} }

// exportedMethods visits the methods written in the exported interfaces of a seam.
func exportedMethods(h *House, seam string, visit func(*File, Spot, *ast.Field)) {
	keep := func(f *File) bool { return product(f) && f.dir() == seam }
	eachInterface(h, keep, func(f *File, spec *ast.TypeSpec, typ *ast.InterfaceType) {
		if !spec.Name.IsExported() {
			return
		}
		for _, field := range typ.Methods.List {
			for _, name := range field.Names {
				visit(f, Spot{f.Path, f.line(name.Pos()), spec.Name.Name + "." + name.Name}, field)
			}
		}
	})
}
