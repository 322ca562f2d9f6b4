package protoschema

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
)

// message is a message that was read: its parts ordered by number, each field once, defaults left out.
type message struct {
	node  *node
	parts []part
	size  int // of its canonical form, once measured
}

// part is a field of a message that is there.
type part struct {
	f     *field
	value value
	list  *list // of a field that holds several
	cut   bool  // left out of the canonical form
}

// value is one value: bits of a number, bytes of a text, or a message. Bits are those of the fixed encoding:
// numbers of 32 bits have nothing above them.
type value struct {
	bits uint64
	raw  []byte
	msg  *message
}

// list holds the elements of a repeated field in the one slice that fits its kind; map entries by key.
type list struct {
	bits []uint64
	raws [][]byte
	msgs []*message
}

func (l *list) len() int { return len(l.bits) + len(l.raws) + len(l.msgs) }

func (l *list) at(f *field, i int) value {
	switch {
	case f.child != nil:
		return value{msg: l.msgs[i]}
	case f.wire == protowire.BytesType:
		return value{raw: l.raws[i]}
	}
	return value{bits: l.bits[i]}
}

func (l *list) add(f *field, v value) {
	switch {
	case f.child != nil:
		l.msgs = append(l.msgs, v.msg)
	case f.wire == protowire.BytesType:
		l.raws = append(l.raws, v.raw)
	default:
		l.bits = append(l.bits, v.bits)
	}
}

// find returns the part of a field; nil if it is not there.
func (m *message) find(num protowire.Number) *part {
	i, ok := slices.BinarySearchFunc(m.parts, num, func(p part, n protowire.Number) int { return int(p.f.num) - int(n) })
	if !ok {
		return nil
	}
	return &m.parts[i]
}

// reader reads the wire format. path is where it is, for errors.
type reader struct {
	path     []protowire.Number
	last     *field
	messages int
}

// read reads a whole event. Cutting may make it larger than a producer's data may be: KRIDs are long.
func read(root *node, data []byte) (*message, error) {
	if len(data) > 4*event.MaxDataBytes {
		return nil, oversized(len(data))
	}
	var r reader
	return r.message(root, data)
}

func oversized(size int) error {
	return event.Invalid("oversized", "check data: %d bytes are more than %d", size, event.MaxDataBytes).
		Hint("keep large documents elsewhere and append their digest")
}

// wrong is an error at the field that is being read.
func (r *reader) wrong(code, format string, args ...any) error {
	place := ""
	for _, n := range r.path {
		place += "/" + strconv.Itoa(int(n))
	}
	if place == "" {
		place = "the message"
	}
	if r.last != nil {
		place += " (" + string(r.last.desc.FullName()) + ")"
	}
	return event.Invalid(code, "check data: %s: %s", place, fmt.Sprintf(format, args...))
}

func (r *reader) message(n *node, b []byte) (*message, error) {
	if len(r.path) >= maxDepth {
		return nil, r.wrong("invalid_protobuf", "more than %d messages inside each other", maxDepth)
	}
	if r.messages++; r.messages > maxMessages {
		return nil, r.wrong("oversized", "the event holds more than %d messages", maxMessages)
	}
	m := &message{node: n}
	if len(b) > 0 {
		m.parts = make([]part, 0, min(len(n.fields), len(b)/2, 8))
	}
	for len(b) > 0 {
		size, err := r.field(m, b)
		if err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return m, r.settle(m)
}

// field reads the field at the front of b and returns its size.
func (r *reader) field(m *message, b []byte) (int, error) {
	tag, n := varint(b)
	if n == 0 || tag>>3 > uint64(protowire.MaxValidNumber) || tag>>3 < 1 {
		return 0, r.wrong("invalid_protobuf", "a field's tag is not valid")
	}
	num, wire := protowire.Number(tag>>3), protowire.Type(tag&7)
	depth, outer := len(r.path), r.last
	r.path = append(r.path, num)
	f := m.node.field(num)
	if r.last = f; f == nil {
		r.last = outer
		return 0, r.unknown(m.node)
	}
	v, size, err := r.payload(wire, b[n:])
	if err == nil {
		err = r.store(m, f, wire, v)
	}
	if err != nil {
		return 0, err
	}
	r.path, r.last = r.path[:depth], outer
	return n + size, nil
}

func (r *reader) unknown(n *node) error {
	r.last = nil
	err := r.wrong("unknown_field", "message %s has no such field", n.desc.FullName())
	if known, ok := err.(*event.Error); ok {
		return known.Hint("push a schema that declares it")
	}
	return err
}

// payload takes the value apart from what follows it.
func (r *reader) payload(wire protowire.Type, b []byte) (v value, size int, err error) {
	switch wire {
	case protowire.VarintType:
		v.bits, size = varint(b)
	case protowire.Fixed32Type:
		bits, n := protowire.ConsumeFixed32(b)
		v.bits, size = uint64(bits), n
	case protowire.Fixed64Type:
		v.bits, size = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		length, n := varint(b)
		if n == 0 || length > uint64(len(b)-n) {
			break
		}
		end := n + int(length)
		v.raw, size = b[n:end:end], end
	default:
		return v, 0, r.wrong("invalid_protobuf", "groups and unknown wire types are not taken")
	}
	if size <= 0 {
		return v, 0, r.wrong("invalid_protobuf", "the value is cut off, or a number is not in its shortest form")
	}
	return v, size, nil
}

// varint reads a number in its shortest form; size 0: it is none.
func varint(b []byte) (uint64, int) {
	v, n := protowire.ConsumeVarint(b)
	if n < 0 || n != protowire.SizeVarint(v) {
		return 0, 0
	}
	return v, n
}

// store adds a value to its field's part.
func (r *reader) store(m *message, f *field, wire protowire.Type, v value) error {
	p := r.part(m, f)
	if f.list && f.packable() && wire == protowire.BytesType {
		return r.unpack(p, v.raw)
	}
	if wire != f.wire {
		return r.wrong("invalid_protobuf", "wire type %d where %d is declared", wire, f.wire)
	}
	v, err := r.check(f, v)
	if err != nil {
		return err
	}
	if p.list != nil {
		p.list.add(f, v)
	} else {
		p.value = v
	}
	return nil
}

// part is where the next value of a field goes: the last part if it is one that takes several, or a new one.
func (r *reader) part(m *message, f *field) *part {
	if n := len(m.parts); n > 0 && m.parts[n-1].f == f && f.several() {
		return &m.parts[n-1]
	}
	p := part{f: f}
	if f.several() {
		p.list = new(list)
	}
	m.parts = append(m.parts, p)
	return &m.parts[len(m.parts)-1]
}

// unpack reads the elements of a packed field.
func (r *reader) unpack(p *part, b []byte) error {
	for len(b) > 0 {
		v, size, err := r.payload(p.f.wire, b)
		if err == nil {
			v, err = r.check(p.f, v)
		}
		if err != nil {
			return err
		}
		p.list.add(p.f, v)
		b = b[size:]
	}
	return nil
}

// check checks one value by its kind, and brings its bits into the form of the fixed encoding.
func (r *reader) check(f *field, v value) (value, error) {
	switch f.kind {
	case protoreflect.BoolKind:
		if v.bits > 1 {
			return v, r.wrong("invalid_protobuf", "a bool is 0 or 1")
		}
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		if n := int64(v.bits); n < math.MinInt32 || n > math.MaxInt32 {
			return v, r.wrong("invalid_protobuf", "the number does not fit into 32 bits")
		}
		v.bits = uint64(uint32(v.bits))
	case protoreflect.Uint32Kind, protoreflect.Sint32Kind:
		if v.bits > math.MaxUint32 {
			return v, r.wrong("invalid_protobuf", "the number does not fit into 32 bits")
		}
		if f.kind == protoreflect.Sint32Kind {
			v.bits = uint64(uint32(protowire.DecodeZigZag(v.bits)))
		}
	case protoreflect.Sint64Kind:
		v.bits = uint64(protowire.DecodeZigZag(v.bits))
	case protoreflect.MessageKind:
		child, err := r.message(f.child, v.raw)
		return value{msg: child}, err
	}
	return v, r.checkMeaning(f, v)
}

// checkMeaning checks what holds in every encoding.
func (r *reader) checkMeaning(f *field, v value) error {
	text := f.kind == protoreflect.StringKind || f.role == reference
	switch {
	case text && !utf8.Valid(v.raw):
		return r.wrong("invalid_utf8", "the text is not valid UTF-8")
	case f.closed != nil && !f.closed[int32(v.bits)]:
		return r.wrong("unknown_enum", "the enum has no value with this number")
	}
	return nil
}

// settle brings the parts of a message that was read into order.
func (r *reader) settle(m *message) error {
	ordered := func(x, y part) int { return int(x.f.num) - int(y.f.num) }
	if !slices.IsSortedFunc(m.parts, ordered) {
		slices.SortStableFunc(m.parts, ordered)
	}
	if err := r.merge(m); err != nil {
		return err
	}
	if err := r.checkOneofs(m); err != nil {
		return err
	}
	if m.node.entry {
		m.complete()
		return nil
	}
	for i := range m.parts {
		if p := &m.parts[i]; p.f.entries {
			if err := r.sortEntries(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge joins the pieces of repeated fields, and leaves out what is at its default and has no presence. A field that
// holds one value and is there twice is refused: one of the two would be lost.
func (r *reader) merge(m *message) error {
	kept := m.parts[:0]
	for _, p := range m.parts {
		n := len(kept)
		switch {
		case n > 0 && kept[n-1].f == p.f && p.list == nil:
			r.path, r.last = append(r.path, p.f.num), p.f
			return r.wrong("duplicate_field", "the field is there twice")
		case n > 0 && kept[n-1].f == p.f:
			l := kept[n-1].list
			l.bits, l.raws = append(l.bits, p.list.bits...), append(l.raws, p.list.raws...)
			l.msgs = append(l.msgs, p.list.msgs...)
		default:
			kept = append(kept, p)
		}
	}
	m.parts = slices.DeleteFunc(kept, func(p part) bool { return !p.there() })
	return nil
}

// there says that the part means something: default values of fields without presence, and empty lists, do not.
func (p *part) there() bool {
	if p.list != nil {
		return p.list.len() > 0
	}
	return p.f.presence || p.value.msg != nil || p.value.bits != 0 || len(p.value.raw) > 0
}

func (r *reader) checkOneofs(m *message) error {
	var seen []int
	for _, p := range m.parts {
		if p.f.oneof < 0 {
			continue
		}
		seen = append(seen, p.f.oneof)
	}
	slices.Sort(seen)
	for i := 1; i < len(seen); i++ {
		if seen[i] == seen[i-1] {
			return r.wrong("duplicate_field", "two members of oneof %s are there", m.node.desc.Oneofs().Get(seen[i]).Name())
		}
	}
	return nil
}

// complete gives a map entry the key and the value it may leave out.
func (m *message) complete() {
	for i, f := range m.node.fields {
		if i < len(m.parts) && m.parts[i].f == f {
			continue
		}
		p := part{f: f}
		if f.child != nil {
			p.value.msg = &message{node: f.child}
		}
		m.parts = slices.Insert(m.parts, i, p)
	}
}

// sortEntries orders a map by the fixed encoding of its keys.
func (r *reader) sortEntries(p *part) error {
	if !slices.IsSortedFunc(p.list.msgs, entryOrder) {
		slices.SortStableFunc(p.list.msgs, entryOrder)
	}
	for i := 1; i < len(p.list.msgs); i++ {
		if entryOrder(p.list.msgs[i-1], p.list.msgs[i]) == 0 {
			r.path, r.last = append(r.path, p.f.num), p.f
			return r.wrong("duplicate_field", "a key of the map is there twice")
		}
	}
	return nil
}

// entryOrder compares the keys of two map entries by their fixed encoding.
func entryOrder(x, y *message) int {
	a, b := x.parts[0].value, y.parts[0].value
	if x.parts[0].f.wire == protowire.BytesType {
		return bytes.Compare(a.raw, b.raw)
	}
	return cmp.Compare(a.bits, b.bits)
}
