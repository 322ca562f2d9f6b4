package jsonschema

import (
	"slices"
	"strconv"
)

// object visits the members of an object that may have places of their own.
func (x *expander) object(p *place, set []start, in covered, shape openness) {
	if x.strict && shape == open {
		if set[0].n.at.is('{') {
			x.opens = append(x.opens, set[0].n)
		}
		x.add("schema_open", p.shown(), `add "additionalProperties": false (with allOf: "unevaluatedProperties": false)`,
			"the object is open: members could be added that nobody declared")
	}
	names := map[string]bool{}
	for _, s := range set {
		for _, name := range s.n.names {
			names[name] = true
		}
	}
	p.known = names
	for _, name := range sortedKeys(names) {
		starts, forbidden := x.membersNamed(set, name)
		if forbidden && x.work <= maxWork {
			continue
		}
		child := p.child(name, false)
		p.props = append(p.props, child)
		x.visit(child, starts, in)
	}
	if shape == mapped {
		x.names(p, set, in)
	}
}

// membersNamed is the schemas of a member, and whether a schema forbids it.
func (x *expander) membersNamed(set []start, name string) (starts []start, forbidden bool) {
	x.work += len(set) / 8
	for _, s := range set {
		matched := false
		if child := s.n.properties[name]; child != nil && child.node != nil {
			starts, matched = append(starts, start{child.node, s.certain}), true
		}
		for _, pattern := range s.n.patterns {
			if x.work += 1 + pattern.pattern.size*len(name)>>6; x.work > maxWork {
				return nil, true // the next place is refused
			}
			if pattern.pattern.MatchString(name) {
				starts, matched = append(starts, start{pattern.node, s.certain}), true
			}
		}
		switch {
		case matched || s.n.additional == nil:
		case s.n.additional.never && s.certain:
			forbidden = true
		default:
			starts = append(starts, start{s.n.additional, s.certain})
		}
		if rest := s.n.restProperties; rest != nil && !rest.never {
			starts = append(starts, start{rest, false})
		}
	}
	return starts, forbidden
}

// names visits members whose names are data. Such an object is sealed as a whole, or said not to be personal.
func (x *expander) names(p *place, set []start, in covered) {
	var starts []start
	for _, s := range set {
		for _, pattern := range s.n.patterns {
			starts = append(starts, start{pattern.node, false})
		}
		for _, rest := range []*node{s.n.additional, s.n.restProperties} {
			if rest != nil && !rest.never {
				starts = append(starts, start{rest, false})
			}
		}
	}
	if !x.strict {
		return
	}
	if in.open == "" {
		x.lacking(p, set, isObject)
		x.add("schema_unmarked", p.shown(), "declare the object itself",
			"the names of its members are data, so it needs a declaration as a whole")
		return
	}
	if slices.ContainsFunc(starts, func(s start) bool { return x.declaresBelow(s.n) }) {
		x.add("schema_conflict", p.shown(), "name the members in properties, or declare the object itself",
			"the names of its members are data, so a declaration below them has no place")
		return
	}
	if len(starts) > 0 {
		x.visit(p.child("*", true), starts, in)
	}
}

// array visits the elements of an array.
func (x *expander) array(p *place, set []start, in covered) {
	own := 0
	for _, s := range set {
		own = max(own, len(s.n.prefix))
	}
	for i := range own {
		child := p.child(strconv.Itoa(i), false)
		p.prefix = append(p.prefix, child)
		x.visit(child, elementStarts(set, i), in)
	}
	starts := elementStarts(set, own)
	if len(starts) == 0 && !x.strict {
		return
	}
	p.rest = p.child("*", true)
	x.visit(p.rest, starts, in)
}

// elementStarts is the schemas of the element i. Of unevaluatedItems false counts only where nothing else could have
// let the element in.
func elementStarts(set []start, i int) []start {
	var starts, none []start
	contained := false
	for _, s := range set {
		contained = contained || s.n.contains != nil
		switch {
		case i < len(s.n.prefix):
			starts = append(starts, start{s.n.prefix[i], s.certain})
		case s.n.items != nil:
			starts = append(starts, start{s.n.items, s.certain})
		}
		if rest := s.n.restItems; rest != nil && rest.never {
			none = append(none, start{rest, s.certain})
		} else if rest != nil {
			starts = append(starts, start{rest, false})
		}
	}
	if len(starts) == 0 && !contained {
		return none
	}
	return starts
}
