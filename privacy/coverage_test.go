package privacy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// TestCoverageOfASilentSchema counts what nobody declared as that, and not as declared not personal.
func TestCoverageOfASilentSchema(t *testing.T) {
	r := newRig(t)
	for typ, text := range map[string]string{
		"Silent": `{"type": "object", "additionalProperties": false,
			"properties": {"amount": {"type": "integer"}, "iban": {"type": "string"}}}`,
		"Said": `{"type": "object", "additionalProperties": false,
			"properties": {"amount": {"type": "integer", "x-not-personal": "business-fact"}}}`,
	} {
		v := &schema.Version{Type: typ, Notation: jsonschema.Name, Text: []byte(text)}
		if _, err := r.PushSchema(t.Context(), event.Actor{}, v, false); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Coverage(t.Context(), nil)
	want := []privacy.TypeCoverage{{Type: "Said", Open: 1}, {Type: "Silent", Undeclared: 2}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("it is covered so (-want +got):\n%s%v", diff, err)
	}
}
