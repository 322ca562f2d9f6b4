package jsonschema

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/schema"
)

// place is a place in the data that a schema describes. After Compile only those are left at which, or below which,
// something is declared.
type place struct {
	step    string // name of the member; "*" for the elements of an array
	path    string // JSON pointer, with * for elements
	dynamic bool   // an element is on the way, so the path differs from event to event
	depth   int
	up      *place

	value       bool         // a personal value may stand here
	mark        *schema.Mark // of the value
	targets     []target     // whose it is
	wholeObject bool         // an object here is sealed as one value
	wholeArray  bool
	kind        string // of the person it refers to; empty: it is no reference

	props  []*place
	byName map[string]int
	prefix []*place // elements with a place of their own
	rest   *place   // other elements

	owner *owner // who says whose it is
	open  bool   // said not to be personal
	date  bool   // a text with the format of a date
	known map[string]bool
}

// target is where a subject stands.
type target struct {
	schema.Subject          // without Ref
	base           int      // depth of the place that the steps begin at
	steps          []string // from there
	fixed          int      // number of the place, if it is the same in every event; else -1
}

// owner is a declaration and the place that its relative pointers begin at.
type owner struct {
	d  *declared
	at *place
}

func (p *place) child(step string, dynamic bool) *place {
	return &place{
		step: step, path: string(appendStep([]byte(p.path), step)), dynamic: p.dynamic || dynamic, depth: p.depth + 1, up: p,
	}
}

func (p *place) shown() string {
	if p.path == "" {
		return "the top"
	}
	return p.path
}

// prune drops what is not declared, and reports whether something is left.
func (p *place) prune() bool {
	left := func(q *place) bool { return q.prune() }
	kept := p.props[:0]
	for _, child := range p.props {
		if left(child) {
			kept = append(kept, child)
		}
	}
	p.props = kept
	slices.SortFunc(p.props, func(a, b *place) int { return strings.Compare(a.path+"/", b.path+"/") })
	p.byName = make(map[string]int, len(p.props))
	for i, child := range p.props {
		p.byName[child.step] = i
	}
	some := p.value || p.kind != "" || len(p.props) > 0
	for i, child := range p.prefix {
		if !left(child) {
			p.prefix[i] = nil
			continue
		}
		some = true
	}
	if p.rest != nil && !left(p.rest) {
		p.rest = nil
	}
	return some || p.rest != nil
}

// find follows the steps of a pointer through the places.
func (p *place) find(steps []string) *place {
	for _, step := range steps {
		next := p.next(step)
		if next == nil {
			return nil
		}
		p = next
	}
	return p
}

func (p *place) next(step string) *place {
	for _, child := range p.props {
		if child.step == step {
			return child
		}
	}
	n, ok := index(step)
	if !ok {
		return nil
	}
	if n < len(p.prefix) {
		return p.prefix[n]
	}
	return p.rest
}

// index reads a step that may be the number of an element.
func index(step string) (int, bool) {
	n, err := strconv.Atoi(step)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == step
}

// resolver finds the targets of all declarations, once all places are known.
type resolver struct {
	root  *place
	fixed map[string]int
	*problems
}

func (s *resolver) walk(p *place) {
	if p.value {
		s.owners(p)
	}
	for _, child := range p.props {
		s.walk(child)
	}
	for _, child := range p.prefix {
		s.walk(child)
	}
	if p.rest != nil {
		s.walk(p.rest)
	}
}

func (s *resolver) owners(p *place) {
	o := p.owner
	if from := o.d.mark.From; strings.HasPrefix(from, "/") {
		s.from(o, from)
	}
	for _, subject := range o.d.subjects {
		if t, ok := s.target(o, subject); ok {
			p.targets = append(p.targets, t)
		}
	}
}

// from checks the date that a retention counts from. It is not personal, for the bucket it gives can be read.
func (s *resolver) from(o *owner, pointer string) {
	steps, ok := splitPointer(pointer)
	var at *place
	if ok {
		at = s.root.find(steps)
	}
	if at == nil || !at.date || !at.open || at.dynamic {
		s.add("schema_subject", o.d.at.place(), `mark it "x-not-personal": "timing" and give it the format date or date-time`,
			"from leads to %s, which is no date that may be read", pointer)
	}
}

func (s *resolver) target(o *owner, sub subject) (target, bool) {
	t := target{Subject: schema.Subject{From: sub.source, Role: sub.role}, fixed: -1}
	if sub.source != schema.FromData {
		return t, true
	}
	base := s.root
	if sub.up >= 0 {
		base = o.at
		for range sub.up {
			if base = base.up; base == nil {
				s.add("schema_subject", o.d.at.place(), "", "the subject %q leads above the top", sub.text)
				return t, false
			}
		}
	}
	at := base.find(sub.steps)
	if at == nil || at.kind == "" {
		s.add("schema_subject", o.d.at.place(), `add "x-person" with the kind of person to the property that says whose it is`,
			"the subject %q leads to no reference to a person", sub.text)
		return t, false
	}
	t.Kind, t.base, t.steps = at.kind, base.depth, sub.steps
	if !base.dynamic {
		where := base.path
		for _, step := range sub.steps {
			where = string(appendStep([]byte(where), step))
		}
		n, known := s.fixed[where]
		if !known {
			n = len(s.fixed)
			s.fixed[where] = n
		}
		t.fixed = n
	}
	return t, true
}
