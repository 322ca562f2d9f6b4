package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func textRules() []Rule {
	return []Rule{
		{"contract/test", "name the test that holds the sentence ([storagetest.Append]) and write it in the suite",
			checkContract},
		{"word/workplace", "speak of the project alone", checkWords},
		{"test/skip", "run the test or delete it; a skipped test holds nothing", checkSkip},
	}
}

var testName = regexp.MustCompile(`\[(\w+test\.\w+)\]`)

// checkContract wants a test named for every method of a seam, and behind every such name in the seam, package
// comments and types included, a test in one of its suites.
func checkContract(h *House, say say) {
	for _, seam := range seams() {
		exportedMethods(h, seam, func(_ *File, at Spot, field *ast.Field) {
			if !testName.MatchString(field.Doc.Text() + field.Comment.Text()) {
				say(at, at.Subject+" promises something and names no test that holds it")
			}
		})
		keep := func(f *File) bool { return product(f) && f.dir() == seam }
		known := map[string]bool{}
		for _, p := range h.Packages {
			if path.Dir(p.Path) == seam && strings.HasSuffix(p.Path, "test") {
				maps.Copy(known, testNames(p))
			}
		}
		eachFile(h, keep, func(f *File) {
			for _, group := range f.Syntax.Comments {
				for _, comment := range group.List {
					checkCited(f, comment, known, say)
				}
			}
		})
	}
}

func checkCited(f *File, comment *ast.Comment, known map[string]bool, say say) {
	for _, found := range testName.FindAllStringSubmatchIndex(comment.Text, -1) {
		cited := comment.Text[found[2]:found[3]]
		if at := comment.Pos() + token.Pos(found[0]); !known[cited] {
			say(Spot{f.Path, f.line(at), cited}, "there is no test ["+cited+"]")
		}
	}
}

// testNames are the tests of a suite, qualified: its functions, with and without the word test in front, and the
// string literals that may be the names of subtests.
func testNames(suite *Package) map[string]bool {
	names := map[string]bool{}
	add := func(name string) { names[path.Base(suite.Path)+"."+name] = true }
	for _, f := range suite.Files {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				add(n.Name.Name)
				add(strings.TrimPrefix(strings.TrimPrefix(n.Name.Name, "test"), "Test"))
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil {
					add(text)
				}
			}
			return true
		})
	}
	return names
}

// workplaceWords belong to the place where the project is made. They are put together here, so that this file does
// not contain them.
func workplaceWords() []string {
	return []string{
		"/work/" + "main", ".libr" + "ary", "farm-" + "bench", "farm-" + "studio", "sub" + "agent", "Sub" + "agent",
	}
}

func checkWords(h *House, say say) {
	for _, text := range h.Texts {
		for _, word := range workplaceWords() {
			if strings.Contains(text.Path, word) {
				say(Spot{text.Path, 1, word}, fmt.Sprintf("the file's name contains %q", word))
			}
			if i := bytes.Index(text.Src, []byte(word)); i >= 0 {
				line := 1 + bytes.Count(text.Src[:i], []byte("\n"))
				say(Spot{text.Path, line, word}, fmt.Sprintf("the file contains %q", word))
			}
		}
	}
}

// checkSkip looks at tests and at what they are made of: suites and other code that is handed a test.
func checkSkip(h *House, say say) {
	keep := func(f *File) bool { return f.Test || f.uses("testing") || f.uses("pgregory.net/rapid") }
	eachNode(h, keep, func(f *File, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			return
		}
		// Skip is also a word of readers and decoders; a test is called by a short name.
		id, ok := sel.X.(*ast.Ident)
		if sel.Sel.Name != "Skip" || ok && slices.Contains([]string{"t", "b", "f", "tb", "rt"}, id.Name) {
			say(f.at(n), "a test is skipped here")
		}
	})
}

func (f *File) uses(imported string) bool {
	return slices.ContainsFunc(f.Syntax.Imports, func(s *ast.ImportSpec) bool { return importPath(s) == imported })
}
