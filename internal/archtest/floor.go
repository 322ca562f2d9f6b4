package archtest

import (
	"fmt"
	"go/ast"
)

func floorRules() []Rule {
	return []Rule{
		{"floor/table", "give the package its floor in " + tableFile + ", or move it into a room that is there",
			checkTable},
		{"floor/up", "move the shared part down, or pass it in as a value or a small interface", checkUp},
		{"floor/driver", "take the seam's interface; only internal/opening, bench, lethetest, examples and tests " +
			"pick drivers", checkDriver},
		{"floor/reach", "let a driver import its seam, what the seam's drivers share, floor 0 and a vendor's library only",
			checkReach},
		{"floor/suite", "import suites from tests only", checkSuite},
		{"floor/test", "let a test use its own floor and below, drivers, suites and lethetest; " +
			"move a test of several floors to e2e", checkTestImports},
	}
}

func checkTable(h *House, say say) {
	t := h.floors()
	for _, f := range t.faults {
		say(Spot{File: tableFile, Line: f.line}, f.text)
	}
	if len(t.rooms) == 0 {
		return // already said; naming every package helps nobody
	}
	for _, p := range h.Packages {
		if _, ok := t.room(h, p.Path); !ok {
			f := p.Files[0]
			say(Spot{f.Path, f.line(f.Syntax.Name.Pos()), p.Path}, p.Name()+" is missing in the floor table")
		}
	}
}

// step is one import inside the module, both ends found in the table.
type step struct {
	file     *File
	spec     *ast.ImportSpec
	from, to room
}

// eachStep visits the imports inside the module. Packages missing in the table are left to floor/table.
func eachStep(h *House, visit func(step)) {
	t := h.floors()
	for _, p := range h.Packages {
		from, ok := t.room(h, p.Path)
		if !ok {
			continue
		}
		for _, f := range p.Files {
			for _, spec := range f.Syntax.Imports {
				name, in := h.inside(importPath(spec))
				to, listed := t.room(h, name)
				if in && listed && to != from {
					visit(step{f, spec, from, to})
				}
			}
		}
	}
}

func (s step) spot() Spot {
	return Spot{File: s.file.Path, Line: s.file.line(s.spec.Pos()), Subject: importPath(s.spec)}
}

func (s step) text(what string) string {
	return fmt.Sprintf("%s %s %s", readable(s.from.path), what, readable(s.to.path))
}

func readable(name string) string {
	if name == "" {
		return "the root package"
	}
	return name
}

// goesDown is the heart of the table: lower floors, and floor-mates written further left.
func (s step) goesDown() bool {
	if s.from.floor == s.to.floor {
		return s.from.free() || s.to.order < s.from.order
	}
	return s.to.floor < s.from.floor
}

func checkUp(h *House, say say) {
	eachStep(h, func(s step) {
		if s.file.Test || s.goesDown() {
			return
		}
		what := fmt.Sprintf("(floor %d) imports upward:", s.from.floor)
		if s.from.floor == s.to.floor {
			what = "imports a floor-mate that is not to its left:"
		}
		say(s.spot(), s.text(what))
	})
}

// picksDrivers tells who may name a technology: wiring, tests, suites (their oracle) and bench, which is user code
// that happens to ship with the product.
func (r room) picksDrivers() bool { return r.free() || r.suite || r.path == "bench" }

func checkDriver(h *House, say say) {
	eachStep(h, func(s step) {
		if s.to.driver && !s.file.Test && !s.from.picksDrivers() {
			say(s.spot(), s.text("imports the driver"))
		}
	})
}

func checkReach(h *House, say say) {
	eachStep(h, func(s step) {
		own := s.to.path == s.from.parent || s.to.shared && s.to.parent == s.from.parent
		if s.from.driver && !s.file.Test && s.to.floor != 0 && !own {
			say(s.spot(), s.text("is a driver and imports"))
		}
	})
}

func checkSuite(h *House, say say) {
	eachStep(h, func(s step) {
		if s.to.suite && !s.file.Test && !s.from.suite && !s.from.free() {
			say(s.spot(), s.text("imports the suite"))
		}
	})
}

func checkTestImports(h *House, say say) {
	eachStep(h, func(s step) {
		helper := s.to.suite || s.to.driver || s.to.shared || s.to.path == "lethetest"
		if s.file.Test && !helper && s.to.floor > s.from.floor {
			say(s.spot(), s.text("is tested with the help of a higher floor:"))
		}
	})
}
