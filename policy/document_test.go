package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// places are where problems are found.
func places(t *testing.T, text string) []string {
	t.Helper()
	_, err := policy.ParseDocument([]byte(text))
	var found *policy.Problems
	if !errors.As(err, &found) {
		t.Fatalf("got %v, want problems", err)
	}
	if !errors.Is(err, event.ErrInvalid) || event.Code(err) != "policy_invalid" {
		t.Errorf("%v is %q", err, event.Code(err))
	}
	var list []string
	for _, p := range found.List {
		list = append(list, p.Place)
	}
	return list
}

// TestProblems finds what is wrong, each where it stands.
func TestProblems(t *testing.T) {
	tests := []struct{ text, places string }{
		{`{"purpose": {}}`, "purpose"},
		{`{"purposes": {"a": {"basis": "contract", "group": []}}}`, "purposes.a.group"},
		{`{"purposes": {"a": {"basis": "contract"}, "a": {"basis": "contract"}}}`, "purposes.a"},
		{`{"version": 2}`, "version"},
		{`{"version": "1"}`, "version"},
		{`{"kinds": []}`, "kinds"},
		{`{"kinds": {"customer": {"person": "yes"}}}`, "kinds.customer" + ".person"},
		{`{"kinds": {"customer": null}}`, "kinds.customer"},
		{`{"kinds": {"lethe": {}}}`, "kinds.lethe"},
		{`{"kinds": {"Group": {}}}`, "kinds.Group"},
		{`{"kinds": {"in": {}}}`, "kinds.in"},
		{`{"kinds": {"a-b": {}, "a.b": {}}}`, "kinds.a.b"},
		{`{"kinds": {"erika@example.org": {}}}`, "kinds.?"},
		{`{"kinds": {"thing": {"normalise": "lower"}}}`, "kinds.thing.normalise"},
		{`{"kinds": {"customer": {"person": true, "normalise": "upper"}}}`, "kinds.customer.normalise"},
		{`{"groups": {"reference": {}}}`, "groups.reference"},
		{`{"groups": {"9": {}}}`, "groups.?"},
		{`{"groups": {"a": {"category": "secret"}}}`, "groups.a.category"},
		{`{"groups": {"a": {"title": "Ask erika@example.org"}}}`, "groups.a.title"},
		{`{"groups": {"a": {"title": "two\nlines"}}}`, "groups.a.title"},
		{`{"groups": {"a": {"title": 7}}}`, "groups.a.title"},
		{`{"retention": {"a": {}}}`, "retention.a"},
		{`{"retention": {"a": {"period": "P1Y", "triggered": "x"}}}`, "retention.a"},
		{`{"retention": {"a": {"triggered": "x", "granularity": "day"}}}`, "retention.a.granularity"},
		{`{"retention": {"a": {"period": "P1Y", "granularity": "week"}}}`, "retention.a.granularity"},
		{`{"controllers": {"a": {}}}`, "controllers.a"},
		{`{"controllers": {"a": {"name": "A", "country": "Germany"}}}`, "controllers.a.country"},
		{`{"processors": {"a": {"name": "A", "controller": "b"}}}`, "processors.a.controller"},
		{`{"processors": {"a": {"name": "A"}}, "controllers": {"a": {"name": "A"}}}`, "processors.a"},
		{`{"purposes": {"a": {}}}`, "purposes.a.basis"},
		{`{"purposes": {"a": {"basis": "because"}}}`, "purposes.a.basis"},
		{`{"purposes": {"lethe:verify": {"basis": "contract"}}}`, "purposes.lethe:verify"},
		{`{"groups": {"a": {}, "b": {}}, "purposes": {"p": {"basis": "contract", "groups": ["a", "b", "c"]}}}`,
			"purposes.p.groups[2]"},
		{`{"groups": {"a": {}}, "purposes": {"p": {"basis": "contract", "groups": ["a", "a"]}}}`, "purposes.p.groups[1]"},
		{`{"groups": {"a": {"category": "special"}}, "purposes": {"p": {"basis": "contract", "groups": ["a"]}}}`,
			"purposes.p.groups[0]"},
		{`{"groups": {"a": {"category": "criminal"}}, "purposes": {"p": {"basis": "contract", "groups": ["a"]}}}`,
			"purposes.p.groups[0]"},
		{`{"purposes": {"p": {"basis": "contract", "special": "k"}}}`, "purposes.p.special"},
		{`{"purposes": {"p": {"basis": "contract", "criminal": "yes"}}}`, "purposes.p.criminal"},
		{`{"purposes": {"p": {"basis": "contract", "retention": "r"}}}`, "purposes.p.retention"},
		{`{"purposes": {"p": {"basis": "contract", "controller": "c"}}}`, "purposes.p.controller"},
		{`{"purposes": {"p": {"basis": "contract", "processors": ["c"]}}}`, "purposes.p.processors[0]"},
		{`{"purposes": {"p": {"basis": "contract", "recipients": ["c"]}}}`, "purposes.p.recipients[0]"},
		{`{"purposes": {"p": {"basis": "contract", "reasons": ["Ticket"]}}}`, "purposes.p.reasons[0]"},
		{`{"reasons": ["case"], "purposes": {"p": {"basis": "contract", "reasons": ["ticket"]}}}`, "purposes.p.reasons[0]"},
		{`{"purposes": {"p": {"basis": "consent", "renew": true}}}`, "purposes.p.renew"},
		{`{"purposes": {"p": {"basis": "contract", "renew": true, "notice": "3"}}}`, "purposes.p.renew"},
		{`{"purposes": {"p": {"basis": "contract", "children": true}}}`, "purposes.p.children"},
		{`{"purposes": {"p": {"basis": "contract", "notice": "the third"}}}`, "purposes.p.notice"},
		{`{"collections": {"c": {"source": "person"}}}`, "collections.c.purposes"},
		{`{"collections": {"c": {"source": "person", "purposes": ["p"]}}}`, "collections.c.purposes[0]"},
		{`{"purposes": {"p": {"basis": "contract"}}, "collections": {"c": {"purposes": ["p"]}}}`, "collections.c.source"},
		{`{"purposes": {"p": {"basis": "contract"}}, "collections": {"c": {"purposes": ["p"], "source": "thin air"}}}`,
			"collections.c.source"},
		{`{"purposes": {"p": {"basis": "contract"}}, "collections": {"c": {"purposes": ["p"], "source": "person",
			"notice": {"version": "3", "language": "english", "digest": "00"}}}}`,
			"collections.c.notice.digest collections.c.notice.language"},
		{`{"metadata": {"x": {"group": "a", "subject": "issuer"}}}`, "metadata.x.group"},
		{`{"groups": {"a": {}}, "metadata": {"x": {"group": "a"}}}`, "metadata.x.subject"},
		{`{"reasons": ["ticket", "ticket"]}`, "reasons[1]"},
		{`{"rules": 7}`, "rules"},
		{`{"entities": {}}`, "entities"},
		{`{"a": 1, "kinds": {"b": {"c": 2}}, "groups": {"d": {"category": "e"}}}`, "a groups.d.category kinds.b.c"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(strings.Fields(test.places), places(t, test.text)); diff != "" {
			t.Errorf("%s:\n%s", test.text, diff)
		}
	}
}

// TestProblemsRead shows what a person gets to work from.
func TestProblemsRead(t *testing.T) {
	_, err := policy.ParseDocument([]byte(`{"groups": {"contact": {}}, "purposes": {
		"support": {"basis": "contrakt", "groups": ["contact", "contcat"]}}}`))
	want := `check policy: 2 problems
  purposes.support.basis: want one of consent, contract, legal-obligation, vital-interests, public-task, legitimate-interests
  purposes.support.groups[1]: group contcat is not declared`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestPeriods reads periods of ISO 8601 strictly.
func TestPeriods(t *testing.T) {
	for _, period := range []string{"P3Y", "P1Y6M", "P2W", "P90D", "P1Y2M3W4D", "P200Y", "P01D"} {
		if _, err := policy.ParseDocument(fmt.Appendf(nil, `{"retention": {"a": {"period": %q}}}`, period)); err != nil {
			t.Errorf("%s: %v", period, err)
		}
	}
	for _, period := range []string{"P", "3Y", "P0D", "P3", "P3Y6", "PT3H", "P1DT1H", "P6M1Y", "P1Y1Y", "P-1Y", "P1.5Y",
		"P201Y", "P99999999999Y", "p3y", "P3Y ", "3 years"} {
		if diff := cmp.Diff([]string{"retention.a.period"},
			places(t, fmt.Sprintf(`{"retention": {"a": {"period": %q}}}`, period))); diff != "" {
			t.Errorf("%s: %s", period, diff)
		}
	}
}

// TestHostileDocuments takes bounded time and memory for what is not meant well.
func TestHostileDocuments(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	tests := map[string]struct{ text, code string }{
		"nothing":         {``, "invalid_json"},
		"a list":          {`[]`, "invalid_json"},
		"null":            {`null`, "invalid_json"},
		"cut off":         {`{"kinds": {`, "invalid_json"},
		"two objects":     {`{} {}`, "invalid_json"},
		"bad text":        {"{\"rules\": \"\xff\"}", "invalid_json"},
		"half a pair":     {`{"rules": "\ud800"}`, "invalid_json"},
		"too big":         {`{"rules": "` + strings.Repeat(" ", 1<<20) + `"}`, "oversized"},
		"deep lists":      {`{"entities": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "oversized"},
		"deep objects":    {`{"kinds": ` + strings.Repeat(`{"a":`, 50_000), "oversized"},
		"many kinds":      {`{"kinds": {` + many(501, `"k%d": {}`) + `}}`, "policy_invalid"},
		"many groups":     {`{"purposes": {"p": {"basis": "contract", "groups": [` + many(101, `"g%d"`) + `]}}}`, "policy_invalid"},
		"many entities":   {`{"entities": [` + many(5001, `{"uid": {"type": "Role", "id": "%d"}}`) + `]}`, "policy_invalid"},
		"many parents":    {`{"entities": [{"uid": {"type": "A", "id": "b"}, "parents": [` + many(101, `{"type": "R", "id": "%d"}`) + `]}]}`, "policy_invalid"},
		"a long title":    {`{"groups": {"a": {"title": "` + strings.Repeat("x", 3000) + `"}}}`, "policy_invalid"},
		"long rules":      {`{"rules": "` + strings.Repeat(" ", 200_000) + `"}`, "policy_invalid"},
		"many rules":      {`{"rules": "` + strings.Repeat("permit(principal,action,resource);", 501) + `"}`, "policy_invalid"},
		"many problems":   {`{` + many(10_000, `"x%d": 1`) + `}`, "policy_invalid"},
		"many duplicates": {`{` + strings.Repeat(`"x": 1,`, 10_000) + `"x": 1}`, "policy_invalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := policy.ParseDocument([]byte(test.text))
			wantCode(t, err, event.ErrInvalid, test.code)
			if len(err.Error()) > 50_000 {
				t.Errorf("the report has %d bytes", len(err.Error()))
			}
		})
	}
}

// TestHostileRules refuses what the parser of rules would pay dearly for: it takes 256 MB of stack for 100,000 nested
// parentheses.
func TestHostileRules(t *testing.T) {
	when := func(s string) string { return "permit(principal,action,resource) when { " + s + " };" }
	deep := func(a, x, b string) string { return when(strings.Repeat(a, 20_000) + x + strings.Repeat(b, 20_000)) }
	for name, rules := range map[string]string{
		"parentheses":       deep("(", "true", ")"),
		"sets":              deep("[", "1", "]"),
		"records":           when(strings.Repeat("{a:", 20_000)),
		"calls":             when(strings.Repeat(`ip(`, 20_000)),
		"ifs":               when(strings.Repeat("if ", 20_000)),
		"nested ifs":        when(strings.Repeat("if true then true else ", 60) + "true"),
		"thens":             when(strings.Repeat("if true then ", 5_000)),
		"nots":              when(strings.Repeat("!", 100_000) + "true"),
		"minuses":           when(strings.Repeat("- ", 50_000) + "1 == 1"),
		"attributes":        when("context" + strings.Repeat(".a", 50_000)),
		"has":               when("context has a" + strings.Repeat(".a", 50_000)),
		"ands":              when("true" + strings.Repeat("&&true", 20_000)),
		"an open comment":   "/* " + strings.Repeat("( ", 50_000),
		"an open text":      when(`"` + strings.Repeat("(", 1000)),
		"hidden in a text":  when(`"\"" == ` + strings.Repeat("(", 30_000)),
		"hidden in comment": when("/* \" */" + strings.Repeat("(", 30_000) + " // \""),
		"no rule":           "permit",
		"closed first":      strings.Repeat(")", 20_000) + strings.Repeat("(", 20_000) + when("true"),
		"garbage":           strings.Repeat("\x01", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			err := ruleError(rules)
			wantCode(t, err, event.ErrInvalid, "policy_invalid")
			if !strings.Contains(err.Error(), "rules") || len(err.Error()) > 1000 {
				t.Errorf("the report is %.1000s", err)
			}
		})
	}
}

// TestLongestRules compiles and asks rules as big as they may be within a bounded time.
func TestLongestRules(t *testing.T) {
	one := "permit(principal,action,resource) when { !!!!true && principal has a.a.a.a.a.a" +
		strings.Repeat(" || context has purpose && context.purpose like \"*a*b*c*\"", 160) + " };\n"
	d := &policy.Document{
		Kinds:    map[string]policy.Kind{"service": {}},
		Groups:   map[string]policy.Group{"a": {}},
		Purposes: map[string]policy.Purpose{"p": {Basis: policy.Contract, Groups: []string{"a"}}},
		Rules:    strings.Repeat(one, policy.MaxRuleBytes/len(one)),
	}
	begun := time.Now()
	p, err := policy.New(d)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Grant(event.Opening{Actor: event.Actor{Kind: "service", ID: "1"}, Purpose: "p"})
	wantCode(t, err, event.ErrDenied, "purpose_denied")
	t.Logf("compiled and asked in %v", time.Since(begun))
}

func ruleError(rules string) error {
	_, err := policy.New(&policy.Document{
		Kinds:    map[string]policy.Kind{"employee": {Person: true}, "service": {}},
		Groups:   map[string]policy.Group{"contact": {}},
		Purposes: map[string]policy.Purpose{"support": {Basis: policy.Contract, Groups: []string{"contact"}}},
		Rules:    rules,
	})
	return err
}

// TestRuleNames refuses rules that name persons in clear, or what is not there.
func TestRuleNames(t *testing.T) {
	tests := []struct{ rule, problem string }{
		{`permit(principal == employee::"` + clerk + `", action, resource);`, ""},
		{`permit(principal in Role::"clerk", action in [Action::"open"], resource is Group);`, ""},
		{`permit(principal is service, action, resource == Group::"reference");`, ""},
		{`permit(principal == employee::"7", action, resource);`, "employee is a kind of persons"},
		{`permit(principal, action, resource) when { principal in [employee::"7"] };`, "employee is a kind of persons"},
		{`permit(principal == service::"erika@example.org", action, resource);`, "e-mail"},
		{`permit(principal, action, resource) when { context.case == "erika@example.org" };`, "e-mail"},
		{`permit(principal, action, resource) when { ["erika%40example.org"].contains(context.case) };`, "e-mail"},
		{"// ask erika@example.org\npermit(principal, action, resource);", "e-mail"},
		{`@who("erika@example.org") permit(principal, action, resource);`, "e-mail"},
		{`permit(principal, action, resource == Group::"contcat");`, "group contcat is not declared"},
		{`permit(principal, action, resource) when { resource == Group::"contcat" };`, "group contcat is not declared"},
		{`permit(principal, action == Action::"read", resource);`, "the only action"},
		{`permit(principal, action, resource) when { context.purpose == "suport" };`, "purpose suport is not declared"},
		{`permit(principal, action, resource) when { "suport" != context.purpose };`, ""},
		{`permit(principal, action, resource) when { context.purpos == "support" };`, "no such attribute"},
		{`permit(principal, action, resource) when { context["ticket"] == "7" };`, "no such attribute"},
		{"permit(principal, action, resource)\n  when { what };", "rules:2:15: not a rule"},
		{`permit(principal, action, resource) when { true )};`, "rules:1:50: a bracket closes"},
		{strings.Repeat(")", 9) + `permit(principal, action, resource);`, "rules:1:1: a bracket closes"},
		{`allow(principal, action, resource);`, "rules:1:6: not a rule"},
	}
	for _, test := range tests {
		err := ruleError(test.rule)
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: got %v, want %s", test.rule, err, test.problem)
		}
		if err != nil && strings.Contains(err.Error(), "erika") {
			t.Errorf("%v shows what it should not", err)
		}
	}
}

// TestEntities reads entities strictly.
func TestEntities(t *testing.T) {
	const kinds = `"kinds": {"employee": {"person": true}}`
	good := `{` + kinds + `, "entities": [
		{"uid": {"type": "employee", "id": "` + clerk + `"}, "parents": [{"__entity": {"type": "Role", "id": "a"}}]},
		{"uid": {"type": "Role", "id": "a"}, "attrs": {"level": 3, "until": {"__extn": {"fn": "datetime", "arg": "2030-01-01"}}}}
	]}`
	if _, err := policy.ParseDocument([]byte(good)); err != nil {
		t.Error(err)
	}
	for entity, place := range map[string]string{
		`7`:                                     "entities[0]",
		`{}`:                                    "entities[0].uid",
		`{"uid": {"type": "Role"}}`:             "entities[0].uid",
		`{"uid": {"type": "Ro le", "id": "a"}}`: "entities[0].uid",
		`{"uid": {"type": "Role", "id": "a", "x": "b"}}`:                                                      "entities[0].uid",
		`{"uid": {"type": "Role", "id": "a"}, "parent": []}`:                                                  "entities[0].parent",
		`{"uid": {"type": "Role", "id": "a"}, "parents": {}}`:                                                 "entities[0].parents",
		`{"uid": {"type": "Role", "id": "a"}, "parents": [7]}`:                                                "entities[0].parents[0]",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"a": 1.5}}`:                                           "entities[0].attrs",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"a": null}}`:                                          "entities[0].attrs",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": []}`:                                                   "entities[0].attrs",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"x": {"a": 1, "a": 2}}}`:                              "entities[0].attrs.x.a",
		`{"uid": {"type": "employee", "id": "7"}}`:                                                            "entities[0]",
		`{"uid": {"type": "Role", "id": "a"}, "parents": [{"type": "employee", "id": "7"}]}`:                  "entities[0]",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"b": {"__entity": {"type": "employee", "id": "7"}}}}`: "entities[0]",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"mail": "to erika@example.org"}}`:                     "entities[0]",
		`{"uid": {"type": "Role", "id": "a"}, "attrs": {"erika@example.org": true}}`:                          "entities[0]",
		`{"uid": {"type": "Role", "id": "a"}}, {"uid": {"type": "Role", "id": "a"}}`:                          "entities[1]",
	} {
		got := places(t, `{`+kinds+`, "entities": [`+entity+`]}`)
		if !slices.Contains(got, place) {
			t.Errorf("%s: %v, want %s", entity, got, place)
		}
	}
}

// TestEntityCycle ends where parents go round.
func TestEntityCycle(t *testing.T) {
	p := compile(t, `{"kinds": {"service": {}}, "groups": {"a": {}}, "purposes": {"p": {"basis": "contract", "groups": ["a"]}},
		"entities": [{"uid": {"type": "service", "id": "1"}, "parents": [{"type": "Role", "id": "a"}]},
			{"uid": {"type": "Role", "id": "a"}, "parents": [{"type": "Role", "id": "b"}]},
			{"uid": {"type": "Role", "id": "b"}, "parents": [{"type": "Role", "id": "a"}]}],
		"rules": "permit(principal in Role::\"c\", action, resource);"}`)
	_, err := p.Grant(event.Opening{Actor: event.Actor{Kind: "service", ID: "1"}, Purpose: "p"})
	wantCode(t, err, event.ErrDenied, "purpose_denied")
}
