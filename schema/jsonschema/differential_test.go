package jsonschema_test

import (
	"bytes"
	"encoding/json"
	"testing"

	library "github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// The library is the oracle: what it takes, Validate takes, and nothing else.

type object = map[string]any

var (
	someName   = rapid.SampledFrom([]string{"a", "b", "c", "ä", "x/y"})
	someNumber = rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "10e-1", "2", "3", "2.5", "-1", "1e2", "100",
		"12345678901234567890123", "0.1", "1e-7", "9007199254740993", "9007199254740992"})
	someText = rapid.SampledFrom([]string{"", "a", "ab", "abc", "ä", "𝄞𝄞", "a\nb", "2026-11-22", "x@example.org", "1"})
	someKind = rapid.SampledFrom([]string{"null", "boolean", "integer", "number", "string", "array", "object"})
)

func someValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 6
		if depth == 0 {
			most = 4
		}
		switch rapid.IntRange(0, most).Draw(t, "kind of value") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "boolean")
		case 2, 3:
			return json.Number(someNumber.Draw(t, "number"))
		case 4:
			return someText.Draw(t, "text")
		case 5:
			return rapid.SliceOfN(someValue(depth-1), 0, 4).Draw(t, "array")
		}
		return map[string]any(rapid.MapOfN(someName, someValue(depth-1), 0, 4).Draw(t, "object"))
	})
}

// someSchema draws a schema of one to three keywords. Definitions are referred to, but only below properties and items,
// so that none leads back to itself in place.
func someSchema(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if depth == 0 {
			return rapid.SampledFrom([]any{true, false, object{"type": "integer"}, object{"type": "string"}}).Draw(t, "leaf")
		}
		s := object{}
		for range rapid.IntRange(1, 3).Draw(t, "keywords") {
			keyword := rapid.SampledFrom(keywords()).Draw(t, "keyword")
			s[keyword] = draw(t, keyword, depth-1)
		}
		return s
	})
}

func keywords() []string {
	return []string{"type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"multipleOf", "minLength", "maxLength", "pattern", "format", "properties", "properties", "required",
		"additionalProperties", "patternProperties", "propertyNames", "minProperties", "maxProperties", "items", "items",
		"prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems", "allOf", "anyOf",
		"oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
		"unevaluatedItems", "$ref"}
}

func draw(t *rapid.T, keyword string, depth int) any {
	child := someSchema(depth)
	switch keyword {
	case "type":
		return someKind.Draw(t, "type")
	case "enum":
		return rapid.SliceOfN(someValue(2), 1, 4).Draw(t, "enum")
	case "const":
		return someValue(2).Draw(t, "const")
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return json.Number(someNumber.Draw(t, "bound"))
	case "multipleOf":
		return json.Number(rapid.SampledFrom([]string{"1", "2", "0.1", "0.01", "3", "2.5", "7"}).Draw(t, "multipleOf"))
	case "minLength", "maxLength", "minProperties", "maxProperties", "minContains", "maxContains", "minItems", "maxItems":
		return rapid.IntRange(0, 3).Draw(t, "count")
	case "pattern":
		return rapid.SampledFrom([]string{"a", "^a", "^[a-z]+$", "\\d", "ä"}).Draw(t, "pattern")
	case "format":
		return rapid.SampledFrom([]string{"date", "email", "date-time", "ipv4", "unheard-of"}).Draw(t, "format")
	case "properties", "dependentSchemas":
		return rapid.MapOfN(someName, child, 0, 3).Draw(t, keyword)
	case "patternProperties":
		return rapid.MapOfN(rapid.SampledFrom([]string{"a", "^[bc]", "ä"}), child, 0, 2).Draw(t, keyword)
	case "required":
		return rapid.SliceOfNDistinct(someName, 0, 2, rapid.ID[string]).Draw(t, keyword)
	case "dependentRequired":
		names := rapid.SliceOfNDistinct(someName, 0, 2, rapid.ID[string])
		return rapid.MapOfN(someName, names, 0, 2).Draw(t, keyword)
	case "prefixItems", "allOf", "anyOf", "oneOf":
		return rapid.SliceOfN(child, 1, 3).Draw(t, keyword)
	case "uniqueItems":
		return rapid.Bool().Draw(t, keyword)
	case "$ref":
		return "#/$defs/" + rapid.SampledFrom([]string{"one", "two"}).Draw(t, "definition")
	}
	return child.Draw(t, keyword)
}

// someLooking draws schemas that evaluate a few members or elements: what the unevaluated… keywords depend on.
func someLooking(depth int) *rapid.Generator[any] {
	leaf := rapid.SampledFrom([]any{true, object{"type": "integer"}, object{"type": "string"}})
	name := rapid.SampledFrom([]string{"a", "b"})
	return rapid.Custom(func(t *rapid.T) any {
		s := object{}
		for range rapid.IntRange(1, 2).Draw(t, "keywords") {
			most := 14
			if depth == 0 {
				most = 7
			}
			child := func() any { return someLooking(depth-1).Draw(t, "child") }
			switch rapid.IntRange(0, most).Draw(t, "keyword") {
			case 0, 1:
				s["properties"] = rapid.MapOfN(name, leaf, 1, 2).Draw(t, "properties")
			case 2:
				s["required"] = []string{name.Draw(t, "required")}
			case 3:
				s["patternProperties"] = object{name.Draw(t, "pattern"): leaf.Draw(t, "leaf")}
			case 4:
				s["prefixItems"] = rapid.SliceOfN(leaf, 1, 2).Draw(t, "prefix")
			case 5:
				s["contains"] = leaf.Draw(t, "contains")
			case 6:
				s["unevaluatedProperties"] = leaf.Draw(t, "rest")
			case 7:
				s["unevaluatedItems"] = leaf.Draw(t, "rest")
			case 8, 9:
				s["anyOf"] = []any{child(), child()}
			case 10:
				s["oneOf"] = []any{child(), child()}
			case 11:
				s["allOf"] = []any{child(), child()}
			case 12:
				s["not"] = child()
			case 13:
				s["if"], s["then"], s["else"] = child(), child(), child()
			default:
				s["dependentSchemas"] = object{"a": child()}
			}
		}
		return s
	})
}

func TestUnevaluatedLikeTheLibrary(t *testing.T) {
	notation := jsonschema.New()
	members := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]any{1, "x"}), 0, 3)
	elements := rapid.SliceOfN(rapid.SampledFrom([]any{1, "x"}), 0, 3)
	var c counted
	rapid.Check(t, func(t *rapid.T) {
		inner := someLooking(2).Draw(t, "schema").(object)
		inner["unevaluatedProperties"], inner["unevaluatedItems"] = false, false
		text, _ := json.Marshal(object{"properties": object{"v": inner}})
		plan, err := notation.Compile(text, schema.Options{})
		if err != nil {
			t.Fatalf("compile %s: %v", text, err)
		}
		oracle := compileOracle(t, text)
		for range 10 {
			var v any = elements.Draw(t, "elements")
			if rapid.Bool().Draw(t, "object") {
				v = members.Draw(t, "members")
			}
			data, _ := json.Marshal(object{"v": v})
			c.compare(t, oracle, plan, text, data)
		}
	})
	c.enough(t)
}

func TestValidateLikeTheLibrary(t *testing.T) {
	notation := jsonschema.New()
	var c counted
	rapid.Check(t, func(t *rapid.T) {
		top := object{}
		for range rapid.IntRange(1, 5).Draw(t, "keywords") {
			keyword := rapid.SampledFrom(keywords()).Draw(t, "keyword")
			top[keyword] = draw(t, keyword, 2)
		}
		top["$defs"] = object{
			"one": rapid.SampledFrom([]any{object{"type": "object"}, object{"properties": object{"b": object{"type": "null"}}},
				object{"maxProperties": 1, "prefixItems": []any{true}}, object{"minimum": 2}}).Draw(t, "one"),
			"two": object{"properties": object{"a": object{"$ref": "#"}}, "items": object{"$ref": "#/$defs/two"}},
		}
		text, err := json.Marshal(top)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := notation.Compile(text, schema.Options{})
		if err != nil {
			t.Fatalf("compile %s: %v", text, err)
		}
		oracle := compileOracle(t, text)
		for range 4 {
			value := rapid.MapOfN(someName, someValue(3), 0, 4).Draw(t, "data")
			data, _ := json.Marshal(value)
			c.compare(t, oracle, plan, text, data)
		}
	})
	c.enough(t)
}

// counted is how often valid and invalid data was compared.
type counted struct{ good, bad int }

func (c *counted) compare(t *rapid.T, oracle *library.Schema, plan schema.Plan, text, data []byte) {
	in, err := library.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	want, got := oracle.Validate(in), plan.Validate(data)
	if (want == nil) != (got == nil) {
		t.Fatalf("schema %s\ndata %s\nlibrary: %v\nours: %v", text, data, want, got)
	}
	if got == nil {
		c.good++
	} else {
		c.bad++
	}
}

func (c *counted) enough(t *testing.T) {
	if c.good < 20 || c.bad < 20 {
		t.Errorf("compared %d times what is valid and %d times what is not; both must be many", c.good, c.bad)
	}
}

func compileOracle(t interface{ Fatalf(string, ...any) }, text []byte) *library.Schema {
	doc, err := library.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v", err)
	}
	c := library.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatalf("%v", err)
	}
	compiled, err := c.Compile("urn:test")
	if err != nil {
		t.Fatalf("the library refuses %s: %v", text, err)
	}
	return compiled
}
