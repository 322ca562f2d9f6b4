package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/protoschema"
	"github.com/lethe-es/lethe/schema/starlark"
)

const (
	personalText = `{"type": "string", "x-personal": {"group": "g", "subject": "/customer"}}`
	openNumber   = `{"type": "number", "x-not-personal": "quantity"}`
)

// joined is the second version of people: names in one object, sealed as one, and notes no more.
const joined = `, "name": {"type": "object", "additionalProperties": {"type": "string"},
	"x-personal": {"group": "g", "subject": "/customer"}}, "sum": ` + openNumber

// listed is the fourth one, after one that only adds.
const listed = `, "who": {"type": "array", "items": ` + personalText + `}, "sum": ` + openNumber + `, "new": ` + openNumber

const joins = `
def upcast(d):
    d["name"] = {"first": d.pop("first", None), "last": d.pop("last", None)}
    d["sum"] = d.pop("amount")
    d.pop("list/s", None)
    return d
`

func scripted(properties, script string) *schema.Version {
	v := version("T", properties)
	if script != "" {
		v.Upcaster = schema.Script{Language: starlark.Name, Text: script}
	}
	return v
}

// chained is a registry with four versions: join, add, list.
func chained(t *testing.T) (*schema.Registry, *schema.Version) {
	t.Helper()
	r := schema.NewRegistry(jsonschema.New()).With(starlark.New(), schema.Go(&schema.Upcaster{
		Name: "list", Func: func(d map[string]any) (map[string]any, error) {
			d["who"] = []any{d["name"]}
			delete(d, "name")
			return d, nil
		}}))
	first := push(t, r, scripted(people, ""))
	push(t, r, scripted(joined, joins))
	push(t, r, scripted(joined+`, "new": `+openNumber, ""))
	last := version("T", listed)
	last.Upcaster = schema.Script{Language: "go", Text: "list"}
	push(t, r, last)
	return r, first
}

func TestChain(t *testing.T) {
	r, first := chained(t)
	chain, err := r.Chain(first.ID)
	if err != nil || chain.Done() || chain.Present() != r.Current("T") {
		t.Fatalf("the chain leads to %v, %v", chain, err)
	}
	for _, c := range []struct {
		what, data, want string
		paths, moved     []string
	}{
		{"all is there", `{"customer": "c", "first": "A\u0064a", "last": null, "amount": 1.50, "list/s": [{"note": "n"}]}`,
			`{"customer":"c","sum":1.50,"who":[{"first":"A\u0064a","last":null}]}`, []string{}, []string{}},
		{"one is withheld", `{"customer": "c", "first": null, "last": "L", "amount": 1e400, "list/s": [{}, {"note": null}]}`,
			`{"customer":"c","sum":1e400,"who":[{"first":null,"last":"L"}]}`,
			[]string{"/first", "", "/list~1s/1/note"}, []string{"/who/0/first", "", ""}},
	} {
		data, moved, err := chain.Upcast([]byte(c.data), c.paths)
		if err != nil || string(data) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.what, data, err, c.want)
		}
		if diff := cmp.Diff(c.moved, append([]string{}, moved...)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
	third := r.Versions("T")[2].ID // the whole name is withheld
	chain, err = r.Chain(third)
	if err != nil {
		t.Fatal(err)
	}
	data, moved, err := chain.Upcast([]byte(`{"customer": "c", "name": null}`), []string{"/name"})
	if err != nil || string(data) != `{"customer":"c","who":[null]}` || moved[0] != "/who/0" {
		t.Errorf("got %s, %v, %v", data, moved, err)
	}
	present, err := r.Chain(r.Current("T").ID)
	if data, _, errUp := present.Upcast([]byte(`{ }`), nil); err != nil || errUp != nil || !present.Done() || string(data) != `{ }` {
		t.Errorf("the present version: %s, %v, %v", data, err, errUp)
	}
	if _, err := r.Chain(event.SchemaID{1}); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("an unknown version: %v", err)
	}
}

// TestChainDivided withholds an object that a later version, without an upcaster, declares in parts.
func TestChainDivided(t *testing.T) {
	whole := `, "home": {"type": "object", "additionalProperties": {"type": "string"},
		"x-personal": {"group": "g", "subject": "/customer"}}`
	parts := func(name string) string {
		return `, "` + name + `": {"type": ["object", "null"], "additionalProperties": false, "properties": {"street": ` +
			personalText + `}}`
	}
	r := schema.NewRegistry(jsonschema.New()).With(starlark.New())
	first := push(t, r, scripted(whole, ""))
	push(t, r, scripted(parts("home"), "def upcast(d):\n    return d\n"))
	push(t, r, scripted(parts("at"), "def upcast(d):\n    d['at'] = d.pop('home')\n    return d\n"))
	chain, err := r.Chain(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	data, moved, err := chain.Upcast([]byte(`{"customer": "c", "home": null}`), []string{"/home"})
	if err != nil || string(data) != `{"at":null,"customer":"c"}` || moved[0] != "/at" {
		t.Errorf("got %s, %v, %v", data, moved, err)
	}
}

func TestChainRefuses(t *testing.T) {
	for what, c := range map[string]struct{ script, code string }{
		"a value comes into the open": {"def upcast(d):\n    d['sum'] = d.pop('first')\n    return d\n", "upcast_failed"},
		"a value is there twice":      {"def upcast(d):\n    d['name'] = [d['first']] * 2\n    return d\n", "upcast_failed"},
		"it looks at a value":         {"def upcast(d):\n    return {'sum': len(d['first'])}\n", "upcast_failed"},
		"it returns nothing":          {"def upcast(d):\n    return\n", "upcast_failed"},
	} {
		r := schema.NewRegistry(jsonschema.New()).With(starlark.New())
		first := push(t, r, scripted(people, ""))
		push(t, r, scripted(joined, c.script))
		chain, err := r.Chain(first.ID)
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := chain.Upcast([]byte(`{"customer": "c", "first": "CANARY", "amount": 5}`), nil)
		if event.Code(err) != c.code || data != nil || strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %s, %v", what, data, err)
		}
		if what == "it looks at a value" && !strings.Contains(err.Error(), `upcast by version 2 of "T": line 2, column 23: `) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPushUpcaster(t *testing.T) {
	known := schema.NewRegistry(jsonschema.New(), protoschema.New()).With(starlark.New(), schema.Go())
	push(t, known, scripted(people, ""))
	for what, u := range map[string]struct{ language, text, place string }{
		"broken":            {"starlark", "def upcast(d):\n  return d +\n", "line 2, column "},
		"without a def":     {"starlark", "x = 1", "line 1, column 1"},
		"a name it has not": {"go", "x", "no upcaster of this name"},
		"another language":  {"python", "x", "unknown language"},
	} {
		v := version("T", joined)
		v.Upcaster = schema.Script{Language: u.language, Text: u.text}
		_, err := known.Next(v)
		if event.Code(err) != "upcaster_invalid" || !strings.Contains(err.Error(), u.place) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := version("U", people)
	other.Upcaster = schema.Script{Language: "starlark", Text: joins}
	if _, err := known.Next(other); event.Code(err) != "upcaster_invalid" {
		t.Errorf("an upcaster of the first version: %v", err)
	}
	proto := &schema.Version{Type: "T", Notation: "protobuf",
		Text: []byte("syntax = \"proto3\"; message T { reserved 1; }")}
	proto.Upcaster = other.Upcaster
	if _, err := known.Next(proto); event.Code(err) != "upcaster_invalid" {
		t.Errorf("an upcaster to protobuf: %v", err)
	}
}

// TestUnknownLanguage is of a store whose upcasters this program cannot run: it learns of them and refuses to run them.
func TestUnknownLanguage(t *testing.T) {
	r, first := chained(t)
	plain := schema.NewRegistry(jsonschema.New())
	for _, v := range r.Versions("T") {
		data, err := v.Pushed()
		if err != nil {
			t.Fatal(err)
		}
		if err := plain.Apply(applied(schema.TypePushed, data)); err != nil {
			t.Fatal(err)
		}
	}
	chain, err := plain.Chain(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := chain.Upcast([]byte(`{"customer": "c"}`), nil); !errors.Is(err, event.ErrFormat) {
		t.Errorf("got %v", err)
	}
	if v := version("T", ""); true {
		v.Upcaster = schema.Script{Language: "go", Text: "elsewhere"}
		if _, err := plain.Next(v); err != nil {
			t.Errorf("an upcaster in Go of another program: %v", err)
		}
	}
}

func TestScriptOfNumbers(t *testing.T) {
	r := schema.NewRegistry(jsonschema.New()).With(starlark.New())
	numbers := func(names ...string) string {
		text := ""
		for _, name := range names {
			text += `, "` + name + `": ` + openNumber
		}
		return text
	}
	first := push(t, r, scripted(numbers("a", "b", "c", "d"), ""))
	push(t, r, scripted(numbers("A", "b", "c", "d"), "def upcast(d):\n    d['A'] = d.pop('a') + 1\n    return d\n"))
	chain, err := r.Chain(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	const digits = "12345678901234567890123456789012345678.90"
	data, _, err := chain.Upcast([]byte(`{"a": 99999999999999999999, "b": `+digits+`, "c": 1E+400, "d": -0}`), nil)
	if want := `{"A":100000000000000000000,"b":` + digits + `,"c":1E+400,"d":-0}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v, want %s", data, err, want)
	}
	if !json.Valid(data) {
		t.Error("the data is no JSON")
	}
}
