package privacy_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/starlark"
)

// registeredAgain is the second version: who somebody is in one place, and how to reach them in another.
const registeredAgain = `{
	"type": "object", "additionalProperties": false, "required": ["customer"],
	"properties": {
		"customer": {"type": "string", "x-person": "customer"},
		"spouse": {"type": "string", "x-person": "customer"},
		"who": {"type": "object", "additionalProperties": false,
			"x-personal": {"group": "identity", "subject": "/customer"},
			"properties": {"name": {"type": "string"},
				"secret": {"type": "string", "x-personal": {"group": "secret", "subject": "/customer"}}}},
		"reach": {"type": "array", "items": {"type": ["string", "null"],
			"x-personal": {"group": "contact", "subject": "/customer", "retention": "short"}}},
		"income": {"type": "number", "x-personal": {"group": "finance", "subject": "/customer"}},
		"guests": {"type": "integer", "x-not-personal": "quantity"},
		"sum": {"type": "number", "x-not-personal": "business-fact"}
	}
}`

const again = `
def upcast(d):
    return {
        "customer": d["customer"], "spouse": d["spouse"], "who": {"name": d["name"], "secret": d["secret"]},
        "reach": [d["home"], d["email"]], "income": d["income"], "guests": len(d["guests"]), "sum": d["amount"],
    }
`

// raised is a rig that runs upcasters, with an event, and what came of its schema since.
func raised(t *testing.T, scripts ...string) (*rig, func(event.Opening) ([]event.Event, error)) {
	t.Helper()
	ctx := context.Background()
	r := newRig(t)
	var err error
	r.Privacy, err = privacy.New(ctx, r.log, r.keeper, r.keys, privacy.Options{Clock: r.clock, Rand: rand.Reader,
		Notations: []schema.Notation{jsonschema.New()}, Languages: []schema.Language{starlark.New()}})
	if err != nil {
		t.Fatal(err)
	}
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration(),
		event.Draft{Type: "Noted", Data: []byte(`{"n": 1}`), Collection: "web-form"})
	for i, script := range scripts {
		v := &schema.Version{Type: "Registered", Notation: jsonschema.Name, Text: []byte(registeredAgain)}
		v.Text = append(v.Text, strings.Repeat(" ", i)...)
		if script != "" {
			v.Upcaster = schema.Script{Language: starlark.Name, Text: script}
		}
		if _, err := r.PushSchema(ctx, event.Actor{}, v, false); err != nil {
			t.Fatal(err)
		}
	}
	return r, func(o event.Opening) ([]event.Event, error) {
		return r.Upcast(ctx, r.read(o, result))
	}
}

func withheld(e *event.Event) (list []string) {
	for _, w := range e.Withheld {
		list = append(list, fmt.Sprint(w.Path, " ", w.Reason))
	}
	return list
}

func TestUpcast(t *testing.T) {
	r, read := raised(t, again, "")
	registry, err := r.Schemas(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	present := registry.Current("Registered").ID
	krid, err := r.Subject(context.Background(), "customer", applicant)
	if err != nil {
		t.Fatal(err)
	}
	spouse, err := r.Subject(context.Background(), "customer", spouse)
	if err != nil {
		t.Fatal(err)
	}
	data := func(income, home, email, name string) string {
		return fmt.Sprintf(`{"customer":"%s","guests":2,"income":%s,"reach":[%s,%s],"spouse":"%s","sum":1e400,`+
			`"who":{"name":%s,"secret":null}}`, krid, income, home, email, spouse, name)
	}
	for _, c := range []struct {
		opening  event.Opening
		data     string
		withheld []string
	}{
		{event.Opening{}, data("null", "null", "null", "null"), []string{"metadata/x-auth-email sealed", "/reach/1 sealed",
			"/reach/0 sealed", "/income sealed", "/who/name sealed"}},
		{contract, data("12345678901234567890.10", `"Main Street 1"`, `"ada@example.org"`, `"Ada Lovelace \u00e9\ud83d\ude00"`), nil},
		{event.Opening{Actor: contract.Actor, Purpose: "support", Reason: "ticket 7"},
			data("null", `"Main Street 1"`, `"ada@example.org"`, "null"),
			[]string{"metadata/x-auth-email denied", "/income denied", "/who/name denied"}},
	} {
		events, err := read(c.opening)
		if err != nil {
			t.Fatal(err)
		}
		e := events[0]
		if string(e.Data) != c.data || e.Schema != present || e.Boxes != nil {
			t.Errorf("for %q: schema %s, %s, want %s", c.opening.Purpose, e.Schema, e.Data, c.data)
		}
		if diff := cmp.Diff(c.withheld, withheld(&e)); diff != "" {
			t.Errorf("for %q: withheld:\n%s", c.opening.Purpose, diff)
		}
		if string(events[1].Data) != `{"n": 1}` || events[1].Schema != (event.SchemaID{}) {
			t.Errorf("an event without a schema came back as %s", events[1].Data)
		}
	}
}

// TestUpcastDrops leaves a withheld value out, with what was said of it.
func TestUpcastDrops(t *testing.T) {
	r, read := raised(t, again)
	if _, err := r.PushSchema(context.Background(), event.Actor{}, &schema.Version{Type: "Registered",
		Notation: jsonschema.Name, Text: []byte(registeredAgain), Upcaster: schema.Script{Language: starlark.Name,
			Text: "def upcast(d):\n    d.pop('income')\n    return d\n"}}, false); err != nil {
		t.Fatal(err)
	}
	events, err := read(event.Opening{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"metadata/x-auth-email sealed", "/reach/1 sealed", "/reach/0 sealed", "/who/name sealed"}
	if diff := cmp.Diff(want, withheld(&events[0])); diff != "" {
		t.Error(diff)
	}
}

// TestUpcastFails names the event and the place in the script, and gives nothing.
func TestUpcastFails(t *testing.T) {
	for what, script := range map[string]string{
		"a look":    "def upcast(d):\n    return {'sum': len(d['name'])}\n",
		"into open": "def upcast(d):\n    return {'sum': d['income']}\n",
		"a fault":   "def upcast(d):\n    return {'sum': d['nothing']}\n",
		"no end":    "def upcast(d):\n    for i in range(100000000):\n        pass\n",
	} {
		_, read := raised(t, script)
		events, err := read(contract)
		if event.Code(err) != "upcast_failed" || events != nil || !strings.Contains(err.Error(), "upcast event ") {
			t.Errorf("%s: %v, %v", what, events, err)
		}
		_, text, _ := strings.Cut(fmt.Sprint(err), "upcast by ") // what is before holds a random id
		for _, m := range markers {
			if text == "" || strings.Contains(text, m) {
				t.Errorf("%s: the error tells %q: %v", what, m, err)
			}
		}
	}
}
