package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// said is one event about a person: what was said, and in which order it was recorded.
type said struct {
	id       event.ID
	recorded time.Time
	record   policy.Record
}

func (s said) event(t testing.TB) *event.Event {
	t.Helper()
	d, err := s.record.Draft()
	if err != nil {
		t.Fatal(err)
	}
	d.ID = s.id
	return &event.Event{Draft: d, Stream: policy.Stream(s.record.Subject()), RecordedAt: s.recorded}
}

// eventID is a UUID with a number.
func eventID(n int) event.ID { return event.ID{6: 0x70, 8: 0x80, 14: byte(n >> 8), 15: byte(n)} }

// noon of a day in January 2026.
func noon(d int) time.Time { return time.Date(2026, time.January, d, 12, 0, 0, 0, time.UTC) }

// everyone may open everything: rules permit, what is left is what persons said.
const everyone = `{
	"kinds": {"service": {}},
	"groups": {"contact": {}, "health": {"category": "special"}},
	"purposes": {
		"contract": {"basis": "contract", "groups": ["contact", "reference"]},
		"claims": {"basis": "legitimate-interests", "groups": ["contact"], "exempt_from_restriction": true, "children": true},
		"scoring": {"basis": "legitimate-interests", "groups": ["contact"]},
		"duty": {"basis": "public-task", "groups": ["contact"]},
		"offers": {"basis": "legitimate-interests", "groups": ["contact"], "marketing": true},
		"newsletter": {"basis": "consent", "groups": ["contact"], "marketing": true},
		"study": {"basis": "consent", "groups": ["contact", "health"], "special": "a", "notice": "2", "renew": true},
		"care": {"basis": "contract", "groups": ["contact", "health"], "special": "a"}
	},
	"rules": "permit(principal, action, resource);"
}`

func purposes() []string {
	return []string{"contract", "claims", "scoring", "duty", "offers", "newsletter", "study", "care"}
}

// model is the verdict on a group of a person, told from what was said, in the order in which it was applied, and not
// by way of a Standing. It is what docs/policy.md says, in the plainest form there is.
func model(d *policy.Document, story []said, purpose, group string, now time.Time) event.Withholding {
	u := d.Purposes[purpose]
	child, wasChild := isChild(story, now)
	pending, upheld, barred := false, false, time.Time{}
	for i, s := range story {
		switch r := s.record.(type) {
		case policy.SubjectRestricted:
			covers := len(r.Groups) == 0 || slices.Contains(r.Groups, group)
			if covers && !u.Exempt && !released(story[i:], s.id) {
				return event.WithheldRestricted
			}
		case policy.ObjectionRecorded:
			mayObject := u.Basis == policy.LegitimateInterests || u.Basis == policy.PublicTask
			all := len(r.Purposes) == 0 && !r.Marketing && (u.Marketing || mayObject)
			switch covers := all || r.Marketing && u.Marketing || slices.Contains(r.Purposes, purpose); {
			case covers && u.Marketing:
				upheld = upheld || u.Basis != policy.Consent
				barred = latest(barred, r.At)
			case covers && mayObject:
				outcome := decided(story[i:], s.id)
				pending = pending || outcome == policy.Pending
				upheld = upheld || outcome == policy.Upheld
			}
		}
	}
	special := u.Special == "a" && d.Groups[group].Category == "special"
	switch {
	case pending:
		return event.WithheldRestricted
	case upheld, u.Basis == policy.LegitimateInterests && !u.Children && child:
		return event.WithheldDenied
	case u.Basis != policy.Consent && !special:
		return ""
	}
	for _, s := range story {
		c, ok := s.record.(policy.ConsentRecorded)
		at := c.At
		if s.recorded.Before(at) {
			at = s.recorded
		}
		minor := !c.Guardian.IsZero()
		if ok && c.State == policy.Given && c.Purpose == purpose && !now.Before(at) &&
			(c.Until.IsZero() || now.Before(c.Until)) && (len(c.Groups) == 0 || slices.Contains(c.Groups, group)) &&
			(!u.Renew || c.Notice.Version == u.Notice) && (!special || c.Explicit) && (!child || minor) &&
			!(minor && wasChild && !child) && !withdrawn(story, s.id, purpose, at) && (!u.Marketing || at.After(barred)) {
			return ""
		}
	}
	return event.WithheldDenied
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func isChild(story []said, now time.Time) (is, was bool) {
	for i, s := range story {
		if n, ok := s.record.(policy.ChildNoted); ok {
			was = true
			end := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
			if month, err := time.Parse("2006-01", n.Until); err == nil {
				end = month.AddDate(0, 1, 0)
			}
			for _, later := range story[i:] {
				if c, ok := later.record.(policy.ChildCleared); ok && c.Note == s.id && c.At.Before(end) {
					end = c.At
				}
			}
			is = is || now.Before(end)
		}
	}
	return is, was
}

func released(later []said, id event.ID) bool {
	return slices.ContainsFunc(later, func(s said) bool {
		r, ok := s.record.(policy.RestrictionReleased)
		return ok && r.Restriction == id
	})
}

func decided(later []said, id event.ID) policy.Outcome {
	outcome, when := policy.Pending, time.Time{}
	for _, s := range later {
		b, ok := s.record.(policy.ObjectionBalanced)
		if !ok || b.Objection != id {
			continue
		}
		at := b.At
		if b.Outcome == policy.Overridden && s.recorded.Before(at) {
			at = s.recorded
		}
		if outcome == policy.Pending || at.After(when) || at.Equal(when) && b.Outcome == policy.Upheld {
			outcome, when = b.Outcome, at
		}
	}
	return outcome
}

func withdrawn(story []said, id event.ID, purpose string, at time.Time) bool {
	return slices.ContainsFunc(story, func(s said) bool {
		switch r := s.record.(type) {
		case policy.ConsentWithdrawn:
			return slices.Contains(r.Consents, id) || slices.Contains(r.Purposes, purpose) && !at.After(r.At)
		case policy.ConsentRecorded:
			return r.State == policy.Refused && r.Purpose == purpose && !at.After(r.At)
		}
		return false
	})
}

// saidGenerator draws things a person may have said; their ids are small numbers, so that they refer to each other.
func drawSaid(t *rapid.T, who event.KRID, n int) said {
	pick := func(label string, words ...string) string { return rapid.SampledFrom(words).Draw(t, label) }
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	at := noon(rapid.IntRange(1, 9).Draw(t, "day"))
	other := eventID(rapid.IntRange(1, 12).Draw(t, "other"))
	some := func(label string, words ...string) []string {
		if flag(label + " all") {
			return nil
		}
		return []string{pick(label, words...)}
	}
	s := said{id: eventID(n), recorded: noon(rapid.IntRange(1, 9).Draw(t, "recorded"))}
	switch rapid.IntRange(0, 8).Draw(t, "type") {
	case 0, 1:
		c := policy.ConsentRecorded{Principal: who, Controller: "bank", Basis: policy.Consent, State: policy.Given,
			Purpose: pick("purpose", "newsletter", "study", "care"), Groups: some("groups", "contact", "health"),
			Notice: policy.Notice{Version: pick("notice", "1", "2"), Language: "en"}, Method: "web-form", At: at,
			Explicit: flag("explicit")}
		if flag("until") {
			c.Until = at.AddDate(0, 0, 3)
		}
		if rapid.IntRange(0, 4).Draw(t, "guardian") == 0 {
			c.Guardian = event.KRID{9}
		}
		if rapid.IntRange(0, 6).Draw(t, "refused") == 0 {
			c.State = policy.Refused
		}
		s.record = c
	case 2:
		w := policy.ConsentWithdrawn{Principal: who, Consents: []event.ID{other}, At: at}
		if flag("by purpose") {
			w.Consents, w.Purposes = nil, []string{pick("purpose", "newsletter", "study", "care")}
		}
		s.record = w
	case 3:
		s.record = policy.SubjectRestricted{Principal: who, Groups: some("groups", "contact", "health", "reference"),
			Ground: policy.Unlawful}
	case 4:
		s.record = policy.RestrictionReleased{Principal: who, Restriction: other, Ground: "solved"}
	case 5:
		s.record = policy.ObjectionRecorded{Principal: who, Purposes: some("purposes", purposes()...),
			Marketing: flag("marketing"), At: at}
	case 6:
		outcome := policy.Outcome(pick("outcome", "upheld", "overridden"))
		s.record = policy.ObjectionBalanced{Principal: who, Objection: other, Outcome: outcome, At: at, Ground: "weighed"}
	case 7:
		s.record = policy.ChildNoted{Principal: who, Until: pick("until", "", "2026-01", "2026-01", "2031-04")}
	default:
		s.record = policy.ChildCleared{Principal: who, Note: other, At: at, Ground: "mistake"}
	}
	return s
}

// TestVerdictsEqualModel folds what persons said in any order, and compares every verdict with the model. Applying
// something again changes nothing, nor does keeping the standing as bytes.
func TestVerdictsEqualModel(t *testing.T) {
	p := compile(t, everyone)
	d := p.Document()
	who := krid(t, clerk)
	grants := map[string]*policy.Grant{}
	for _, name := range purposes() {
		g, err := p.Grant(opening("service", "1", name, ""))
		if err != nil {
			t.Fatal(err)
		}
		grants[name] = g
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "n")
		var story []said
		for i := range n {
			story = append(story, drawSaid(rt, who, i+1))
		}
		story = rapid.Permutation(story).Draw(rt, "order")
		s := &policy.Standing{}
		for i := range story {
			s = applied(t, s, story[:i+1])
		}
		compareWithModel(rt, d, grants, story, s)
	})
}

// applied folds the last of a story into a standing, and looks whether it was done for good.
func applied(t *testing.T, s *policy.Standing, story []said) *policy.Standing {
	t.Helper()
	last := story[len(story)-1].event(t)
	before := s.Clone()
	changed, err := s.Apply(last)
	if err != nil {
		t.Fatal(err)
	}
	if changed == cmp.Equal(before, s) {
		t.Fatalf("%s: changed %t\n%s", last.Type, changed, cmp.Diff(before, s))
	}
	for i, one := range story {
		_, balanced := one.record.(policy.ObjectionBalanced)
		_, asked := one.record.(policy.ConsentRecorded)
		if i < len(story)-1 && (balanced || !asked && !one.record.Narrows()) {
			continue // it may have come before what it ends, which it does not know then
		}
		if again, err := s.Apply(one.event(t)); err != nil || again {
			t.Fatalf("%T again: changed %t, %v", one.record, again, err)
		}
	}
	text, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	read := &policy.Standing{}
	if err := read.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	if again, err := read.MarshalBinary(); err != nil || string(again) != string(text) {
		t.Fatalf("%s reads back as %s, %v", text, again, err)
	}
	return read
}

func compareWithModel(t *rapid.T, d *policy.Document, grants map[string]*policy.Grant, story []said, s *policy.Standing,
) {
	times := []time.Time{noon(1), noon(5).Add(-1), noon(10), time.Date(2026, time.February, 1, 0, 0, 0, 0, time.UTC),
		noon(1).AddDate(6, 0, 0)}
	for _, now := range times {
		for name, g := range grants {
			for _, group := range g.Groups() {
				if got, want := g.Person(group, s, now), model(d, story, name, group, now); got != want {
					t.Fatalf("%s of %s at %s: %q, the model says %q\n%s", group, name, now, got, want, told(story))
				}
			}
		}
	}
}

func told(story []said) string {
	var b strings.Builder
	for _, s := range story {
		fmt.Fprintf(&b, "%s %s %T%+v\n", s.id, s.recorded.Format(time.DateOnly), s.record, s.record)
	}
	return b.String()
}
