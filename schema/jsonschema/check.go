package jsonschema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// check compares data with nodes. Faults are noted while nothing is only tried (quiet is 0).
type check struct {
	*tape.Tape
	left   int // steps: a schema may not make its reader work without end
	quiet  int
	faults []string
	trail  []step // from the top to the value
	canon  []byte
	// Members and elements that were evaluated, for the unevaluated… keywords; kept only while tracking.
	tracking bool
	seen     []uint32
}

// step is a name that the schema has, "*" for a name that is data, or the number of an element.
type step struct {
	name  string
	index int // from 0; -1: name counts
}

const (
	maxFaults = 10
	stepsBase = 1_000_000
)

// Validate checks data against the schema. Of a text or a number an error says the place and the rule, not what it is;
// names of members that the schema does not have are shown as *.
func (p *plan) Validate(data []byte) error {
	w, err := p.start(data)
	if err != nil {
		return err
	}
	defer p.done(w)
	c := &w.check
	*c = check{
		Tape: &w.Tape, left: stepsBase + 16*len(w.Entries) + len(data),
		trail: c.trail[:0], canon: c.canon[:0], seen: c.seen[:0],
	}
	if c.value(p.top, 0) {
		return nil
	}
	if c.left < 0 {
		return event.Invalid("schema_too_large", "check data: the schema takes too many steps to compare it with").
			Hint("write its alternatives so that they do not multiply")
	}
	return event.Invalid("schema_violation", "check data: %s", strings.Join(c.faults, "; "))
}

// fault notes what is wrong and answers false.
func (c *check) fault(format string, args ...any) bool {
	if c.quiet > 0 || len(c.faults) >= maxFaults {
		return false
	}
	var place []byte
	for _, s := range c.trail {
		if s.index >= 0 {
			place = strconv.AppendInt(append(place, '/'), int64(s.index), 10)
			continue
		}
		place = appendStep(place, s.name)
	}
	if len(place) == 0 {
		place = append(place, "the top"...)
	}
	c.faults = append(c.faults, shorten(string(place))+": "+fmt.Sprintf(format, args...))
	return false
}

// more reports whether checking goes on after a fault, to find others.
func (c *check) more() bool { return c.quiet == 0 && c.left > 0 && len(c.faults) < maxFaults }

// value checks one value against one schema.
func (c *check) value(n *node, i uint32) bool {
	if c.left--; c.left < 0 {
		return false
	}
	if e := &c.Entries[i]; n.never {
		return c.fault("nothing is allowed here")
	} else if e.Kind == '"' || e.Kind == '0' {
		c.left -= int(e.End-e.At) >> 6
	}
	outer, base := c.tracking, len(c.seen)
	follows := n.restProperties != nil || n.restItems != nil
	if follows {
		c.tracking = true
	}
	ok := c.own(n, i)
	if ok || c.more() {
		ok = c.inPlace(n, i) && ok
	}
	if ok && follows {
		ok = c.rest(n, i, base)
	}
	c.tracking = outer
	if !ok || !outer {
		c.seen = c.seen[:base]
	}
	return ok
}

// own checks the keywords that are no schemas for the same value.
func (c *check) own(n *node, i uint32) bool {
	e := &c.Entries[i]
	ok := true
	if n.types != 0 && !c.isOf(n.types, i) {
		return c.fault("want %s", n.types)
	}
	if n.values != nil && !c.among(n, i) {
		ok = c.fault("it is not what %s allows", n.listed)
	}
	switch e.Kind {
	case '"':
		return c.text(n, i) && ok
	case '0':
		return c.number(n, i) && ok
	case '{':
		return c.object(n, i) && ok
	case '[':
		return c.array(n, i) && ok
	}
	return ok
}

func (c *check) isOf(types kinds, i uint32) bool {
	k := kindOf(c.Entries[i].Kind)
	return types&k != 0 || k == isNumber && types&isInteger != 0 && tape.Number(c.Raw(i)).Integer()
}

func (c *check) among(n *node, i uint32) bool {
	c.left -= int(c.Entries[i].End-c.Entries[i].At) >> 4
	c.canon = c.AppendCanonical(c.canon[:0], i)
	_, ok := n.values[string(c.canon)]
	return ok
}

func (c *check) text(n *node, i uint32) bool {
	if n.shortest == 0 && n.longest == maxInt && n.pattern == nil && n.format == nil {
		return true
	}
	text, ok := c.Text(i), true
	if n.shortest > 0 || n.longest < maxInt {
		length := utf8.RuneCount(text)
		if length < n.shortest {
			ok = c.fault("minLength is %d", n.shortest)
		}
		if length > n.longest {
			ok = c.fault("maxLength is %d", n.longest)
		}
	}
	if n.pattern != nil && !c.matches(n.pattern, text) {
		ok = c.fault("it does not match the pattern %s", shorten(n.pattern.String()))
	}
	if n.format != nil && (len(text) > longestFormat || n.format.test(string(text)) != nil) {
		ok = c.fault("want the format %s", n.format.name)
	}
	return ok
}

// matches fails for texts that would take too long.
func (c *check) matches(p *pattern, text []byte) bool {
	if len(text) > maxMatch/p.size {
		return false
	}
	c.left -= len(text) * p.size >> 6
	return p.Match(text)
}

// has reports whether an object has a member.
func (c *check) has(i uint32, name string) bool {
	for j, end := i+1, c.Entries[i].Next; j < end && c.left >= 0; j = c.Entries[j].Next {
		if string(c.Text(j)) == name {
			return true
		}
		c.left--
	}
	return false
}

func (c *check) number(n *node, i uint32) bool {
	if n.minimum == nil && n.maximum == nil && n.over == nil && n.under == nil && n.multipleOf == nil {
		return true
	}
	d, ok := tape.Number(c.Raw(i)), true
	if n.minimum != nil && d.Compare(n.minimum.Decimal) < 0 {
		ok = c.fault("minimum is %s", shorten(n.minimum.text))
	}
	if n.maximum != nil && d.Compare(n.maximum.Decimal) > 0 {
		ok = c.fault("maximum is %s", shorten(n.maximum.text))
	}
	if n.over != nil && d.Compare(n.over.Decimal) <= 0 {
		ok = c.fault("exclusiveMinimum is %s", shorten(n.over.text))
	}
	if n.under != nil && d.Compare(n.under.Decimal) >= 0 {
		ok = c.fault("exclusiveMaximum is %s", shorten(n.under.text))
	}
	if n.multipleOf != nil && !d.Multiple(n.multipleOf.Decimal) {
		ok = c.fault("want a multipleOf %s", shorten(n.multipleOf.text))
	}
	return ok
}

// at checks a value inside the present one.
func (c *check) at(s step, n *node, i uint32) bool {
	tracking := c.tracking
	c.tracking = false
	c.trail = append(c.trail, s)
	ok := c.value(n, i)
	c.trail = c.trail[:len(c.trail)-1]
	c.tracking = tracking
	return ok
}

// inPlace checks the schemas that hold for the same value.
func (c *check) inPlace(n *node, i uint32) bool {
	ok := n.ref == nil || c.value(n.ref, i)
	for _, child := range n.allOf {
		if !ok && !c.more() {
			return false
		}
		ok = c.value(child, i) && ok
	}
	if len(n.anyOf) > 0 && c.holding(n.anyOf, i, false) == 0 {
		ok = c.fault("none of anyOf fits")
	}
	if len(n.oneOf) > 0 {
		if fit := c.holding(n.oneOf, i, true); fit != 1 {
			ok = c.fault("%d of oneOf fit", fit)
		}
	}
	if n.not != nil && c.tried(n.not, i) {
		ok = c.fault("it is what not excludes")
	}
	if n.when != nil {
		ok = c.branch(n, i) && ok
	}
	if c.Entries[i].Kind == '{' && (n.dependentRequired != nil || n.dependentSchemas != nil) {
		ok = c.dependent(n, i) && ok
	}
	return ok
}

// tried checks a schema without noting faults.
func (c *check) tried(n *node, i uint32) bool {
	c.quiet++
	ok := c.value(n, i)
	c.quiet--
	return ok
}

// holding is how many schemas hold; unless all are asked for, one is enough.
func (c *check) holding(list []*node, i uint32, all bool) int {
	n := 0
	for _, child := range list {
		if !c.tried(child, i) {
			continue
		}
		if n++; !all && !c.tracking {
			return n
		}
	}
	return n
}

func (c *check) branch(n *node, i uint32) bool {
	next := n.otherwise
	if c.tried(n.when, i) {
		next = n.then
	}
	return next == nil || c.value(next, i)
}

func (c *check) dependent(n *node, i uint32) bool {
	ok := true
	for name, needs := range n.dependentRequired {
		if !c.has(i, name) {
			continue
		}
		for _, need := range needs {
			if !c.has(i, need) {
				ok = c.fault("dependentRequired: %s needs %s", name, need)
			}
		}
	}
	for _, name := range sortedKeys(n.dependentSchemas) {
		if c.has(i, name) {
			ok = c.value(n.dependentSchemas[name], i) && ok
		}
	}
	return ok
}

// rest checks what no other keyword looked at.
func (c *check) rest(n *node, i uint32, base int) bool {
	e := &c.Entries[i]
	looked := c.seen[base:]
	if len(looked) > fewLooked && !slices.IsSorted(looked) {
		slices.Sort(looked)
	}
	schema, named := n.restItems, e.Kind == '{'
	if named {
		schema = n.restProperties
	}
	if schema == nil || e.Kind != '{' && e.Kind != '[' {
		return true
	}
	ok := true
	for j, k := i+1, 0; j < e.Next; j, k = c.Entries[j].Next, k+1 {
		v, s := j, step{index: k}
		if named {
			v, s = j+1, step{"*", -1}
		}
		if contains(looked, v) {
			continue
		}
		if !c.unlooked(s, schema, v) {
			if ok = false; !c.more() {
				return false
			}
		}
	}
	for j := i + 1; ok && j < e.Next; j = c.Entries[j].Next {
		v := j
		if named {
			v++
		}
		c.seen = append(c.seen, v)
	}
	return ok
}

func (c *check) unlooked(s step, schema *node, v uint32) bool {
	if schema.never && s.index < 0 {
		c.trail = append(c.trail, s)
		c.fault("the schema has no member of this name (unevaluatedProperties)")
		c.trail = c.trail[:len(c.trail)-1]
		return false
	}
	return c.at(s, schema, v)
}

// fewLooked is the number of evaluated values up to which they are searched one by one.
const fewLooked = 16

func contains(looked []uint32, v uint32) bool {
	if len(looked) <= fewLooked {
		return slices.Contains(looked, v)
	}
	_, found := slices.BinarySearch(looked, v)
	return found
}
