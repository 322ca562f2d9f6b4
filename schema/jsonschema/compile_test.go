package jsonschema_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// closed is a closed object with these properties, and a customer to whom they may belong.
func closed(properties string) string {
	return `{"type": "object", "additionalProperties": false, "properties": {
		"customer": {"type": "string", "x-person": "customer"}` + properties + `}}`
}

const mark = `"x-personal": {"group": "contact", "subject": "/customer"}`

type refusal struct{ what, text, code, says string }

// refusedWords are texts, keywords and declarations that are not understood.
func refusedWords() []refusal {
	return []refusal{
		{"no object", `[]`, "schema_invalid", "want an object"},
		{"no JSON", "{\n  \"type\": object\n}", "schema_invalid", "line 2, column 11"},
		{"a name twice", `{"type": "object", "properties": {"a": {}, "a": {}}}`, "schema_invalid",
			"line 1, column 34"},
		{"another draft", `{"$schema": "http://json-schema.org/draft-04/schema#"}`, "schema_unsupported", "#/$schema"},
		{"x-persnal", closed(`, "a": {"type": "string", "x-persnal": {}}`), "schema_keyword",
			`#/properties/a/x-persnal: there is no keyword "x-persnal"; is x-personal meant?`},
		{"x-personnal", closed(`, "a": {"x-personnal": {}}`), "schema_keyword", "is x-personal meant?"},
		{"xpersonal", closed(`, "a": {"xpersonal": {}}`), "schema_keyword", "is x-personal meant?"},
		{"x-persno", closed(`, "a": {"x-persno": "k"}`), "schema_keyword", "is x-person meant?"},
		{"X-Person", closed(`, "a": {"X-Person": "k"}`), "schema_keyword", "is x-person meant?"},
		{"x-pii", closed(`, "a": {"x-pii": true}`), "schema_keyword", "is x-personal meant?"},
		{"x-non-personal", closed(`, "a": {"x-non-personal": "public"}`), "schema_keyword", "is x-not-personal meant?"},
		{"properies", `{"properies": {}}`, "schema_keyword", "is properties meant?"},
		{"hidden", `{"type": "object", "x-tool": {"x-personal": {}}}`, "schema_keyword", "x-personal in it would mean nothing"},
		{"unknown member", closed(`, "a": {"type": "string", "x-personal": {"gruop": "c"}}`), "schema_keyword", "write group"},
		{"unknown reason", closed(`, "a": {"type": "string", "x-not-personal": "buisness-fact"}`), "schema_reason",
			"write business-fact"},
		{"category", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "store", "category": "x"}}`),
			"schema_invalid", "special, criminal"},
		{"no group", closed(`, "a": {"type": "string", "x-personal": {"subject": "/customer"}}`), "schema_invalid", `add "group"`},
		{"no subject", closed(`, "a": {"type": "string", "x-personal": {"group": "g"}}`), "schema_subject", "nothing says whose /a is"},
		{"subject leads nowhere", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "/custmer"}}`),
			"schema_subject", "leads to no reference"},
		{"subject is no reference", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "/b"}},
			"b": {"type": "string", "x-not-personal": "technical"}`), "schema_subject", "x-person"},
		{"subject above the top", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "2/customer"}}`),
			"schema_subject", "above the top"},
		{"subject with #", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "1#"}}`), "schema_subject",
			"neither a JSON pointer"},
		{"one of a joint value", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": ["/customer"]}}`),
			"schema_subject", "2 to 16"},
		{"joint with the store", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": ["/customer", "store"]}}`),
			"schema_subject", "nobody's besides"},
		{"from a birth date", closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "/customer", "from": "/b"}},
			"b": {"type": "string", "format": "date", ` + mark + `}`), "schema_subject", "no date that may be read"},
	}
}

// refusedPlaces are schemas that leave open what is personal, or say it in two ways.
func refusedPlaces() []refusal {
	return []refusal{
		{"a reference that is a number", closed(`, "a": {"type": "integer", "x-person": "customer"}`), "schema_invalid",
			"a reference to a person is a text"},
		{"both", closed(`, "a": {"type": "string", "x-person": "customer", ` + mark + `}`), "schema_conflict", "keep one"},
		{"conflict of alternatives", closed(`, "a": {"type": "string", "anyOf": [{` + mark + `},
			{"x-personal": {"group": "other", "subject": "/customer"}}]}`), "schema_conflict", "different things"},
		{"unmarked", closed(`, "a": {"type": "string"}, "b": {"type": "object", "additionalProperties": false,
			"properties": {"c": {"const": 7}, "d": {"enum": ["x", true]}, "e": {"type": "null"}}}, "f": {"type": "array",
			"items": {"type": "boolean"}}`), "schema_unmarked", "/a: a string that is not declared; " +
			"/b/c: a number that is not declared; /b/d: a boolean|string that is not declared; /b/e: a null that is not " +
			"declared; /f/*: a boolean that is not declared"},
		{"anything", closed(`, "a": {}`), "schema_unmarked", "/a: it may be anything"},
		{"anything in an array", closed(`, "a": {"type": "array", "x-not-personal": "public"}`), "schema_unmarked", "/a/*"},
		{"open", `{"type": "object", "properties": {"customer": {"type": "string", "x-person": "customer"}}}`, "schema_open",
			`the top: the object is open`},
		{"open inside", closed(`, "a": {"type": "object", "properties": {}}`), "schema_open", "/a: the object is open"},
		{"open under a reason", closed(`, "a": {"type": "object", "x-not-personal": "public"}`), "schema_open", "/a"},
		{"open alternative", `{"type": "object", "anyOf": [` + closed("") + `, {"properties": {}}]}`, "schema_open", "the top"},
		{"elements that contains lets in", closed(`, "a": {"type": "array", "contains": {"type": "string"},
			"unevaluatedItems": false}`), "schema_unmarked", "/a/*: it may be anything"},
		{"elements of an alternative", closed(`, "a": {"type": "array", "anyOf": [{"items": {"type": "string"}}],
			"unevaluatedItems": false}`), "schema_unmarked", "/a/*: a string that is not declared"},
		{"members of an alternative", `{"type": "object", "unevaluatedProperties": false, "anyOf": [{"properties": {
			"a": {"type": "string"}}}], "properties": {"customer": {"type": "string", "x-person": "customer"}}}`,
			"schema_unmarked", "/a: a string that is not declared"},
		{"members that depend", `{"type": "object", "unevaluatedProperties": false, "dependentSchemas": {"customer": {"properties":
			{"a": {"type": "string"}}}}, "properties": {"customer": {"type": "string", "x-person": "customer"}}}`,
			"schema_unmarked", "/a: a string that is not declared"},
		{"names in an alternative", `{"type": "object", "unevaluatedProperties": false, "anyOf": [{"patternProperties": {
			"a": {"type": "string"}}}], "properties": {"customer": {"type": "string", "x-person": "customer"}}}`,
			"schema_unmarked", "the top: the names of its members are data"},
		{"a map", closed(`, "a": {"type": "object", "additionalProperties": {"type": "string", "x-not-personal": "public"}}`),
			"schema_unmarked", "/a: the names of its members are data"},
		{"a mark in a map", closed(`, "a": {"type": "object", "x-not-personal": "public", "additionalProperties": {"type": "string", ` +
			mark + `}}`), "schema_conflict", "/a: the names of its members are data"},
		{"a mark in a marked array", closed(`, "a": {"type": "array", ` + mark + `, "items": {"type": "string", ` + mark + `}}`),
			"schema_conflict", "sealed as one value"},
		{"a reference in a marked map", closed(`, "a": {"type": "object", ` + mark +
			`, "additionalProperties": {"type": "string", "x-person": "customer"}}`), "schema_conflict", "sealed as one value"},
		{"a mark under not", closed(`, "a": {"type": "string", "x-not-personal": "public", "not": {"properties": {"b": {` + mark +
			`}}}}`), "schema_conflict", "#/properties/a/not"},
	}
}

// refusedText is what is not supported, or costs too much.
func refusedText() []refusal {
	return []refusal{
		{"another document", `{"$ref": "https://example.com/x.json"}`, "schema_unsupported", "nothing is ever fetched"},
		{"a file", `{"$ref": "other.json#/a"}`, "schema_unsupported", "nothing is ever fetched"},
		{"$dynamicRef", `{"$dynamicRef": "#x"}`, "schema_unsupported", "$dynamicRef is not supported"},
		{"dangling", `{"$ref": "#/$defs/no"}`, "schema_invalid", "leads to no schema"},
		{"endless", `{"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#"}]}}}`, "schema_recursive", "without going deeper"},
		{"recursive places", closed(`, "tree": {"$ref": "#/$defs/t"}},
			"$defs": {"t": {"type": "object", "additionalProperties": false, "properties": {
			"name": {"type": "string", ` + mark + `}, "child": {"$ref": "#/$defs/t"}}}}, "x-tool": {`), "schema_recursive",
			"/tree/child"},
		{"look-ahead", `{"pattern": "a(?=b)"}`, "schema_pattern", "RE2"},
		{"repetition", `{"pattern": "((a{100}){100}){100}"}`, "schema_pattern", "#/pattern"},
		{"long pattern", `{"pattern": "` + strings.Repeat("a", 1001) + `"}`, "schema_pattern", "1000 bytes"},
		{"large pattern", `{"pattern": "` + strings.Repeat("[a-z]{999}", 99) + `"}`, "schema_pattern", "repeats too much"},
		{"a pattern of names", `{"patternProperties": {"(": {}}}`, "schema_pattern", "#/patternProperties/("},
		{"newer keyword", `{"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{}]}`, "schema_keyword",
			"draft-07 has no keyword"},
		{"older keyword", `{"dependencies": {}}`, "schema_keyword", "dependentRequired"},
		{"beside $ref", `{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "properties": {"b":
			{"$ref": "#/definitions/a", "additionalProperties": false}}}`, "schema_unsupported", "ignores keywords beside"},
		{"wrong kinds", `{"type": "text", "minLength": -1, "required": "a", "properties": [], "minimum": "1", "allOf": []}`,
			"schema_invalid", "#/type: want null, boolean"},
		{"a far exponent", `{"maximum": 1e1000000}`, "schema_too_large", "line 1, column 13"},
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, c := range slices.Concat(refusedWords(), refusedPlaces(), refusedText()) {
		plan, err := jsonschema.New().Compile([]byte(c.text), schema.Options{})
		if plan != nil || event.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: want %s with %q, got %s: %v", c.what, c.code, c.says, event.Code(err), err)
		}
	}
}

func TestCompileTakes(t *testing.T) {
	for what, text := range map[string]string{
		"a schema that names nobody": `{"type": "object", "properties": {"a": {}}, "x-tool": 1, "nullable": true}`,
		"the relative subject":       closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "1/customer"}}`),
		"a subject through an index": closed(`, "a": {"type": "string", "x-personal": {"group": "g", "subject": "/list/0"}},
			"list": {"type": "array", "items": {"type": "string", "x-person": "customer"}}`),
		"a default subject": `{"type": "object", "additionalProperties": false, "x-personal-default": {"group": "g", "subject": "stream"},
			"properties": {"a": {"type": "string", "x-personal": {}}}}`,
		"data that is an object anyway": `{"unevaluatedProperties": false, "properties": {"a": {"x-personal": {"group": "g",
			"subject": "store"}}}}`,
		"the same mark twice": closed(`, "a": {"type": "string", "anyOf": [{` + mark + `}, {` + mark + `}]}`),
		"a test of a member": closed(`, "a": {"enum": ["x", "y"], "x-not-personal": "classification"}},
			"if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["customer"]}, "x-tool": {`),
		"a test of a member inside": closed(`, "a": {"type": "object", "additionalProperties": false, "properties": {"b":
			{"type": "string", "x-not-personal": "technical"}}}}, "if": {"properties": {"a": {"required": ["b"]}}}, "then": {
			"required": ["customer"]}, "x-tool": {`),
		"alternatives that are closed": `{"type": "object", "oneOf": [` + closed(`, "a": {"type": "string", `+mark+`}`) + `, ` +
			closed(`, "a": {"type": "string", `+mark+`}, "b": {"type": "integer", "x-not-personal": "quantity"}`) + `]}`,
		"recursion that is open": closed(`, "tree": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"type": "object",
			"additionalProperties": false, "properties": {"n": {"type": "integer", "x-not-personal": "quantity"},
			"children": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}}, "x-tool": {`),
		"recursion in what is sealed whole": closed(`, "tree": {"type": "array", ` + mark + `, "items": {"$ref": "#/$defs/t"}}},
			"$defs": {"t": {"type": ["array", "string"], "items": {"$ref": "#/$defs/t"}}}, "x-tool": {`),
		"anchors":            `{"properties": {"a": {"$ref": "#here"}}, "$defs": {"b": {"$anchor": "here"}}}`,
		"escaped references": `{"properties": {"a": {"$ref": "#/$defs/x~1y%25"}}, "$defs": {"x/y%": {}}}`,
	} {
		if _, err := jsonschema.New().Compile([]byte(text), schema.Options{}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMarks(t *testing.T) {
	want := []string{
		"/clerk string ->employee", "/customer string ->customer", "/home/flags object contact /customer",
		"/home/owners array contact /customer", "/home/rooms integer open:quantity", "/home/street string contact /customer",
		"/home/zip integer|string contact /customer", "/income number finance /customer",
		"/joint~1account string finance /customer,/partner", "/members/*/born null|string identity 1/person",
		"/members/*/name string identity 1/person", "/members/*/person string ->member",
		"/members/*/phones array contact 1/person", "/members/*/visits/*/minutes integer open:quantity",
		"/members/*/visits/*/note string notes 3/person", "/pair/0 string identity relation:owner",
		"/pair/1 string open:classification", "/partner null|string ->customer", "/rates/* number open:business-fact",
		"/remark null|boolean|number|string|array|object notes 1/clerk", "/scores object derived stream",
		"/signed string open:timing", "/till string operations store",
	}
	var got []string
	for _, p := range household(t).Marks() {
		line := p.Path + " " + p.Type
		switch {
		case p.Mark != nil:
			line += " " + p.Mark.Group + " " + strings.Join(p.Subjects, ",")
		case p.Reference != "":
			line += " ->" + p.Reference
		default:
			line += " open:" + p.Open
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func founding(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFounding follows the schema that the founding document prints: it is no JSON; mended, it leaves the drug of a
// named patient readable; complete, it is understood.
func TestFounding(t *testing.T) {
	printed := founding(t, "founding-printed.txt")
	_, err := jsonschema.New().Compile([]byte(printed), schema.Options{})
	if event.Code(err) != "schema_invalid" || !strings.Contains(err.Error(), "line 2") ||
		!strings.Contains(err.Error(), `write line 2 as "$schema": "http://json-schema.org/draft-07/schema#",`) {
		t.Errorf("printed: %v", err)
	}
	mended, ok := jsonschema.Mend([]byte(printed))
	if !ok {
		t.Fatalf("it is not mended: %s", mended)
	}
	_, err = jsonschema.New().Compile(mended, schema.Options{})
	if event.Code(err) != "schema_open" || !strings.Contains(err.Error(), "the top: the object is open") ||
		!strings.Contains(err.Error(), "/drug: a string that is not declared") {
		t.Errorf("mended: %v", err)
	}
	plan, err := jsonschema.New().Compile([]byte(founding(t, "founding-complete.json")), schema.Options{Kind: "patient"})
	if err != nil {
		t.Fatal(err)
	}
	var f schema.Findings
	if err := plan.Locate([]byte(`{"piiref": "p-7", "name": "Ada", "drug": "aspirin"}`), &f); err != nil {
		t.Fatal(err)
	}
	want := []string{`/drug value treatment "aspirin" 1:patient/p-7`, `/name value treatment "Ada" 1:patient/p-7`,
		"/piiref -> patient/p-7"}
	if diff := cmp.Diff(want, shown(&f)); diff != "" {
		t.Error(diff)
	}
	if c := f.Values[0].Mark.Category; c != schema.Special {
		t.Errorf("the category is %q", c)
	}
}

func TestVaultStyle(t *testing.T) {
	text := `{"$schema": "http://json-schema.org/draft-07/schema", "type": "object", "additionalProperties": false, "properties": {
		"piiref": {"type": "string"}, "rows": {"type": "array", "items": {"type": "object", "additionalProperties": false,
		"properties": {"piiref": {"type": "string"}, "name": {"type": "string", "contentMediaType": "aes256gcm"}}}},
		"deep": {"type": "object", "additionalProperties": false, "properties": {
		"name": {"type": "string", "contentMediaType": "aes256gcm"}}}}}`
	var f schema.Findings
	data := `{"piiref": "a", "rows": [{"piiref": "b", "name": "x"}], "deep": {"name": "y"}}`
	if err := compile(t, text).Locate([]byte(data), &f); err != nil {
		t.Fatal(err)
	}
	want := []string{`/deep/name value personal "y" 1:person/a`, `/rows/0/name value personal "x" 1:person/b`,
		"/piiref -> person/a", "/rows/0/piiref -> person/b"}
	if diff := cmp.Diff(want, shown(&f)); diff != "" {
		t.Error(diff)
	}
	_, err := jsonschema.New().Compile([]byte(strings.ReplaceAll(text, "piiref", "ref")), schema.Options{})
	if err == nil {
		t.Error("without piiref nothing says whose it is")
	}
}
