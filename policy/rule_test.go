package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// scopes are rules with every kind of scope, and conditions by which some are left out beforehand. One of two forbids,
// or fails.
func scopes() []string {
	return []string{
		`permit(principal, action, resource);`,
		`permit(principal == service::"1", action, resource);`,
		`permit(principal in Role::"all", action, resource);`,
		`permit(principal in service::"1", action == Action::"open", resource);`,
		`permit(principal is service, action in [Action::"open"], resource is Group);`,
		`permit(principal is service in Role::"clerk", action in Action::"open", resource);`,
		`permit(principal is employee in Role::"all", action, resource);`,
		`permit(principal, action, resource == Group::"a");`,
		`permit(principal, action, resource in Group::"all");`,
		`permit(principal, action, resource is Group in Group::"all");`,
		`permit(principal, action, resource is Role);`,
		`permit(principal, action, resource == Role::"clerk");`,
		`permit(principal, action, resource) when { context.purpose == "p" };`,
		`permit(principal, action, resource) when { "q" == context.purpose };`,
		`permit(principal, action, resource) unless { context.purpose == "p" };`,
		`forbid(principal in Role::"clerk", action, resource) when { context.purpose == "q" && principal.missing };`,
		`forbid(principal, action, resource == Group::"b") when { context.purpose == "p" || principal.missing };`,
		`forbid(principal is service, action, resource) when { principal has level && principal.level < 3 };`,
	}
}

const entities = `[
	{"uid": {"type": "service", "id": "1"}, "parents": [{"type": "Role", "id": "clerk"}], "attrs": {"level": 2}},
	{"uid": {"type": "service", "id": "2"}, "parents": [{"type": "Role", "id": "all"}], "attrs": {"level": 3}},
	{"uid": {"type": "service", "id": "3"}, "parents": [{"type": "service", "id": "1"}], "attrs": {}},
	{"uid": {"type": "Role", "id": "clerk"}, "parents": [{"type": "Role", "id": "all"}], "attrs": {}},
	{"uid": {"type": "Group", "id": "all"}, "parents": [], "attrs": {}},
	{"uid": {"type": "Group", "id": "b"}, "parents": [{"type": "Group", "id": "all"}], "attrs": {}}
]`

// TestLeavingOutChangesNothing compares grants with what Cedar says when it is asked about all rules: those that are
// left out because they are plainly about something else neither permit, nor forbid, nor fail.
func TestLeavingOutChangesNothing(t *testing.T) {
	rules := scopes()
	var known cedar.EntityMap
	if err := json.Unmarshal([]byte(entities), &known); err != nil {
		t.Fatal(err)
	}
	for i := range rules {
		for j := range i + 1 {
			text := rules[i] + "\n" + rules[j]
			p := compile(t, fmt.Sprintf(`{"kinds": {"service": {}, "employee": {}}, "groups": {"a": {}, "b": {}},
				"purposes": {"p": {"basis": "contract", "groups": ["a", "b"]}, "q": {"basis": "contract", "groups": ["a", "b"]}},
				"entities": %s, "rules": %q}`, entities, text))
			all, err := cedar.NewPolicySetFromBytes("", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			compareWithCedar(t, p, all, known)
		}
	}
}

func compareWithCedar(t *testing.T, p *policy.Policy, all *cedar.PolicySet, known cedar.EntityMap) {
	t.Helper()
	for _, actor := range []event.Actor{{Kind: "service", ID: "1"}, {Kind: "service", ID: "2"},
		{Kind: "service", ID: "3"}, {Kind: "service", ID: "4"}, {Kind: "employee", ID: "1"}} {
		for _, purpose := range []string{"p", "q"} {
			got, want := granted(t, p, actor, purpose), asked(all, known, actor, purpose)
			if got != want {
				t.Fatalf("%s for %s: granted %q, Cedar says %q\n%s", actor, purpose, got, want, p.Document().Rules)
			}
		}
	}
}

func granted(t *testing.T, p *policy.Policy, actor event.Actor, purpose string) string {
	t.Helper()
	g, err := p.Grant(event.Opening{Actor: actor, Purpose: purpose})
	if err != nil {
		if !errors.Is(err, event.ErrDenied) {
			t.Fatal(err)
		}
		return strings.TrimPrefix(event.Code(err), "purpose_denied")
	}
	return strings.Join(g.Groups(), " ")
}

func asked(all *cedar.PolicySet, known cedar.EntityMap, actor event.Actor, purpose string) string {
	var groups []string
	for _, group := range []string{"a", "b"} {
		decision, diagnostic := cedar.Authorize(all, known, cedar.Request{
			Principal: cedar.NewEntityUID(cedar.EntityType(actor.Kind), cedar.String(actor.ID)),
			Action:    cedar.NewEntityUID("Action", "open"), Resource: cedar.NewEntityUID("Group", cedar.String(group)),
			Context: cedar.NewRecord(cedar.RecordMap{"purpose": cedar.String(purpose), "reason": cedar.String(""),
				"case": cedar.String(""), "kind": cedar.String(actor.Kind)}),
		})
		if len(diagnostic.Errors) > 0 {
			return "policy_error"
		}
		if decision == cedar.Allow {
			groups = append(groups, group)
		}
	}
	return strings.Join(groups, " ")
}
