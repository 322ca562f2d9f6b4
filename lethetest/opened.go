package lethetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// personalWays reads a stream in every way there is.
func personalWays(t *testing.T, s *lethe.Session, stream event.StreamID) map[string][]event.Event {
	t.Helper()
	read := collect(t, s.Read(t.Context(), stream, lethe.Range{}))
	var found, live []event.Event
	for _, e := range read {
		got, err := s.Event(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, got)
	}
	filter := event.Filter{{Stream: stream}}
	for e, err := range s.Subscribe(t.Context(), filter, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if live = append(live, e); len(live) == len(read) {
			break
		}
	}
	page, err := s.Page(t.Context(), lethe.PageQuery{Query: storage.Query{Stream: stream, Filter: filter, Limit: 100}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]event.Event{
		"read": read, "event": found, "subscribe": live, "page": page.Events,
		"query": collect(t, s.Query(t.Context(), lethe.Query{Filter: filter})),
	}
}

// sealedRead: without a purpose every way of reading shows null and says why, under aliases.
func sealedRead(t *testing.T, r *sealedRig) {
	a := ada()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.registered())[0]).String()
	for _, name := range []string{a.email, strings.ToLower(a.email), krid} {
		for way, events := range personalWays(t, r.sealing(), event.Stream("customer", name)) {
			if len(events) != 1 {
				t.Fatalf("%s: %d events", way, len(events))
			}
			e := &events[0]
			hides(t, way, shown(t, e), a)
			same(t, way, a.data(krid, "contact", "finance", "rumour"), string(e.Data))
			same(t, way, []string{"/email contact sealed", "/income finance sealed", "/phones/0 contact sealed",
				"/phones/1 contact sealed", "metadata/x-auth-email contact sealed"}, withheld(e))
			if e.Stream.ID != krid || e.Relations[0].ID != krid || len(e.Names) > 0 || e.Schema == (event.SchemaID{}) {
				t.Errorf("%s: %s, %v, %d names", way, e.Stream, e.Relations, len(e.Names))
			}
		}
	}
	if _, err := r.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// openedRead: for a purpose every way of reading shows what was appended, byte for byte, but for what it leaves out.
func openedRead(t *testing.T, r *sealedRig) {
	a := ada()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.registered())[0])
	for way, events := range personalWays(t, r.support(), event.Stream("customer", a.email)) {
		if len(events) != 1 {
			t.Fatalf("%s: %d events", way, len(events))
		}
		e := &events[0]
		same(t, way, a.data(krid.String(), "finance", "rumour"), string(e.Data))
		same(t, way, []string{"/income finance denied"}, withheld(e))
		same(t, way, map[string]string{"x-auth-email": "clerk@example.org"}, e.Metadata)
		name := func(n event.Name) bool { return n == event.Name{KRID: krid, Kind: "customer", Ref: "ada@example.org"} }
		if !slices.ContainsFunc(e.Names, name) || len(e.Names) != 2 {
			t.Errorf("%s: %d names", way, len(e.Names))
		}
	}
	scorer := r.As(event.Actor{Kind: "service", ID: "scorer"}).For("scoring", "")
	for way, events := range personalWays(t, scorer, event.Stream("customer", a.email)) {
		same(t, way, a.data(krid.String(), "contact", "rumour"), string(events[0].Data))
		if len(events[0].Names) > 0 {
			t.Errorf("%s: %d names are shown", way, len(events[0].Names))
		}
	}
}

// openedPages: more events than fit into a page, of several persons, are opened wherever a page begins.
func openedPages(t *testing.T, r *sealedRig) {
	people := []person{ada(), bob()}
	var requests []log.Request
	for i := range 600 {
		w := write(event.Stream("application", "1"), event.Any, people[i%2].moved())
		requests = append(requests, log.Request{Writes: []log.Write{w}})
	}
	for i, o := range r.sealing().AppendEach(t.Context(), requests) {
		if o.Err != nil {
			t.Fatalf("append %d: %v", i, o.Err)
		}
	}
	for _, q := range []lethe.Query{{}, {Backward: true}} {
		q.Filter = moves()
		events := collect(t, r.support().Query(t.Context(), q))
		if len(events) != 600 {
			t.Fatalf("%d events", len(events))
		}
		for i := range events {
			want := people[(i+1)%2].street
			if !q.Backward {
				want = people[i%2].street
			}
			if strings.Count(string(events[i].Data), quoted(want)) != 2 || len(events[i].Withheld) > 0 {
				t.Fatalf("event %d is not opened: %s", i, withheld(&events[i]))
			}
		}
	}
}

// openedAsAsked: pages may be read ahead, but what is on them is opened, and the use recorded, only when they are asked
// for: a restriction that is acknowledged while the reader is at one page holds for the next.
func openedAsAsked(t *testing.T, r *sealedRig) {
	a := ada()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), slices.Repeat([]event.Draft{a.moved()}, 3000)...)[0])
	seen, opened := 0, 0
	for e, err := range r.support().Query(t.Context(), lethe.Query{Filter: moves()}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			restricted := policy.SubjectRestricted{Principal: krid, Ground: policy.AccuracyContested, Case: "case-7"}
			if _, err := r.home.Privacy().Record(t.Context(), officer(), event.ID{}, restricted); err != nil {
				t.Fatal(err)
			}
		}
		if len(e.Withheld) == 0 {
			opened++
		} else {
			hides(t, "who is restricted", string(e.Data), a)
		}
	}
	if seen != 3000 || opened == 0 || opened > 1000 {
		t.Errorf("%d of %d events are opened, with a restriction since the first", opened, seen)
	}
	page, err := r.home.Privacy().Uses(t.Context(), storage.UseQuery{KRID: krid, Limit: 10})
	recorded := 0
	for _, u := range page.Uses {
		for _, e := range u.Entries {
			if e.Group == "contact" {
				recorded += int(e.Count)
			}
		}
	}
	if err != nil || recorded != opened {
		t.Errorf("%d events are opened, and %d are recorded: %+v, %v", opened, recorded, page.Uses, err)
	}
}

// openingDenied: without what a purpose asks for, nothing is read at all, and nothing is told that was sent.
func openingDenied(t *testing.T, r *sealedRig) {
	a := ada()
	stream := r.append(t, event.Stream("customer", a.email), a.registered())[0]
	nobody := event.Actor{Kind: "employee", ID: "nobody@example.org"}
	for name, c := range map[string]struct {
		actor                 event.Actor
		purpose, reason, code string
	}{
		"no such purpose":   {desk(), "canary-purpose", "ticket 7", "purpose_unknown"},
		"no purpose's name": {desk(), "Canary Lane 1", "ticket 7", "purpose_unknown"},
		"an undisclosed":    {desk(), "review", "ticket 7", "purpose_unknown"},
		"somebody else":     {event.Actor{Kind: "service", ID: "stranger"}, "support", "ticket 7", "purpose_denied"},
		"a purpose":         {desk(), "scoring", "", "purpose_denied"},
		"no reason":         {desk(), "support", "", "reason_missing"},
		"words":             {desk(), "support", "Canary Lane 1", "reason_malformed"},
		"an unknown person": {nobody, "support", "ticket 7", "purpose_denied"},
	} {
		s := r.As(c.actor).For(c.purpose, c.reason)
		_, err := s.Event(t.Context(), r.first(t, stream).ID)
		for way, err := range map[string]error{
			"event":     err,
			"read":      failure(s.Read(t.Context(), stream, lethe.Range{})),
			"query":     failure(s.Query(t.Context(), lethe.Query{})),
			"subscribe": failure(s.Subscribe(t.Context(), nil, event.Cursor{})),
		} {
			fails(t, name+", "+way, err, event.ErrDenied, c.code)
			if err != nil {
				hides(t, name+", "+way, err.Error(), a)
				if strings.Contains(err.Error(), "nobody@example.org") {
					t.Errorf("%s, %s: %v", name, way, err)
				}
			}
		}
	}
	unknown := event.Stream("customer", "nobody@example.org")
	err := failure(r.support().Read(t.Context(), unknown, lethe.Range{}))
	if !errors.Is(err, event.ErrNotFound) || strings.Contains(err.Error(), "nobody@example.org") {
		t.Errorf("read of somebody who was never spoken of: %v", err)
	}
}

// first is the first event of a stream, sealed.
func (r *sealedRig) first(t *testing.T, s event.StreamID) event.Event {
	t.Helper()
	return collect(t, r.sealing().Read(t.Context(), s, lethe.Range{Limit: 1}))[0]
}

// referencesFound: filters, conditions and streams find a person by every spelling of a reference, and nobody else.
func referencesFound(t *testing.T, r *sealedRig) {
	a, b := ada(), bob()
	r.append(t, event.Stream("application", "1"), a.registered(), b.moved())
	r.append(t, event.Stream("customer", "ADA@example.org"), a.moved())
	related := func(ref string) event.Filter {
		return event.Filter{{Relations: []event.Relation{{Kind: "customer", ID: ref}}}}
	}
	krid := r.first(t, event.Stream("customer", a.email)).Stream.ID
	for ref, want := range map[string][]event.Position{
		a.email: nil, "ada@EXAMPLE.org": nil, krid: nil, "nobody@example.org": {},
	} {
		if want == nil {
			want = positions(collect(t, r.sealing().Query(t.Context(), lethe.Query{Filter: related(krid)})))
		}
		if len(want) == 0 && ref != "nobody@example.org" {
			t.Fatal("nothing is related to the person")
		}
		for _, s := range []*lethe.Session{r.sealing(), r.support()} {
			got := positions(collect(t, s.Query(t.Context(), lethe.Query{Filter: related(ref)})))
			if !slices.Equal(want, got) {
				t.Errorf("related to %q: %v, want %v", ref, got, want)
			}
		}
	}
	req := log.Request{Writes: []log.Write{write(event.Stream("application", "2"), event.Any, draft("A"))},
		Condition: &event.Condition{Filter: related("aDa@example.org")}}
	_, err := r.sealing().AppendAll(t.Context(), req)
	fails(t, "a condition about the person", err, event.ErrConflict, "condition_failed")
	req.Condition.Filter = related("nobody@example.org")
	if _, err = r.sealing().AppendAll(t.Context(), req); err != nil {
		t.Errorf("a condition about somebody else: %v", err)
	}
}

// sealedRepeated: the same append again is there once, and another personal value under the same ids is refused.
func sealedRepeated(t *testing.T, r *sealedRig) {
	d := ada().moved()
	d.ID = id(7)
	stream := event.Stream("application", "1")
	for round := range 2 {
		res, err := r.sealing().Append(t.Context(), stream, event.Any, d)
		if err != nil || res.Repeated != (round == 1) {
			t.Fatalf("round %d: repeated %t, %v", round, res.Repeated, err)
		}
	}
	other := d
	other.Data = []byte(strings.Replace(string(d.Data), "Lane 1", "Lane 9", 1))
	_, err := r.sealing().Append(t.Context(), stream, event.Any, other)
	fails(t, "another value", err, event.ErrDuplicate, "id_conflict")
}

// sealedRefused: what cannot be sealed is refused whole, and what was wrong is told without what it was.
func sealedRefused(t *testing.T, r *sealedRig) {
	a := ada()
	draft := func(data string) event.Draft { return event.Draft{Type: "CustomerRegistered", Data: []byte(data)} }
	stream := event.Stream("application", "1")
	list := []event.Draft{
		draft(`{"customer": "ada@example.org", "email": 31415926535897.92}`),
		draft(`{"customer": "ada@example.org", "canary-rumour": 1}`),
		draft(`{"email": "ada@example.org"}`),
		draft(`{"customer": "clerk example", "email": "Ada@Example.org"}`),
		{Type: "CustomerRegistered", Data: a.registered().Data, Collection: "nowhere"},
		{Type: "CustomerRegistered", Data: a.registered().Data, Schema: event.SchemaID{1}},
		{Type: "Told", Relations: []event.Relation{{Role: "affected", Kind: "branch", ID: a.email}}},
		{Type: "Told", Metadata: map[string]string{"x-auth-email": strings.Repeat(a.email, 1000)}},
	}
	before, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var requests []log.Request
	for i, d := range list {
		_, err := r.sealing().Append(t.Context(), stream, event.Any, d)
		if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("append %d: %v", i, err)
			continue
		}
		hides(t, "the error", err.Error(), a)
		requests = append(requests, request(write(stream, event.Any, d)))
	}
	if after, err := r.Head(t.Context()); err != nil || after.Position != before.Position {
		t.Errorf("something was appended: %v", err)
	}
	requests = append(requests, request(write(stream, event.Any, a.registered())))
	outcomes := r.sealing().AppendEach(t.Context(), requests)
	for i, o := range outcomes {
		if good := i == len(outcomes)-1; (o.Err == nil) != good {
			t.Errorf("append %d of several: %v", i, o.Err)
		}
	}
}

func moves() event.Filter { return event.Filter{{Types: []string{"AddressGiven"}}} }

// restrictedNext: in a subscription that is open, a restriction counts from the next batch on.
func restrictedNext(t *testing.T, r *sealedRig) {
	a, b := ada(), bob()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.moved())[0])
	seen := 0
	for e, err := range r.support().Subscribe(t.Context(), moves(), event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		data := string(e.Data)
		switch seen++; seen {
		case 1:
			if !strings.Contains(data, quoted(a.street)) {
				t.Errorf("the first is %v", withheld(&e))
			}
			restricted := policy.SubjectRestricted{Principal: krid, Ground: policy.AccuracyContested, Case: "case-7"}
			if _, err := r.home.Privacy().Record(t.Context(), officer(), event.ID{}, restricted); err != nil {
				t.Fatal(err)
			}
			r.append(t, event.Stream("customer", a.email), a.moved())
			r.append(t, event.Stream("customer", b.email), b.moved())
		case 2:
			same(t, "who is restricted", []string{"/home/lines/0/text contact restricted", "/home/street contact restricted"},
				withheld(&e))
			hides(t, "who is restricted", data, a)
		case 3:
			if !strings.Contains(data, quoted(b.street)) {
				t.Errorf("somebody else is %v", withheld(&e))
			}
			return
		}
	}
}

// policyNext: in a subscription that is open, another policy counts from the next batch on.
func policyNext(t *testing.T, r *sealedRig) {
	a := ada()
	r.append(t, event.Stream("customer", a.email), a.moved())
	var last error
	seen := 0
	for e, err := range r.support().Subscribe(t.Context(), moves(), event.Cursor{}) {
		if last = err; err != nil {
			break
		}
		if seen++; seen > 1 || len(e.Withheld) > 0 {
			t.Fatalf("event %d is %v", seen, withheld(&e))
		}
		r.govern(t, strings.Replace(policyText, `service::\"desk\"`, `service::\"counter\"`, 1))
		r.append(t, event.Stream("customer", a.email), a.moved())
	}
	fails(t, "the subscription", last, event.ErrDenied, "purpose_denied")
}

// keysAway: without the key service personal data is neither taken nor opened once the lease is over; the rest goes on,
// and nothing reads as erased.
func keysAway(t *testing.T, r *sealedRig) {
	a := ada()
	stream := r.append(t, event.Stream("customer", a.email), a.moved())[0]
	r.service.Set(kmstest.Down)
	r.clock.Advance(time.Hour)
	_, err := r.sealing().Append(t.Context(), event.Stream("application", "1"), event.Any, bob().moved())
	fails(t, "append", err, event.ErrUnavailable, "kms_unavailable")
	_, err = r.support().Event(t.Context(), r.first(t, stream).ID)
	fails(t, "open", err, event.ErrUnavailable, "kms_unavailable")
	e := r.first(t, stream)
	same(t, "sealed", []string{"/home/lines/0/text contact sealed", "/home/street contact sealed"}, withheld(&e))
	if _, err := r.As(desk()).Append(t.Context(), event.Stream("application", "1"), event.Any, draft("A")); err != nil {
		t.Errorf("append of nothing personal: %v", err)
	}
	r.service.Set(kmstest.Well)
	r.clock.Advance(time.Minute)
	if opened, err := r.support().Event(t.Context(), e.ID); err != nil || len(opened.Withheld) > 0 {
		t.Errorf("once it is back: %v, %v", withheld(&opened), err)
	}
}

// usesKept: who opened is recorded with purpose, reason and code.
func usesKept(t *testing.T, r *sealedRig) {
	a := ada()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.registered())[0])
	e := r.first(t, event.Stream("customer", a.email))
	page, err := r.home.Privacy().Uses(t.Context(), storage.UseQuery{KRID: krid, Limit: 10})
	if err != nil || len(page.Uses) > 0 {
		t.Fatalf("before anything was opened: %v, %v", page.Uses, err)
	}
	if _, err := r.support().Event(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	page, err = r.home.Privacy().Uses(t.Context(), storage.UseQuery{KRID: krid, Limit: 10})
	if err != nil || len(page.Uses) != 1 {
		t.Fatalf("uses are %v, %v", page.Uses, err)
	}
	u := page.Uses[0]
	if u.Actor != desk() || u.Purpose != "support" || u.Reason != "ticket 7" || u.Code != "suite 1" ||
		len(u.Entries) != 2 || u.Entries[0].First != e.Position {
		t.Errorf("the use is %+v", u)
	}
}

// upkeepAliased: streams of persons are ended and pruned by a reference, by actors who are persons too.
func upkeepAliased(t *testing.T, r *sealedRig) {
	a := ada()
	stream := event.Stream("customer", a.email)
	r.append(t, stream, a.moved(), a.moved())
	by := r.As(event.Actor{Kind: "employee", ID: "clerk@example.org"})
	if err := by.TruncateStream(t.Context(), stream, 2); err != nil {
		t.Fatal(err)
	}
	if err := by.CloseStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	_, err := r.sealing().Append(t.Context(), stream, event.Any, a.moved())
	fails(t, "append to an ended stream", err, event.ErrClosed, "stream_closed")
	hides(t, "the error", err.Error(), a)
	for _, e := range collect(t, r.sealing().Query(t.Context(), lethe.Query{Pruned: true})) {
		hides(t, e.Type, shown(t, &e), a)
	}
}
