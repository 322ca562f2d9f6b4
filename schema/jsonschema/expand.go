package jsonschema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/schema"
)

// expander walks over the places that a schema describes, and decides for each whether it is personal, a reference, or
// open. What an object's declaration covers is handed down.
type expander struct {
	shapes
	*reader
	strict bool // the schema names a person, so that everything must be declared
	vault  bool
	places int
	work   int // what following the schema has cost
	marks  []schema.Place
	trail  []string // schemas of the places that lead here
	over   bool     // more is not followed
	fixed  int      // number of subjects that are in the same place in every event
	lacks  []lack
	opens  []*node
}

// covered is what enclosing objects declare.
type covered struct {
	owner *owner
	open  string
}

// found is what the schemas of one place declare.
type found struct {
	personal *declared
	person   string
	open     string
}

func newExpander(r *reader) *expander {
	x := &expander{reader: r, shapes: newShapes(r.nodes), strict: r.fallback != nil}
	for _, n := range r.nodes {
		x.strict = x.strict || n.declares()
		x.vault = x.vault || n.vault && n.personal == nil
	}
	return x
}

func (x *expander) expand(top *node) *place {
	root := &place{}
	for _, n := range x.nodes {
		n.aside(func(child *node) {
			if x.declaresBelow(child) {
				x.add("schema_conflict", child.at.place(), "declare it in properties or items",
					"a declaration here would mean nothing: this schema only tests")
			}
		})
	}
	x.visit(root, []start{{top, true}}, covered{})
	if x.err() == nil {
		s := &resolver{root: root, fixed: map[string]int{}, problems: &x.problems}
		s.walk(root)
		x.fixed = len(s.fixed)
	}
	root.prune()
	slices.SortFunc(x.marks, func(a, b schema.Place) int { return strings.Compare(a.Path, b.Path) })
	return root
}

func (x *expander) visit(p *place, starts []start, in covered) {
	if x.exhausted(p) {
		return
	}
	set := closure(starts)
	x.work += 1 + len(set) + len(p.path)/16
	key := trailKey(set)
	if slices.Contains(x.trail, key) {
		if in.owner != nil || slices.ContainsFunc(set, func(s start) bool { return x.declaresBelow(s.n) }) {
			x.add("schema_recursive", p.path, "mark the recursive part as a whole, in a map or an array",
				"what is declared here repeats itself without end")
		}
		return
	}
	x.trail = append(x.trail, key)
	defer func() { x.trail = x.trail[:len(x.trail)-1] }()
	x.decide(p, starts, set, in)
}

// exhausted reports whether a schema describes more than is followed. One that names no person then has no marks.
func (x *expander) exhausted(p *place) bool {
	switch {
	case x.over:
	case len(p.path) > maxPath:
		x.over = true
		x.add("schema_too_large", p.path, "", "the path to it is longer than %d bytes", maxPath)
	case x.places == maxPlaces || x.work > maxWork:
		if x.over = true; x.strict {
			x.add("schema_too_large", p.shown(), "", "following the schema comes to too many places: more than %d, or each of "+
				"too many parts", maxPlaces)
		}
	default:
		x.places++
	}
	return x.over
}

func trailKey(set []start) string {
	ids := make([]int, len(set))
	for i, s := range set {
		ids[i] = 2 * s.n.id
		if s.certain {
			ids[i]++
		}
	}
	slices.Sort(ids)
	return fmt.Sprint(ids)
}

// decide is the heart: personal, a reference, open, or a fault.
func (x *expander) decide(p *place, starts, set []start, in covered) {
	own := x.own(p, set)
	k := x.kindsAt(starts)
	if p.up == nil {
		k &= isObject // as all data is
	}
	p.date = slices.ContainsFunc(set, func(s start) bool {
		return s.certain && s.n.format != nil && (s.n.format.name == "date" || s.n.format.name == "date-time")
	})
	switch {
	case k == 0:
		return
	case own.person != "":
		x.reference(p, own.person, k)
		return
	case own.personal != nil:
		in = covered{owner: x.owner(p, own.personal, in)}
	case own.open != "":
		in = covered{open: own.open}
	}
	unknown := k == isAnyKind && !slices.ContainsFunc(set, func(s start) bool { return s.n.structured() })
	shape := x.opennessAt(starts)
	switch {
	case in.owner != nil:
		x.seal(p, set, sealing{in.owner, own.personal != nil, unknown, k, shape})
	case x.strict && unknown:
		x.add("schema_unmarked", p.shown(), markMend, "it may be anything: give it a type%s", x.unless(in.open))
		if in.open == "" {
			x.lacking(p, set, k)
		}
	case x.scalar(k):
		x.plain(p, set, k, in.open)
	}
	if k&isObject != 0 && !p.wholeObject && !unknown {
		x.object(p, set, in, shape)
	}
	if k&isArray != 0 && !p.wholeArray && !unknown {
		x.array(p, set, in)
	}
}

const markMend = `declare each with "x-personal", "x-person" or "x-not-personal", or see schema check --suggest`

func (x *expander) unless(open string) string {
	if open == "" {
		return " and declare it"
	}
	return ""
}

// structured reports a keyword about what is in a value.
func (n *node) structured() bool {
	return n.properties != nil || n.patterns != nil || n.additional != nil || n.restProperties != nil || n.items != nil ||
		n.prefix != nil || n.restItems != nil
}

// own collects what the schemas of a place declare. They must agree.
func (x *expander) own(p *place, set []start) found {
	var f found
	words := map[string]bool{}
	for _, s := range set {
		n := s.n
		if n.personal != nil {
			full := n.personal.complete(x.fallback)
			if f.personal != nil && !f.personal.same(full) {
				x.add("schema_conflict", p.shown(), "", "%s says different things of it at %s and %s", keyPersonal,
					f.personal.at.place(), n.personal.at.place())
			}
			f.personal = full
			words[keyPersonal] = true
		}
		if n.person != "" {
			words[keyPerson+" "+n.person], f.person = true, n.person
		}
		if n.open != "" {
			words[keyOpen+" "+n.open], f.open = true, n.open
		}
	}
	if len(words) == 0 {
		f = x.vaultStyle(p, set)
	}
	if len(words) > 1 {
		x.add("schema_conflict", p.shown(), "keep one", "it is declared as %s", strings.Join(sortedKeys(words), " and as "))
	}
	return f
}

// vaultStyle understands the media type aes256gcm, and the property that says whose such values are.
func (x *expander) vaultStyle(p *place, set []start) found {
	for _, s := range set {
		if !s.n.vault {
			continue
		}
		d := &declared{at: s.n.at, mark: schema.Mark{Group: vaultGroup}}
		d = d.complete(x.fallback)
		for up, q := 1, p.up; q != nil; up, q = up+1, q.up {
			if q.known[vaultSubject] {
				text := strconv.Itoa(up) + "/" + vaultSubject
				d.subjects = []subject{{text: text, source: schema.FromData, up: up, steps: []string{vaultSubject}}}
				break
			}
		}
		return found{personal: d}
	}
	if x.vault && p.step == vaultSubject && p.up != nil && p.up.known[vaultSubject] {
		return found{person: x.options.Kind}
	}
	return found{}
}

// owner completes a declaration by the subject of what encloses it.
func (x *expander) owner(p *place, d *declared, in covered) *owner {
	o := &owner{d, p}
	switch {
	case len(d.subjects) > 0:
	case in.owner != nil:
		inherited := *d
		inherited.subjects = in.owner.d.subjects
		o = &owner{&inherited, in.owner.at}
	case x.fallback != nil && len(x.fallback.subjects) > 0:
		inherited := *d
		inherited.subjects = x.fallback.subjects
		o = &owner{&inherited, p}
	default:
		x.add("schema_subject", d.at.place(), `add "subject", such as "/customer_id", "stream" or "store"`,
			"nothing says whose %s is", p.shown())
	}
	if d.mark.Group == "" {
		x.add("schema_invalid", d.at.place(), `add "group", such as "contact"`, "it has no group")
	}
	return o
}

func (x *expander) reference(p *place, kind string, k kinds) {
	p.kind = kind
	if k&^(isString|isNull) != 0 || k&isString == 0 {
		x.add("schema_invalid", p.shown(), `give it "type": "string"`, "a reference to a person is a text, and this is %s", k)
	}
	x.marks = append(x.marks, schema.Place{Path: p.path, Reference: kind, Type: k.String()})
}

// scalar reports whether a place may hold a value that is neither object nor array. That an object or an array may be
// null instead is no value of its own: like its absence, it is structure.
func (x *expander) scalar(k kinds) bool {
	s := k & isScalar
	if k&(isObject|isArray) != 0 {
		s &^= isNull
	}
	return s != 0
}

// plain notes a scalar that is not personal, if that is said.
func (x *expander) plain(p *place, set []start, k kinds, reason string) {
	p.open = reason != ""
	if reason == "" {
		x.lacking(p, set, k&isScalar)
	}
	x.marks = append(x.marks, schema.Place{Path: p.path, Open: reason, Type: (k & isScalar).String()})
	if x.strict && reason == "" {
		x.add("schema_unmarked", p.shown(), markMend, "a %s that is not declared", k&isScalar)
	}
}

type sealing struct {
	owner   *owner
	own     bool // declared in this place, not above it
	unknown bool
	kinds   kinds
	shape   openness
}

// seal makes a place personal: its scalar, and as one value what has no places of its own.
func (x *expander) seal(p *place, set []start, s sealing) {
	isMap := s.kinds&isObject != 0 && (s.shape == mapped || s.unknown)
	below := func(pick func(n *node, visit func(*node))) bool {
		return slices.ContainsFunc(set, func(s start) bool {
			some := false
			pick(s.n, func(child *node) { some = some || x.declaresBelow(child) })
			return some
		})
	}
	inItems := below((*node).elements)
	p.wholeObject = isMap
	p.wholeArray = s.kinds&isArray != 0 && (s.own || s.unknown || !inItems)
	if isMap && below((*node).below) || p.wholeArray && inItems {
		x.add("schema_conflict", p.shown(), "remove the inner declarations, or the outer one",
			"it is sealed as one value, so what is in it can have no declaration")
	}
	if !x.scalar(s.kinds) && !p.wholeObject && !p.wholeArray {
		return
	}
	mark := s.owner.d.mark
	p.value, p.mark, p.owner = true, &mark, s.owner
	m := schema.Place{Path: p.path, Mark: &mark, Type: x.sealedKinds(p, s.kinds).String()}
	for _, subject := range s.owner.d.subjects {
		m.Subjects = append(m.Subjects, subject.text)
	}
	x.marks = append(x.marks, m)
}

func (x *expander) sealedKinds(p *place, k kinds) kinds {
	if !p.wholeObject {
		k &^= isObject
	}
	if !p.wholeArray {
		k &^= isArray
	}
	return k
}

// elements calls visit with the schemas of an array's elements.
func (n *node) elements(visit func(child *node)) {
	for _, child := range append([]*node{n.items, n.restItems}, n.prefix...) {
		if child != nil {
			visit(child)
		}
	}
}
