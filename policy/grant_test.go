package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

func opening(kind, id, purpose, reason string) event.Opening {
	return event.Opening{Actor: event.Actor{Kind: kind, ID: event.ActorID(id)}, Purpose: purpose, Reason: reason}
}

// TestGrant asks for the verdict on each group before any person is asked.
func TestGrant(t *testing.T) {
	p := bank(t)
	tests := []struct {
		name   string
		asked  event.Opening
		groups string // granted
		names  bool
		code   string
	}{
		{"a clerk for support", opening("employee", clerk, "support", "ticket 7"), "contact identity", true, ""},
		{"a clerk for a contract", opening("employee", clerk, "contract", ""), "contact finance identity", true, ""},
		{"no such purpose", opening("employee", clerk, "fun", "ticket 7"), "", false, "purpose_unknown"},
		{"no purpose", opening("employee", clerk, "", ""), "", false, "purpose_unknown"},
		{"no reason", opening("employee", clerk, "support", ""), "", false, "reason_missing"},
		{"another reason", opening("employee", clerk, "support", "case 7"), "", false, "reason_malformed"},
		{"words", opening("employee", clerk, "support", "because Erika asked me to"), "", false, "reason_malformed"},
		{"words where no list says else", opening("employee", clerk, "contract", "Erika asked"),
			"contact finance identity", true, ""},
		{"endless words", opening("employee", clerk, "contract", strings.Repeat("a ", 5000)), "", false, "reason_malformed"},
		{"another purpose than the rule's", opening("employee", clerk, "legal-claims", ""), "", false, "purpose_denied"},
		{"a program, one group of two", opening("service", "scorer", "scoring", ""), "finance", false, ""},
		{"a program that no rule names", opening("service", "other", "scoring", ""), "", false, "purpose_denied"},
		{"a person nobody named", opening("employee", "krid_04g2gc9g6co30d9i6ko30d9i70", "support", "ticket 7"), "", false,
			"purpose_denied"},
		{"a person in clear", opening("employee", "7", "support", "ticket 7"), "", false, "purpose_denied"},
		{"nobody", opening("", "", "support", "ticket 7"), "", false, "purpose_denied"},
		{"a kind that is not declared", opening("Role", "clerk", "support", "ticket 7"), "", false, "purpose_denied"},
		{"an investigator", opening("employee", investigator, "aml", "case 9"), "identity suspicion", false, ""},
		{"an investigator without a case", opening("employee", investigator, "aml", ""), "", false, "purpose_unknown"},
		{"a clerk for what does not exist", opening("employee", clerk, "aml", "case 9"), "", false, "purpose_unknown"},
	}
	for range 2 { // the second time it is remembered
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				g, err := p.Grant(test.asked)
				wantCode(t, err, event.ErrDenied, test.code)
				if err != nil {
					return
				}
				if diff := cmp.Diff(strings.Fields(test.groups), g.Groups()); diff != "" {
					t.Error(diff)
				}
				if g.References() != test.names || g.Purpose() != test.asked.Purpose {
					t.Errorf("references %t, purpose %s", g.References(), g.Purpose())
				}
			})
		}
	}
}

// TestUndisclosed does not tell what is undisclosed from what is not there.
func TestUndisclosed(t *testing.T) {
	p := bank(t)
	_, hidden := p.Grant(opening("employee", clerk, "aml", "case 9"))
	_, missing := p.Grant(opening("employee", clerk, "abc", "case 9"))
	if hidden == nil || strings.ReplaceAll(hidden.Error(), "aml", "abc") != missing.Error() {
		t.Errorf("got %v, and %v", hidden, missing)
	}
	g, err := p.Grant(opening("employee", clerk, "contract", ""))
	if err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string]event.Withholding{
		"contact": "", "health": event.WithheldDenied, "suspicion": policy.Undisclosed, "other": event.WithheldDenied,
	} {
		if got := g.Of(group); got != want {
			t.Errorf("%s: %q, want %q", group, got, want)
		}
		full := &policy.Standing{Restrictions: []policy.Restriction{{ID: event.ID{1}}}}
		if got := g.Person(group, full, time.Now()); want != "" && got != want {
			t.Errorf("%s of a restricted person: %q, want %q", group, got, want)
		}
	}
}

// TestUndisclosedReason does not tell by its reasons that an undisclosed purpose exists.
func TestUndisclosedReason(t *testing.T) {
	p := compile(t, `{"kinds": {"service": {}}, "groups": {"a": {}}, "purposes": {
		"hidden": {"basis": "legal-obligation", "groups": ["a"], "reasons": ["case"], "undisclosed": true}},
		"rules": "permit(principal == service::\"1\", action, resource);"}`)
	_, err := p.Grant(opening("service", "1", "hidden", ""))
	wantCode(t, err, event.ErrDenied, "reason_missing")
	_, err = p.Grant(opening("service", "2", "hidden", ""))
	wantCode(t, err, event.ErrDenied, "purpose_unknown")
	_, err = p.Grant(opening("service", "2", "hidden", "case 7"))
	wantCode(t, err, event.ErrDenied, "purpose_unknown")
	if _, err := p.Grant(opening("service", "1", "hidden", "case 7")); err != nil {
		t.Error(err)
	}
}

// TestManyGroups finds each of more groups than are walked through.
func TestManyGroups(t *testing.T) {
	d := &policy.Document{Kinds: map[string]policy.Kind{"service": {}}, Groups: map[string]policy.Group{},
		Rules: "permit(principal, action, resource);"}
	var covered []string
	for i := range 60 {
		name := fmt.Sprintf("g%d", i)
		d.Groups[name] = policy.Group{Undisclosed: i%3 == 0}
		if i%2 == 0 {
			covered = append(covered, name)
		}
	}
	d.Purposes = map[string]policy.Purpose{"p": {Basis: policy.Contract, Groups: covered}}
	p, err := policy.New(d)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Grant(opening("service", "1", "p", ""))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 61 {
		want := event.Withholding("")
		switch {
		case i%2 == 1 && i%3 == 0:
			want = policy.Undisclosed
		case i%2 == 1 || i == 60:
			want = event.WithheldDenied
		}
		if got := g.Of(fmt.Sprintf("g%d", i)); got != want {
			t.Errorf("g%d: %q, want %q", i, got, want)
		}
	}
}

// TestReason reads codes and cases, and calls the rest words.
func TestReason(t *testing.T) {
	p := compile(t, `{"kinds": {"service": {}}, "groups": {"a": {}},
		"purposes": {"free": {"basis": "contract", "groups": ["a"]},
			"listed": {"basis": "contract", "groups": ["a"], "reasons": ["ticket", "ticket-old"]}},
		"rules": "permit(principal, action, resource);"}`)
	tests := []struct {
		purpose, text string
		want          policy.Reason
		code          string
	}{
		{"free", "", policy.Reason{}, ""},
		{"free", "ticket", policy.Reason{Code: "ticket"}, ""},
		{"free", "ticket 7", policy.Reason{Code: "ticket", Case: "7"}, ""},
		{"free", "ticket-7", policy.Reason{Code: "ticket-7"}, ""},
		{"free", "ticket JIRA:a/b#c-1.2_3", policy.Reason{Code: "ticket", Case: "JIRA:a/b#c-1.2_3"}, ""},
		{"free", "ticket  7", policy.Reason{Words: "ticket  7"}, ""},
		{"free", "ticket ", policy.Reason{Words: "ticket "}, ""},
		{"free", "ticket 7 8", policy.Reason{Words: "ticket 7 8"}, ""},
		{"free", "ticket erika@example.org", policy.Reason{Words: "ticket erika@example.org"}, ""},
		{"free", "Ticket 7", policy.Reason{Words: "Ticket 7"}, ""},
		{"free", "x", policy.Reason{Words: "x"}, ""},
		{"free", "ticket " + strings.Repeat("7", 65), policy.Reason{Words: "ticket " + strings.Repeat("7", 65)}, ""},
		{"listed", "ticket 7", policy.Reason{Code: "ticket", Case: "7"}, ""},
		{"listed", "ticket-7", policy.Reason{Code: "ticket", Case: "7"}, ""},
		{"listed", "ticket-old-7", policy.Reason{Code: "ticket-old", Case: "7"}, ""},
		{"listed", "ticket-old", policy.Reason{Code: "ticket-old"}, ""},
		{"listed", "ticket", policy.Reason{Code: "ticket"}, ""},
		{"listed", "ticket-", policy.Reason{}, "reason_malformed"},
		{"listed", "case 7", policy.Reason{}, "reason_malformed"},
	}
	for _, test := range tests {
		t.Run(test.purpose+" "+test.text, func(t *testing.T) {
			g, err := p.Grant(opening("service", "1", test.purpose, test.text))
			wantCode(t, err, event.ErrDenied, test.code)
			if err != nil {
				return
			}
			if diff := cmp.Diff(test.want, g.Reason()); diff != "" {
				t.Error(diff)
			}
			shown := fmt.Sprintf("%v %+v %#v %s", g.Reason(), g.Reason(), g.Reason(), g.Reason())
			if test.want.Words != "" && strings.Contains(shown, test.text) {
				t.Errorf("words are shown: %s", shown)
			}
		})
	}
}

// TestRulesFail denies where a rule cannot be evaluated, whatever other rules permit.
func TestRulesFail(t *testing.T) {
	text := func(rules string) string {
		return fmt.Sprintf(`{"kinds": {"service": {}}, "groups": {"a": {}, "b": {}},
			"purposes": {"p": {"basis": "contract", "groups": ["a", "b"]}, "q": {"basis": "contract", "groups": ["b"]}},
			"rules": %q}`, rules)
	}
	const (
		all    = "permit(principal, action, resource);\n"
		forbid = all + "forbid(principal, action, resource) when { "
		failed = "policy_error"
	)
	tests := []struct{ name, rules, p, q string }{
		{"no rules", "", "purpose_denied", "purpose_denied"},
		{"all", all, "", ""},
		{"a forbid", forbid + "true };", "purpose_denied", "purpose_denied"},
		{"a failing forbid", forbid + "principal.missing };", failed, failed},
		{"a failing permit", all + "permit(principal, action, resource) when { principal.missing == 1 };", failed, failed},
		{"of another group", all + `forbid(principal, action, resource == Group::"a") when { principal.missing };`, failed, ""},
		{"of another purpose", forbid + `context.purpose == "p" && principal.missing };`, failed, ""},
		{"before it compares the purpose", forbid + `principal.missing && context.purpose == "p" };`, failed, failed},
		{"in the alternative", forbid + `context.purpose == "p" || principal.missing };`, "purpose_denied", failed},
		{"a number that overflows", forbid + "9223372036854775807 + 1 == 0 };", failed, failed},
		{"of another kind of actor", all + "forbid(principal is Role, action, resource) when { principal.missing };", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := compile(t, text(test.rules))
			for purpose, code := range map[string]string{"p": test.p, "q": test.q} {
				_, err := p.Grant(opening("service", "1", purpose, ""))
				wantCode(t, err, event.ErrDenied, code)
			}
		})
	}
}

// TestCaseCounts does not take what was decided for one case for another, if a rule looks at the case.
func TestCaseCounts(t *testing.T) {
	for _, condition := range []string{
		`context.case == "7"`, `context["case"] == "7"`, `context == {purpose: "p", reason: "ticket", case: "7", kind: "service"}`,
		`[context].contains({purpose: "p", reason: "ticket", case: "7", kind: "service"})`,
	} {
		p := compile(t, fmt.Sprintf(`{"kinds": {"service": {}}, "groups": {"a": {}},
			"purposes": {"p": {"basis": "contract", "groups": ["a"]}}, "rules": %q}`,
			"permit(principal, action, resource) when { "+condition+" };"))
		for range 2 {
			_, err := p.Grant(opening("service", "1", "p", "ticket 7"))
			wantCode(t, err, nil, "")
			_, err = p.Grant(opening("service", "1", "p", "ticket 8"))
			wantCode(t, err, event.ErrDenied, "purpose_denied")
		}
	}
}

// TestKindsInRules names kinds whose names rules do not have.
func TestKindsInRules(t *testing.T) {
	p := compile(t, `{"kinds": {"night-job": {}}, "groups": {"a": {}}, "purposes": {"p": {"basis": "contract", "groups": ["a"]}},
		"rules": "permit(principal is night_job, action, resource) when { context.kind == \"night-job\" };"}`)
	_, err := p.Grant(opening("night-job", "1", "p", ""))
	wantCode(t, err, nil, "")
	_, err = p.Grant(opening("night_job", "1", "p", ""))
	wantCode(t, err, event.ErrDenied, "purpose_denied")
}

// TestGrantConcurrently asks more than is remembered, from many goroutines.
func TestGrantConcurrently(t *testing.T) {
	p := bank(t)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 3000 {
				id := fmt.Sprintf("scorer%d", (i*7+n)%5000)
				if i%3 == 0 {
					id = "scorer"
				}
				g, err := p.Grant(opening("service", id, "scoring", ""))
				if (err == nil) != (id == "scorer") || err == nil && g.Of("finance") != "" {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	all.Wait()
	if n := p.Remembered(); n > 4096 {
		t.Errorf("%d answers are kept", n)
	}
}

// TestPersonAllocates nothing.
func TestPersonAllocates(t *testing.T) {
	g, err := bank(t).Grant(opening("employee", clerk, "newsletter", ""))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := &policy.Standing{
		Restrictions: []policy.Restriction{{ID: event.ID{1}, Groups: []string{"finance"}}},
		Consents:     []policy.ConsentState{{ID: event.ID{2}, Purpose: "newsletter", At: 1}},
		Objections:   []policy.Objection{{ID: event.ID{3}, Purposes: []string{"scoring"}}},
	}
	if n := testing.AllocsPerRun(100, func() {
		if g.Person("contact", nil, now) != event.WithheldDenied || g.Person("contact", s, now) != "" {
			t.Error("the verdict is wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPerson(b *testing.B) {
	g, err := bank(b).Grant(opening("employee", clerk, "contract", ""))
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	for name, s := range map[string]*policy.Standing{
		"empty": {},
		"some": {
			Restrictions: []policy.Restriction{{ID: event.ID{1}, Groups: []string{"finance"}}},
			Objections:   []policy.Objection{{ID: event.ID{3}, Purposes: []string{"scoring"}}},
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if g.Person("contact", s, now) != "" {
					b.Fatal("it is withheld")
				}
			}
		})
	}
}

func BenchmarkGrant(b *testing.B) {
	var rules strings.Builder
	for i := range 200 {
		fmt.Fprintf(&rules, "permit(principal in Role::\"r%d\", action == Action::\"open\", resource)\n"+
			"when { [\"contract\", \"support\"].contains(context.purpose) };\n", i)
	}
	d := *bank(b).Document()
	d.Rules += rules.String()
	p, err := policy.New(&d)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Grant(opening("employee", clerk, "contract", "ticket 7")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("asked", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := p.Grant(opening("service", fmt.Sprint(i), "contract", "ticket 7")); err == nil {
				b.Fatal("it is granted")
			}
		}
	})
}
