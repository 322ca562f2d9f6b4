package protoschema_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/protoschema"
)

// lines joins n lines made from a number.
func lines(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

// TestHostileTexts compiles texts that are made to cost much; all are refused, or done, in bounded time.
func TestHostileTexts(t *testing.T) {
	refuse(t, strings.Repeat("x", 10<<20), "schema_too_large")
	refuse(t, strings.Repeat("message M {\n", 1000)+strings.Repeat("}", 1000), "schema_too_deep")
	refuse(t, strings.Repeat("message M {", 40)+strings.Repeat("}", 40), "schema_invalid")
	refuse(t, `syntax = "proto3"; option x = {`+strings.Repeat("a:[\n", 100_000), "schema_too_deep")
	refuse(t, strings.Repeat("(\n", 200_000), "schema_too_deep")
	refuse(t, strings.Repeat("\"\n", 200_000), "schema_invalid")
	refuse(t, strings.Repeat("/*\n", 150_000), "schema_invalid")
	refuse(t, strings.Repeat("\x00\xff\n", 150_000), "schema_invalid")
	refuse(t, `syntax = "proto3"; message M { reserved `+lines(60_000, func(i int) string { return fmt.Sprintf("%d, ", i+1) })+
		"70000; }", "schema_too_large") // on one line, it costs the compiler minutes
	refuse(t, strings.Repeat("// file: a.proto\n", 2), "schema_invalid")
	refuse(t, lines(300, func(i int) string { return fmt.Sprintf("// file: %d.proto\n", i) }), "schema_too_large")
	quotes := head + "message M { // " + strings.Repeat("{\"'", 1000) + "\n/*" + strings.Repeat("{", 1000) +
		"*/" + person + "}"
	compile(t, quotes, schema.Options{})
}

// TestLargeTexts compiles texts that are large in every way that is allowed.
func TestLargeTexts(t *testing.T) {
	odd := lines(20_000, func(i int) string { return fmt.Sprintf("%d,\n", 2*i+1) })
	compile(t, "syntax = \"proto3\";\nmessage M { reserved "+odd+"70000; }", schema.Options{})
	many := head + "message M {" + person + lines(5000, func(i int) string {
		return fmt.Sprintf("string f%d = %d [(lethe.privacy) = {group: \"g\" subject: \"id\"}];\n", i, 20000+i)
	}) + "}"
	if marks := compile(t, many, schema.Options{}).Marks(); len(marks) != 5001 {
		t.Errorf("%d marks", len(marks))
	}
	chain := "syntax = \"proto3\";" + lines(5000, func(i int) string {
		return fmt.Sprintf("message M%d { M%d next = 1; }\n", i, i+1)
	}) + "message M5000 { string end = 1; }"
	compile(t, chain, schema.Options{Message: "M0"})
	ladder := head + "message M {" + person + "A0 a = 2; A0 b = 3; }" + lines(40, func(i int) string {
		return fmt.Sprintf("message A%d { A%d a = 1; A%d b = 2; }\n", i, i+1, i+1)
	}) + "message A40 { string end = 1 [(lethe.privacy) = {group: \"g\" subject: \".id\"}]; }"
	wantParts(t, refuse(t, ladder, "schema_too_large"), "hold each other")
	contexts := head + "message M {" + person +
		lines(200, func(i int) string { return fmt.Sprintf("C%d c%d = %d;\n", i, i, i+2) }) + "}" +
		lines(200, func(i int) string {
			return fmt.Sprintf("message C%d { option (lethe.fields) = {group: \"g\" subject: \".id\"}; Wide w = 1; }\n", i)
		}) + "message Wide {" + lines(400, func(i int) string { return fmt.Sprintf("string f%d = %d;\n", i, i+1) }) + "}"
	wantParts(t, refuse(t, contexts, "schema_too_large"), "50000 fields")
}

// TestRecursiveMarks bounds types that hold themselves, and each other, across sealed places.
func TestRecursiveMarks(t *testing.T) {
	plan := compile(t, head+`
		message A { `+person+` B b = 2; repeated A list = 3; string x = 4 [(lethe.privacy) = {group: "g" subject: "id"}]; }
		message B { option (lethe.fields) = {group: "g" subject: ".id"}; A a = 1; C c = 2; string y = 3; }
		message C { B b = 1; string z = 2; }`, schema.Options{Message: "A"})
	var paths []string
	for _, m := range plan.Marks() {
		paths = append(paths, m.Path)
	}
	if len(paths) > 20 || len(paths) < 5 {
		t.Errorf("marks at %v", paths)
	}
}

// TestTooManyValues bounds what one event may hold: a few bytes of data may stand for many declared places.
func TestTooManyValues(t *testing.T) {
	plan := compile(t, head+"message M {"+person+"repeated E list = 2; }"+
		"message E { option (lethe.fields) = {group: \"g\" subject: \".id\"};"+
		lines(200, func(i int) string { return fmt.Sprintf("string f%d = %d;\n", i, i+1) })+"}", schema.Options{})
	data := append([]byte{0x0a, 1, 'p'}, bytes.Repeat([]byte{0x12, 0}, 51)...)
	var f schema.Findings
	if err := plan.Validate(data); event.Code(err) != "oversized" {
		t.Errorf("validate: %v", err)
	}
	if err := plan.Locate(data, &f); event.Code(err) != "oversized" {
		t.Errorf("locate: %v", err)
	}
	if err := plan.Locate(data[:len(data)-2], &f); err != nil || len(f.Values) != schema.MaxFound {
		t.Errorf("%d values, %v", len(f.Values), err)
	}
}

// TestMisuse hands Cut and Fill what does not belong to the data.
func TestMisuse(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	data := wire(t, plan, orderText)
	other := relocate(t, plan, wire(t, plan, `customer_id: "other"`))
	f := relocate(t, plan, data)
	all := aliases(f.References)
	for _, alias := range [][]event.KRID{nil, all[1:], append(all, all[0])} {
		if _, _, err := plan.Cut(data, f, alias, nil); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("cut with %d aliases: %v", len(alias), err)
		}
	}
	if _, _, err := plan.Cut(data, other, all[:1], nil); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("cut with findings of other data: %v", err)
	}
	open, _, err := plan.Cut(data, f, aliases(f.References), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "2", "/", "/02", "/2/", "/2/0", "/1", "/3/0/1", "/3/9/1", "/9/2/3", "/9/3/1", "/9/3/9/2", "/77", "/-1", "/+2",
		"/9999999999999999999",
	} {
		_, err := plan.Fill(open, []schema.Filling{{Path: path, State: ledger.Value, Bytes: []byte("x")}})
		if !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("fill in %q: %v", path, err)
		}
	}
	mail := schema.Filling{Path: "/10", State: ledger.Value}
	phone := schema.Filling{Path: "/11", State: ledger.Value}
	for _, twice := range [][]schema.Filling{{mail, mail}, {mail, phone}} {
		if _, err := plan.Fill(open, twice); !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("fill in twice: %v", err)
		}
	}
	nothing := []schema.Filling{{Path: "/77", State: ledger.Absent}, {Path: "/2", State: ledger.Null}}
	if got, err := plan.Fill(open, nothing); err != nil || !bytes.Equal(got, open) {
		t.Errorf("fill in nothing: %x, %v", got, err)
	}
}

// TestDamagedValues fills in values that are not one of their field's fixed encoding.
func TestDamagedValues(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	for _, c := range []struct {
		name, path string
		value      []byte
	}{
		{"default without presence", "/2", nil},
		{"UTF-8", "/2", build(0xff)},
		{"short number", "/5", build(0, 0, 1)},
		{"long number", "/5", build(0, 0, 0, 0, 1)},
		{"empty list", "/8", nil},
		{"list cut off", "/8", build(0, 0, 0, 4, 0, 0)},
		{"element of another size", "/8", build(0, 0, 0, 1, 0)},
		{"map out of order", "/7", build(0, 0, 0, 1, "b", 0, 0, 0, 0, 0, 0, 0, 1, "a", 0, 0, 0, 0)},
		{"map with a key twice", "/7", build(0, 0, 0, 1, "b", 0, 0, 0, 0, 0, 0, 0, 1, "b", 0, 0, 0, 0)},
		{"map without value", "/7", build(0, 0, 0, 1, "b")},
		{"unknown field", "/18", build(0, 0, 0, 9, 0, 0, 0, 1, "x")},
		{"fields out of order", "/18", build(0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, "x")},
		{"field twice", "/18", build(0, 0, 0, 1, 0, 0, 0, 1, "x", 0, 0, 0, 1, 0, 0, 0, 1, "x")},
		{"default inside", "/18", build(0, 0, 0, 1, 0, 0, 0, 0)},
		{"number cut off", "/18", build(0, 0, 0)},
	} {
		_, err := plan.Fill(nil, []schema.Filling{{Path: c.path, State: ledger.Value, Bytes: c.value}})
		if !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzText compiles anything.
func FuzzText(f *testing.F) {
	for _, name := range []string{"printed-marked.proto", "mended-marked.proto", "order.proto", "kinds.proto"} {
		f.Add(text(f, name))
	}
	f.Add([]byte("// file: a.proto\nsyntax = \"proto3\";\n// file: b.proto\nimport \"a.proto\";"))
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := protoschema.New().Compile(text, schema.Options{})
		if err != nil && !errors.Is(err, event.ErrInvalid) {
			t.Fatal(err)
		}
		if err == nil {
			plan.Marks()
			_ = plan.Validate([]byte{0x0a, 1, 'x'})
		}
	})
}

// FuzzData reads anything; what is taken has one canonical form, and survives being cut and filled.
func FuzzData(f *testing.F) {
	order := compile(f, string(text(f, "order.proto")), schema.Options{})
	kinds := compile(f, string(text(f, "kinds.proto")), schema.Options{})
	proto2 := compile(f, wireSchema, schema.Options{Message: "M"})
	f.Add(wire(f, order, orderText))
	f.Add(wire(f, kinds, `id: "a" other_id: "b" each: {s: [1, 2] w: {key: 1 value: SHADE_DARK}} yes: true`))
	f.Add(protowire.AppendBytes([]byte{0x42}, []byte{0x52, 2, 1, 2, 0x5a, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, plan := range []*protoschema.Plan{order, kinds, proto2} {
			if plan.Validate(data) == nil {
				fillAgain(t, plan, data)
			}
		}
	})
}

func fillAgain(t *testing.T, plan *protoschema.Plan, data []byte) {
	f := relocate(t, plan, data)
	alias := aliases(f.References)
	open, holes, err := plan.Cut(data, f, alias, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := plan.Fill(open, fillings(f, holes))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := plan.Cut(whole, relocate(t, plan, whole), alias, nil)
	if err != nil || !bytes.Equal(again, open) {
		t.Fatalf("%x cut to %x, filled and cut again to %x, %v", data, open, again, err)
	}
	if _, err := plan.JSON(whole); err != nil {
		t.Fatal(err)
	}
}

// FuzzValue fills in anything; what is taken comes out again as it was.
func FuzzValue(f *testing.F) {
	plan := compile(f, string(text(f, "kinds.proto")), schema.Options{})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 5})
	f.Add([]byte{0, 0, 0, 23, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7})
	open := wire(f, plan, `id: "a" other_id: "b"`)
	f.Fuzz(func(t *testing.T, value []byte) {
		whole, err := plan.Fill(open, []schema.Filling{{Path: "/4", State: ledger.Value, Bytes: value}})
		if err != nil {
			return
		}
		for _, v := range relocate(t, plan, whole).Values {
			if v.Path == "/4" && (v.State != ledger.Value || !bytes.Equal(v.Bytes, value)) {
				t.Fatalf("filled in %x, found %x", value, v.Bytes)
			}
		}
	})
}
