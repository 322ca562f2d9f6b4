package show_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

// TestSealedIn lists what was sealed by group, and counts it.
func TestSealedIn(t *testing.T) {
	e := &event.Event{
		Stream: event.Stream("customer", event.KRID{1}.String()),
		Draft: event.Draft{Relations: []event.Relation{
			{Role: "issuer", Kind: "employee", ID: event.KRID{2}.String()}, {Role: "affected", Kind: "thing", ID: "1"},
			{Role: "subject", Kind: "customer", ID: event.KRID{1}.String()},
		}},
		Withheld: []event.Withheld{
			{Path: "/email", Group: "contact"}, {Path: "/name", Group: "identity"}, {Path: "/phone", Group: "contact"},
		},
	}
	groups := show.SealedIn(e)
	want := []show.Sealed{{Group: "contact", Paths: []string{"/email", "/phone"}},
		{Group: "identity", Paths: []string{"/name"}}}
	if diff := cmp.Diff(want, groups); diff != "" {
		t.Error(diff)
	}
	persons := []string{"customer/" + event.KRID{1}.String(), "employee/" + event.KRID{2}.String()}
	if diff := cmp.Diff(persons, show.PersonsOf(e)); diff != "" {
		t.Error(diff)
	}
	fields := []show.Field{{"sealed", "/email under contact, /phone under contact, /name under identity"},
		{"persons", persons[0] + ", " + persons[1]}}
	if diff := cmp.Diff(fields, show.SealedFields(groups, persons)); diff != "" {
		t.Error(diff)
	}
	tally := show.Tally{}
	tally.Add(groups)
	tally.Add(groups[:1])
	if got := tally.String(); got != "contact 4, identity 1" {
		t.Errorf("the tally is %q", got)
	}
}
