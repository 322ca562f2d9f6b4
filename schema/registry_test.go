package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

func text(properties string) []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {
		"customer": {"type": "string", "x-person": "customer"}` + properties + `}}`)
}

const mail = `, "mail": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}}`

// applied is an event of the stream of schemas.
func applied(typ string, data []byte) *event.Event {
	return &event.Event{Stream: event.Stream("lethe", "schemas"), Draft: event.Draft{Type: typ, Data: data}}
}

// push makes the next version and applies its event.
func push(t *testing.T, r *schema.Registry, v *schema.Version) *schema.Version {
	t.Helper()
	next, err := r.Next(v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := next.Pushed()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(applied(schema.TypePushed, data)); err != nil {
		t.Fatal(err)
	}
	return next
}

func version(typ, properties string) *schema.Version {
	return &schema.Version{Type: typ, Notation: jsonschema.Name, Text: text(properties)}
}

func TestRegistry(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	if r.Current("Registered") != nil || r.Version(event.SchemaID{}) != nil || len(r.Types()) > 0 || r.Demand() {
		t.Error("a new registry knows something")
	}
	first := push(t, r, version("Registered", ""))
	second := push(t, r, version("Registered", mail))
	push(t, r, version("Moved", ""))
	if diff := cmp.Diff([]string{"Moved", "Registered"}, r.Types()); diff != "" {
		t.Error(diff)
	}
	list := r.Versions("Registered")
	if len(list) != 2 || list[0].Number != 1 || list[1].Number != 2 || list[0].ID != first.ID ||
		r.Current("Registered") != list[1] {
		t.Errorf("versions are %v", list)
	}
	if v := r.Version(second.ID); v != list[1] || string(v.Text) != string(text(mail)) {
		t.Error("the version is not found by its fingerprint")
	}
	plan, err := r.Version(second.ID).Plan()
	if err != nil || len(plan.Marks()) != 2 {
		t.Errorf("%v", err)
	}
	if again, _ := r.Version(second.ID).Plan(); again != plan {
		t.Error("it is compiled twice")
	}
	_, err = r.Next(version("Registered", ""))
	if event.Code(err) != "schema_known" || !errors.Is(err, event.ErrConflict) {
		t.Errorf("the same schema again: %v", err)
	}
	data, _ := first.Pushed()
	if err := r.Apply(applied(schema.TypePushed, data)); err != nil || len(r.Versions("Registered")) != 2 {
		t.Errorf("the same event again: %v", err)
	}
}

func TestDemand(t *testing.T) {
	r := schema.NewRegistry()
	for _, demand := range []bool{true, false} {
		data, err := schema.Demanded(demand)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(applied(schema.TypeDemanded, data)); err != nil || r.Demand() != demand {
			t.Errorf("demand %v: %v", demand, err)
		}
	}
	other := &event.Event{Stream: event.Stream("lethe", "kinds"), Draft: event.Draft{Type: "lethe.Other"}}
	if err := r.Apply(other); err != nil {
		t.Errorf("another stream: %v", err)
	}
}

// change is the data of a pushed event with one member replaced.
func change(t *testing.T, v *schema.Version, name string, value any) []byte {
	t.Helper()
	data, err := v.Pushed()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	members[name] = value
	data, err = json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestApplyRefuses(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	next, err := r.Next(version("Registered", ""))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &schema.Version{Type: "T", Number: 1, Notation: "asn1", Text: []byte("x")}
	foreign.ID = foreign.Fingerprint()
	unknown, _ := foreign.Pushed()
	gap := *version("Registered", mail)
	gap.Number, gap.ID = 2, gap.Fingerprint()
	gapped, _ := gap.Pushed()
	for what, c := range map[string]struct {
		typ  string
		data []byte
		code string
		says string
	}{
		"a notation that is not known": {schema.TypePushed, unknown, "unknown_format", `the notation "asn1"`},
		"a gap":                        {schema.TypePushed, gapped, "corrupt", "want number 1"},
		"another text":                 {schema.TypePushed, change(t, next, "text", "{}"), "corrupt", "its id stands for"},
		"another type":                 {schema.TypePushed, change(t, next, "type", "Other"), "corrupt", ""},
		"another notation":             {schema.TypePushed, change(t, next, "notation", "protobuf"), "corrupt", ""},
		"other options": {schema.TypePushed, change(t, next, "options", map[string]string{"kind": "k"}),
			"corrupt", ""},
		"two texts":         {schema.TypePushed, change(t, next, "text_base64", "eA=="), "corrupt", ""},
		"an unknown member": {schema.TypePushed, change(t, next, "more", 1), "unknown_format", ""},
		"a long text": {schema.TypePushed, change(t, next, "text", strings.Repeat(" ", schema.MaxText+1)), "schema_too_large",
			"524289 bytes are more than 524288"},
		"no JSON":                 {schema.TypePushed, []byte("{"), "invalid_json", ""},
		"an unknown type":         {"lethe.SchemaPulled", nil, "unknown_format", "lethe.SchemaPulled"},
		"a demand of nothing":     {schema.TypeDemanded, []byte(`{}`), "unknown_format", ""},
		"a demand of many things": {schema.TypeDemanded, []byte(`{"demand": true, "of": "x"}`), "unknown_format", ""},
	} {
		err := r.Apply(applied(c.typ, c.data))
		if event.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: want %s %q, got %s: %v", what, c.code, c.says, event.Code(err), err)
		}
	}
	if len(r.Types()) > 0 || r.Demand() {
		t.Error("what is refused was learned")
	}
}

func TestNextRefuses(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	for what, c := range map[string]struct {
		v    *schema.Version
		code string
	}{
		"notation":     {&schema.Version{Type: "T", Notation: "asn1"}, "schema_invalid"},
		"type":         {&schema.Version{Notation: "jsonschema", Text: []byte("{}")}, "malformed_type"},
		"system type":  {&schema.Version{Type: "lethe.X", Notation: "jsonschema", Text: []byte("{}")}, "schema_invalid"},
		"text":         {&schema.Version{Type: "T", Notation: "jsonschema", Text: []byte("{")}, "schema_invalid"},
		"unmarked":     {version("T", `, "a": {"type": "string"}`), "schema_unmarked"},
		"far too long": {&schema.Version{Type: "T", Notation: "jsonschema", Text: make([]byte, 10<<20)}, "schema_too_large"},
	} {
		if _, err := r.Next(c.v); event.Code(err) != c.code {
			t.Errorf("%s: want %s, got %v", what, c.code, err)
		}
	}
}

// TestPushedBinary keeps a text that is not UTF-8, and one that is longer as JSON than an event may be.
func TestPushedBinary(t *testing.T) {
	for _, content := range []string{"\xff\x00", strings.Repeat("\x01", schema.MaxText)} {
		v := &schema.Version{Type: "T", Number: 1, Notation: "n", Text: []byte(content)}
		v.Options.Message = "m"
		v.ID = v.Fingerprint()
		data, err := v.Pushed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := schema.ParsePushed(data)
		if err != nil || string(got.Text) != content || got.Options != v.Options || got.ID != v.ID || got.Number != 1 {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
}

// TestReadWhileApplying is for the race detector: who reads sees all of a version or nothing of it.
func TestReadWhileApplying(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for r.Current("T49") == nil {
				readAll(t, r)
			}
		})
	}
	for i := range 50 {
		push(t, r, version(fmt.Sprintf("T%d", i), mail))
	}
	wg.Wait()
}

func readAll(t *testing.T, r *schema.Registry) {
	for _, typ := range r.Types() {
		v := r.Current(typ)
		if _, err := v.Plan(); err != nil || r.Version(v.ID) == nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// TestManyPlans uses more versions than plans are kept.
func TestManyPlans(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	for i := range 1100 {
		v := &schema.Version{Type: fmt.Sprintf("T%d", i), Number: 1, Notation: jsonschema.Name, Text: []byte(`{}`)}
		v.ID = v.Fingerprint()
		data, err := v.Pushed()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(applied(schema.TypePushed, data)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for _, typ := range r.Types() {
			if plan, err := r.Current(typ).Plan(); err != nil || plan.Validate([]byte(`{}`)) != nil {
				t.Fatalf("%s: %v", typ, err)
			}
		}
	}
}

func TestCoverage(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New())
	v, err := r.Next(version("Registered", mail+`, "phone": {"type": "string", "x-personal": {"group": "contact", "subject": "stream"}},
		"amount": {"type": "integer", "x-not-personal": "business-fact"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Coverage()
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Coverage{
		Type: "Registered", Number: 1,
		Groups: []schema.Covered{{Name: "contact", Paths: []string{"/mail", "/phone"}}},
		Kinds:  []schema.Covered{{Name: "customer", Paths: []string{"/customer"}}},
		Subjects: []schema.Covered{
			{Name: "/customer", Paths: []string{"/mail"}}, {Name: "stream", Paths: []string{"/phone"}},
		},
		Open: []schema.Covered{{Name: "business-fact", Paths: []string{"/amount"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
