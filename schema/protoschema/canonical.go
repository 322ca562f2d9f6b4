package protoschema

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// canonical is the one wire form of a message: docs/format/protobuf.md.
func (m *message) canonical() []byte {
	return m.append(make([]byte, 0, m.measure()))
}

// measure returns the size of the canonical form, and notes it in every message, since lengths stand before contents.
func (m *message) measure() int {
	m.size = 0
	for i := range m.parts {
		p := &m.parts[i]
		if p.cut {
			continue
		}
		tag := protowire.SizeTag(p.f.num)
		switch {
		case p.list == nil:
			m.size += tag + sized(p.f, p.value.measure(p.f))
		case p.f.packed:
			m.size += tag + protowire.SizeBytes(p.list.measure(p.f))
		default:
			for j := range p.list.len() {
				v := p.list.at(p.f, j)
				m.size += tag + sized(p.f, v.measure(p.f))
			}
		}
	}
	return m.size
}

// sized adds the length that stands before what is not a number.
func sized(f *field, n int) int {
	if f.wire == protowire.BytesType {
		return protowire.SizeBytes(n)
	}
	return n
}

func (v value) measure(f *field) int {
	switch f.wire {
	case protowire.Fixed32Type:
		return 4
	case protowire.Fixed64Type:
		return 8
	case protowire.VarintType:
		return protowire.SizeVarint(v.varint(f))
	}
	if v.msg != nil {
		return v.msg.measure()
	}
	return len(v.raw)
}

func (l *list) measure(f *field) int {
	n := 0
	for _, bits := range l.bits {
		n += value{bits: bits}.measure(f)
	}
	return n
}

// varint is the number as the wire format writes it.
func (v value) varint(f *field) uint64 {
	switch f.kind {
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		return uint64(int64(int32(v.bits)))
	case protoreflect.Sint32Kind:
		return protowire.EncodeZigZag(int64(int32(v.bits)))
	case protoreflect.Sint64Kind:
		return protowire.EncodeZigZag(int64(v.bits))
	}
	return v.bits
}

// append writes what was measured.
func (m *message) append(b []byte) []byte {
	for i := range m.parts {
		p := &m.parts[i]
		switch {
		case p.cut:
		case p.list == nil:
			b = p.value.append(protowire.AppendTag(b, p.f.num, p.f.wire), p.f)
		case p.f.packed:
			b = protowire.AppendTag(b, p.f.num, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(p.list.measure(p.f)))
			for _, bits := range p.list.bits {
				b = value{bits: bits}.append(b, p.f)
			}
		default:
			for j := range p.list.len() {
				b = p.list.at(p.f, j).append(protowire.AppendTag(b, p.f.num, p.f.wire), p.f)
			}
		}
	}
	return b
}

func (v value) append(b []byte, f *field) []byte {
	switch f.wire {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, uint32(v.bits))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, v.bits)
	case protowire.VarintType:
		return protowire.AppendVarint(b, v.varint(f))
	}
	if v.msg != nil {
		return v.msg.append(protowire.AppendVarint(b, uint64(v.msg.size)))
	}
	return protowire.AppendBytes(b, v.raw)
}
