package protoschema_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/protoschema"
)

// descriptor makes the message type of a plan from what it says of itself.
func descriptor(t testing.TB, p *protoschema.Plan) protoreflect.MessageDescriptor {
	t.Helper()
	files, err := protodesc.NewFiles(p.Describe())
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(p.Message()))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MessageDescriptor)
}

// wire writes a message given as text with the library, in its own order of fields.
func wire(t testing.TB, p *protoschema.Plan, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(descriptor(t, p))
	if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// show writes findings, a line each.
func show(f *schema.Findings) string {
	var b strings.Builder
	for _, r := range f.References {
		fmt.Fprintf(&b, "%s %s=%s\n", r.Path, r.Kind, r.Ref)
	}
	for _, v := range f.Values {
		fmt.Fprintf(&b, "%s %s", v.Path, v.Mark.Group)
		for _, s := range v.Subjects {
			fmt.Fprintf(&b, " %d%s%s%s", s.From, s.Kind, s.Ref, s.Role)
		}
		switch {
		case v.State == ledger.Value && len(v.Bytes) == 0:
			b.WriteString(" -")
		case v.State == ledger.Value:
			fmt.Fprintf(&b, " %x", v.Bytes)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const orderText = `
	customer_id: "4711" name: "Ada" cents: 1299 age: 0 born: {seconds: 86400 nanos: 7}
	items: {sku: "book" count: 2} items: {}
	answers: {key: "b" value: "yes"} answers: {key: "a" value: ""}
	scores: -1 scores: 300
	address: {
		street: "Main St" place: {latitude: 1.5 photo: "\001\377" exact: true}
		residents: {person_id: "r1" note: "n" secret: ""} residents: {person_id: "r2" secret: "s"}
		residents: {}
	}
	phone: "" state: STATE_OPEN clerk_note: "c" branch: "B" witness_ids: "w1" witness_ids: "w2"
	flags: {key: -1 value: true} flags: {key: 2 value: false}
	first: {sku: "x"}`

// TestPlaces finds the places of an event by hand: states, fixed encodings, subjects.
func TestPlaces(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	var f schema.Findings
	data := wire(t, plan, orderText)
	if err := errors.Join(plan.Validate(data), plan.Locate(data, &f)); err != nil {
		t.Fatal(err)
	}
	want := `/1 customer=4711
/16/0 witness=w1
/16/1 witness=w2
/9/3/0/1 resident=r1
/9/3/1/1 resident=r2
/10 contact 1customer4711
/11 contact 1customer4711 -
/13 work 3issuer 63
/14 work 2
/15 business 4 42
/18 contact 1customer4711 000000010000000178
/19 profile 1customer4711
/2 contact 1customer4711 416461
/5 profile 1customer4711 00000000
/6 profile 1customer4711 00000001000000080000000000015180000000020000000400000007
/7 profile 1customer4711 000000016100000000000000016200000003796573
/8 profile 1customer4711 00000004ffffffff000000040000012c
/9/1 contact 1customer4711 4d61696e205374
/9/2/1 contact 1customer4711 3ff8000000000000
/9/2/2 contact 1customer4711 01ff
/9/3/0/2 contact 1residentr1 1customer4711 6e
/9/3/0/3 contact 1residentr1
/9/3/1/2 contact 1residentr2 1customer4711
/9/3/1/3 contact 1residentr2 73
`
	if diff := cmp.Diff(want, show(&f)); diff != "" {
		t.Error(diff)
	}
	name := f.Values[slices.IndexFunc(f.Values, func(v schema.Value) bool { return v.Path == "/2" })]
	mark := &schema.Mark{Group: "contact", Retention: "order", From: "occurred", Category: schema.Financial,
		Origin: schema.Provided, Indexed: true}
	if diff := cmp.Diff(mark, name.Mark); diff != "" {
		t.Error(diff)
	}
}

// aliases gives every person one KRID.
func aliases(refs []schema.Reference) []event.KRID {
	all := make([]event.KRID, len(refs))
	known := map[[2]string]event.KRID{}
	for i, r := range refs {
		who := [2]string{r.Kind, r.Ref}
		if _, ok := known[who]; !ok {
			known[who] = event.KRID{0xa1, 14: byte(len(known) >> 8), 15: byte(len(known) + 1)}
		}
		all[i] = known[who]
	}
	return all
}

// fillings are the values of findings, as whoever opens boxes gives them back.
func fillings(f *schema.Findings, holes []uint32) []schema.Filling {
	var all []schema.Filling
	for i, v := range f.Values {
		all = append(all, schema.Filling{Path: v.Path, Hole: holes[i], State: v.State, Bytes: bytes.Clone(v.Bytes)})
	}
	return all
}

// TestCut looks at what is left of an event, as JSON.
func TestCut(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	var f, after schema.Findings
	data := wire(t, plan, orderText)
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	alias := aliases(f.References)
	open, holes, err := plan.Cut(data, &f, alias, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.JSON(open)
	if err != nil {
		t.Fatal(err)
	}
	krid := func(path string) string {
		i := slices.IndexFunc(f.References, func(r schema.Reference) bool { return r.Path == path })
		return `"` + alias[i].String() + `"`
	}
	want := `{"customerId":` + krid("/1") + `,"name":null,"items":[{"sku":"book","count":2},{}],"cents":"1299","age":null,` +
		`"born":null,"answers":null,"scores":null,"address":{"street":null,"place":{"latitude":null,"photo":null,"exact":true},` +
		`"residents":[{"personId":` + krid("/9/3/0/1") + `,"note":null,"secret":null},{"personId":` + krid("/9/3/1/1") + `,"note":null,` +
		`"secret":null},{"note":null,"secret":null}]},"mail":null,"phone":null,"state":"STATE_OPEN","clerkNote":null,` +
		`"streamNote":null,"branch":null,"witnessIds":[` + krid("/16/0") + `,` + krid("/16/1") + `],"flags":{"2":false,"-1":true},` +
		`"first":null,"weight":null}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := plan.Locate(open, &after); err != nil {
		t.Fatal(err)
	}
	samePlaces(t, &f, &after, alias)
	whole, err := plan.Fill(open, fillings(&f, holes))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := plan.Cut(whole, relocate(t, plan, whole), alias, nil)
	if err != nil || !bytes.Equal(again, open) {
		t.Errorf("cut, filled and cut again: %x, %v\n before: %x", again, err, open)
	}
	full, err := plan.JSON(whole)
	if err != nil {
		t.Fatal(err)
	}
	wantParts(t, string(full), `"born":"1970-01-02T00:00:00.000000007Z"`, `"answers":{"a":"","b":"yes"}`, `"scores":[-1,300]`,
		`"latitude":1.5,"photo":"Af8="`, `"phone":""`, `"first":{"sku":"x"}`)
}

func relocate(t *testing.T, p *protoschema.Plan, data []byte) *schema.Findings {
	t.Helper()
	f := new(schema.Findings)
	if err := p.Locate(data, f); err != nil {
		t.Fatal(err)
	}
	return f
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// samePlaces compares findings before and after Cut.
func samePlaces(t fataler, before, after *schema.Findings, alias []event.KRID) {
	t.Helper()
	if len(before.Values) != len(after.Values) || len(before.References) != len(after.References) {
		t.Fatalf("%d values and %d references, after Cut %d and %d",
			len(before.Values), len(before.References), len(after.Values), len(after.References))
	}
	for i, v := range before.Values {
		a := after.Values[i]
		if a.Path != v.Path || a.Mark != v.Mark || a.State != ledger.Absent || len(a.Subjects) != len(v.Subjects) {
			t.Fatalf("value %s: after Cut %s, state %d", v.Path, a.Path, a.State)
		}
	}
	for i, r := range before.References {
		if a := after.References[i]; a.Path != r.Path || a.Kind != r.Kind || a.Ref != alias[i].String() {
			t.Fatalf("reference %s: after Cut %s", r.Path, a.Path)
		}
	}
}

// TestUnresolved refuses values whose subject is not there.
func TestUnresolved(t *testing.T) {
	plan := compile(t, string(text(t, "order.proto")), schema.Options{})
	var f schema.Findings
	for _, c := range []struct{ text, path string }{
		{`name: "n"`, "/2 (shop.Order.name)"},
		{`customer_id: "" scores: 1`, "/8 (shop.Order.scores)"},
		{`customer_id: "1" address: {residents: {person_id: "r"} residents: {secret: "s"}}`, "/9/3/1/3 (shop.Resident.secret)"},
		{`address: {residents: {person_id: "r" note: "s"}}`, "/9/3/0/2 (shop.Resident.note)"},
	} {
		err := plan.Locate(wire(t, plan, c.text), &f)
		if event.Code(err) != "subject_unresolved" {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		wantParts(t, err.Error(), c.path)
		if v := plan.Validate(wire(t, plan, c.text)); event.Code(v) != "subject_unresolved" {
			t.Errorf("validate %s: %v", c.text, v)
		}
	}
	if err := plan.Locate(nil, &f); err != nil || len(f.Values) != 3 {
		t.Errorf("an empty message has %d values that depend on no data, %v", len(f.Values), err)
	}
}

// TestScopes finds subjects from the nearest message that says whose values are, also in types that hold themselves.
func TestScopes(t *testing.T) {
	nested := gdprHead + `message Family {
		string name = 1 [(gdpr).key = true];
		string note = 2 [(gdpr).pii = true];
		repeated Family children = 3;
		Detail detail = 4;
		message Detail { string x = 1 [(gdpr).pii = true]; Family other = 2; Detail more = 3; }
	}`
	plan := compile(t, nested, schema.Options{Message: "Family"})
	var f schema.Findings
	data := wire(t, plan, `name: "a" note: "1" detail: {x: "2" other: {name: "b" note: "3"} more: {x: "4"}}
		children: {name: "c" detail: {x: "5"}} children: {name: "d"}`)
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	want := `/1 person=a
/3/0/1 person=c
/3/1/1 person=d
/4/2/1 person=b
/2 personal 1persona 31
/3/0/2 personal 1personc
/3/0/4/1 personal 1personc 35
/3/1/2 personal 1persond
/4/1 personal 1persona 32
/4/2/2 personal 1personb 33
/4/3/1 personal 1persona 34
`
	if diff := cmp.Diff(want, show(&f)); diff != "" {
		t.Error(diff)
	}
	plan = compile(t, head+`message M { string stream = 1; string v = 2 [(lethe.privacy) = {group: "g" subject: "./stream"}];
		string w = 3 [(lethe.privacy) = {group: "g" subject: "stream"}]; }`, schema.Options{})
	if err := plan.Locate(wire(t, plan, `stream: "s" v: "1"`), &f); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("/1 person=s\n/2 g 1persons 31\n/3 g 2\n", show(&f)); diff != "" {
		t.Error(diff)
	}
	along := head + `message Doc { repeated Order orders = 1; string id = 2; }
		message Order { string customer = 1; repeated Line lines = 2; }
		message Line { string text = 1 [(lethe.privacy) = {group: "g" subject: ["/orders/customer", ".id"]}]; }`
	plan = compile(t, along, schema.Options{Kind: "customer"})
	data = wire(t, plan, `id: "i" orders: {customer: "a" lines: {text: "1"}} orders: {customer: "b" lines: {} lines: {text: "2"}}`)
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	want = `/1/0/1 customer=a
/1/1/1 customer=b
/2 customer=i
/1/0/2/0/1 g 1customera 1customeri 31
/1/1/2/0/1 g 1customerb 1customeri
/1/1/2/1/1 g 1customerb 1customeri 32
`
	if diff := cmp.Diff(want, show(&f)); diff != "" {
		t.Error(diff)
	}
}
