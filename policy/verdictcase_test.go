package policy_test

import (
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// verdictCase is a story, and what a group of its person reads as for a purpose. The records have the ids 1, 2, 3….
type verdictCase struct {
	name, purpose, group string
	story                []policy.Record
	want                 event.Withholding
}

func story(records ...policy.Record) []policy.Record { return records }

const (
	open       = event.Withholding("")
	denied     = event.WithheldDenied
	restricted = event.WithheldRestricted
)

func restrictionCases(who event.KRID) []verdictCase {
	all := policy.SubjectRestricted{Principal: who, Ground: policy.AccuracyContested}
	health := policy.SubjectRestricted{Principal: who, Groups: []string{"health"}, Ground: policy.Unlawful}
	release := policy.RestrictionReleased{Principal: who, Restriction: eventID(1), Ground: "solved"}
	return []verdictCase{
		{"nothing was said", "contract", "contact", nil, open},
		{"restricted", "contract", "contact", story(all), restricted},
		{"restricted, another group", "contract", "contact", story(health), open},
		{"restricted, an exempt purpose", "claims", "contact", story(all), open},
		{"restricted, references too", "contract", policy.Reference, story(all), restricted},
		{"released", "contract", "contact", story(all, release), open},
		{"released, one of two", "contract", "contact", story(all, release, all), restricted},
		{"restricted, and without consent", "newsletter", "contact", story(all), restricted},
	}
}

// consentTo is given on a day, and changed.
func consentTo(who event.KRID, purpose string, d int, change func(*policy.ConsentRecorded)) policy.ConsentRecorded {
	c := policy.ConsentRecorded{Principal: who, Controller: "bank", Purpose: purpose, Basis: policy.Consent,
		Notice: policy.Notice{Version: "2", Language: "en"}, Method: "web-form", At: noon(d), State: policy.Given}
	if change != nil {
		change(&c)
	}
	return c
}

func consentCases(who event.KRID) []verdictCase {
	given := consentTo(who, "newsletter", 1, nil)
	refused := consentTo(who, "newsletter", 1, func(c *policy.ConsentRecorded) { c.State = policy.Refused })
	expired := consentTo(who, "newsletter", 1, func(c *policy.ConsentRecorded) { c.Until = noon(10) })
	narrow := consentTo(who, "study", 1, func(c *policy.ConsentRecorded) { c.Groups = []string{"health"} })
	older := consentTo(who, "study", 1, func(c *policy.ConsentRecorded) { c.Notice.Version = "1" })
	olderNews := consentTo(who, "newsletter", 1, func(c *policy.ConsentRecorded) { c.Notice.Version = "1" })
	explicit := consentTo(who, "care", 1, func(c *policy.ConsentRecorded) { c.Explicit = true })
	one := policy.ConsentWithdrawn{Principal: who, Consents: []event.ID{eventID(1)}, At: noon(2)}
	all := policy.ConsentWithdrawn{Principal: who, Purposes: []string{"newsletter"}, At: noon(2)}
	return []verdictCase{
		{"no consent", "newsletter", "contact", nil, denied},
		{"consent", "newsletter", "contact", story(given), open},
		{"consent to something else", "newsletter", "contact", story(narrow), denied},
		{"consent to another group", "study", "contact", story(narrow), denied},
		{"refused", "newsletter", "contact", story(refused), denied},
		{"given, and refused", "newsletter", "contact", story(given, refused), denied},
		{"expired", "newsletter", "contact", story(expired), denied},
		{"expired, another one holds", "newsletter", "contact", story(expired, given), open},
		{"withdrawn", "newsletter", "contact", story(given, one), denied},
		{"withdrawn, given again", "newsletter", "contact", story(given, all, consentTo(who, "newsletter", 3, nil)), open},
		{"withdrawn at the same time", "newsletter", "contact", story(all, consentTo(who, "newsletter", 2, nil)), denied},
		{"another version, renewed", "study", "contact", story(older), denied},
		{"another version", "newsletter", "contact", story(olderNews), open},
		{"not explicit", "care", "health", story(consentTo(who, "care", 1, nil)), denied},
		{"explicit", "care", "health", story(explicit), open},
		{"explicit is not asked", "care", "contact", nil, open},
	}
}

func objectionCases(who event.KRID) []verdictCase {
	marketing := policy.ObjectionRecorded{Principal: who, Marketing: true, At: noon(3)}
	scoring := policy.ObjectionRecorded{Principal: who, Purposes: []string{"scoring"}, At: noon(3)}
	claims := policy.ObjectionRecorded{Principal: who, Purposes: []string{"claims"}, At: noon(3)}
	all := policy.ObjectionRecorded{Principal: who, At: noon(3)}
	upheld := policy.ObjectionBalanced{Principal: who, Objection: eventID(1), Outcome: policy.Upheld, At: noon(4),
		Ground: "weighed"}
	overridden := upheld
	overridden.Outcome = policy.Overridden
	news := func(d int) policy.Record { return consentTo(who, "newsletter", d, nil) }
	offered := consentTo(who, "offers", 4, nil)
	return []verdictCase{
		{"no marketing", "offers", "contact", story(marketing), denied},
		{"no marketing, and overridden", "offers", "contact", story(marketing, overridden), denied},
		{"no marketing, consent before", "newsletter", "contact", story(marketing, news(2)), denied},
		{"no marketing, consent then", "newsletter", "contact", story(marketing, news(3)), denied},
		{"no marketing, consent after", "newsletter", "contact", story(marketing, news(4)), open},
		{"no marketing, a consent not asked", "offers", "contact", story(marketing, offered), denied},
		{"no marketing, another purpose", "scoring", "contact", story(marketing), open},
		{"objected", "scoring", "contact", story(scoring), restricted},
		{"objected, another purpose", "duty", "contact", story(scoring), open},
		{"objected to all", "duty", "contact", story(all), restricted},
		{"objected to all, marketing too", "offers", "contact", story(all), denied},
		{"objected to all, a contract", "contract", "contact", story(all), open},
		{"upheld", "scoring", "contact", story(scoring, upheld), denied},
		{"overridden", "scoring", "contact", story(scoring, overridden), open},
		{"overridden and upheld at once", "scoring", "contact", story(scoring, overridden, upheld), denied},
		{"overridden, and another one", "scoring", "contact", story(scoring, overridden, scoring), restricted},
		{"objected to an exempt purpose", "claims", "contact", story(claims), restricted},
	}
}

func childCases(who, guardian event.KRID) []verdictCase {
	child := policy.ChildNoted{Principal: who, Until: "2030-01"}
	grown := policy.ChildCleared{Principal: who, Note: eventID(1), At: noon(8), Ground: "majority"}
	past := policy.ChildNoted{Principal: who, Until: "2025-12"}
	own := consentTo(who, "newsletter", 2, nil)
	theirs := consentTo(who, "newsletter", 2, func(c *policy.ConsentRecorded) { c.Guardian = guardian })
	return []verdictCase{
		{"a child", "scoring", "contact", story(child), denied},
		{"a child, a purpose for children", "claims", "contact", story(child), open},
		{"a child, a contract", "contract", "contact", story(child), open},
		{"a child consents", "newsletter", "contact", story(child, own), denied},
		{"a guardian consents", "newsletter", "contact", story(child, theirs), open},
		{"cleared", "scoring", "contact", story(child, grown), open},
		{"cleared, the guardian's consent", "newsletter", "contact", story(child, theirs, grown), denied},
		{"grown up", "scoring", "contact", story(past), open},
		{"grown up, the guardian's consent", "newsletter", "contact", story(past, theirs), denied},
		{"grown up, own consent", "newsletter", "contact", story(past, own), open},
		{"no child, a guardian's consent", "newsletter", "contact", story(theirs), open},
	}
}

// TestVerdicts names the verdict of each case that docs/policy.md explains.
func TestVerdicts(t *testing.T) {
	p := compile(t, everyone)
	who := krid(t, clerk)
	cases := append(restrictionCases(who), consentCases(who)...)
	cases = append(append(cases, objectionCases(who)...), childCases(who, krid(t, investigator))...)
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			s, told := &policy.Standing{}, []said(nil)
			for i, r := range test.story {
				told = append(told, said{eventID(i + 1), noon(9), r})
				apply(t, s, i+1, noon(9), r)
			}
			g, err := p.Grant(opening("service", "1", test.purpose, ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := g.Person(test.group, s, noon(20)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := model(p.Document(), told, test.purpose, test.group, noon(20)); got != test.want {
				t.Errorf("the model says %q, want %q", got, test.want)
			}
		})
	}
}
