package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Change is what a new version of a schema does differently.
type Change struct {
	Path string // of the place in the data; * for elements
	Code string // stable, such as undeclared
	Text string // a sentence for people, without the path
	// Breaking: data that was valid before may not be valid now, so who reads with the new version needs an upcaster.
	Breaking bool
	// Refused: a store does not take the new version.
	Refused bool
	// Job: values that are stored already are concerned, and need a job of their own.
	Job bool
}

// String is the sentence with its place.
func (c *Change) String() string { return cmp.Or(c.Path, "the top") + ": " + c.Text }

// Comparer is a plan that also compares structure: what was valid before and is not now.
type Comparer interface {
	Plan
	CompareStructure(old Plan) []Change
}

// Compare tells what replacing old by new does: first what is refused, then by path. Compatibility is backward: what
// was valid before is to stay readable by the new version, or by its upcaster; if it has one, nothing is breaking.
func Compare(old, new *Version) ([]Change, error) {
	before, err := old.Plan()
	if err != nil {
		return nil, err
	}
	after, err := new.Plan()
	if err != nil {
		return nil, err
	}
	var c comparison
	c.old, c.new = before.Marks(), after.Marks()
	for i := range c.old {
		c.place(&c.old[i])
	}
	for i := range c.new {
		if c.new[i].Mark != nil && !touched(c.old, c.new[i].Path) {
			c.tell(c.new[i].Path, "added", "a personal value of group %s is new", c.new[i].Mark.Group)
		}
	}
	if old.Notation != new.Notation {
		c.add(Change{Code: "notation", Text: "the notation is another one", Breaking: true})
	} else if structure, ok := after.(Comparer); ok {
		c.list = append(c.list, structure.CompareStructure(before)...)
	}
	if new.Upcaster != (Script{}) {
		for i := range c.list {
			c.list[i].Breaking = false
		}
	}
	slices.SortStableFunc(c.list, func(a, b Change) int {
		if a.Refused != b.Refused {
			return map[bool]int{true: -1, false: 1}[a.Refused]
		}
		return strings.Compare(a.Path, b.Path)
	})
	return slices.Compact(c.list), nil
}

type comparison struct {
	old, new []Place
	list     []Change
}

func (c *comparison) add(change Change) { c.list = append(c.list, change) }

func (c *comparison) tell(path, code, format string, args ...any) {
	c.add(Change{Path: path, Code: code, Text: fmt.Sprintf(format, args...)})
}

func (c *comparison) refuse(path, code, text string) {
	c.add(Change{Path: path, Code: code, Text: text, Refused: true})
}

// place compares one place of the old version with what is there now.
func (c *comparison) place(old *Place) {
	now := at(c.new, old.Path)
	if now == nil {
		now = around(c.new, old.Path)
	}
	if now == nil {
		c.gone(old)
		return
	}
	switch {
	case old.Mark != nil && now.Mark != nil:
		c.marks(old, now)
	case old.Mark != nil:
		c.refuse(old.Path, "undeclared", "it was personal and would no longer be; its history cannot be made readable again")
	case old.Reference != "" && now.Reference == "" && now.Mark == nil:
		c.refuse(old.Path, "undeclared", "it was a reference to a person and would be stored in clear")
	case old.Reference != "" && now.Reference != "" && old.Reference != now.Reference:
		c.add(Change{Path: old.Path, Code: "kind", Breaking: true,
			Text: "it refers to the kind " + now.Reference + " instead of " + old.Reference})
	case old.Reference == "" && (now.Mark != nil || now.Reference != ""):
		c.add(Change{Path: old.Path, Code: "declared_late", Job: true,
			Text: "it was open and is declared now; what is stored stays readable until a job seals it"})
	case old.Open != now.Open && old.Open != "" && now.Open != "":
		c.tell(old.Path, "reason", "it is not personal for another reason: %s instead of %s", now.Open, old.Open)
	}
}

// gone handles a place that the new version does not have, or has in parts.
func (c *comparison) gone(old *Place) {
	parts := 0
	for i := range c.new {
		if !below(c.new[i].Path, old.Path) {
			continue
		}
		parts++
		if old.Mark != nil && c.new[i].Mark == nil {
			c.refuse(c.new[i].Path, "undeclared", "it was part of a personal value and would no longer be personal")
		}
	}
	switch {
	case parts > 0 && old.Mark != nil:
		c.tell(old.Path, "divided", "what was sealed as one value is sealed in parts")
	case parts == 0 && (old.Mark != nil || old.Reference != ""):
		c.add(Change{Path: old.Path, Code: "removed", Breaking: true,
			Text: "it is no longer there; what is stored stays as it is"})
	}
}

func (c *comparison) marks(old, now *Place) {
	changed := func(code, what, before, after string) {
		if before != after {
			c.tell(old.Path, code, "the %s is %s instead of %s; it counts for new events only",
				what, named(after), named(before))
		}
	}
	changed("group", "group", old.Mark.Group, now.Mark.Group)
	changed("subject", "subject", strings.Join(old.Subjects, ", "), strings.Join(now.Subjects, ", "))
	changed("retention", "retention", old.Mark.Retention, now.Mark.Retention)
	changed("retention", "start of the retention", old.Mark.From, now.Mark.From)
	changed("category", "category", string(old.Mark.Category), string(now.Mark.Category))
	changed("origin", "origin", string(old.Mark.Origin), string(now.Mark.Origin))
	if old.Path != now.Path {
		c.tell(old.Path, "gathered", "it is sealed as part of %s", now.Path)
	}
}

func named(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func at(list []Place, path string) *Place {
	for i := range list {
		if list[i].Path == path {
			return &list[i]
		}
	}
	return nil
}

// around is the personal value that a place is part of.
func around(list []Place, path string) *Place {
	for i := range list {
		if list[i].Mark != nil && below(path, list[i].Path) {
			return &list[i]
		}
	}
	return nil
}

func below(path, above string) bool {
	return len(path) > len(above) && strings.HasPrefix(path, above+"/")
}

// touched reports whether a path, or part of it, or what it is part of, was there.
func touched(list []Place, path string) bool {
	return slices.ContainsFunc(list, func(p Place) bool {
		return p.Path == path || below(p.Path, path) || below(path, p.Path)
	})
}
