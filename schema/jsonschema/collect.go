package jsonschema

import (
	"math"
	"slices"
)

const maxInt = math.MaxInt

// object checks the members of an object.
func (c *check) object(n *node, i uint32) bool {
	ok, count, required := true, 0, 0
	deep := n.properties != nil || n.additional != nil || n.patterns != nil || n.propertyNames != nil
	if !deep && n.fewest == 0 && n.most == maxInt {
		return true
	}
	for j, end := i+1, c.Entries[i].Next; j < end; j = c.Entries[j].Next {
		count++
		if !deep {
			continue
		}
		prop := n.properties[string(c.Text(j))]
		if prop != nil && prop.required {
			required++
		}
		if !c.memberOf(n, prop, j) {
			if ok = false; !c.more() {
				return false
			}
		}
	}
	c.left -= count >> 3
	if required < len(n.required) {
		ok = c.missing(n, i)
	}
	if count < n.fewest {
		ok = c.fault("minProperties is %d", n.fewest)
	}
	if count > n.most {
		ok = c.fault("maxProperties is %d", n.most)
	}
	return ok
}

// memberOf checks one member, whose name is entry j.
func (c *check) memberOf(n *node, prop *property, j uint32) bool {
	ok, looked := true, false
	if n.propertyNames != nil {
		ok = c.at(step{"*", -1}, n.propertyNames, j)
	}
	if prop != nil && prop.node != nil {
		looked = true
		ok = c.at(step{prop.name, -1}, prop.node, j+1) && ok
	}
	if len(n.patterns) > 0 {
		name := slices.Clone(c.Text(j))
		for _, p := range n.patterns {
			if c.matches(p.pattern, name) {
				looked = true
				ok = c.at(step{"*", -1}, p.node, j+1) && ok
			}
		}
	}
	switch {
	case looked || n.additional == nil:
	case n.additional.never:
		looked, ok = true, c.undeclared(n, j)
	default:
		looked = true
		ok = c.at(step{"*", -1}, n.additional, j+1) && ok
	}
	if looked && c.tracking {
		c.seen = append(c.seen, j+1)
	}
	return ok
}

// undeclared notes a member that the schema does not have. Its name is data; the schema's own that is nearest is not.
func (c *check) undeclared(n *node, j uint32) bool {
	if c.quiet > 0 {
		return false
	}
	c.trail = append(c.trail, step{"*", -1})
	defer func() { c.trail = c.trail[:len(c.trail)-1] }()
	name := c.Text(j)
	if len(name) <= maxIDLength && len(n.names) <= maxIDLength {
		if near, ok := nearest(string(name), n.names, 2); ok {
			return c.fault("the schema has no member of this name; is %s meant?", near)
		}
	}
	return c.fault("the schema has no member of this name (additionalProperties)")
}

// maxIDLength bounds the search for similar names.
const maxIDLength = 64

func (c *check) missing(n *node, i uint32) bool {
	for _, name := range n.required {
		if !c.has(i, name) {
			c.fault("required: %s is missing", shorten(name))
		}
	}
	return false
}

// array checks the elements of an array.
func (c *check) array(n *node, i uint32) bool {
	ok, count, found := true, 0, 0
	deep := n.prefix != nil || n.items != nil || n.contains != nil
	if !deep && n.leastItems == 0 && n.mostItems == maxInt && !n.unique {
		return true
	}
	for j, end := i+1, c.Entries[i].Next; j < end; j = c.Entries[j].Next {
		if deep && !c.elementOf(n, count, j) {
			if ok = false; !c.more() {
				return false
			}
		}
		if n.contains != nil && c.holds(n.contains, j) {
			found++
		}
		count++
	}
	c.left -= count >> 3
	if count < n.leastItems {
		ok = c.fault("minItems is %d", n.leastItems)
	}
	if count > n.mostItems {
		ok = c.fault("maxItems is %d", n.mostItems)
	}
	if n.contains != nil && !c.contained(n, found) {
		ok = false
	}
	if n.unique && !c.different(i) {
		ok = c.fault("uniqueItems: an element is there twice")
	}
	return ok
}

func (c *check) elementOf(n *node, count int, j uint32) bool {
	child := n.items
	if count < len(n.prefix) {
		child = n.prefix[count]
	}
	if child == nil {
		return true
	}
	if c.tracking {
		c.seen = append(c.seen, j)
	}
	return c.at(step{index: count}, child, j)
}

// holds tries a schema on an element.
func (c *check) holds(n *node, j uint32) bool {
	tracking := c.tracking
	c.tracking = false
	ok := c.tried(n, j)
	c.tracking = tracking
	if ok && tracking {
		c.seen = append(c.seen, j)
	}
	return ok
}

func (c *check) contained(n *node, found int) bool {
	least := 1
	if n.leastFound >= 0 {
		least = n.leastFound
	}
	if found < least {
		return c.fault("contains: %d fit, and at least %d must", found, least)
	}
	if found > n.mostFound {
		return c.fault("maxContains is %d", n.mostFound)
	}
	return true
}

// different reports whether no two elements are equal.
func (c *check) different(i uint32) bool {
	c.left -= int(c.Entries[i].End-c.Entries[i].At) >> 4
	seen := map[string]struct{}{}
	var buf []byte
	for j, end := i+1, c.Entries[i].Next; j < end; j = c.Entries[j].Next {
		buf = c.AppendCanonical(buf[:0], j)
		if _, twice := seen[string(buf)]; twice {
			return false
		}
		seen[string(buf)] = struct{}{}
	}
	return true
}
