package jsonschema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// TestSuggest mends a schema that says nothing: with the suggestions in it, it compiles.
func TestSuggest(t *testing.T) {
	text := `{
  "type": "object",
  "properties": {
    "customerId": {"type": "string"},
    "contact_mail": {"type": "string", "format": "email"},
    "home": {"type": "object", "properties": {"street": {"type": "string"}, "zip_code": {"type": "string"}}},
    "amount": {"type": "number"},
    "employee": {"type": "string"},
    "created_at": {"type": "string", "format": "date-time"},
    "product_name": {"type": "string"},
    "wishes": {"type": "array", "items": {"$ref": "#/$defs/wish"}},
    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    "misc": {}
  },
  "$defs": {"wish": {"type": "object", "properties": {"patient_id": {"type": "string"}, "diagnosis": {"type": "string"}}}}
}`
	mended, list, err := jsonschema.New().Suggest([]byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		line := s.Path + " open " + string(s.Open)
		if s.Reference != "" {
			line = s.Path + " -> " + s.Reference
		} else if s.Mark != nil {
			line = s.Path + " " + s.Mark.Group + " of " + s.Subject
		}
		if s.Why == "" {
			t.Errorf("%s has no reason", line)
		}
		got = append(got, line)
	}
	want := []string{
		"/amount open business-fact", "/contact_mail contact of /customerId", "/created_at open timing",
		"/customerId -> customer", "/employee -> employee",
		"/home/street contact of /customerId", "/home/zip_code contact of /customerId", "/misc unsorted of /customerId",
		"/product_name open classification", "/tags unsorted of /customerId", "/wishes/*/diagnosis special of 1/patient_id",
		"/wishes/*/patient_id -> patient",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	plan, err := jsonschema.New().Compile(mended, schema.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, mended)
	}
	if n := len(plan.Marks()); n != len(want) {
		t.Errorf("%d of %d places are declared", n, len(want))
	}
	if !strings.Contains(string(mended), `"amount": {"x-not-personal": "business-fact", "type": "number"}`) {
		t.Errorf("the text is not kept as it was: %s", mended)
	}
}

// TestSuggestOncePerSchema: what several places refer to is declared, and closed, once.
func TestSuggestOncePerSchema(t *testing.T) {
	text := `{
  "type": "object",
  "properties": {"customer_id": {"type": "string"}, "home": {"$ref": "#/$defs/flat"}, "work": {"$ref": "#/$defs/flat"}},
  "$defs": {
    "flat": {"type": "object", "properties": {"from": {"$ref": "#/$defs/place"}, "to": {"$ref": "#/$defs/place"}}},
    "place": {"properties": {"street": {"type": "string"}}, "type": "object"}
  }
}`
	mended, _, err := jsonschema.New().Suggest([]byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonschema.New().Compile(mended, schema.Options{}); err != nil {
		t.Errorf("%v\n%s", err, mended)
	}
}

func TestSuggestForTheFoundingText(t *testing.T) {
	patients := schema.Options{Kind: "patient"}
	mended, list, err := jsonschema.New().Suggest([]byte(founding(t, "founding-printed.txt")), patients)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Path != "/drug" || list[0].Mark == nil || list[0].Mark.Category != schema.Special {
		t.Errorf("suggestions are %+v", list)
	}
	if _, err := jsonschema.New().Compile(mended, patients); err != nil {
		t.Errorf("%v\n%s", err, mended)
	}
}

// TestSuggestNothing leaves a complete schema as it is.
func TestSuggestNothing(t *testing.T) {
	mended, list, err := jsonschema.New().Suggest([]byte(application), schema.Options{})
	if err != nil || len(list) > 0 || string(mended) != application {
		t.Errorf("%v %v\n%s", err, list, mended)
	}
	if _, _, err := jsonschema.New().Suggest([]byte(`{"type": 5}`), schema.Options{}); err == nil {
		t.Error("what is no schema cannot be mended")
	}
}

func TestCompareStructure(t *testing.T) {
	base := `{"type": "object", "additionalProperties": false, "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 9},
		"b": {"enum": ["x", "y"]}, "c": {"type": "array", "items": {"$ref": "#/$defs/c"}}}, "$defs": {"c": {"type": "string"}}}`
	for what, c := range map[string]struct {
		from, to string
		want     string
	}{
		"the same":          {"", "", ""},
		"wider":             {`"maximum": 9`, `"maximum": 10`, ""},
		"narrower":          {`"maximum": 9`, `"maximum": 8.5`, "/a bound"},
		"integer to number": {`"integer"`, `"number"`, ""},
		"number of texts":   {`"integer"`, `"string"`, "/a type"},
		"optional":          {`["a"]`, `[]`, ""},
		"required":          {`["a"]`, `["a", "b"]`, " required"},
		"a value more":      {`"y"]`, `"y", "z"]`, ""},
		"a value less":      {`, "y"]`, `]`, "/b values"},
		"a member more":     {`"b":`, `"d": {}, "b":`, ""},
		"a member less":     {`"b":`, `"e":`, " removed"},
		"inside":            {`"$defs": {"c": {"type": "string"`, `"$defs": {"c": {"type": "null"`, "/c/* type"},
		"a pattern":         {`{"type": "string"}`, `{"type": "string", "pattern": "a"}`, "/c/* pattern"},
		"alternatives":      {`"required"`, `"anyOf": [{}], "required"`, " alternatives"},
	} {
		old := compile(t, base)
		now := compile(t, strings.Replace(base, c.from, c.to, 1)).(schema.Comparer)
		var got []string
		for _, change := range now.CompareStructure(old) {
			if !change.Breaking || change.Text == "" {
				t.Errorf("%s: %+v", what, change)
			}
			got = append(got, change.Path+" "+change.Code)
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s: want %q, got %q", what, c.want, got)
		}
	}
}
