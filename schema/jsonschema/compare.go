package jsonschema

import (
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/schema"
)

var _ schema.Comparer = (*plan)(nil)

// comparison walks two schemas side by side.
type comparison struct {
	list  []schema.Change
	path  []byte
	pairs map[[2]*node]bool // that were compared, for recursion
}

// CompareStructure tells what was valid under old and is not now. It follows properties, elements and references; where
// alternatives and the like differ it does not judge: such a change counts as breaking.
func (p *plan) CompareStructure(old schema.Plan) []schema.Change {
	before, ok := old.(*plan)
	if !ok {
		return nil
	}
	c := &comparison{pairs: map[[2]*node]bool{}}
	c.compare(before.top, p.top)
	return c.list
}

func (c *comparison) breaks(code, format string, args ...any) {
	c.list = append(c.list, schema.Change{
		Path: string(c.path), Code: code, Text: fmt.Sprintf(format, args...), Breaking: true,
	})
}

// follow leads to the schema behind references that stand alone.
func follow(n *node) *node {
	for n.ref != nil && n.at.is('{') && !n.structured() && n.types == 0 {
		n = n.ref
	}
	return n
}

func (c *comparison) compare(old, now *node) {
	old, now = follow(old), follow(now)
	pair := [2]*node{old, now}
	if c.pairs[pair] || len(c.list) > maxProblems {
		return
	}
	c.pairs[pair] = true
	if now.never && !old.never {
		c.breaks("forbidden", "nothing is allowed here any more")
		return
	}
	c.kinds(old, now)
	c.bounds(old, now)
	c.members(old, now)
	c.elements(old, now)
	if string(old.alternatives()) != string(now.alternatives()) {
		c.breaks("alternatives", "its alternatives and conditions differ; whether old data still fits is not judged")
	}
}

func (c *comparison) kinds(old, now *node) {
	before, after := isAnyKind, isAnyKind
	if old.types != 0 {
		before = wide(old.types)
	}
	if now.types != 0 {
		after = wide(now.types)
	}
	if lost := before &^ after; lost != 0 {
		c.breaks("type", "it may no longer be %s", lost)
	}
	if now.values == nil {
		return
	}
	for key := range old.values {
		if _, still := now.values[key]; !still {
			c.breaks("values", "a value of its list is gone")
			return
		}
	}
	if old.values == nil {
		c.breaks("values", "it is restricted to a list of values")
	}
}

// bounds compares what limits a value.
func (c *comparison) bounds(old, now *node) {
	least := func(name string, old, now *bound) {
		if now != nil && (old == nil || now.Compare(old.Decimal) > 0) {
			c.breaks("bound", "%s is %s", name, now.text)
		}
	}
	most := func(name string, old, now *bound) {
		if now != nil && (old == nil || now.Compare(old.Decimal) < 0) {
			c.breaks("bound", "%s is %s", name, now.text)
		}
	}
	count := func(name string, narrower bool, now int) {
		if narrower {
			c.breaks("bound", "%s is %d", name, now)
		}
	}
	least("minimum", old.minimum, now.minimum)
	least("exclusiveMinimum", old.over, now.over)
	most("maximum", old.maximum, now.maximum)
	most("exclusiveMaximum", old.under, now.under)
	count("minLength", now.shortest > old.shortest, now.shortest)
	count("maxLength", now.longest < old.longest, now.longest)
	count("minItems", now.leastItems > old.leastItems, now.leastItems)
	count("maxItems", now.mostItems < old.mostItems, now.mostItems)
	count("minProperties", now.fewest > old.fewest, now.fewest)
	count("maxProperties", now.most < old.most, now.most)
	if now.multipleOf != nil && (old.multipleOf == nil || !old.multipleOf.Multiple(now.multipleOf.Decimal)) {
		c.breaks("bound", "it is a multiple of %s", now.multipleOf.text)
	}
	if now.pattern != nil && (old.pattern == nil || old.pattern.String() != now.pattern.String()) {
		c.breaks("pattern", "it matches another pattern")
	}
	if now.format != nil && (old.format == nil || old.format.name != now.format.name) {
		c.breaks("format", "it has the format %s", now.format.name)
	}
	if now.unique && !old.unique {
		c.breaks("bound", "its elements differ from each other")
	}
}

func (c *comparison) members(old, now *node) {
	for _, name := range now.required {
		if !slices.Contains(old.required, name) {
			c.breaks("required", "%s is required", name)
		}
	}
	closed := now.additional != nil && now.additional.never
	for _, name := range old.names {
		child := now.properties[name]
		switch {
		case child != nil && child.node != nil:
			c.inside(name, old.properties[name].node, child.node)
		case closed && len(now.patterns) == 0:
			c.breaks("removed", "%s is gone", name)
		}
	}
	for _, name := range now.names {
		child := old.properties[name]
		if (child == nil || child.node == nil) && !(old.additional != nil && old.additional.never) {
			c.breaks("added", "%s is described, and could be anything before", name)
		}
	}
	if now.additional != nil && old.additional == nil {
		c.breaks("closed", "other members are restricted")
	} else if now.additional != nil {
		c.inside("*", old.additional, now.additional)
	}
	if len(now.patterns) > 0 && string(old.text("patternProperties")) != string(now.text("patternProperties")) {
		c.breaks("pattern", "members whose names match patterns are described in another way")
	}
}

func (c *comparison) elements(old, now *node) {
	if now.items != nil && old.items == nil {
		c.breaks("closed", "its elements are restricted")
	} else if now.items != nil {
		c.inside("*", old.items, now.items)
	}
	if string(old.text("prefixItems")) != string(now.text("prefixItems")) && len(now.prefix) > 0 {
		c.breaks("alternatives", "its first elements are described in another way")
	}
}

func (c *comparison) inside(step string, old, now *node) {
	way := len(c.path)
	c.path = appendStep(c.path, step)
	c.compare(old, now)
	c.path = c.path[:way]
}

// text is the canonical form of one keyword's value.
func (n *node) text(keyword string) []byte {
	if !n.at.is('{') {
		return nil
	}
	v := n.at.member(keyword)
	if v == nil {
		return nil
	}
	return v.t.AppendCanonical(nil, v.i)
}

// alternatives is the canonical form of the keywords that are not compared one by one.
func (n *node) alternatives() []byte {
	var b []byte
	for _, keyword := range []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas",
		"dependentRequired", "dependencies", "contains", "minContains", "maxContains", "propertyNames",
		"unevaluatedProperties", "unevaluatedItems", "additionalItems", "$ref"} {
		if text := n.text(keyword); text != nil {
			b = append(append(b, keyword...), text...)
		}
	}
	return b
}
