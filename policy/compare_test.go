package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/policy"
)

// TestCompare says what a change does, and refuses what would leave stored data unread or unjustified.
func TestCompare(t *testing.T) {
	const purpose = `"purposes": {"p": {"basis": "contract", "groups": ["a"]}}`
	tests := []struct{ name, old, next, used, want string }{
		{"nothing", `{"groups": {"a": {}}, ` + purpose + `}`, `{"groups": {"a": {}}, ` + purpose + `}`, "a", ""},
		{"a person kind goes", `{"kinds": {"c": {"person": true}}}`, `{"kinds": {"c": {}}}`, "c", "kinds.c breaks"},
		{"a person kind goes away", `{"kinds": {"c": {"person": true}}}`, `{}`, "c", "kinds.c breaks"},
		{"a person kind nobody used", `{"kinds": {"c": {"person": true}}}`, `{}`, "", "kinds.c widens"},
		{"a kind becomes one of persons", `{"kinds": {"c": {}}}`, `{"kinds": {"c": {"person": true}}}`, "c", "kinds.c breaks"},
		{"an unused kind becomes one of persons", `{}`, `{"kinds": {"c": {"person": true}}}`, "", "kinds.c narrows"},
		{"references are normalised", `{"kinds": {"c": {"person": true}}}`,
			`{"kinds": {"c": {"person": true, "normalise": "lower"}}}`, "c", "kinds.c.normalise breaks"},
		{"references are as before", `{"kinds": {"c": {"person": true}}}`,
			`{"kinds": {"c": {"person": true, "normalise": "exact"}}}`, "c", "kinds.c alters"},
		{"a used group goes", `{"groups": {"a": {}}, ` + purpose + `}`, `{"purposes": {"p": {"basis": "contract"}}}`, "a",
			"groups.a breaks, purposes.p.groups narrows"},
		{"a used group loses its purpose", `{"groups": {"a": {}}, ` + purpose + `}`, `{"groups": {"a": {}}}`, "a",
			"groups.a breaks, purposes.p narrows"},
		{"an unused group loses its purpose", `{"groups": {"a": {}}, ` + purpose + `}`, `{"groups": {"a": {}}}`, "",
			"groups.a narrows, purposes.p narrows"},
		{"a group gets a purpose", `{"groups": {"a": {}}}`, `{"groups": {"a": {}}, ` + purpose + `}`, "",
			"groups.a widens, purposes.p widens"},
		{"a group is disclosed", `{"groups": {"a": {"undisclosed": true}}, ` + purpose + `}`, `{"groups": {"a": {}}, ` + purpose + `}`,
			"a", "groups.a widens"},
		{"a used class goes", `{"retention": {"r": {"period": "P1Y"}}}`, `{}`, "r", "retention.r breaks"},
		{"a used class ends otherwise", `{"retention": {"r": {"period": "P1Y"}}}`, `{"retention": {"r": {"triggered": "x"}}}`, "r",
			"retention.r breaks"},
		{"a class is longer", `{"retention": {"r": {"period": "P1Y"}}}`, `{"retention": {"r": {"period": "P2Y"}}}`, "r",
			"retention.r alters"},
		{"consent is not asked any more", `{"purposes": {"p": {"basis": "consent"}}}`,
			`{"purposes": {"p": {"basis": "legitimate-interests"}}}`, "", "purposes.p.basis widens"},
		{"marketing is called something else", `{"purposes": {"p": {"basis": "legitimate-interests", "marketing": true}}}`,
			`{"purposes": {"p": {"basis": "legitimate-interests"}}}`, "", "purposes.p.marketing widens"},
		{"exempt", `{"purposes": {"p": {"basis": "contract"}}}`,
			`{"purposes": {"p": {"basis": "contract", "exempt_from_restriction": true}}}`, "",
			"purposes.p.exempt_from_restriction widens"},
		{"a new notice", `{"purposes": {"p": {"basis": "consent", "notice": "1", "renew": true}}}`,
			`{"purposes": {"p": {"basis": "consent", "notice": "2", "renew": true}}}`, "", "purposes.p.notice narrows"},
		{"a title", `{"purposes": {"p": {"basis": "consent"}}}`, `{"purposes": {"p": {"basis": "consent", "title": "P"}}}`, "",
			"purposes.p alters"},
		{"metadata", `{"groups": {"a": {}}, "metadata": {"x": {"group": "a", "subject": "issuer"}}}`, `{"groups": {"a": {}}}`, "",
			"metadata.x widens"},
		{"rules and entities", `{}`, `{"rules": "permit(principal, action, resource);",
			"entities": [{"uid": {"type": "R", "id": "a"}}], "reasons": ["ticket"]}`, "",
			"entities alters, reasons alters, rules alters"},
		{"a controller", `{}`, `{"controllers": {"bank": {"name": "B"}}}`, "", "controllers.bank alters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, c := range policy.Compare(parse(t, test.old), parse(t, test.next), strings.Fields(test.used)) {
				got = append(got, c.Place+" "+string(c.Effect))
				if c.Text == "" {
					t.Errorf("%s says nothing", c.Place)
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	if list := policy.Compare(nil, nil, []string{"a"}); len(list) != 0 {
		t.Errorf("nothing became %v", list)
	}
}

// TestUncovered lists groups in which nothing can be stored.
func TestUncovered(t *testing.T) {
	d := parse(t, `{"groups": {"b": {}, "a": {}, "c": {}}, "purposes": {"p": {"basis": "contract", "groups": ["c"]}}}`)
	if diff := cmp.Diff([]string{"a", "b"}, d.Uncovered()); diff != "" {
		t.Error(diff)
	}
}
