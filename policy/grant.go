package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// Undisclosed is what an undisclosed group reads as where it is not granted: its values are not shown as withheld.
const Undisclosed event.Withholding = "undisclosed"

// Grant is what one actor may open for one purpose and reason. It is immutable and safe for concurrent use.
type Grant struct {
	purpose *purpose
	reason  Reason
	verdict verdicts
}

// verdicts say what each group reads as before any person is asked, by name. Few are walked through faster than hashed.
type verdicts []groupVerdict

type groupVerdict struct {
	group string
	why   event.Withholding // "": granted
}

// Grant decides what an actor may open for a purpose: the rules are asked about every group that the purpose covers. It
// is asked for each batch, and what rules said is remembered per actor, purpose and reason. It is event.ErrDenied with
// code purpose_unknown, reason_missing or reason_malformed, purpose_denied if nothing is granted, or policy_error if a
// rule fails. An actor of a person kind is named by KRID. An undisclosed purpose for which nothing is granted is
// answered as one that is not there.
func (p *Policy) Grant(o event.Opening) (*Grant, error) {
	u := p.purposes[o.Purpose]
	if u == nil {
		return nil, unknownPurpose(o.Purpose)
	}
	reason, err := p.reason(u, o.Reason)
	if err != nil && !u.Undisclosed {
		return nil, err
	}
	verdict, refused := p.decide(o.Actor, u, reason)
	switch {
	case refused != nil && u.Undisclosed:
		return nil, unknownPurpose(o.Purpose)
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, err
	}
	return &Grant{purpose: u, reason: reason, verdict: verdict}, nil
}

func unknownPurpose(name string) error {
	if !isName(name, "_-") {
		return denied("purpose_unknown", "open personal data: that is not the name of a purpose")
	}
	return denied("purpose_unknown", "open personal data: purpose %s is not declared", name).
		Hint("see which there are: lethe purpose ls")
}

// decide asks the rules, or remembers what they said.
func (p *Policy) decide(actor event.Actor, u *purpose, r Reason) (verdicts, error) {
	q := question{actor: actor, purpose: u.name, code: r.Code}
	if p.rules.cases {
		q.caseID = r.Case
	}
	if known, ok := p.memo.find(q); ok {
		return known.verdict, known.err
	}
	if err := p.admit(actor, u); err != nil {
		return nil, err
	}
	var a answer
	a.verdict, a.err = p.ask(p.rules.request(actor, u.name, r), u)
	p.memo.keep(q, a)
	return a.verdict, a.err
}

// admit refuses actors that rules could not tell from others.
func (p *Policy) admit(actor event.Actor, u *purpose) error {
	k, declared := p.doc.Kinds[actor.Kind]
	if !declared || len(actor.ID) == 0 || len(actor.ID) > event.MaxIDBytes {
		return denied("purpose_denied", "open for purpose %s: the kind of the actor is not declared", u.name).
			Hint("declare the kinds of those who open personal data in the policy")
	}
	if !k.Person {
		return nil
	}
	if _, err := event.ParseKRID(string(actor.ID)); err != nil {
		return denied("purpose_denied", "open for purpose %s: the actor is a person and not named by KRID", u.name)
	}
	return nil
}

func (p *Policy) ask(q request, u *purpose) (verdicts, error) {
	verdict, granted := slices.Clone(p.withheld), false
	for _, group := range u.Groups {
		permitted, err := p.rules.permits(q, group)
		if err != nil {
			return nil, err
		}
		if permitted {
			i := slices.IndexFunc(verdict, func(v groupVerdict) bool { return v.group == group })
			verdict[i].why, granted = "", true
		}
	}
	if !granted {
		return nil, denied("purpose_denied", "open for purpose %s: no rule permits it to %s", u.name, q.principal.Type).
			Hint("ask who is responsible for the policy, or choose another purpose")
	}
	return verdict, nil
}

// Groups lists the groups that may be opened, but for restrictions, objections and consents of each person, by name.
// Reference is not among them.
func (g *Grant) Groups() []string {
	var groups []string
	for _, v := range g.verdict {
		if v.why == "" && v.group != Reference {
			groups = append(groups, v.group)
		}
	}
	return groups
}

// References reports whether references (customer/4711) may be shown, as far as no person is asked.
func (g *Grant) References() bool { return g.Of(Reference) == "" }

// Purpose is the name of the purpose.
func (g *Grant) Purpose() string { return g.purpose.name }

// Reason is the reason that was given.
func (g *Grant) Reason() Reason { return g.reason }

// Of says what a group reads as before any person is asked: "" if it is granted, event.WithheldDenied, or Undisclosed.
func (g *Grant) Of(group string) event.Withholding {
	list := g.verdict
	if len(list) > 16 {
		i, _ := slices.BinarySearchFunc(list, group, func(v groupVerdict, name string) int {
			return strings.Compare(v.group, name)
		})
		list = list[i:min(i+1, len(list))]
	}
	for i := range list {
		if list[i].group == group {
			return list[i].why
		}
	}
	return event.WithheldDenied
}

// Person says what a group of one person reads as at a time: "" if it may be opened. Package policy gives the order of
// verdicts. A nil Standing is an empty one.
func (g *Grant) Person(group string, s *Standing, now time.Time) event.Withholding {
	if why := g.Of(group); why != "" {
		return why
	}
	if s.Empty() {
		if g.purpose.needsConsent(group) {
			return event.WithheldDenied
		}
		return ""
	}
	return s.verdict(g.purpose, group, event.Micros(now))
}
