package jsonschema

import (
	"maps"
	"slices"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// start is a schema that describes a place: for certain, or only where an alternative holds.
type start struct {
	n       *node
	certain bool
}

// openness says which members an object may have besides those that are named.
type openness uint8

const (
	closed openness = iota // none
	mapped                 // members whose names are data
	open                   // nothing is said
)

// shapes answers questions about what schemas allow. Where there is no exact answer it errs towards more.
type shapes struct {
	kinds    map[*node]kinds
	openness map[*node]openness
	reaches  map[*node]bool
}

func newShapes(nodes []*node) shapes {
	return shapes{map[*node]kinds{}, map[*node]openness{}, reaching(nodes)}
}

// closure is the schemas that hold in a place, with those that hold because of them.
func closure(starts []start) []start {
	var set []start
	at := map[int]int{}
	var add func(s start)
	add = func(s start) {
		if i, known := at[s.n.id]; known && (set[i].certain || !s.certain) {
			return
		} else if known {
			set[i].certain = true
		} else {
			at[s.n.id] = len(set)
			set = append(set, s)
		}
		s.n.inPlace(func(child *node, certain bool) { add(start{child, certain && s.certain}) })
	}
	for _, s := range starts {
		add(s)
	}
	return set
}

// combined is what holds if all certain schemas hold; without one, if any of the others does.
func combined[T any](starts []start, zero T, both, either func(a, b T) T, of func(*node) T) T {
	answer, some := zero, false
	for _, certain := range []bool{true, false} {
		for _, s := range starts {
			switch {
			case s.certain != certain:
			case !some:
				answer, some = of(s.n), true
			case certain:
				answer = both(answer, of(s.n))
			default:
				answer = either(answer, of(s.n))
			}
		}
		if some {
			return answer
		}
	}
	return zero
}

func (s shapes) kindsAt(starts []start) kinds {
	return combined(starts, isAnyKind, func(a, b kinds) kinds { return a & b }, func(a, b kinds) kinds { return a | b },
		s.kindsOf)
}

func (s shapes) opennessAt(starts []start) openness {
	return combined(starts, open, func(a, b openness) openness { return min(a, b) },
		func(a, b openness) openness { return max(a, b) }, s.opennessOf)
}

// kindsOf is the kinds of values that a schema may allow.
func (s shapes) kindsOf(n *node) kinds {
	if k, known := s.kinds[n]; known {
		return k
	}
	k := isAnyKind
	if n.never {
		k = 0
	}
	if n.types != 0 {
		k &= wide(n.types)
	}
	if n.values != nil {
		var listed kinds
		for key := range n.values {
			listed |= wide(kindOf(key[0]))
		}
		k &= listed
	}
	if n.ref != nil {
		k &= s.kindsOf(n.ref)
	}
	for _, child := range n.allOf {
		k &= s.kindsOf(child)
	}
	for _, list := range [][]*node{n.anyOf, n.oneOf, n.branches()} {
		var either kinds
		for _, child := range list {
			either |= s.kindsOf(child)
		}
		if len(list) > 0 {
			k &= either
		}
	}
	s.kinds[n] = k
	return k
}

// branches are then and else, if one of them always holds.
func (n *node) branches() []*node {
	if n.then == nil || n.otherwise == nil {
		return nil
	}
	return []*node{n.then, n.otherwise}
}

// wide puts integers among the numbers.
func wide(k kinds) kinds {
	if k&isNumber != 0 {
		k |= isInteger
	}
	return k
}

func kindOf(c byte) kinds {
	switch c {
	case 'n':
		return isNull
	case 't', 'f':
		return isBoolean
	case '0':
		return isNumber
	case '"':
		return isString
	case '[':
		return isArray
	}
	return isObject
}

func (s shapes) opennessOf(n *node) openness {
	if o, known := s.openness[n]; known {
		return o
	}
	o := open
	switch {
	case n.never || s.kindsOf(n)&isObject == 0:
		o = closed
	case n.additional != nil && n.additional.never && len(n.patterns) == 0:
		o = closed
	case n.additional != nil:
		o = mapped
	}
	if n.restProperties != nil && o != closed {
		o = mapped
		if n.restProperties.never && !namesData(n) {
			o = closed
		}
	}
	if n.ref != nil {
		o = min(o, s.opennessOf(n.ref))
	}
	for _, child := range n.allOf {
		o = min(o, s.opennessOf(child))
	}
	for _, list := range [][]*node{n.anyOf, n.oneOf, n.branches()} {
		worst := closed
		for _, child := range list {
			worst = max(worst, s.opennessOf(child))
		}
		if len(list) > 0 {
			o = min(o, worst)
		}
	}
	s.openness[n] = o
	return o
}

// namesData reports whether a schema, or one that holds for the same value, lets members in whose names are data.
func namesData(n *node) bool {
	return slices.ContainsFunc(closure([]start{{n, true}}), func(s start) bool {
		a := s.n.additional
		rest := s.n.restProperties
		return len(s.n.patterns) > 0 || a != nil && !a.never || s.n != n && rest != nil && !rest.never
	})
}

// declaresBelow reports a declaration on a schema or on any that can be reached from it.
func (s shapes) declaresBelow(n *node) bool { return s.reaches[n] }

// reaching finds the schemas from which a declaration can be reached, beginning with those that declare.
func reaching(nodes []*node) map[*node]bool {
	above := map[*node][]*node{}
	var next []*node
	reaches := map[*node]bool{}
	for _, n := range nodes {
		link := func(child *node) { above[child] = append(above[child], n) }
		n.inPlace(func(child *node, _ bool) { link(child) })
		n.below(link)
		n.aside(link)
		if n.declares() {
			reaches[n] = true
			next = append(next, n)
		}
	}
	for len(next) > 0 {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		for _, parent := range above[n] {
			if !reaches[parent] {
				reaches[parent] = true
				next = append(next, parent)
			}
		}
	}
	return reaches
}
