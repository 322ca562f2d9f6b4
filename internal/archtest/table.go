package archtest

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

const tableFile = "docs/ARCHITECTURE.md"

// The rows above the numbered floors. Their floor numbers only need to be higher than any number in the table.
const (
	wiringFloor = 100
	testsFloor  = 101
)

// room is one package of the floor table.
type room struct {
	path   string
	floor  int
	order  int    // from left to right on its floor
	parent string // the seam or package whose braces it stands in
	driver bool   // sub-package of a seam that speaks to a technology
	suite  bool   // sub-package of a seam that tests drivers
	shared bool   // sub-package of a seam that its drivers share: pure, "shared" before its name
}

// table is the floor table: rooms by package path, and what is wrong with its text.
type table struct {
	rooms  map[string]room
	faults []fault
}

type fault struct {
	line int
	text string
}

// Without braces inside parentheses: remarks are cut before these match.
var (
	rowForm  = regexp.MustCompile(`^(\d+|\s)\s+(\S+)\s+(.+)$`)
	roomForm = regexp.MustCompile(`^([\w./-]+)\s*(?:\{([^}]*)\})?`)
)

// floors reads the floor table of the house.
func (h *House) floors() table {
	t := table{rooms: map[string]room{}}
	start, rows := findTable(h)
	if len(rows) == 0 {
		t.faults = []fault{{1, "there is no floor table: no fenced block starts with floor 0"}}
		return t
	}
	for i, row := range rows {
		if strings.TrimSpace(row) != "" {
			t.addRow(h, start+i, row)
		}
	}
	return t
}

// findTable returns the lines of the first fenced block that starts with floor 0, and the number of its first line.
func findTable(h *House) (int, []string) {
	for _, text := range h.Texts {
		if text.Path != tableFile {
			continue
		}
		lines := strings.Split(string(bytes.TrimRight(text.Src, "\n")), "\n")
		start := 0
		for i, line := range lines {
			switch {
			case start == 0 && i > 0 && strings.HasPrefix(lines[i-1], "```") && strings.HasPrefix(line, "0 "):
				start = i + 1
			case start > 0 && strings.HasPrefix(line, "```"):
				return start, lines[start-1 : i]
			}
		}
	}
	return 0, nil
}

func (t *table) addRow(h *House, line int, row string) {
	parts := rowForm.FindStringSubmatch(row)
	if parts == nil {
		t.faults = append(t.faults, fault{line, "the row is not: number, name, packages"})
		return
	}
	floor, ok := floorNumber(parts[1], parts[2])
	if !ok {
		t.faults = append(t.faults, fault{line, fmt.Sprintf("the row %q has no floor number", parts[2])})
		return
	}
	order := 0
	for segment := range strings.SplitSeq(withoutRemarks(parts[3]), "·") {
		words := roomForm.FindStringSubmatch(strings.TrimSpace(segment))
		if words == nil {
			t.faults = append(t.faults, fault{line, "there is no package name between two dots"})
			continue
		}
		parent := words[1]
		if parent == path.Base(h.Module) {
			parent = ""
		}
		t.add(line, room{path: parent, floor: floor, order: order})
		for sub := range strings.SplitSeq(words[2], ",") {
			if sub = strings.TrimSpace(sub); sub == "" {
				continue
			}
			order++
			sub, shared := strings.CutPrefix(sub, "shared ")
			suite := strings.HasSuffix(sub, "test")
			seam := parts[2] == "seams"
			t.add(line, room{
				path: path.Join(parent, sub), floor: floor, order: order, parent: parent,
				suite: seam && suite, shared: seam && shared, driver: seam && !suite && !shared,
			})
		}
		order++
	}
}

func (t *table) add(line int, r room) {
	if _, twice := t.rooms[r.path]; twice {
		t.faults = append(t.faults, fault{line, fmt.Sprintf("%q stands in the table twice", r.path)})
	}
	t.rooms[r.path] = r
}

func floorNumber(number, name string) (int, bool) {
	n, err := strconv.Atoi(number)
	switch {
	case err == nil:
		return n, true
	case name == "wiring":
		return wiringFloor, true
	case name == "tests":
		return testsFloor, true
	}
	return 0, false
}

// withoutRemarks cuts what stands in parentheses, nested ones too.
func withoutRemarks(text string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
			return -1
		}
		if depth > 0 {
			return -1
		}
		return r
	}, text)
}

// room finds where a package lives. Generated packages live with their nearest listed parent.
func (t table) room(h *House, name string) (room, bool) {
	r, ok := t.rooms[name]
	if ok {
		return r, true
	}
	p := h.pkg(name)
	if p == nil || !p.Generated() {
		return room{}, false
	}
	for name != "" && !ok {
		if name = path.Dir(name); name == "." {
			return room{}, false
		}
		r, ok = t.rooms[name]
	}
	return r, ok
}

func (r room) free() bool { return r.floor >= wiringFloor }
