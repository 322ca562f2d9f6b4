package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/sealed"
)

// Sealed is what was sealed under one group in an event.
type Sealed struct {
	Group string   `json:"group"`
	Paths []string `json:"paths"`
	Until string   `json:"until,omitempty"` // last day it is kept; empty: there is no fixed end
}

// SealedIn is what was sealed in an event that was read without a purpose.
func SealedIn(e *event.Event) (groups []Sealed) {
	for _, w := range e.Withheld {
		i := slices.IndexFunc(groups, func(g Sealed) bool { return g.Group == w.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Sealed{Group: w.Group, Until: keptUntil(e, w.Group)})
		}
		groups[i].Paths = append(groups[i].Paths, w.Path)
	}
	return groups
}

// PersonsOf are the persons an event speaks of, kind/alias.
func PersonsOf(e *event.Event) (persons []string) {
	add := func(kind, id string) {
		text := kind + "/" + id
		if event.IsKRID(id) && !slices.Contains(persons, text) {
			persons = append(persons, text)
		}
	}
	add(e.Stream.Kind, e.Stream.ID)
	for _, r := range e.Relations {
		add(r.Kind, r.ID)
	}
	return persons
}

// keptUntil is the last day on which something of a group in an event can be opened; empty: there is no fixed end.
func keptUntil(e *event.Event, group string) string {
	boxes, err := sealed.Parse(e.Boxes)
	if err != nil {
		return ""
	}
	last := int64(0)
	for i := range boxes {
		if boxes[i].Group != group {
			continue
		}
		if boxes[i].Bucket == 0 {
			return ""
		}
		last = max(last, boxes[i].Bucket)
	}
	if last == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", last/10000, last/100%100, last%100)
}

// SealedFields say to people what was sealed in one event.
func SealedFields(groups []Sealed, persons []string) []Field {
	var what, ends []string
	for _, g := range groups {
		for _, path := range g.Paths {
			what = append(what, path+" under "+g.Group)
		}
		if g.Until != "" {
			ends = append(ends, g.Group+" "+g.Until)
		}
	}
	fields := []Field{{"sealed", strings.Join(what, ", ")}, {"persons", strings.Join(persons, ", ")},
		{"kept until", strings.Join(ends, ", ")}}
	return slices.DeleteFunc(fields, func(f Field) bool { return f[1] == "" })
}

// Tally counts values by data group.
type Tally map[string]int

// Add counts what was sealed in an event.
func (t Tally) Add(groups []Sealed) {
	for _, g := range groups {
		t[g.Group] += len(g.Paths)
	}
}

// String is such as "contact 2, identity 4".
func (t Tally) String() string {
	var parts []string
	for _, group := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, fmt.Sprintf("%s %d", group, t[group]))
	}
	return strings.Join(parts, ", ")
}
