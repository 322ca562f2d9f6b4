package policy

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Admit says whether a record makes sense under the policy, before it is appended: its names are declared, a consent is
// to a purpose that needs one, an objection is to one that can be objected to. A withdrawal is of a purpose that is
// declared, or of what s, which holds for the person, knows: who mistypes it must not believe that it was withdrawn,
// and whoever consented can withdraw whatever became of the purpose. Releases and decisions are always admitted. What
// is undisclosed counts as not declared. Errors are event.ErrInvalid, record_refused.
func (p *Policy) Admit(r Record, s *Standing) error {
	switch r := r.(type) {
	case ConsentRecorded:
		return p.admitConsent(r)
	case ConsentWithdrawn:
		return p.admitWithdrawal(r, s)
	case SubjectRestricted:
		for _, g := range r.Groups {
			if declared, ok := p.doc.Groups[g]; (!ok || declared.Undisclosed) && g != Reference {
				return refused("restrict", "group %s is not declared", g)
			}
		}
	case ObjectionRecorded:
		for _, name := range r.Purposes {
			switch u, ok := p.purposes[name]; {
			case !ok || u.Undisclosed:
				return refused("object", "purpose %s is not declared", name)
			case !u.Marketing && !u.objectable():
				return refused("object", "purpose %s stands on %s", name, u.Basis).
					Hint("objections are to marketing, legitimate interests and public tasks; a consent is withdrawn instead")
			}
		}
	}
	return nil
}

func (p *Policy) admitConsent(r ConsentRecorded) error {
	u, ok := p.purposes[r.Purpose]
	switch {
	case !ok || u.Undisclosed:
		return refused("record consent", "purpose %s is not declared", r.Purpose)
	case u.Basis != Consent && u.Special != explicitConsent:
		return refused("record consent", "purpose %s stands on %s and asks for none", r.Purpose, u.Basis)
	case u.Special == explicitConsent && r.State == Given && !r.Explicit:
		return refused("record consent", "purpose %s needs an explicit consent", r.Purpose)
	case u.Renew && r.State == Given && r.Notice.Version != u.Notice:
		return refused("record consent", "purpose %s needs consent to version %s of its notice", r.Purpose, u.Notice)
	case u.Controller != "" && r.Controller != u.Controller:
		return refused("record consent", "the controller of purpose %s is %s", r.Purpose, u.Controller)
	}
	if _, ok := p.doc.Controllers[r.Controller]; !ok {
		return refused("record consent", "controller %s is not declared", r.Controller)
	}
	for _, g := range r.Groups {
		if !u.groups[g] {
			return refused("record consent", "purpose %s does not cover group %s", r.Purpose, g)
		}
	}
	for _, name := range r.Recipients {
		if !slices.Contains(u.Recipients, name) {
			return refused("record consent", "purpose %s has no recipient %s", r.Purpose, name)
		}
	}
	return nil
}

func (p *Policy) admitWithdrawal(r ConsentWithdrawn, s *Standing) error {
	for _, name := range r.Purposes {
		u, ok := p.purposes[name]
		known := slices.ContainsFunc(s.Consents, func(c ConsentState) bool { return c.Purpose == name }) ||
			slices.ContainsFunc(s.Withdrawals, func(w Withdrawal) bool { return w.Purpose == name })
		if (!ok || u.Undisclosed) && !known {
			return refused("withdraw consent", "purpose %s is not declared, and the person never consented to it", name).
				Hint("see what counts: lethe consent show")
		}
	}
	for _, id := range r.Consents {
		known := slices.ContainsFunc(s.Consents, func(c ConsentState) bool { return c.ID == id }) ||
			slices.ContainsFunc(s.Withdrawals, func(w Withdrawal) bool { return w.Consent == id })
		if !known {
			return refused("withdraw consent", "the person has no consent %s", id).Hint("see what counts: lethe consent show")
		}
	}
	return nil
}

func refused(verb, format string, args ...any) *event.Error {
	return event.Invalid("record_refused", verb+": "+format, args...)
}
