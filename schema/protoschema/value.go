package protoschema

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
)

// The fixed encoding of personal values: docs/format/protobuf.md. It depends on the kinds of the schema's fields
// and on nothing else, so that what is committed does not depend on how a library writes messages.

// appendFixed adds the fixed encoding of one value.
func appendFixed(b []byte, f *field, v value) []byte {
	switch fixedSize(f.kind) {
	case 1:
		return append(b, byte(v.bits))
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(v.bits))
	case 8:
		return binary.BigEndian.AppendUint64(b, v.bits)
	}
	if v.msg == nil {
		return append(b, v.raw...)
	}
	for i := range v.msg.parts {
		p := &v.msg.parts[i]
		if !v.msg.node.entry {
			b = binary.BigEndian.AppendUint32(b, uint32(p.f.num))
		}
		b = appendSized(b, func(b []byte) []byte { return appendPart(b, p) })
	}
	return b
}

// appendPart adds the fixed encoding of a field's whole value: for what is repeated, of every element with its
// length.
func appendPart(b []byte, p *part) []byte {
	if p.list == nil {
		return appendFixed(b, p.f, p.value)
	}
	for i := range p.list.len() {
		v := p.list.at(p.f, i)
		if p.f.entries {
			b = appendFixed(b, p.f, v) // key and value have their lengths
			continue
		}
		b = appendSized(b, func(b []byte) []byte { return appendFixed(b, p.f, v) })
	}
	return b
}

// appendSized adds what add adds, with its length in 4 bytes before it.
func appendSized(b []byte, add func([]byte) []byte) []byte {
	start := len(b)
	b = add(append(b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// fixedSize is the size of a kind's fixed encoding; 0: it varies.
func fixedSize(k protoreflect.Kind) int {
	switch k {
	case protoreflect.BoolKind:
		return 1
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind, protoreflect.EnumKind,
		protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return 4
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Uint64Kind,
		protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return 8
	}
	return 0
}

// opener reads the fixed encoding back. It takes what appendPart writes, and nothing else.
type opener struct {
	reader reader
	depth  int
}

// damaged is what is wrong with a value that was sealed: it was valid then.
func damaged(path string) error {
	return event.Errorf(event.ErrCorrupt, "fill in %s: the value is not one of its field", path)
}

// part reads a field's whole value; false: it is damaged.
func (o *opener) part(f *field, b []byte) (part, bool) {
	p := part{f: f}
	if !f.several() {
		v, ok := o.value(f, b)
		p.value = v
		return p, ok
	}
	p.list = new(list)
	for len(b) > 0 {
		var v value
		ok := false
		if f.entries {
			v, b, ok = o.entry(f, b)
		} else if element, rest, cut := takeSized(b); cut {
			v, ok = o.value(f, element)
			b = rest
		}
		if !ok {
			return p, false
		}
		p.list.add(f, v)
	}
	if f.entries {
		for i := 1; i < len(p.list.msgs); i++ {
			if entryOrder(p.list.msgs[i-1], p.list.msgs[i]) >= 0 {
				return p, false
			}
		}
	}
	return p, p.list.len() > 0
}

// entry reads key and value of a map's entry.
func (o *opener) entry(f *field, b []byte) (value, []byte, bool) {
	m := &message{node: f.child}
	for _, inner := range f.child.fields {
		raw, rest, ok := takeSized(b)
		if !ok {
			return value{}, nil, false
		}
		v, ok := o.value(inner, raw)
		if !ok {
			return value{}, nil, false
		}
		m.parts = append(m.parts, part{f: inner, value: v})
		b = rest
	}
	return value{msg: m}, b, true
}

func (o *opener) value(f *field, b []byte) (v value, ok bool) {
	size := fixedSize(f.kind)
	switch {
	case f.child != nil:
		v.msg, ok = o.message(f.child, b)
		return v, ok
	case size == 0:
		v.raw = b
	case len(b) != size:
		return v, false
	case size == 1:
		v.bits = uint64(b[0])
	case size == 4:
		v.bits = uint64(binary.BigEndian.Uint32(b))
	default:
		v.bits = binary.BigEndian.Uint64(b)
	}
	return v, !(size == 1 && v.bits > 1) && o.reader.checkMeaning(f, v) == nil
}

func (o *opener) message(n *node, b []byte) (*message, bool) {
	if o.depth++; o.depth > maxDepth {
		return nil, false
	}
	m := &message{node: n}
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, false
		}
		f := n.field(protowire.Number(binary.BigEndian.Uint32(b)))
		raw, rest, ok := takeSized(b[4:])
		if f == nil || !ok || len(m.parts) > 0 && m.parts[len(m.parts)-1].f.num >= f.num {
			return nil, false
		}
		p, ok := o.part(f, raw)
		if !ok || !p.there() {
			return nil, false
		}
		m.parts = append(m.parts, p)
		b = rest
	}
	o.depth--
	return m, o.reader.checkOneofs(m) == nil
}

// takeSized takes what stands behind its length.
func takeSized(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, false
	}
	end := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:end:end], b[end:], true
}
