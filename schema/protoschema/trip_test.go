package protoschema_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/protoschema"
)

// drawer draws messages. References are never empty, so that every subject resolves.
type drawer struct {
	t    *rapid.T
	refs map[protoreflect.Name]bool
	left int // fields that may still be set
}

func (d *drawer) message(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if d.refs[f.Name()] {
			m.Set(f, d.reference(f, m.NewField(f)))
			continue
		}
		if d.left <= 0 || f.Message() != nil && depth > 4 || rapid.IntRange(0, 2).Draw(d.t, "there") == 0 {
			continue
		}
		d.left--
		switch {
		case f.IsMap():
			for range rapid.IntRange(0, 3).Draw(d.t, "entries") {
				v := m.Mutable(f).Map().NewValue()
				m.Mutable(f).Map().Set(d.value(f.MapKey(), protoreflect.Value{}, 0).MapKey(), d.value(f.MapValue(), v, depth))
			}
		case f.IsList():
			for range rapid.IntRange(0, 3).Draw(d.t, "elements") {
				list := m.Mutable(f).List()
				list.Append(d.value(f, list.NewElement(), depth))
			}
		default:
			m.Set(f, d.value(f, m.NewField(f), depth))
		}
	}
}

func (d *drawer) reference(f protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	ref := rapid.StringMatching("[a-z]{1,3}").Draw(d.t, "reference")
	switch {
	case f.IsList():
		v.List().Append(protoreflect.ValueOfString(ref))
		return v
	case f.Kind() == protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(ref))
	}
	return protoreflect.ValueOfString(ref)
}

func (d *drawer) value(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(d.t, "bool"))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(d.t, "int32"))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(d.t, "uint32"))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(d.t, "int64"))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(d.t, "uint64"))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(d.t, "float"))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64().Draw(d.t, "double"))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(d.t, "string"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(d.t, "bytes"))
	case protoreflect.EnumKind:
		i := rapid.IntRange(0, f.Enum().Values().Len()-1).Draw(d.t, "enum")
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(i).Number())
	}
	d.message(v.Message(), depth+1)
	return v
}

// shuffled writes a message with its fields in a random order, and packed fields in pieces.
func shuffled(t *rapid.T, data []byte, root *protoschema.Plan) []byte {
	var pieces [][]byte
	for rest := data; len(rest) > 0; {
		n := fieldSize(rest)
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	seen := map[string]bool{}
	for _, p := range pieces {
		if key := string(tagOf(p)); seen[key] {
			return data // elements of a list keep their order
		} else {
			seen[key] = true
		}
	}
	return bytes.Join(rapid.Permutation(pieces).Draw(t, "order"), nil)
}

// TestRoundTrip cuts and fills random messages: nothing personal is left in between, and nothing is lost.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		file string
		refs []protoreflect.Name
	}{
		{"order.proto", []protoreflect.Name{"customer_id", "person_id", "witness_ids"}},
		{"kinds.proto", []protoreflect.Name{"id", "other_id"}},
		{"mended-marked.proto", []protoreflect.Name{"email"}},
		{"mended.proto", nil},
	} {
		plan := compile(t, string(text(t, c.file)), schema.Options{})
		desc := descriptor(t, plan)
		refs := map[protoreflect.Name]bool{}
		for _, name := range c.refs {
			refs[name] = true
		}
		t.Run(c.file, rapid.MakeCheck(func(t *rapid.T) {
			m := dynamicpb.NewMessage(desc)
			(&drawer{t: t, refs: refs, left: 60}).message(m, 0)
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, plan, m, shuffled(t, data, plan))
		}))
	}
}

func roundTrip(t *rapid.T, plan *protoschema.Plan, m *dynamicpb.Message, data []byte) {
	var f, after schema.Findings
	if err := plan.Validate(data); err != nil {
		t.Fatal(err)
	}
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	alias := aliases(f.References)
	open, holes, err := plan.Cut(data, &f, alias, nil)
	if err != nil || len(holes) != len(f.Values) {
		t.Fatalf("%d holes, %v", len(holes), err)
	}
	if err := plan.Locate(open, &after); err != nil {
		t.Fatal(err)
	}
	samePlaces(t, &f, &after, alias)

	whole, err := plan.Fill(open, fillings(&f, holes))
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	replaceReferences(m, &f, func() string { next++; return alias[next-1].String() })
	got := dynamicpb.NewMessage(m.Descriptor())
	if err := proto.Unmarshal(whole, got); err != nil || !proto.Equal(m, got) {
		t.Fatalf("filled in: %v\nwant %v\n got %v", err, m, got)
	}
	again, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if canonical, err := plan.Canonical(again); err != nil || !bytes.Equal(canonical, whole) {
		t.Fatalf("canonical form: %x, %v\nfilled in:      %x", canonical, err, whole)
	}
	if same, err := plan.Canonical(whole); err != nil || !bytes.Equal(same, whole) {
		t.Fatalf("the canonical form of %x is %x, %v", whole, same, err)
	}
	if _, err := plan.JSON(open); err != nil {
		t.Fatal(err)
	}
}

// replaceReferences puts the next alias in the place of each reference that was found.
func replaceReferences(m protoreflect.Message, f *schema.Findings, next func() string) {
	for _, r := range f.References {
		at, alias := m, next()
		steps := pathOf(r.Path)
		for i := 0; i < len(steps); i++ {
			field := at.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(steps[i]))
			switch {
			case field.IsList() && field.Message() == nil:
				i++
				at.Mutable(field).List().Set(steps[i], protoreflect.ValueOfString(alias))
			case field.IsList():
				i++
				at = at.Mutable(field).List().Get(steps[i]).Message()
			case field.Message() != nil:
				at = at.Mutable(field).Message()
			case field.Kind() == protoreflect.BytesKind:
				at.Set(field, protoreflect.ValueOfBytes([]byte(alias)))
			default:
				at.Set(field, protoreflect.ValueOfString(alias))
			}
		}
	}
}

func pathOf(path string) []int {
	var steps []int
	for len(path) > 0 {
		var n int
		if _, err := fmt.Sscanf(path, "/%d", &n); err != nil {
			return nil
		}
		steps = append(steps, n)
		path = path[len(fmt.Sprintf("/%d", n)):]
	}
	return steps
}

// TestTogether uses one plan from several goroutines, for the race detector to watch.
func TestTogether(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	data := wire(t, plan, orderText)
	want, err := plan.JSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			var f schema.Findings
			if err := errors.Join(plan.Validate(data), plan.Locate(data, &f)); err != nil {
				t.Error(err)
			}
			open, holes, err := plan.Cut(data, &f, aliases(f.References), nil)
			if err != nil {
				t.Error(err)
			}
			if _, err := plan.Fill(open, fillings(&f, holes)); err != nil {
				t.Error(err)
			}
			if got, err := plan.JSON(data); err != nil || !bytes.Equal(got, want) {
				t.Errorf("JSON: %s, %v", got, err)
			}
		})
	}
	g.Wait()
}
