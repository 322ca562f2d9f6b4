package policy

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// maxFacts bounds each list of a Standing.
const maxFacts = 128

// Apply folds an event about the person into the standing, and reports whether that changed it. Events of other types
// change nothing. It decides by event ids and by the times that records name, not by the order of events: applying one
// twice changes nothing, and what narrows counts in whatever order events come. What widens counts only where what it
// ends is known, and not from before it was recorded. The event needs ID, Type, Stream and Data; RecordedAt if it has
// been recorded.
//
// Errors are event.ErrInvalid: record_invalid, principal_mismatch for an event in another stream than its person's,
// standing_full if nothing more that narrows can be kept. The standing is then unchanged.
func (s *Standing) Apply(e *event.Event) (changed bool, err error) {
	if !slices.Contains(StandingTypes(), e.Type) {
		return false, nil
	}
	r, err := ParseRecord(e.Type, e.Data)
	if err != nil {
		return false, err
	}
	if e.Stream != Stream(r.Subject()) || e.ID.IsZero() {
		return false, event.Invalid("principal_mismatch", "apply %s: event %s is not in the stream of its person",
			e.Type, e.ID)
	}
	switch r := r.(type) {
	case ConsentRecorded:
		return s.consent(e, r)
	case ConsentWithdrawn:
		return s.withdraw(r)
	case SubjectRestricted:
		return s.restrict(e.ID, r)
	case RestrictionReleased:
		return s.release(r), nil
	case ObjectionRecorded:
		return s.object(e.ID, r)
	case ObjectionBalanced:
		return s.balance(e, r), nil
	case ChildNoted:
		return s.note(e.ID, r)
	case ChildCleared:
		return s.clear(r), nil
	}
	return false, nil
}

// StandingTypes lists the types of events that change standings.
func StandingTypes() []string {
	return []string{TypeConsentRecorded, TypeConsentWithdrawn, TypeSubjectRestricted, TypeRestrictionReleased,
		TypeObjectionRecorded, TypeObjectionBalanced, TypeChildNoted, TypeChildCleared}
}

// Clone is a copy that shares nothing.
func (s *Standing) Clone() *Standing {
	if s == nil {
		return nil
	}
	c := Standing{
		Restrictions: slices.Clone(s.Restrictions), Consents: slices.Clone(s.Consents),
		Withdrawals: slices.Clone(s.Withdrawals), Objections: slices.Clone(s.Objections),
		Minorities: slices.Clone(s.Minorities), Ended: slices.Clone(s.Ended),
	}
	for i := range c.Restrictions {
		c.Restrictions[i].Groups = slices.Clone(c.Restrictions[i].Groups)
	}
	for i := range c.Consents {
		c.Consents[i].Groups = slices.Clone(c.Consents[i].Groups)
	}
	for i := range c.Objections {
		c.Objections[i].Purposes = slices.Clone(c.Objections[i].Purposes)
	}
	return &c
}

func full(what string) error {
	return event.Invalid("standing_full", "apply: more than %d %s for one person", maxFacts, what)
}

// notAfter is a claimed time, but not later than the time of recording: nobody consents ahead of what they say later.
func notAfter(claimed int64, e *event.Event) int64 {
	if e.RecordedAt.IsZero() {
		return claimed
	}
	return min(claimed, event.Micros(e.RecordedAt))
}

func (s *Standing) consent(e *event.Event, r ConsentRecorded) (bool, error) {
	at := notAfter(event.Micros(r.At), e)
	if r.State == Refused {
		return s.mark([]Withdrawal{{Purpose: r.Purpose, At: event.Micros(r.At)}})
	}
	c := ConsentState{
		ID: e.ID, Purpose: r.Purpose, Groups: r.Groups, Notice: r.Notice.Version, At: at, Explicit: r.Explicit,
		Guardian: !r.Guardian.IsZero(),
	}
	if !r.Until.IsZero() {
		c.Until = event.Micros(r.Until)
	}
	if s.withdrawn(&c) || slices.ContainsFunc(s.Consents, func(o ConsentState) bool { return o.ID == c.ID }) {
		return false, nil
	}
	if len(s.Consents) < maxFacts {
		s.Consents = append(s.Consents, c)
		return true, nil
	}
	oldest := 0
	for i := range s.Consents {
		if s.Consents[i].At < s.Consents[oldest].At {
			oldest = i
		}
	}
	if c.At <= s.Consents[oldest].At {
		return false, nil
	}
	s.Consents = append(slices.Delete(s.Consents, oldest, oldest+1), c)
	return true, nil
}

func (s *Standing) withdrawn(c *ConsentState) bool {
	return slices.ContainsFunc(s.Withdrawals, func(w Withdrawal) bool { return w.ends(c) })
}

func (w *Withdrawal) ends(c *ConsentState) bool {
	return w.Consent == c.ID || w.Consent.IsZero() && w.Purpose == c.Purpose && c.At <= w.At
}

func (s *Standing) withdraw(r ConsentWithdrawn) (bool, error) {
	var marks []Withdrawal
	for _, p := range r.Purposes {
		marks = append(marks, Withdrawal{Purpose: p, At: event.Micros(r.At)})
	}
	for _, id := range r.Consents {
		marks = append(marks, s.ending(id))
	}
	return s.mark(marks)
}

// ending is what ends one consent, with its purpose and time where it is known.
func (s *Standing) ending(id event.ID) Withdrawal {
	w := Withdrawal{Consent: id}
	if i := slices.IndexFunc(s.Consents, func(c ConsentState) bool { return c.ID == id }); i >= 0 {
		w.Purpose, w.At = s.Consents[i].Purpose, s.Consents[i].At
	}
	return w
}

// mark adds withdrawals, as one change or not at all, and drops the consents that they end.
func (s *Standing) mark(marks []Withdrawal) (changed bool, err error) {
	list := slices.Clone(s.Withdrawals)
	for _, w := range marks {
		var more bool
		list, more = merge(list, w)
		changed = changed || more
	}
	for len(list) > maxFacts {
		oldest := slices.IndexFunc(list, func(w Withdrawal) bool { return !w.Consent.IsZero() && w.Purpose != "" })
		if oldest < 0 {
			return false, full("withdrawals")
		}
		w := Withdrawal{Purpose: list[oldest].Purpose, At: list[oldest].At}
		list, _ = merge(slices.Delete(list, oldest, oldest+1), w)
	}
	if changed {
		s.Withdrawals = list
		s.Consents = slices.DeleteFunc(s.Consents, func(c ConsentState) bool { return s.withdrawn(&c) })
	}
	return changed, nil
}

// merge adds one withdrawal. Of those for a whole purpose the latest is enough.
func merge(list []Withdrawal, w Withdrawal) ([]Withdrawal, bool) {
	for i := range list {
		switch o := &list[i]; {
		case o.Consent != w.Consent:
		case !w.Consent.IsZero():
			return list, false
		case o.Purpose == w.Purpose && o.At < w.At:
			o.At = w.At
			return list, true
		case o.Purpose == w.Purpose:
			return list, false
		}
	}
	return append(list, w), true
}

func (s *Standing) restrict(id event.ID, r SubjectRestricted) (bool, error) {
	known := slices.ContainsFunc(s.Restrictions, func(o Restriction) bool { return o.ID == id })
	if known || slices.Contains(s.Ended, id) {
		return false, nil
	}
	if len(s.Restrictions) >= maxFacts {
		return false, full("restrictions")
	}
	s.Restrictions = append(s.Restrictions, Restriction{ID: id, Groups: r.Groups})
	return true, nil
}

func (s *Standing) release(r RestrictionReleased) bool {
	i := slices.IndexFunc(s.Restrictions, func(o Restriction) bool { return o.ID == r.Restriction })
	if i < 0 {
		return false
	}
	s.Restrictions = slices.Delete(s.Restrictions, i, i+1)
	s.Ended = append(s.Ended, r.Restriction)
	s.Ended = s.Ended[max(0, len(s.Ended)-maxFacts):]
	return true
}

func (s *Standing) object(id event.ID, r ObjectionRecorded) (bool, error) {
	if slices.ContainsFunc(s.Objections, func(o Objection) bool { return o.ID == id }) {
		return false, nil
	}
	if len(s.Objections) >= maxFacts {
		return false, full("objections")
	}
	s.Objections = append(s.Objections, Objection{
		ID: id, Purposes: r.Purposes, Marketing: r.Marketing, At: event.Micros(r.At),
	})
	return true, nil
}

// balance takes the latest decision; of two at the same time the one for the person.
func (s *Standing) balance(e *event.Event, r ObjectionBalanced) bool {
	i := slices.IndexFunc(s.Objections, func(o Objection) bool { return o.ID == r.Objection })
	if i < 0 {
		return false
	}
	o, decided := &s.Objections[i], event.Micros(r.At)
	if r.Outcome == Overridden {
		decided = notAfter(decided, e)
	}
	later := decided > o.Decided || decided == o.Decided && r.Outcome == Upheld && o.Outcome != Upheld
	if o.Outcome != Pending && !later {
		return false
	}
	o.Outcome, o.Decided = r.Outcome, decided
	return true
}

func (s *Standing) note(id event.ID, r ChildNoted) (bool, error) {
	if slices.ContainsFunc(s.Minorities, func(m Minority) bool { return m.ID == id }) {
		return false, nil
	}
	if len(s.Minorities) >= maxFacts {
		return false, full("notes of a child")
	}
	m := Minority{ID: id}
	if end, ok := endOfMonth(r.Until); ok {
		m.Until = event.Micros(end)
	}
	s.Minorities = append(s.Minorities, m)
	return true, nil
}

func (s *Standing) clear(r ChildCleared) bool {
	i := slices.IndexFunc(s.Minorities, func(m Minority) bool { return m.ID == r.Note })
	if i < 0 {
		return false
	}
	m, at := &s.Minorities[i], event.Micros(r.At)
	if m.Until != 0 && m.Until <= at {
		return false
	}
	m.Until = at
	return true
}
