package protoschema_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

func fieldSize(b []byte) int {
	num, typ, n := protowire.ConsumeTag(b)
	return n + protowire.ConsumeFieldValue(num, typ, b[n:])
}

func tagOf(b []byte) []byte {
	_, _, n := protowire.ConsumeTag(b)
	return b[:n]
}

const wireSchema = `syntax = "proto2";
import "google/protobuf/struct.proto";
message M {
  optional int32 i = 1; optional uint32 u = 2; optional sint32 s = 3; optional bool b = 4; optional E e = 5;
  optional string t = 6; optional bytes y = 7; optional M m = 8; repeated int32 list = 9; repeated int32 pack = 10 [packed = true];
  map<string, int32> map = 11; optional fixed32 f32 = 12; optional double f64 = 13; oneof one { bool x = 14; bool z = 15; }
  repeated M many = 16; optional google.protobuf.Struct any = 17; map<int32, M> deep = 18; optional Need need = 19;
  extensions 100 to 200;
  enum E { A = 1; B = 2; }
}
message Need { required bool here = 1; }
extend M { optional bool more = 100; }`

// build joins bytes; texts are their bytes.
func build(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// TestTaken holds what is taken though it is not canonical, and its canonical form.
func TestTaken(t *testing.T) {
	plan := compile(t, wireSchema, schema.Options{Message: "M"})
	for _, c := range []struct {
		name       string
		data, want []byte
	}{
		{"nothing", nil, nil},
		{"order of fields", build(0x20, 1, 0x08, 5), build(0x08, 5, 0x20, 1)},
		{"packed where it is not declared", build(0x4a, 2, 1, 2), build(0x48, 1, 0x48, 2)},
		{"not packed where it is declared", build(0x50, 1, 0x50, 2), build(0x52, 2, 1, 2)},
		{"pieces", build(0x52, 1, 1, 0x08, 5, 0x50, 2, 0x52, 1, 3), build(0x08, 5, 0x52, 3, 1, 2, 3)},
		{"empty list", build(0x52, 0), nil},
		{"map", build(0x5a, 3, 0x0a, 1, "b", 0x5a, 2, 0x10, 7),
			build(0x5a, 4, 0x0a, 0, 0x10, 7, 0x5a, 5, 0x0a, 1, "b", 0x10, 0)},
		{"map entry's order", build(0x5a, 5, 0x10, 7, 0x0a, 1, "b"), build(0x5a, 5, 0x0a, 1, "b", 0x10, 7)},
		{"map of messages", build(0x92, 0x01, 0), build(0x92, 0x01, 4, 0x08, 0, 0x12, 0)},
		{"presence of defaults", build(0x08, 0, 0x32, 0, 0x42, 0), build(0x08, 0, 0x32, 0, 0x42, 0)},
		{"negative", build(0x08, bytes.Repeat([]byte{0xff}, 9), 1), build(0x08, bytes.Repeat([]byte{0xff}, 9), 1)},
		{"NaN with payload", build("\x69\x01\x02\x03\x04\x05\x06\xf8\xff"), build("\x69\x01\x02\x03\x04\x05\x06\xf8\xff")},
	} {
		got, err := plan.Canonical(c.data)
		if err != nil || !bytes.Equal(got, c.want) || plan.Validate(c.data) != nil {
			t.Errorf("%s: %x, %v; want %x", c.name, got, err, c.want)
		}
	}
	implicit := compile(t, `syntax = "proto3"; message M { int32 i = 1; double d = 2; string s = 3; optional bool o = 4; }`, schema.Options{})
	negative := protowire.AppendFixed64([]byte{0x11}, math.Float64bits(math.Copysign(0, -1)))
	got, err := implicit.Canonical(build(0x08, 0, 0x1a, 0, 0x20, 0, negative))
	if want := build(negative, 0x20, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("defaults without presence: %x, %v; want %x", got, err, want)
	}
}

// TestRefusedData holds what is refused in every message, and that errors name places and no values.
func TestRefusedData(t *testing.T) {
	plan := compile(t, wireSchema, schema.Options{Message: "M"})
	nested := func(inner []byte) []byte { return protowire.AppendBytes([]byte{0x42}, inner) }
	deep := func(n int) []byte {
		var b []byte
		for range n {
			b = nested(b)
		}
		return b
	}
	for _, c := range []struct {
		name string
		data []byte
		code string
		part string
	}{
		{"unknown field", build(0xa0, 0x06-1, 1), "unknown_field", "/84"},
		{"extension", build(0xa0, 0x06, 1), "unknown_field", "/100: message M has no such field"},
		{"unknown field below", nested(nested(build(0xfa, 0x01, 1, "s"))), "unknown_field", "/8/8/31"},
		{"unknown field in an entry", build(0x5a, 3, 0x1a, 1, "s"), "unknown_field", "/11/3: message M.MapEntry"},
		{"unknown field in a struct", build(0x8a, 0x01, 3, 0x22, 1, "s"), "unknown_field", "google.protobuf.Struct"},
		{"group", build(0x0b, 0x0c), "invalid_protobuf", "/1 (M.i)"},
		{"end of group", build(0x0c), "invalid_protobuf", "groups"},
		{"wire type 6", build(0x0e), "invalid_protobuf", "/1 (M.i)"},
		{"field 0", build(0x00, 1), "invalid_protobuf", "tag"},
		{"wrong wire type", build(0x0d, 1, 2, 3, 4), "invalid_protobuf", "wire type 5 where 0"},
		{"packed text", build(0x30, 1), "invalid_protobuf", "wire type 0 where 2"},
		{"cut off", build(0x08), "invalid_protobuf", "cut off"},
		{"cut off text", build(0x32, 5, "secr"), "invalid_protobuf", "/6 (M.t)"},
		{"cut off fixed", build(0x65, 1, 2, 3), "invalid_protobuf", "/12 (M.f32)"},
		{"cut off packed", build(0x52, 1, 0x80), "invalid_protobuf", "/10 (M.pack)"},
		{"long tag", build(0x88, 0x00, 1), "invalid_protobuf", "tag"},
		{"long number", build(0x08, 0x85, 0x00), "invalid_protobuf", "shortest"},
		{"long length", build(0x32, 0x81, 0x00, "s"), "invalid_protobuf", "shortest"},
		{"number of 11 bytes", build(0x08, bytes.Repeat([]byte{0xff}, 10), 1), "invalid_protobuf", "/1 (M.i)"},
		{"int32 too large", build(0x08, 0xff, 0xff, 0xff, 0xff, 0x0f), "invalid_protobuf", "32 bits"},
		{"uint32 too large", build(0x10, 0x80, 0x80, 0x80, 0x80, 0x10), "invalid_protobuf", "32 bits"},
		{"sint32 too large", build(0x18, 0x80, 0x80, 0x80, 0x80, 0x10), "invalid_protobuf", "32 bits"},
		{"bool 2", build(0x20, 2), "invalid_protobuf", "0 or 1"},
		{"closed enum", build(0x28, 3), "unknown_enum", "/5 (M.e)"},
		{"UTF-8", build(0x32, 1, 0xff), "invalid_utf8", "/6 (M.t)"},
		{"UTF-8 of a key", build(0x5a, 3, 0x0a, 1, 0xff), "invalid_utf8", "/11/1 (M.MapEntry.key)"},
		{"twice", build(0x08, 1, 0x08, 2), "duplicate_field", "/1 (M.i)"},
		{"twice apart", build(0x08, 1, 0x20, 1, 0x08, 1), "duplicate_field", "/1 (M.i)"},
		{"message twice", build(0x42, 0, 0x42, 0), "duplicate_field", "/8 (M.m)"},
		{"key twice", build(0x5a, 3, 0x0a, 1, "b", 0x5a, 3, 0x0a, 1, "b"), "duplicate_field", "/11 (M.map)"},
		{"empty key twice", build(0x5a, 0, 0x5a, 4, 0x10, 7, 0x0a, 0), "duplicate_field", "/11 (M.map)"},
		{"two of a oneof", build(0x70, 1, 0x78, 0), "duplicate_field", "oneof one"},
		{"too deep", deep(64), "invalid_protobuf", "more than 64"},
		{"too deep by far", deep(1000), "invalid_protobuf", "more than 64"},
		{"too many messages", bytes.Repeat(build(0x82, 0x01, 0), 1<<16), "oversized", "65536 messages"},
		{"too large", protowire.AppendBytes([]byte{0x32}, make([]byte, event.MaxDataBytes)), "oversized", "1048576"},
		{"required", build(0x9a, 0x01, 0), "missing_field", "Need.here"},
		{"required below", nested(build(0x9a, 0x01, 0)), "missing_field", "Need.here"},
		{"required in a list", build(0x82, 0x01, 3, 0x9a, 0x01, 0), "missing_field", "Need.here"},
	} {
		err := plan.Validate(c.data)
		if !errors.Is(err, event.ErrInvalid) || event.Code(err) != c.code {
			t.Errorf("%s: %v, code %q", c.name, err, event.Code(err))
			continue
		}
		wantParts(t, err.Error(), c.part)
		if strings.Contains(err.Error(), "secr") {
			t.Errorf("%s: the error tells a value: %v", c.name, err)
		}
	}
	if err := plan.Validate(deep(63)); err != nil {
		t.Errorf("64 messages inside each other: %v", err)
	}
}
