package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"slices"
)

// Spot is a place in the tree. Subject is the function, type, package or import a rule speaks about, and lets an
// exception name a place without its line number; it is empty where the file says enough.
type Spot struct {
	File    string
	Line    int
	Subject string
}

// Finding is one place that breaks one rule.
type Finding struct {
	Spot
	Rule string
	Text string // what is wrong
	Mend string // how to put it right
}

// String puts a finding on one line that editors can jump to.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: [%s] %s; mend: %s", f.File, f.Line, f.Rule, f.Text, f.Mend)
}

// Rule is one thing that must hold everywhere in the house.
type Rule struct {
	Name  string // area/rule
	Mend  string
	check func(h *House, say say)
}

// say reports one place to the rule that is running.
type say func(at Spot, text string)

// Rules lists every rule, in the order in which they are reported.
func Rules() []Rule {
	return slices.Concat(
		[]Rule{{"tree/parse", "make the file parse", checkParse}},
		floorRules(), sizeRules(), callRules(), payloadRules(), nameRules(), textRules(),
	)
}

// Inspect runs one rule over the house and returns its findings by file and line.
func (r Rule) Inspect(h *House) []Finding {
	var found []Finding
	r.check(h, func(at Spot, text string) {
		found = append(found, Finding{Spot: at, Rule: r.Name, Text: text, Mend: r.Mend})
	})
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

// Inspect runs every rule over the house and takes away what the exceptions excuse.
func Inspect(h *House) []Finding {
	var found []Finding
	for _, rule := range Rules() {
		found = append(found, rule.Inspect(h)...)
	}
	return Excuse(found, exceptions())
}

func checkParse(h *House, say say) {
	for _, b := range h.broken {
		say(Spot{File: b.path, Line: 1}, b.err.Error())
	}
}

// eachFile visits the hand-written files that keep accepts.
func eachFile(h *House, keep func(*File) bool, visit func(*File)) {
	for _, p := range h.Packages {
		for _, f := range p.Files {
			if !f.Generated && keep(f) {
				visit(f)
			}
		}
	}
}

// eachNode visits every syntax node of the hand-written files that keep accepts.
func eachNode(h *House, keep func(*File) bool, visit func(*File, ast.Node)) {
	eachFile(h, keep, func(f *File) {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if n != nil {
				visit(f, n)
			}
			return true
		})
	})
}

func anyFile(*File) bool    { return true }
func product(f *File) bool  { return !f.Test }
func testFile(f *File) bool { return f.Test }
