package jsonschema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// declaration is drawn for scalars, and now and then for what holds others.
var declaration = rapid.SampledFrom([]string{
	"x-personal", "x-personal", "x-not-personal", "x-not-personal", "x-person", "",
})

func declare(t *rapid.T, s object) object {
	switch d := declaration.Draw(t, "declaration"); d {
	case "x-personal":
		s[d] = object{"group": rapid.SampledFrom([]string{"g", "g", "g", "h"}).Draw(t, "group"), "subject": "stream"}
	case "x-not-personal":
		s[d] = "public"
	case "x-person":
		if s["type"] == "string" {
			s[d] = "customer"
		}
	}
	return s
}

func declaredScalar(t *rapid.T) object {
	s := object{"type": rapid.SampledFrom([]string{"string", "string", "integer", "null"}).Draw(t, "scalar")}
	if rapid.IntRange(0, 9).Draw(t, "typeless") == 0 {
		delete(s, "type")
	}
	return declare(t, s)
}

// declaredSchema draws schemas of which a good part are complete: closed, and declared.
func declaredSchema(depth int) *rapid.Generator[object] {
	return rapid.Custom(func(t *rapid.T) object {
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "scalar") == 0 {
			return declaredScalar(t)
		}
		child := declaredSchema(depth - 1)
		var s object
		if rapid.IntRange(0, 3).Draw(t, "array") == 0 {
			s = declaredArray(t, child)
		} else {
			s = declaredObject(t, child)
		}
		for _, keyword := range []string{"allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "not"} {
			if rapid.IntRange(0, 11).Draw(t, keyword) == 0 {
				s[keyword] = alternative(t, keyword, child)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "declared as a whole") == 0 {
			declare(t, s)
		}
		return s
	})
}

func alternative(t *rapid.T, keyword string, child *rapid.Generator[object]) any {
	// What stands in an alternative is part of an object as often as a whole.
	part := rapid.Custom(func(t *rapid.T) object {
		if rapid.Bool().Draw(t, "whole") {
			return child.Draw(t, "child")
		}
		return object{"properties": rapid.MapOfN(someName, child, 0, 2).Draw(t, "properties")}
	})
	switch keyword {
	case "allOf", "anyOf", "oneOf":
		return rapid.SliceOfN(part, 1, 2).Draw(t, keyword)
	case "dependentSchemas":
		return rapid.MapOfN(someName, part, 1, 1).Draw(t, keyword)
	case "not":
		return object{"required": []string{"c"}}
	}
	return part.Draw(t, keyword)
}

func declaredArray(t *rapid.T, child *rapid.Generator[object]) object {
	s := object{"type": "array"}
	for keyword, rare := range map[string]int{"items": 1, "prefixItems": 3, "contains": 5, "unevaluatedItems": 3} {
		if rapid.IntRange(0, rare).Draw(t, keyword) > 0 {
			continue
		}
		switch keyword {
		case "prefixItems":
			s[keyword] = rapid.SliceOfN(child, 1, 2).Draw(t, keyword)
		case "contains":
			s[keyword] = object{"type": "string"}
		case "unevaluatedItems":
			s[keyword] = false
		default:
			s[keyword] = child.Draw(t, keyword)
		}
	}
	return s
}

func declaredObject(t *rapid.T, child *rapid.Generator[object]) object {
	s := object{"type": "object", "properties": rapid.MapOfN(someName, child, 0, 3).Draw(t, "properties")}
	switch rapid.IntRange(0, 9).Draw(t, "closed") {
	case 0:
	case 1:
		s["additionalProperties"] = child.Draw(t, "additional")
	case 2, 3, 4:
		s["unevaluatedProperties"] = false
	default:
		s["additionalProperties"] = false
	}
	if rapid.IntRange(0, 9).Draw(t, "patterns") == 0 {
		s["patternProperties"] = object{"[bc]": child.Draw(t, "pattern")}
	}
	return s
}

// TestDefaultDeny is the promise of a schema that names a person: whatever data it takes, nothing stays readable but
// what is declared as open, and aliases.
func TestDefaultDeny(t *testing.T) {
	notation := jsonschema.New()
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		top := declaredObject(t, declaredSchema(2))
		for _, keyword := range []string{"allOf", "anyOf", "if", "then"} {
			if rapid.IntRange(0, 5).Draw(t, keyword) == 0 {
				top[keyword] = alternative(t, keyword, declaredSchema(1))
			}
		}
		top["x-personal-default"] = object{}
		text, err := json.Marshal(top)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := notation.Compile(text, schema.Options{})
		if err != nil {
			return
		}
		for range 30 {
			data, _ := json.Marshal(rapid.MapOfN(someName, someValue(3), 0, 4).Draw(t, "data"))
			if plan.Validate(data) != nil {
				continue
			}
			kept++
			readable(t, plan, text, data)
		}
	})
	if kept < 10 {
		t.Errorf("only %d pairs of schema and data were compared", kept)
	}
}

// readable looks at everything that cutting leaves.
func readable(t *rapid.T, plan schema.Plan, text, data []byte) {
	var f schema.Findings
	if err := plan.Locate(data, &f); err != nil {
		t.Fatalf("schema %s\ndata %s: %v", text, data, err)
	}
	alias := make([]event.KRID, len(f.References))
	for i := range alias {
		alias[i] = event.KRID{1}
	}
	open, _, err := plan.Cut(data, &f, alias, nil)
	if err != nil {
		t.Fatal(err)
	}
	var left any
	if err := json.Unmarshal(open, &left); err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, p := range plan.Marks() {
		declared[p.Path] = p.Open != "" || p.Reference != ""
	}
	var walk func(v any, paths []string)
	walk = func(v any, paths []string) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				name = strings.ReplaceAll(name, "/", "~1")
				walk(member, extended(paths, name, "*"))
			}
		case []any:
			for i, element := range v {
				walk(element, extended(paths, fmt.Sprint(i), "*"))
			}
		case nil: // cut, or null, which is structure
		default:
			for _, path := range paths {
				if declared[path] {
					return
				}
			}
			t.Fatalf("schema %s\ndata %s\nleaves %s, and nothing is said of %s", text, data, open, paths[0])
		}
	}
	walk(left, []string{""})
}

func extended(paths []string, steps ...string) []string {
	var list []string
	for _, step := range steps {
		for _, path := range paths {
			list = append(list, path+"/"+step)
		}
	}
	return list
}
