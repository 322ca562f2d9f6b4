package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

func compared(t *testing.T, before, after string, upcaster schema.Script) []string {
	t.Helper()
	r := schema.NewRegistry(jsonschema.New())
	var versions []*schema.Version
	for i, properties := range []string{before, after} {
		next := &schema.Version{Type: "T", Notation: jsonschema.Name, Text: text(properties)}
		if i > 0 {
			next.Upcaster = upcaster
		}
		v, err := r.Next(next)
		if err != nil {
			t.Fatal(err)
		}
		push(t, r, v)
		versions = append(versions, v)
	}
	changes, err := schema.Compare(versions[0], versions[1])
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range changes {
		line := c.Path + " " + c.Code
		for flag, set := range map[string]bool{" breaking": c.Breaking, " refused": c.Refused, " job": c.Job} {
			if set {
				line += flag
			}
		}
		if c.Text == "" {
			t.Errorf("%s says nothing", line)
		}
		lines = append(lines, line)
	}
	return lines
}

const (
	open     = `, "a": {"type": "string", "x-not-personal": "public"}`
	personal = `, "a": {"type": "string", "x-personal": {"group": "g", "subject": "/customer"}}`
	another  = `, "a": {"type": "string", "x-personal": {"group": "h", "subject": "stream", "retention": "r"}}`
	refers   = `, "a": {"type": "string", "x-person": "customer"}`
	employs  = `, "a": {"type": "string", "x-person": "employee"}`
	whole    = `, "o": {"type": "object", "additionalProperties": {}, "x-personal": {"group": "g", "subject": "/customer"}}`
	parts    = `, "o": {"type": "object", "additionalProperties": false, "properties": {
		"p": {"type": "string", "x-personal": {"group": "g", "subject": "/customer"}},
		"q": {"type": "string", "x-not-personal": "public"}}}`
)

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		what, before, after string
		want                []string
	}{
		{"a new open value", "", open, nil},
		{"a new personal value", "", personal, []string{"/a added"}},
		{"un-declared", personal, open, []string{"/a undeclared refused"}},
		{"a value becomes a reference", personal, refers, []string{"/a undeclared refused"}},
		{"a reference becomes open", refers, open, []string{"/a undeclared refused"}},
		{"a reference to another kind", refers, employs, []string{"/a kind breaking"}},
		{"declared late", open, personal, []string{"/a declared_late job"}},
		{"referred to late", open, refers, []string{"/a declared_late job"}},
		{"another mark", personal, another, []string{"/a group", "/a subject", "/a retention"}},
		{"another reason", open, strings.Replace(open, "public", "technical", 1), []string{"/a reason"}},
		{"removed", personal, "", []string{" removed breaking", "/a removed breaking"}},
		{"gathered", parts, whole, []string{"/o/p gathered", "/o/q declared_late job"}},
	} {
		if diff := cmp.Diff(c.want, compared(t, c.before, c.after, schema.Script{})); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
	divided := compared(t, whole, parts, schema.Script{})
	if divided[0] != "/o/q undeclared refused" {
		t.Errorf("what was part of a sealed value becomes readable: %v", divided)
	}
	upcast := compared(t, personal, "", schema.Script{Language: "go", Text: "drop"})
	if diff := cmp.Diff([]string{" removed", "/a removed"}, upcast); diff != "" {
		t.Errorf("with an upcaster: %s", diff)
	}
}
