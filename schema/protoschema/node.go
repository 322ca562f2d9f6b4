package protoschema

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/schema"
)

// Limits of one event's data.
const (
	maxDepth    = 64      // messages inside each other, the event itself and map entries counted
	maxMessages = 1 << 16 // of them
)

// node is a message type in one place of a plan: what covers it from above is part of it, so that one type may hold
// sealed values here and open ones there. Types that hold themselves make the nodes a graph with circles.
type node struct {
	desc     protoreflect.MessageDescriptor
	fields   []*field // by number
	required []*field
	entry    bool // of a map: key and value are always there
	leaf     bool // a well-known type, which is one value
	below    bool // has an option that covers what is below
	key      bool // has the founding document's key
	deep     bool // personal values or references are here or below
	active   []*field
	parents  []*node
}

// role is what a field is to the conscience.
type role uint8

const (
	open role = iota
	sealed
	reference
)

// field is a field of a node.
type field struct {
	num      protowire.Number
	kind     protoreflect.Kind
	wire     protowire.Type // of one element
	list     bool           // repeated, and no map
	entries  bool           // a map
	packed   bool           // its canonical form is
	presence bool
	oneof    int // number of its oneof in the message; -1: none
	closed   map[int32]bool
	child    *node // of messages and map entries
	role     role
	mark     *schema.Mark
	subjects []string // of a sealed field, as written
	routes   []route
	fixed    []schema.Subject // of routes that do not depend on data; nil if one does
	refKind  string
	declared *declaration // what it came from; nil: nothing
	desc     protoreflect.FieldDescriptor
}

// field finds a field by number; nil if there is none.
func (n *node) field(num protowire.Number) *field {
	if i := int(num) - 1; i >= 0 && i < len(n.fields) && n.fields[i].num == num {
		return n.fields[i] // numbers are mostly 1, 2, 3…
	}
	low, high := 0, len(n.fields)
	for low < high {
		mid := (low + high) / 2
		if n.fields[mid].num < num {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(n.fields) && n.fields[low].num == num {
		return n.fields[low]
	}
	return nil
}

// packable says that elements can stand in one piece.
func (f *field) packable() bool { return f.wire != protowire.BytesType }

// several says that the field is repeated or a map.
func (f *field) several() bool { return f.list || f.entries }

// newField copies what is needed at run time out of a descriptor.
func newField(d protoreflect.FieldDescriptor) *field {
	f := &field{
		num: d.Number(), kind: d.Kind(), wire: wireType(d.Kind()), list: d.IsList(), entries: d.IsMap(),
		packed: d.IsPacked(), presence: d.HasPresence(), oneof: -1, desc: d,
	}
	if o := d.ContainingOneof(); o != nil && !o.IsSynthetic() {
		f.oneof = o.Index()
	}
	if e := d.Enum(); e != nil && e.IsClosed() {
		f.closed = make(map[int32]bool, e.Values().Len())
		for i := range e.Values().Len() {
			f.closed[int32(e.Values().Get(i).Number())] = true
		}
	}
	return f
}

func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	}
	return protowire.VarintType
}
