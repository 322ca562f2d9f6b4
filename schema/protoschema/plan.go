package protoschema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bufbuild/protocompile/linker"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Plan is a compiled schema: a schema.Plan that can also describe itself and show its events as JSON.
type Plan struct {
	root  *node
	desc  protoreflect.MessageDescriptor
	marks []schema.Place
}

func newPlan(files linker.Files, o schema.Options) (*Plan, error) {
	if err := checkOptions(files); err != nil {
		return nil, err
	}
	desc, err := choose(files, o.Message)
	if err != nil {
		return nil, err
	}
	kind := o.Kind
	if kind == "" {
		kind = defaultKind
	}
	if err := checkKind(desc, kind); err != nil {
		return nil, err
	}
	b := newBuilder(desc, kind)
	root, err := b.build()
	if err != nil {
		return nil, err
	}
	p := &Plan{root: root, desc: desc}
	p.marks, err = places(root, b.persons)
	return p, err
}

// Format is event.Protobuf.
func (p *Plan) Format() event.Format { return event.Protobuf }

// Message is the full name of the message that describes the event.
func (p *Plan) Message() string { return string(p.desc.FullName()) }

// Validate checks a message in the wire format: that nothing in it is undeclared at any depth, that nothing of it
// would be lost by reading and writing it, and that its references say whose its values are. What is taken and what
// is refused is listed in docs/format/protobuf.md. Codes are invalid_protobuf, unknown_field, unknown_enum,
// duplicate_field, missing_field, invalid_utf8, oversized, subject_unresolved.
func (p *Plan) Validate(data []byte) error {
	if len(data) > event.MaxDataBytes {
		return oversized(len(data))
	}
	m, err := read(p.root, data)
	if err != nil {
		return err
	}
	if size := m.measure(); size > event.MaxDataBytes {
		return oversized(size)
	}
	if err := checkRequired(m); err != nil {
		return err
	}
	var f schema.Findings
	return locate(m, &f)
}

// checkRequired refuses messages without a field that proto2 calls required.
func checkRequired(m *message) error {
	for _, f := range m.node.required {
		if m.find(f.num) == nil {
			return event.Invalid("missing_field", "check data: required field %s is not there", f.desc.FullName())
		}
	}
	for i := range m.parts {
		p := &m.parts[i]
		if p.value.msg != nil {
			if err := checkRequired(p.value.msg); err != nil {
				return err
			}
		}
		if p.list == nil {
			continue
		}
		for _, inner := range p.list.msgs {
			if err := checkRequired(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// Locate finds the places of data. A message that is not there has no places, nor has a value that is not there and
// whose subject is not there either; of joint subjects two by the same reference count once. After Cut all values are
// ledger.Absent: the wire format has no null.
func (p *Plan) Locate(data []byte, f *schema.Findings) error {
	m, err := read(p.root, data)
	if err != nil {
		f.Values, f.References = f.Values[:0], f.References[:0]
		return err
	}
	return locate(m, f)
}

// Canonical is data in the one wire form that Cut and Fill write.
func (p *Plan) Canonical(data []byte) ([]byte, error) {
	m, err := read(p.root, data)
	if err != nil {
		return nil, err
	}
	return m.canonical(), nil
}

// Cut is the canonical form of data without its personal values, its references replaced. Holes are schema.NoHole:
// paths are enough for Fill.
func (p *Plan) Cut(data []byte, f *schema.Findings, alias []event.KRID, holes []uint32) ([]byte, []uint32, error) {
	m, err := read(p.root, data)
	if err != nil {
		return nil, holes, err
	}
	foreign := func() error {
		return event.Errorf(event.ErrInvalid, "cut data: the findings are of other data").
			Hint("locate in the same data first")
	}
	refs := 0
	w := walker{value: func(_ *field, found *part) error {
		if found != nil {
			found.cut = true
		}
		return nil
	}}
	w.reference = func(_ *field, raw *[]byte) error {
		i, ok := slices.BinarySearchFunc(f.References, string(w.path), func(r schema.Reference, path string) int {
			return strings.Compare(r.Path, path)
		})
		if !ok || i >= len(alias) || f.References[i].Ref != string(*raw) {
			return foreign()
		}
		*raw = []byte(alias[i].String())
		refs++
		return nil
	}
	if m.node.deep {
		err = w.walk(m, 0, -1)
	}
	if err == nil && refs != len(alias) {
		err = foreign()
	}
	if err != nil {
		return nil, holes, err
	}
	for range f.Values {
		holes = append(holes, schema.NoHole)
	}
	return m.canonical(), holes, nil
}

// Marks are the places of all scalars, and of what is declared as one whole, by path. A message inside one of its own
// type is not listed again. Those of a schema that names no person say nothing but their types.
func (p *Plan) Marks() []schema.Place { return append([]schema.Place(nil), p.marks...) }
