package jsonschema_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// diamond is a schema whose definitions refer to the next one twice, n times over.
func diamond(n int, leaf, both string) string {
	var b strings.Builder
	b.WriteString(`{"type": "object", "additionalProperties": false, "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {`)
	for i := range n {
		next := fmt.Sprintf(`{"$ref": "#/$defs/d%d"}`, i+1)
		fmt.Fprintf(&b, `"d%d": %s, `, i, fmt.Sprintf(both, next, next))
	}
	fmt.Fprintf(&b, `"d%d": %s}}`, n, leaf)
	return b.String()
}

func manyNames(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"%s%d": {"$ref": "#/$defs/d"}`, strings.Repeat("p", 90), i))
	}
	return strings.Join(list, ",")
}

func manyPatterns(format string, n int) string {
	var list []string
	for i := range n {
		list = append(list, `"`+fmt.Sprintf(format, i)+`": {}`)
	}
	return strings.Join(list, ",")
}

func TestHostileSchemas(t *testing.T) {
	open := `"x-not-personal": "public"`
	object := `{"type": "object", "additionalProperties": false, "properties": {"l": %s, "r": %s}}`
	person := `{"type": "string", "x-personal": {"group": "g", "subject": "store"}}`
	for _, c := range []struct{ what, text, code string }{
		{"10 MB", strings.Repeat(" ", 10<<20) + "{}", "schema_too_large"},
		{"1,000 levels", strings.Repeat(`{"not":`, 1000) + "{}" + strings.Repeat("}", 1000), "schema_too_deep"},
		{"1,000 levels of arrays", `{"enum":` + strings.Repeat(`[`, 1000) + strings.Repeat("]", 1000) + "}", "schema_too_deep"},
		{"10,001 values", `{"enum": [` + strings.Repeat("1,", 9999) + `1]}`, "schema_too_large"},
		{"a number of 2,000 digits", `{"maximum": ` + strings.Repeat("1", 2000) + `}`, "schema_too_large"},
		{"a long name above many", `{"properties": {"` + strings.Repeat("n", 400_000) + `": {"properties": {` +
			manyNames(3000) + `}}}, "$defs": {"d": {}}}`, "schema_too_large"},
		{"many parts in many places", closed(`, ` + manyNames(2000) + `}, "$defs": {"d": {"type": "null", ` + open + `, "allOf": [` +
			strings.Repeat(`{},`, 4000) + `{}]}}, "x-tool": {`), "schema_too_large"},
		{"many patterns for many names", closed(`, ` + manyNames(2000) + `}, "$defs": {"d": {"type": "null", ` + open +
			`}}, "patternProperties": {` + manyPatterns("[a-z]{10}%d", 2000) + `}, "x-tool": {`), "schema_too_large"},
		{"many large patterns", `{"patternProperties": {` + manyPatterns("([a-z]{90}|[a-f]{90}){9}%d", 900) + `}}`, "schema_pattern"},
		{"places that multiply", diamond(40, person, object), "schema_too_large"},
	} {
		_, err := jsonschema.New().Compile([]byte(c.text), schema.Options{})
		if event.Code(err) != c.code || len(err.Error()) > 20_000 {
			t.Errorf("%s: want %s, got %.500v", c.what, c.code, err)
		}
	}
	_, err := jsonschema.New().Compile([]byte(strings.Repeat(`{"properties":{"a":`, 500)+"{}"), schema.Options{})
	if err == nil || !strings.Contains(err.Error(), "#/properties/a/properties/a/properties") {
		t.Errorf("the place is not shown: %v", err)
	}
}

// TestHostileMarks has thousands of faults, and the error lists some and counts the others.
func TestHostileMarks(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, `, "p%d": {"type": "string"}`, i)
	}
	_, err := jsonschema.New().Compile([]byte(closed(b.String())), schema.Options{})
	if event.Code(err) != "schema_unmarked" || !strings.Contains(err.Error(), "and 1950 more") {
		t.Errorf("%.300v", err)
	}
}

func TestHostileData(t *testing.T) {
	long := `{"a": "` + strings.Repeat("ab", 400_000) + `"}`
	list := `{"a": [` + strings.Repeat("1,", 200_000) + `1]}`
	deep := `{"a": ` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`
	for _, c := range []struct{ what, text, data, code string }{
		{"alternatives that multiply", diamond(40, `{"type": "integer"}`, `{"anyOf": [%s, %s]}`), `{"a": "x"}`, "schema_too_large"},
		{"the same, and it fits", diamond(40, `{"type": "integer"}`, `{"allOf": [%s, %s]}`), `{"a": 1}`, "schema_too_large"},
		{"a large pattern", `{"properties": {"a": {"pattern": "^([a-z]{500}[0-9]?){2}x"}}}`, long, "schema_violation"},
		{"a far multiple", `{"properties": {"a": {"multipleOf": 0.07}}}`, `{"a": 1e999999999}`, "schema_violation"},
		{"a far bound", `{"properties": {"a": {"maximum": 10}}}`, `{"a": 1e999999999999999999999}`, "schema_violation"},
		{"many that are the same", `{"properties": {"a": {"uniqueItems": true}}}`, list, "schema_violation"},
		{"deep", `{"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"items": {"$ref": "#/$defs/d"}, "maxItems": 0}}}`,
			deep, "schema_violation"},
		{"deep and valid", `{"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"items": {"$ref": "#/$defs/d"}}}}`, deep, ""},
		{"too deep", `{}`, `{"a": ` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`, "invalid_json"},
		{"no JSON", `{}`, `{"a": 1`, "invalid_json"},
		{"no object", `{}`, `[]`, "invalid_json"},
		{"too long", `{}`, strings.Repeat(" ", 5<<20), "oversized"},
	} {
		err := compile(t, c.text).Validate([]byte(c.data))
		if got := event.Code(err); got != c.code {
			t.Errorf("%s: want %s, got %s: %.500v", c.what, c.code, got, err)
		}
	}
}

const canary = "CANARY"

// TestFaultsAreSilent breaks every rule with a value that must not be told, and with names that are data.
func TestFaultsAreSilent(t *testing.T) {
	plan := compile(t, `{"type": "object", "additionalProperties": false, "propertyNames": {"maxLength": 11}, "required": ["missing"],
		"x-personal-default": {"group": "g", "subject": "store"},
		"properties": {
			"street": {"type": "string", "maxLength": 2, "pattern": "^x", "format": "email", "x-personal": {}},
			"number": {"type": "number", "maximum": 2, "multipleOf": 7, "x-personal": {}},
			"listed": {"enum": ["one"], "x-personal": {}},
			"kind": {"type": "integer", "x-personal": {}},
			"map": {"type": "object", "patternProperties": {"^C": {"type": "integer"}}, "additionalProperties": {"type": "null"},
				"minProperties": 9, "x-personal": {}},
			"list": {"type": "array", "items": {"const": 1}, "uniqueItems": true, "contains": {"type": "object"}, "x-personal": {}}
		}}`)
	for _, data := range []string{
		`{"street": "CANARY"}`, `{"number": 31337}`, `{"listed": "CANARY"}`, `{"kind": "CANARY"}`, `{"map": {"CANARY": "x"}}`,
		`{"map": {"x CANARY": "CANARY"}}`, `{"list": ["CANARY", "CANARY"]}`, `{"CANARY": 1}`, `{"CANARY and more of it": 1}`,
		`{"street": CANARY}`, `{"street": "CANARY`, `{"CANARY": 1, "CANARY": 2}`,
	} {
		err := plan.Validate([]byte(data))
		if err == nil || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "31337") {
			t.Errorf("%s: %v", data, err)
		}
		var f schema.Findings
		if err := plan.Locate([]byte(data), &f); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("locate in %s: %v", data, err)
		}
	}
}

func TestFaultsNameTheRule(t *testing.T) {
	plan := household(t)
	for data, want := range map[string]string{
		`{"customer": 1}`:   "/customer: want string",
		`{"customre": "c"}`: "/*: the schema has no member of this name (unevaluatedProperties)",
		`{"members": [{"person": "p", "nmae": "x"}]}`:  "/members/0/*: the schema has no member of this name; is name meant?",
		`{"members": [{}]}`:                            "/members/0: required: person is missing",
		`{"signed": "5 May"}`:                          "/signed: want the format date",
		`{"rates": {"chf": "1"}}`:                      "/rates/*: want number",
		`{"pair": ["a", "b", "c"]}`:                    "/pair/2: nothing is allowed here",
		`{"customer": 1, "income": "x", "pair": [1]}`:  "/customer: want string; /income: want number; /pair/0: want string",
		`{"members": [{"person": "p", "phones": {}}]}`: "/members/0/phones: want array",
	} {
		err := plan.Validate([]byte(data))
		if event.Code(err) != "schema_violation" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", data, want, err)
		}
	}
}

// FuzzCompile reads any text as a schema. What is taken must stand any data: what it locates can be cut and filled.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(application), []byte(applied))
	f.Add([]byte(closed(`, "a": {"type": ["array", "object", "string"], `+mark+`, "items": {}, "additionalProperties": {}}`)),
		[]byte(`{"customer": "c", "a": [1]}`))
	f.Add([]byte(diamond(3, `{"type": "object"}`, `{"oneOf": [%s, {"items": %s}]}`)), []byte(`{"a": {}}`))
	f.Add([]byte(`{"unevaluatedItems": false, "prefixItems": [{"x-person": "p"}], "contains": {}}`), []byte(`{}`))
	notation := jsonschema.New()
	f.Fuzz(func(t *testing.T, text, data []byte) {
		plan, err := notation.Compile(text, schema.Options{})
		if err != nil {
			return
		}
		plan.Marks()
		var found schema.Findings
		if plan.Validate(data) != nil || plan.Locate(data, &found) != nil {
			return
		}
		alias := make([]event.KRID, len(found.References))
		for i := range alias {
			alias[i] = event.KRID{1}
		}
		open, holes, err := plan.Cut(data, &found, alias, nil)
		if err != nil {
			t.Fatalf("cut %q: %v", data, err)
		}
		var back []schema.Filling
		for i, v := range found.Values {
			back = append(back, schema.Filling{Path: v.Path, Hole: holes[i], State: v.State, Bytes: v.Bytes})
		}
		full, err := plan.Fill(open, back)
		if err != nil || len(alias) == 0 && !bytes.Equal(full, data) {
			t.Fatalf("fill %q: %q, %v", open, full, err)
		}
	})
}
