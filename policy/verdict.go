package policy

import (
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
)

// explicitConsent is the letter of Article 9(2) by which special categories need an explicit consent.
const explicitConsent = "a"

func (u *purpose) needsConsent(group string) bool { return u.Basis == Consent || u.explicit[group] }

// objectable reports whether a person can object to the purpose on grounds of their situation (Article 21(1)).
func (u *purpose) objectable() bool { return u.Basis == LegitimateInterests || u.Basis == PublicTask }

func (s *Standing) verdict(u *purpose, group string, now int64) event.Withholding {
	if s.restricted(u, group) {
		return event.WithheldRestricted
	}
	if why := s.objected(u); why != "" {
		return why
	}
	if u.Basis == LegitimateInterests && !u.Children && s.child(now) {
		return event.WithheldDenied
	}
	if u.needsConsent(group) && !s.consented(u, group, now) {
		return event.WithheldDenied
	}
	return ""
}

func (s *Standing) restricted(u *purpose, group string) bool {
	if u.Exempt {
		return false
	}
	for _, r := range s.Restrictions {
		if len(r.Groups) == 0 || slices.Contains(r.Groups, group) {
			return true
		}
	}
	return false
}

// objected weighs all objections: a pending one shows as restricted whatever became of others.
func (s *Standing) objected(u *purpose) event.Withholding {
	why := event.Withholding("")
	for i := range s.Objections {
		switch s.Objections[i].verdict(u) {
		case event.WithheldRestricted:
			return event.WithheldRestricted
		case event.WithheldDenied:
			why = event.WithheldDenied
		}
	}
	return why
}

// verdict of an objection. Direct marketing ends for ever (Article 21(3)); a purpose that stands on consent is not
// blocked here, but by the consent, which must be younger than the objection.
func (o *Objection) verdict(u *purpose) event.Withholding {
	switch {
	case !o.covers(u):
		return ""
	case u.Marketing && u.Basis == Consent:
		return ""
	case u.Marketing:
		return event.WithheldDenied
	case !u.objectable() || o.Outcome == Overridden:
		return ""
	case o.Outcome == Upheld:
		return event.WithheldDenied
	}
	return event.WithheldRestricted
}

func (o *Objection) covers(u *purpose) bool {
	return o.Marketing && u.Marketing || slices.Contains(o.Purposes, u.name) ||
		!o.Marketing && len(o.Purposes) == 0 && (u.Marketing || u.objectable())
}

func (s *Standing) child(now int64) bool {
	for _, m := range s.Minorities {
		if m.Until == 0 || now < m.Until {
			return true
		}
	}
	return false
}

// Consents are those of a standing that count at a moment: for one group of their purpose at least.
func (p *Policy) Consents(s *Standing, at time.Time) (list []ConsentState) {
	if s == nil {
		return nil
	}
	now := event.Micros(at)
	for i := range s.Consents {
		c := &s.Consents[i]
		u, ok := p.purposes[c.Purpose]
		if !ok || u.Basis != Consent && u.Special != explicitConsent {
			continue
		}
		for group := range u.groups {
			if s.holds(c, u, group, now) {
				list = append(list, *c)
				break
			}
		}
	}
	return list
}

// consented looks for one consent that holds.
func (s *Standing) consented(u *purpose, group string, now int64) bool {
	for i := range s.Consents {
		if s.holds(&s.Consents[i], u, group, now) {
			return true
		}
	}
	return false
}

// holds checks one consent. A withdrawn one is not there any more. Who is a child has a guardian consent, and nobody's
// guardian consents for who is known to have been one.
func (s *Standing) holds(c *ConsentState, u *purpose, group string, now int64) bool {
	child := s.child(now)
	switch {
	case c.Purpose != u.name || now < c.At || c.Until != 0 && now >= c.Until,
		len(c.Groups) > 0 && !slices.Contains(c.Groups, group),
		u.Renew && c.Notice != u.Notice,
		u.explicit[group] && !c.Explicit,
		child && !c.Guardian,
		!child && c.Guardian && len(s.Minorities) > 0:
		return false
	}
	for i := range s.Objections {
		if o := &s.Objections[i]; u.Marketing && o.covers(u) && c.At <= o.At {
			return false
		}
	}
	return true
}
