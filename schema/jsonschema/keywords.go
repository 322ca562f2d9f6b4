package jsonschema

import (
	"slices"

	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// applicator reads keywords that hold schemas for the same value, and for the elements of arrays.
func (r *reader) applicator(n *node, v *value) bool {
	switch v.step {
	case "allOf":
		n.allOf = r.list(v)
	case "anyOf":
		n.anyOf = r.list(v)
	case "oneOf":
		n.oneOf = r.list(v)
	case "not":
		n.not = r.node(v)
	case "if":
		n.when = r.node(v)
	case "then":
		n.then = r.node(v)
	case "else":
		n.otherwise = r.node(v)
	case "prefixItems":
		n.prefix = r.list(v)
	case "items":
		if r.old && v.is('[') {
			n.prefix = r.list(v)
			break
		}
		n.items = r.node(v)
	case "additionalItems":
		extra := r.node(v)
		if list := v.up.member("items"); list != nil && list.is('[') {
			n.items = extra // otherwise draft-07 gives it no meaning
		}
	case "contains":
		n.contains = r.node(v)
	case "unevaluatedItems":
		n.restItems = r.node(v)
	default:
		return false
	}
	return true
}

// member is the value of a member, or nil.
func (v *value) member(name string) *value {
	i := v.t.Member(v.i, name)
	if i == tape.None {
		return nil
	}
	return &value{t: v.t, i: i, up: v, step: name}
}

func (r *reader) list(v *value) []*node {
	if !r.want(v, '[', "a list of schemas") {
		return nil
	}
	var list []*node
	for _, element := range v.elements() {
		list = append(list, r.node(element))
	}
	if len(list) == 0 {
		r.add("schema_invalid", v.place(), "", "want at least one schema")
	}
	return list
}

// membersOf reads keywords about the members of objects.
func (r *reader) membersOf(n *node, v *value) bool {
	switch v.step {
	case "properties":
		r.schemas(v, func(name string, child *node) {
			n.property(name).node = child
			n.names = append(n.names, name)
		})
	case "patternProperties":
		r.schemas(v, func(name string, child *node) {
			if p := r.pattern(child.at, name); p != nil {
				n.patterns = append(n.patterns, patternProperty{p, child})
			}
		})
	case "dependentSchemas":
		n.dependentSchemas = map[string]*node{}
		r.schemas(v, func(name string, child *node) { n.dependentSchemas[name] = child })
	case "dependentRequired":
		if r.want(v, '{', "an object of lists") {
			for _, member := range v.members() {
				r.needs(n, member)
			}
		}
	case "dependencies":
		r.dependencies(n, v)
	case "additionalProperties":
		n.additional = r.node(v)
	case "unevaluatedProperties":
		n.restProperties = r.node(v)
	case "propertyNames":
		n.propertyNames = r.node(v)
	case "required":
		n.required = r.texts(v)
		for _, name := range n.required {
			n.property(name).required = true
		}
	default:
		return false
	}
	return true
}

func (n *node) property(name string) *property {
	if n.properties == nil {
		n.properties = map[string]*property{}
	}
	if n.properties[name] == nil {
		n.properties[name] = &property{name: name}
	}
	return n.properties[name]
}

func (r *reader) schemas(v *value, each func(name string, child *node)) {
	if !r.want(v, '{', "an object of schemas") {
		return
	}
	for _, member := range v.members() {
		each(member.step, r.node(member))
	}
}

func (r *reader) needs(n *node, v *value) {
	if n.dependentRequired == nil {
		n.dependentRequired = map[string][]string{}
	}
	n.dependentRequired[v.step] = r.texts(v)
}

// dependencies of draft-07 hold lists and schemas.
func (r *reader) dependencies(n *node, v *value) {
	if !r.want(v, '{', "an object of lists and schemas") {
		return
	}
	for _, member := range v.members() {
		if member.is('[') {
			r.needs(n, member)
			continue
		}
		if n.dependentSchemas == nil {
			n.dependentSchemas = map[string]*node{}
		}
		n.dependentSchemas[member.step] = r.node(member)
	}
}

// assertion reads keywords that hold for one value without looking into it by schemas.
func (r *reader) assertion(n *node, v *value) bool {
	switch v.step {
	case "type":
		n.types = r.types(v)
	case "enum", "const":
		r.listed(n, v)
	case "minimum":
		n.minimum = r.bound(v)
	case "maximum":
		n.maximum = r.bound(v)
	case "exclusiveMinimum":
		n.over = r.bound(v)
	case "exclusiveMaximum":
		n.under = r.bound(v)
	case "multipleOf":
		if n.multipleOf = r.bound(v); n.multipleOf != nil && n.multipleOf.Sign() <= 0 {
			n.multipleOf = nil
			r.add("schema_invalid", v.place(), "", "want a number above zero")
		}
	case "pattern":
		if r.want(v, '"', "a text") {
			n.pattern = r.pattern(v, v.text())
		}
	case "format":
		if r.want(v, '"', "a text") {
			n.format = r.formats.named(v.text())
		}
	case "contentMediaType":
		if r.want(v, '"', "a text") {
			n.vault = v.text() == vaultMedia
		}
	case "uniqueItems":
		n.unique = r.want(v, 't', "true or false") && v.is('t')
	default:
		return r.counts(n, v)
	}
	return true
}

func (r *reader) counts(n *node, v *value) bool {
	switch v.step {
	case "minLength":
		n.shortest = r.count(v)
	case "maxLength":
		n.longest = r.count(v)
	case "minItems":
		n.leastItems = r.count(v)
	case "maxItems":
		n.mostItems = r.count(v)
	case "minContains":
		n.leastFound = r.count(v)
	case "maxContains":
		n.mostFound = r.count(v)
	case "minProperties":
		n.fewest = r.count(v)
	case "maxProperties":
		n.most = r.count(v)
	default:
		return false
	}
	return true
}

func (r *reader) pattern(v *value, text string) *pattern {
	if r.patterns > maxPrograms {
		return nil // an error was noted
	}
	p, fault := readPattern(text)
	if p != nil {
		r.patterns += p.size
	}
	if fault == "" && r.patterns > maxPrograms {
		fault = "all patterns together repeat too much"
	}
	if fault != "" {
		r.patterns += maxProgram
		r.add("schema_pattern", v.place(), "", "the pattern is refused: %s", fault)
		return nil
	}
	return p
}

func (r *reader) types(v *value) kinds {
	list := []*value{v}
	if v.is('[') {
		list = v.elements()
	}
	var k kinds
	for _, element := range list {
		i := -1
		if element.is('"') {
			i = slices.Index(kindNames[:], element.text())
		}
		if i < 0 {
			r.add("schema_invalid", element.place(), "", "want null, boolean, integer, number, string, array or object")
			continue
		}
		k |= 1 << i
	}
	if k == 0 && len(list) == 0 {
		r.add("schema_invalid", v.place(), "", "want at least one type")
	}
	return k
}

// listed reads enum and const; where both stand, a value must be in both.
func (r *reader) listed(n *node, v *value) {
	list := []*value{v}
	if v.step == "enum" {
		if !r.want(v, '[', "a list") {
			return
		}
		list = v.elements()
	}
	values := map[string]struct{}{}
	for _, element := range list {
		key := string(v.t.AppendCanonical(nil, element.i))
		if _, also := n.values[key]; also || n.values == nil {
			values[key] = struct{}{}
		}
	}
	n.values, n.listed = values, v.step
}

// together checks what keywords of one schema mean beside each other.
func (r *reader) together(n *node) {
	slices.Sort(n.names)
	if n.when == nil {
		n.then, n.otherwise = nil, nil // they may be referred to; without if they mean nothing
	}
	if !r.old || n.refText == nil {
		return
	}
	harmless := append(annotations(), "$ref", "definitions", keyPersonal, keyPerson, keyOpen)
	for _, member := range n.at.members() {
		if !slices.Contains(harmless, member.step) {
			r.add("schema_unsupported", member.place(), "write both into allOf",
				"draft-07 ignores keywords beside $ref")
		}
	}
}
