package policy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

func apply(t *testing.T, s *policy.Standing, n int, recorded time.Time, r policy.Record) bool {
	t.Helper()
	changed, err := s.Apply(said{eventID(n), recorded, r}.event(t))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestApplyRefuses leaves a standing as it is when an event is not one of its person, or not one at all.
func TestApplyRefuses(t *testing.T) {
	whole := said{eventID(1), noon(1), records(t)[2]}.event(t)
	for name, change := range map[string]func(e *event.Event){
		"principal_mismatch": func(e *event.Event) { e.Stream = policy.Stream(krid(t, investigator)) },
		"record_invalid":     func(e *event.Event) { e.Data = nil },
	} {
		e := *whole
		change(&e)
		s := &policy.Standing{}
		changed, err := s.Apply(&e)
		wantCode(t, err, event.ErrInvalid, name)
		if changed || !s.Empty() {
			t.Errorf("%s: the standing changed", name)
		}
	}
	other := *whole
	other.Type = "lethe.SubjectErased"
	s := &policy.Standing{}
	if changed, err := s.Apply(&other); changed || err != nil {
		t.Errorf("another type: %t, %v", changed, err)
	}
	unnamed := *whole
	unnamed.ID = event.ID{}
	if _, err := s.Apply(&unnamed); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("without an id: %v", err)
	}
}

// TestWideningNeedsWhatItEnds does not release what comes later.
func TestWideningNeedsWhatItEnds(t *testing.T) {
	who, s := krid(t, clerk), &policy.Standing{}
	for n, r := range []policy.Record{
		policy.RestrictionReleased{Principal: who, Restriction: eventID(11), Ground: "solved"},
		policy.ObjectionBalanced{Principal: who, Objection: eventID(12), Outcome: policy.Overridden, At: noon(1),
			Ground: "weighed"},
		policy.ChildCleared{Principal: who, Note: eventID(13), At: noon(1), Ground: "mistake"},
	} {
		if apply(t, s, n+1, noon(1), r) || !s.Empty() {
			t.Errorf("%T of what is not there changed the standing", r)
		}
	}
	apply(t, s, 11, noon(1), policy.SubjectRestricted{Principal: who, Ground: policy.Unlawful})
	apply(t, s, 12, noon(1), policy.ObjectionRecorded{Principal: who, At: noon(1)})
	apply(t, s, 13, noon(1), policy.ChildNoted{Principal: who})
	if len(s.Restrictions) != 1 || s.Objections[0].Outcome != policy.Pending || s.Minorities[0].Until != 0 {
		t.Errorf("%+v", s)
	}
}

// TestAgain applies everything twice, and releases before it applies what they released once more.
func TestAgain(t *testing.T) {
	s := &policy.Standing{}
	for range 2 {
		for n, r := range records(t) {
			apply(t, s, n+1, noon(1), r)
		}
	}
	before := s.Clone()
	for n, r := range records(t) {
		if apply(t, s, n+1, noon(1), r) {
			t.Errorf("%T changed the standing again", r)
		}
	}
	if diff := cmp.Diff(before, s); diff != "" {
		t.Error(diff)
	}
}

// TestWithdrawalComesFirst ends a consent that comes after it.
func TestWithdrawalComesFirst(t *testing.T) {
	who, s := krid(t, clerk), &policy.Standing{}
	consent := records(t)[0]
	apply(t, s, 2, noon(1), policy.ConsentWithdrawn{Principal: who, Consents: []event.ID{eventID(1)}, At: noon(1)})
	if apply(t, s, 1, noon(1), consent) || len(s.Consents) != 0 {
		t.Errorf("%+v", s)
	}
	if !apply(t, s, 3, noon(1), consent) {
		t.Error("another consent is refused")
	}
}

// TestConsentIsNotAheadOfItsTime takes a claimed time only as late as the record.
func TestConsentIsNotAheadOfItsTime(t *testing.T) {
	who, s := krid(t, clerk), &policy.Standing{}
	c := policy.ConsentRecorded{Principal: who, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent,
		Notice: policy.Notice{Version: "3", Language: "en"}, Method: "phone", At: noon(25), State: policy.Given}
	apply(t, s, 1, noon(1), c)
	apply(t, s, 2, noon(2), policy.ConsentWithdrawn{Principal: who, Purposes: []string{"newsletter"}, At: noon(2)})
	if len(s.Consents) != 0 {
		t.Error("a consent dated ahead outlives its withdrawal")
	}
}

// TestStandingIsBounded keeps little of who says much, and forgets only to the person's side.
func TestStandingIsBounded(t *testing.T) {
	who, s := krid(t, clerk), &policy.Standing{}
	consent := policy.ConsentRecorded{Principal: who, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent,
		Notice: policy.Notice{Version: "3", Language: "en"}, Method: "phone", State: policy.Given}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 1000 {
		at := start.Add(time.Duration(n) * time.Hour)
		consent.At = at
		apply(t, s, 2*n+1, at, consent)
		apply(t, s, 2*n+2, at, policy.ConsentWithdrawn{Principal: who, Consents: []event.ID{eventID(2*n + 1)}, At: at})
	}
	if len(s.Consents) != 0 || len(s.Withdrawals) > 128 {
		t.Errorf("%d consents, %d withdrawals", len(s.Consents), len(s.Withdrawals))
	}
	consent.At = start.Add(time.Hour)
	if apply(t, s, 5000, start.AddDate(1, 0, 0), consent) {
		t.Error("a consent from before the withdrawals counts")
	}
	for n := range 200 {
		consent.At = start.AddDate(1, 0, n)
		apply(t, s, 6000+n, consent.At, consent)
	}
	if len(s.Consents) != 128 || s.Consents[127].ID != eventID(6199) {
		t.Errorf("%d consents, the last is %s", len(s.Consents), s.Consents[len(s.Consents)-1].ID)
	}
	consent.At = start.AddDate(1, 0, 0)
	if apply(t, s, 6000, consent.At, consent) {
		t.Error("the oldest consent came back")
	}
	for n := range 300 {
		apply(t, s, 7000+2*n, start, policy.SubjectRestricted{Principal: who, Ground: policy.Unlawful})
		release := policy.RestrictionReleased{Principal: who, Restriction: eventID(7000 + 2*n), Ground: "solved"}
		apply(t, s, 7001+2*n, start, release)
	}
	if len(s.Restrictions) != 0 || len(s.Ended) != 128 {
		t.Errorf("%d restrictions, %d ended", len(s.Restrictions), len(s.Ended))
	}
	text, err := s.MarshalBinary()
	if err != nil || len(text) > 64<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// TestStandingIsFull refuses to drop what narrows.
func TestStandingIsFull(t *testing.T) {
	who := krid(t, clerk)
	for _, r := range []policy.Record{
		policy.SubjectRestricted{Principal: who, Ground: policy.Unlawful},
		policy.ObjectionRecorded{Principal: who, At: noon(1)},
		policy.ChildNoted{Principal: who},
	} {
		s := &policy.Standing{}
		for n := range 128 {
			apply(t, s, n+1, noon(1), r)
		}
		before := s.Clone()
		changed, err := s.Apply(said{eventID(1000), noon(1), r}.event(t))
		wantCode(t, err, event.ErrInvalid, "standing_full")
		if diff := cmp.Diff(before, s); changed || diff != "" {
			t.Errorf("%T changed a full standing: %s", r, diff)
		}
	}
	s := &policy.Standing{}
	withdrawal := func(n int) policy.Record {
		return policy.ConsentWithdrawn{Principal: who, Consents: []event.ID{eventID(n)}, At: noon(1)}
	}
	for n := range 128 {
		apply(t, s, n+1, noon(1), withdrawal(1000+n))
	}
	_, err := s.Apply(said{eventID(999), noon(1), withdrawal(2000)}.event(t))
	wantCode(t, err, event.ErrInvalid, "standing_full")
}

// TestStandingBytes reads what is written, and refuses the rest: what is not known could narrow.
func TestStandingBytes(t *testing.T) {
	s := &policy.Standing{}
	for n, r := range records(t) {
		apply(t, s, n+1, noon(1), r)
	}
	apply(t, s, 20, noon(1), records(t)[2])
	again, ok := records(t)[0].(policy.ConsentRecorded)
	again.At = time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
	if !ok || !apply(t, s, 21, again.At, again) {
		t.Error("a new consent does not count")
	}
	text, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	read := &policy.Standing{}
	if err := read.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, read); diff != "" {
		t.Error(diff)
	}
	if len(s.Restrictions)*len(s.Consents)*len(s.Withdrawals)*len(s.Objections)*len(s.Minorities)*len(s.Ended) == 0 {
		t.Errorf("a list is empty: %s", text)
	}
	for _, empty := range []*policy.Standing{nil, {}} {
		if b, err := empty.MarshalBinary(); len(b) != 0 || err != nil || !empty.Empty() {
			t.Errorf("an empty standing is %q, %v", b, err)
		}
	}
	if err := read.UnmarshalBinary(nil); err != nil || !read.Empty() {
		t.Errorf("no bytes: %v", err)
	}
	for _, bad := range []string{`{`, `{}`, `{"v":2}`, `{"v":1,"z":[]}`, `{"v":1,"r":[{"i":"x"}]}`, `{"v":1,"c":[{"i":7}]}`,
		`{"v":1,"v":1}`, `[]`, `null`, string(text) + "1", string(text[:len(text)-1])} {
		before := read.Clone()
		if err := read.UnmarshalBinary([]byte(bad)); !errors.Is(err, event.ErrFormat) || !cmp.Equal(before, read) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

// TestCloneSharesNothing changes a copy and looks at the original.
func TestCloneSharesNothing(t *testing.T) {
	s := &policy.Standing{}
	for n, r := range records(t) {
		apply(t, s, n+1, noon(1), r)
	}
	apply(t, s, 21, noon(1), records(t)[2])
	apply(t, s, 22, noon(1), records(t)[4])
	before, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	c, who := s.Clone(), krid(t, clerk)
	apply(t, c, 23, noon(1), policy.RestrictionReleased{Principal: who, Restriction: eventID(21), Ground: "solved"})
	apply(t, c, 24, noon(1), policy.ObjectionBalanced{Principal: who, Objection: eventID(22),
		Outcome: policy.Upheld, At: noon(9), Ground: "weighed"})
	c.Objections[0].Purposes[0] = "changed"
	if after, err := s.MarshalBinary(); err != nil || string(after) != string(before) {
		t.Errorf("%s became %s, %v", before, after, err)
	}
	if (*policy.Standing)(nil).Clone() != nil {
		t.Error("a copy of nothing is something")
	}
}
