package policy

import (
	"fmt"
	"time"

	"github.com/lethe-es/lethe/event"
)

// recordCheck keeps the first thing that is wrong with a record.
type recordCheck struct{ field, want string }

func checkRecord(typ string, r Record) error {
	c := &recordCheck{}
	if r.Subject().IsZero() {
		c.wrong("principal", "want the KRID of the person")
	}
	r.check(c)
	if c.field == "" {
		return nil
	}
	return event.Invalid("record_invalid", "check %s: %s: %s", typ, c.field, c.want)
}

func (c *recordCheck) wrong(field, want string) {
	if c.field == "" {
		c.field, c.want = field, want
	}
}

func (c *recordCheck) name(field, s string) {
	if !isName(s, "_-") {
		c.wrong(field, "want a name of the policy")
	}
}

func (c *recordCheck) names(field string, list []string) {
	if len(list) > MaxList {
		c.wrong(field, fmt.Sprintf("more than %d entries", MaxList))
	}
	seen := map[string]bool{}
	for _, s := range list {
		c.name(field, s)
		if seen[s] {
			c.wrong(field, "an entry is repeated")
		}
		seen[s] = true
	}
}

func (c *recordCheck) code(field, s string) {
	if !isCode(s) {
		c.wrong(field, "want a code of small letters, digits and -, such as web-form; details belong into the case")
	}
}

func (c *recordCheck) optionalCode(field, s string) {
	if s != "" {
		c.code(field, s)
	}
}

func (c *recordCheck) caseID(s string) {
	if s != "" && !isCase(s) {
		c.wrong("case", "put the id of a case: letters, digits and _ . : / # -, at most 64; words stay readable for ever")
	}
}

// time wants a time between the years 1900 and 9999, which every reader of records understands.
func (c *recordCheck) time(field string, t time.Time) {
	if y := t.UTC().Year(); t.IsZero() || y < 1900 || y > 9999 {
		c.wrong(field, "want a time of the years 1900 to 9999")
	}
}

func (c *recordCheck) id(field string, id event.ID) {
	if id.IsZero() {
		c.wrong(field, "want the id of an event")
	}
}

func (r ConsentRecorded) check(c *recordCheck) {
	c.name("controller", r.Controller)
	c.name("purpose", r.Purpose)
	if r.Basis != Consent {
		c.wrong("basis", "want consent")
	}
	c.names("groups", r.Groups)
	c.notice(r.Notice)
	c.code("method", r.Method)
	c.time("at", r.At)
	if r.State != Given && r.State != Refused {
		c.wrong("state", "want given or refused")
	}
	if !r.Until.IsZero() {
		c.time("until", r.Until)
		if !r.Until.After(r.At) {
			c.wrong("until", "want a time after at")
		}
	}
	c.names("recipients", r.Recipients)
	if r.Jurisdiction != "" && !isJurisdiction(r.Jurisdiction) {
		c.wrong("jurisdiction", "want a country of ISO 3166, such as DE")
	}
	c.optionalCode("withdrawal", r.Withdrawal)
	if r.Guardian == r.Principal {
		c.wrong("guardian", "want another person than the principal")
	}
	c.caseID(r.Case)
}

func (c *recordCheck) notice(n Notice) {
	if !isVersion(n.Version) {
		c.wrong("notice.version", "want the version of the notice that was shown")
	}
	if !isLanguage(n.Language) {
		c.wrong("notice.language", "want the language of the notice (BCP 47), such as en")
	}
	if n.Digest != "" && !isDigest(n.Digest) {
		c.wrong("notice.digest", "want SHA-256 as 64 digits of lower-case hex")
	}
}

func (r ConsentWithdrawn) check(c *recordCheck) {
	if len(r.Consents)+len(r.Purposes) == 0 {
		c.wrong("consents", "name consents, or purposes")
	}
	if len(r.Consents) > MaxList {
		c.wrong("consents", fmt.Sprintf("more than %d entries", MaxList))
	}
	for _, id := range r.Consents {
		c.id("consents", id)
	}
	c.names("purposes", r.Purposes)
	c.time("at", r.At)
	c.optionalCode("method", r.Method)
	c.caseID(r.Case)
}

func (r SubjectRestricted) check(c *recordCheck) {
	c.names("groups", r.Groups)
	switch r.Ground {
	case AccuracyContested, Unlawful, NeededForClaims, ObjectionRaised:
	default:
		c.wrong("ground", "want accuracy, unlawful, claims or objection (Article 18(1))")
	}
	c.caseID(r.Case)
}

func (r RestrictionReleased) check(c *recordCheck) {
	c.id("restriction", r.Restriction)
	c.code("ground", r.Ground)
	if !r.Informed.IsZero() {
		c.time("informed", r.Informed)
	}
	c.caseID(r.Case)
}

func (r ObjectionRecorded) check(c *recordCheck) {
	c.names("purposes", r.Purposes)
	c.time("at", r.At)
	c.optionalCode("method", r.Method)
	c.caseID(r.Case)
}

func (r ObjectionBalanced) check(c *recordCheck) {
	c.id("objection", r.Objection)
	if r.Outcome != Upheld && r.Outcome != Overridden {
		c.wrong("outcome", "want upheld or overridden")
	}
	c.time("at", r.At)
	c.code("ground", r.Ground)
	c.caseID(r.Case)
}

func (r ChildNoted) check(c *recordCheck) {
	if _, ok := endOfMonth(r.Until); r.Until != "" && !ok {
		c.wrong("until", "want a month, such as 2031-04")
	}
	if r.Guardian == r.Principal {
		c.wrong("guardian", "want another person than the principal")
	}
	c.caseID(r.Case)
}

func (r ChildCleared) check(c *recordCheck) {
	c.id("note", r.Note)
	c.time("at", r.At)
	c.code("ground", r.Ground)
	c.caseID(r.Case)
}

// endOfMonth is the first moment after a month.
func endOfMonth(month string) (time.Time, bool) {
	t, err := time.Parse("2006-01", month)
	return t.AddDate(0, 1, 0), err == nil && t.Year() >= 1900
}
