package archtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// House is a source tree, read once and never changed by a rule.
type House struct {
	Module   string     // module path from go.mod
	Packages []*Package // sorted by path; without testdata and nested modules
	Texts    []Text     // every file that .gitignore does not name, sorted by path
	broken   []broken   // Go files that do not parse
}

// Text is one file as bytes. Path is slash-separated and relative to the module root.
type Text struct {
	Path string
	Src  []byte
}

// Package is one directory with Go files. Path is "" for the root package.
type Package struct {
	Path  string
	Files []*File
}

// File is one parsed Go file.
type File struct {
	Path      string // relative to the module root
	Src       []byte
	Syntax    *ast.File
	Test      bool // name ends in _test.go
	Generated bool // carries the "Code generated … DO NOT EDIT." line
	fset      *token.FileSet
	imports   map[string]string // local name → import path
}

type broken struct {
	path string
	err  error
}

// Load reads the tree below the root of fsys. Files that vanish while it walks are left out, and files that do not
// parse become findings; only a missing go.mod or a failing disk is an error.
func Load(fsys fs.FS) (*House, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	h := &House{Module: modulePath(mod)}
	if h.Module == "" {
		return nil, errors.New("read go.mod: it names no module")
	}
	if err := h.readTexts(fsys); err != nil {
		return nil, err
	}
	h.parse()
	return h, nil
}

func modulePath(mod []byte) string {
	for lines := bufio.NewScanner(bytes.NewReader(mod)); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return ""
}

func (h *House) readTexts(fsys fs.FS) error {
	ignored := ignorePatterns(fsys)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case name == ".git" || (name != "." && ignored.match(name, entry.IsDir())):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		h.Texts = append(h.Texts, Text{Path: name, Src: src})
		return err
	})
	if err != nil {
		return fmt.Errorf("walk tree: %w", err)
	}
	return nil
}

// ignore holds the lines of the root .gitignore: plain names and path.Match patterns. Negation and "**" are not
// understood; such a line ignores nothing, so its files are looked at.
type ignore []string

func ignorePatterns(fsys fs.FS) ignore {
	src, err := fs.ReadFile(fsys, ".gitignore")
	if err != nil {
		return nil
	}
	var list ignore
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "!") {
			list = append(list, line)
		}
	}
	return list
}

func (list ignore) match(name string, dir bool) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		pattern, onlyDir := strings.CutSuffix(pattern, "/")
		if onlyDir && !dir {
			return false
		}
		subject := name
		if !strings.Contains(pattern, "/") {
			subject = path.Base(name)
		}
		ok, err := path.Match(strings.TrimPrefix(pattern, "/"), subject)
		return err == nil && ok
	})
}

func (h *House) parse() {
	fset := token.NewFileSet()
	byPath := map[string]*Package{}
	for _, text := range h.Texts {
		if !strings.HasSuffix(text.Path, ".go") || !h.inModule(text.Path) {
			continue
		}
		f, err := parseFile(fset, text)
		if err != nil {
			h.broken = append(h.broken, broken{text.Path, err})
			continue
		}
		dir := path.Dir(text.Path)
		if dir == "." {
			dir = ""
		}
		if byPath[dir] == nil {
			byPath[dir] = &Package{Path: dir}
			h.Packages = append(h.Packages, byPath[dir])
		}
		byPath[dir].Files = append(byPath[dir].Files, f)
	}
	slices.SortFunc(h.Packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
}

// inModule leaves out what the go command leaves out: testdata, names that start with "." or "_", nested modules.
func (h *House) inModule(file string) bool {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		base := path.Base(dir)
		if base == "testdata" || base[0] == '.' || base[0] == '_' || h.has(dir+"/go.mod") {
			return false
		}
	}
	base := path.Base(file)
	return base[0] != '.' && base[0] != '_'
}

func (h *House) has(file string) bool {
	return slices.ContainsFunc(h.Texts, func(t Text) bool { return t.Path == file })
}

func parseFile(fset *token.FileSet, text Text) (*File, error) {
	syntax, err := parser.ParseFile(fset, text.Path, text.Src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	f := &File{
		Path: text.Path, Src: text.Src, Syntax: syntax, fset: fset,
		Test:      strings.HasSuffix(text.Path, "_test.go"),
		Generated: ast.IsGenerated(syntax),
		imports:   map[string]string{},
	}
	for _, spec := range syntax.Imports {
		f.imports[localName(spec)] = importPath(spec)
	}
	return f, nil
}

func importPath(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return name
}

// localName is the name a file uses for an import: its alias, or the last path element that is not a major version.
func localName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	dir, base := path.Split(importPath(spec))
	if dir != "" && len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		return path.Base(dir)
	}
	return base
}

// pkg finds a package by its path, or nil.
func (h *House) pkg(name string) *Package {
	i, ok := slices.BinarySearchFunc(h.Packages, name, func(p *Package, name string) int {
		return strings.Compare(p.Path, name)
	})
	if !ok {
		return nil
	}
	return h.Packages[i]
}

// inside turns an import path into a package path of this module.
func (h *House) inside(imported string) (string, bool) {
	if imported == h.Module {
		return "", true
	}
	return strings.CutPrefix(imported, h.Module+"/")
}

// Name is the package's path, readable for the root package as well.
func (p *Package) Name() string {
	if p.Path == "" {
		return "the root package"
	}
	return p.Path
}

// Generated tells whether no file of the package was written by hand.
func (p *Package) Generated() bool {
	return !slices.ContainsFunc(p.Files, func(f *File) bool { return !f.Generated })
}

// lines counts the lines of a file; a last line without its end counts too.
func (f *File) lines() int {
	n := bytes.Count(f.Src, []byte("\n"))
	if len(f.Src) > 0 && f.Src[len(f.Src)-1] != '\n' {
		n++
	}
	return n
}

func (f *File) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// at is the spot of a node that belongs to no named subject.
func (f *File) at(n ast.Node) Spot { return Spot{File: f.Path, Line: f.line(n.Pos())} }

// dir is the path of the package the file lies in, "" for the root.
func (f *File) dir() string {
	if dir := path.Dir(f.Path); dir != "." {
		return dir
	}
	return ""
}

// imported resolves a selector such as time.Now, also under an alias, to its import path and name. A local variable
// that hides the import is not mistaken for it: the parser resolves identifiers inside a file, and what it could
// resolve is no import.
func (f *File) imported(n ast.Node) (pkg, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil {
		return "", ""
	}
	if pkg = f.imports[id.Name]; pkg == "" {
		return "", ""
	}
	return pkg, sel.Sel.Name
}
