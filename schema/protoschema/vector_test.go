package protoschema_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
)

const vectorPage = "../../docs/format/protobuf.md"

// worked lays out the example, and gives back what it shows.
type worked struct{ pagetest.Layout }

func (w *worked) part(label string, b []byte) []byte {
	w.Part(label, b)
	return b
}

// value is what the page says of one value.
type value struct {
	path, label string
	state       ledger.SlotState
	bytes       []byte
}

// vectorValues are laid out by hand, from the page and not from the code, in the order of paths.
func vectorValues() []value {
	return []value{
		{"/2", `/2 name, a string: "Ada"`, ledger.Value, build("Ada")},
		{"/3/0/2", "/3/0/2 age, an int32: 36", ledger.Value, build(0, 0, 0, 36)},
		{"/3/1/2", "/3/1/2 absent", ledger.Absent, nil},
		{"/4", "/4 scores, repeated sint32: 2, -1", ledger.Value,
			build(0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff)},
		{"/5", `/5 agreed, a map: "a" false, "b" true`, ledger.Value,
			build(0, 0, 0, 1, "a", 0, 0, 0, 1, 0, 0, 0, 0, 1, "b", 0, 0, 0, 1, 1)},
		{"/7", `/7 gift, a message: text "hi", wrapped not there`, ledger.Value, build(0, 0, 0, 1, 0, 0, 0, 2, "hi")},
		{"/8", "/8 weight, a double: -0", ledger.Value, build(0x80, 0, 0, 0, 0, 0, 0, 0)},
	}
}

func TestExample(t *testing.T) {
	page, err := os.ReadFile(vectorPage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(page), "```proto\n")
	text, _, ok2 := strings.Cut(rest, "```\n")
	if !ok1 || !ok2 {
		t.Fatal("the page shows no schema")
	}
	plan := compile(t, text, schema.Options{})
	krid := event.KRID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}

	var w worked
	var data, want, open []byte
	add := func(label string, parts ...any) { data = append(data, w.part(label, build(parts...))...) }
	w.WriteString("As sent\n")
	add("field 1, buyer", 0x0a, 4, "4711")
	add("field 6, cents: 1299, out of order", 0x30, 0x93, 0x0a)
	add("field 2, name", 0x12, 3, "Ada")
	add("field 3, the first item", 0x1a, 5, 0x0a, 1, "x", 0x10, 36)
	add("field 3, the second item, empty", 0x1a, 0)
	add("field 4, an element that is not packed", 0x20, 4)
	add("field 4, packed", 0x22, 1, 1)
	add("field 5, an entry", 0x2a, 5, 0x0a, 1, "b", 0x10, 1)
	add("field 5, an entry without value", 0x2a, 3, 0x0a, 1, "a")
	add("field 7, with a default that has no presence", 0x3a, 6, 0x10, 0, 0x0a, 2, "hi")
	add("field 8", 0x41, 0, 0, 0, 0, 0, 0, 0, 0x80)

	w.WriteString("\nValues\n")
	values := vectorValues()
	for _, v := range values {
		w.part(v.label, v.bytes)
	}
	w.WriteString("\nIn the open\n")
	keep := func(label string, parts ...any) { open = append(open, w.part(label, build(parts...))...) }
	keep("field 1, "+krid.String(), 0x0a, 31, krid.String())
	keep("field 3, the first item, without age", 0x1a, 3, 0x0a, 1, "x")
	keep("field 3, the second item", 0x1a, 0)
	keep("field 6", 0x30, 0x93, 0x0a)

	w.WriteString("\nFilled in\n")
	fill := func(label string, parts ...any) { want = append(want, w.part(label, build(parts...))...) }
	fill("field 1", 0x0a, 31, krid.String())
	fill("field 2", 0x12, 3, "Ada")
	fill("field 3", 0x1a, 5, 0x0a, 1, "x", 0x10, 36)
	fill("field 3", 0x1a, 0)
	fill("field 4, packed", 0x22, 2, 4, 1)
	fill("field 5, by key, with the value", 0x2a, 5, 0x0a, 1, "a", 0x10, 0)
	fill("field 5", 0x2a, 5, 0x0a, 1, "b", 0x10, 1)
	fill("field 6", 0x30, 0x93, 0x0a)
	fill("field 7", 0x3a, 4, 0x0a, 2, "hi")
	fill("field 8", 0x41, 0, 0, 0, 0, 0, 0, 0, 0x80)

	var f schema.Findings
	if err := plan.Locate(data, &f); err != nil || len(f.Values) != len(values) {
		t.Fatalf("%d values, %v", len(f.Values), err)
	}
	for i, v := range f.Values {
		if v.Path != values[i].path || v.State != values[i].state || !bytes.Equal(v.Bytes, values[i].bytes) {
			t.Errorf("value %s is %d %x, want %s", v.Path, v.State, v.Bytes, values[i].label)
		}
	}
	got, holes, err := plan.Cut(data, &f, []event.KRID{krid}, nil)
	if err != nil || !bytes.Equal(got, open) {
		t.Errorf("in the open %x, %v\nwant        %x", got, err, open)
	}
	if got, err = plan.Fill(open, fillings(&f, holes)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("filled in %x, %v\nwant      %x", got, err, want)
	}
	pagetest.Compare(t, vectorPage, "", w.String())
}
