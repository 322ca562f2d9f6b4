package protoschema

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// maxVisits bounds the walk over a schema's places: types that use each other in many ways have very many.
const maxVisits = 100_000

// placer lists the declarations of a schema.
type placer struct {
	found  []schema.Place
	path   []byte
	above  []*node
	visits int
}

// places are all places by path. Of a schema that names no person they are left out where they are too many to read.
func places(root *node, persons bool) ([]schema.Place, error) {
	p := &placer{}
	err := p.walk(root)
	if err != nil && !persons {
		return nil, nil
	}
	slices.SortFunc(p.found, func(a, b schema.Place) int { return strings.Compare(a.Path, b.Path) })
	return p.found, err
}

func (p *placer) walk(n *node) error {
	if slices.Contains(p.above, n) || len(p.above) == maxDepth {
		return nil
	}
	p.above = append(p.above, n)
	for _, f := range n.fields {
		if p.visits++; p.visits > maxVisits {
			return event.Invalid("schema_too_large",
				"compile schema: message types hold each other in more than %d ways", maxVisits).
				Hint("cover whole messages with one declaration at the field that holds them")
		}
		mark := len(p.path)
		p.path = strconv.AppendInt(append(p.path, '/'), int64(f.num), 10)
		if f.list && (f.role == reference || f.declared == nil && f.child != nil && !f.child.leaf) {
			p.path = append(p.path, "/*"...)
		}
		if err := p.visit(f); err != nil {
			return err
		}
		p.path = p.path[:mark]
	}
	p.above = p.above[:len(p.above)-1]
	return nil
}

func (p *placer) visit(f *field) error {
	if f.child != nil && f.declared == nil && !f.entries && !f.child.leaf {
		return p.walk(f.child)
	}
	place := schema.Place{
		Path: string(p.path), Mark: f.mark, Subjects: f.subjects, Reference: f.refKind, Type: placeType(f),
	}
	if f.declared != nil {
		place.Open = string(f.declared.reason)
	}
	p.found = append(p.found, place)
	return nil
}

// placeType is the type of a place, in the words of JSON as far as they reach.
func placeType(f *field) string {
	switch {
	case f.list && f.role != reference:
		return "array"
	case f.child != nil:
		return "object"
	}
	switch f.kind {
	case protoreflect.BoolKind:
		return "boolean"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "number"
	case protoreflect.StringKind:
		return "string"
	case protoreflect.BytesKind:
		return "bytes"
	case protoreflect.EnumKind:
		return "enum"
	}
	return "integer"
}
