package archtest

import (
	"path"
	"slices"
	"strings"
)

// emptyNames say nothing about what a package does.
func emptyNames() []string {
	return []string{
		"util", "utils", "common", "helper", "helpers", "shared", "type", "types", "model", "models", "base",
		"manager", "managers", "service", "services", "misc",
	}
}

func nameRules() []Rule {
	return []Rule{
		{"name/package", "name the package after what it does", checkPackageName},
		{"name/comment", "write a package comment from which a newcomer can work (\"Package x …\")", checkComment},
		{"name/testify", "use testing and go-cmp", checkTestify},
		{"name/module", "keep one go.mod; a build tool may have its own under tools/", checkModule},
	}
}

func checkPackageName(h *House, say say) {
	for _, p := range h.Packages {
		f := p.Files[0]
		name := strings.TrimSuffix(f.Syntax.Name.Name, "_test")
		for _, candidate := range []string{name, path.Base(p.Path)} {
			if !p.Generated() && slices.Contains(emptyNames(), candidate) {
				say(Spot{f.Path, f.line(f.Syntax.Name.Pos()), p.Path}, candidate+" is no name for a package")
				break
			}
		}
	}
}

func checkComment(h *House, say say) {
	for _, p := range h.Packages {
		if p.Generated() || slices.ContainsFunc(p.Files, introduces) {
			continue
		}
		f := p.Files[0]
		at := Spot{f.Path, f.line(f.Syntax.Name.Pos()), p.Path}
		say(at, p.Name()+" has no package comment that starts as godoc wants it")
	}
}

// introduces tells whether a file carries the package comment. A test file may, in a package that has only tests.
func introduces(f *File) bool {
	name := f.Syntax.Name.Name
	if f.Syntax.Doc == nil {
		return false
	}
	text := f.Syntax.Doc.Text()
	return name == "main" && text != "" || strings.HasPrefix(text, "Package "+name+" ")
}

func checkTestify(h *House, say say) {
	eachFile(h, anyFile, func(f *File) {
		for _, spec := range f.Syntax.Imports {
			if strings.HasPrefix(importPath(spec), "github.com/stretchr/testify") {
				say(f.at(spec), "testify is imported here")
			}
		}
	})
}

func checkModule(h *House, say say) {
	for _, text := range h.Texts {
		name := text.Path
		if path.Base(name) == "go.mod" && name != "go.mod" && !strings.HasPrefix(name, "tools/") {
			say(Spot{File: name, Line: 1}, "a second module")
		}
	}
}
