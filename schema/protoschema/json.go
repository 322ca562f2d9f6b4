package protoschema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// JSON shows an event, cut or whole, as protojson would, with null in the place of every personal value that is not
// there. Members are in the order of field numbers; references are text, whatever their kind.
func (p *Plan) JSON(data []byte) ([]byte, error) {
	m, err := read(p.root, data)
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, m), nil
}

func appendJSON(b []byte, m *message) []byte {
	if m.node.leaf {
		if text, ok := wellKnownJSON(m); ok {
			return append(b, text...)
		}
	}
	b = append(b, '{')
	first := true
	for _, f := range m.node.fields {
		found := m.find(f.num)
		if found == nil && f.role != sealed {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(quote(b, f.desc.JSONName()), ':')
		b = appendPartJSON(b, f, found)
	}
	return append(b, '}')
}

// wellKnownJSON leaves Google's types to protojson; false where it refuses a value, such as a time out of range.
func wellKnownJSON(m *message) ([]byte, bool) {
	msg := dynamicpb.NewMessage(m.node.desc)
	m.measure()
	if proto.Unmarshal(m.append(nil), msg) != nil {
		return nil, false
	}
	text, err := protojson.Marshal(msg)
	if err != nil {
		return nil, false
	}
	var compact bytes.Buffer // protojson strews spaces at random
	if json.Compact(&compact, text) != nil {
		return nil, false
	}
	return compact.Bytes(), true
}

func appendPartJSON(b []byte, f *field, p *part) []byte {
	switch {
	case p == nil:
		return append(b, "null"...)
	case p.list == nil:
		return p.value.appendJSON(b, f)
	}
	open, end := byte('['), byte(']')
	if f.entries {
		open, end = '{', '}'
	}
	b = append(b, open)
	for i := range p.list.len() {
		if i > 0 {
			b = append(b, ',')
		}
		v := p.list.at(f, i)
		if f.entries {
			b = appendEntryJSON(b, v.msg)
			continue
		}
		b = v.appendJSON(b, f)
	}
	return append(b, end)
}

func appendEntryJSON(b []byte, m *message) []byte {
	key, val := m.parts[0], m.parts[1]
	text := key.value.appendJSON(nil, key.f)
	if text[0] != '"' {
		text = quote(nil, string(text))
	}
	return val.value.appendJSON(append(append(b, text...), ':'), val.f)
}

func (v value) appendJSON(b []byte, f *field) []byte {
	switch f.kind {
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.bits != 0)
	case protoreflect.StringKind:
		return quote(b, string(v.raw))
	case protoreflect.BytesKind:
		if f.role == reference {
			return quote(b, string(v.raw))
		}
		return quote(b, base64.StdEncoding.EncodeToString(v.raw))
	case protoreflect.MessageKind:
		return appendJSON(b, v.msg)
	case protoreflect.EnumKind:
		if name := f.desc.Enum().Values().ByNumber(protoreflect.EnumNumber(int32(v.bits))); name != nil {
			if name.Parent().FullName() == "google.protobuf.NullValue" {
				return append(b, "null"...)
			}
			return quote(b, string(name.Name()))
		}
	case protoreflect.FloatKind:
		return appendFloat(b, float64(math.Float32frombits(uint32(v.bits))), 32)
	case protoreflect.DoubleKind:
		return appendFloat(b, math.Float64frombits(v.bits), 64)
	}
	return appendInteger(b, f, v.bits)
}

// appendInteger writes numbers of 64 bits as texts, as protojson does.
func appendInteger(b []byte, f *field, bits uint64) []byte {
	switch f.kind {
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(b, bits, 10)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return append(strconv.AppendUint(append(b, '"'), bits, 10), '"')
	}
	if fixedSize(f.kind) == 4 {
		return strconv.AppendInt(b, int64(int32(bits)), 10)
	}
	return append(strconv.AppendInt(append(b, '"'), int64(bits), 10), '"')
}

func appendFloat(b []byte, n float64, size int) []byte {
	switch {
	case math.IsNaN(n):
		return append(b, `"NaN"`...)
	case math.IsInf(n, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(n, -1):
		return append(b, `"-Infinity"`...)
	}
	text, _ := json.Marshal(n)
	if size == 32 {
		text, _ = json.Marshal(float32(n))
	}
	return append(b, text...)
}

func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // names and texts are valid UTF-8
	return b
}

// Describe is the files that the message needs, those it depends on first: what doors hand to readers of events.
func (p *Plan) Describe() *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(p.desc.ParentFile())
	return set
}
