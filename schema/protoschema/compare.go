package protoschema

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/schema"
)

var _ schema.Comparer = (*Plan)(nil)

// maxChanges bounds what a comparison tells.
const maxChanges = 100

// comparison walks two schemas side by side.
type comparison struct {
	list  []schema.Change
	pairs map[[2]protoreflect.FullName]bool // messages that were compared
}

// CompareStructure tells what was valid under old and is not now, or would be read as something else.
func (p *Plan) CompareStructure(old schema.Plan) []schema.Change {
	before, ok := old.(*Plan)
	if !ok {
		return nil
	}
	c := &comparison{pairs: map[[2]protoreflect.FullName]bool{}}
	c.messages("", before.root, p.root)
	return c.list
}

func (c *comparison) breaks(path, code, format string, args ...any) {
	if len(c.list) < maxChanges {
		c.list = append(c.list, schema.Change{Path: path, Code: code, Text: fmt.Sprintf(format, args...), Breaking: true})
	}
}

func (c *comparison) messages(path string, old, now *node) {
	pair := [2]protoreflect.FullName{old.desc.FullName(), now.desc.FullName()}
	if c.pairs[pair] {
		return
	}
	c.pairs[pair] = true
	for _, f := range old.fields {
		at := path + "/" + strconv.Itoa(int(f.num))
		next := now.field(f.num)
		if next == nil {
			c.breaks(at, "unknown_field", "field %s is no longer declared, and data that has it is refused", f.desc.Name())
			continue
		}
		c.fields(at, f, next)
	}
	for _, f := range now.required {
		if was := old.field(f.num); was == nil || was.desc.Cardinality() != protoreflect.Required {
			c.breaks(path+"/"+strconv.Itoa(int(f.num)), "required", "field %s is required", f.desc.Name())
		}
	}
}

func (c *comparison) fields(at string, old, now *field) {
	switch {
	case old.kind != now.kind || old.list != now.list || old.entries != now.entries:
		c.breaks(at, "type", "it is %s instead of %s", shape(now), shape(old))
		return
	case now.oneof >= 0 && (old.oneof < 0 || oneof(old) != oneof(now)):
		c.breaks(at, "oneof", "it is a member of oneof %s, of which data has only one", oneof(now))
	}
	for n := range old.closed {
		if now.closed != nil && !now.closed[n] {
			c.breaks(at, "values", "a value of its enum is gone")
			break
		}
	}
	if old.closed == nil && now.closed != nil {
		c.breaks(at, "values", "its enum is closed")
	}
	if old.child == nil || now.child == nil {
		return
	}
	if old.list {
		at += "/*"
	}
	c.messages(at, old.child, now.child)
}

func oneof(f *field) protoreflect.Name { return f.desc.ContainingOneof().Name() }

func shape(f *field) string {
	if f.list {
		return "repeated " + typeName(f.desc)
	}
	return typeName(f.desc)
}
