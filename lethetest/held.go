package lethetest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// held are events as a consumer holds them who read them without a purpose.
func (r *sealedRig) held(t *testing.T, types ...string) []event.Event {
	t.Helper()
	return collect(t, r.sealing().Query(t.Context(), lethe.Query{Filter: event.Filter{{Types: types}}}))
}

// heldOpened: events that are held open as they would where they are read, in the order they are given.
func heldOpened(t *testing.T, r *sealedRig) {
	a, b := ada(), bob()
	r.append(t, event.Stream("customer", a.email), a.registered(), a.moved())
	r.append(t, event.Stream("application", "1"), draft("Plain"), b.moved())
	held := r.held(t, "CustomerRegistered", "AddressGiven", "Plain")
	want := collect(t, r.support().Query(t.Context(), lethe.Query{Filter: event.Filter{{Types: []string{
		"CustomerRegistered", "AddressGiven", "Plain"}}}}))
	got, err := r.support().Open(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "opened", want, got)
	slices.Reverse(held)
	slices.Reverse(want)
	if got, err = r.support().Open(t.Context(), append(held, held[0])); err != nil {
		t.Fatal(err)
	}
	same(t, "opened in another order, and one twice", append(want, want[0]), got)
	for _, e := range held {
		hides(t, "what is held", shown(t, &e), a, b)
	}
	scorer := r.As(event.Actor{Kind: "service", ID: "scorer"}).For("scoring", "")
	if got, err = scorer.Open(t.Context(), r.held(t, "CustomerRegistered")); err != nil {
		t.Fatal(err)
	}
	same(t, "opened for another purpose", a.data(got[0].Stream.ID, "contact", "rumour"), string(got[0].Data))
	if got, err = r.support().Open(t.Context(), nil); err != nil || len(got) > 0 {
		t.Errorf("none: %v, %v", got, err)
	}
}

// heldByOtherRoads: what JSON says of an event opens as what the log gave, and more events open than a message holds.
func heldByOtherRoads(t *testing.T, r *sealedRig) {
	a := ada()
	r.append(t, event.Stream("customer", a.email), a.registered())
	r.append(t, event.Stream("application", "1"), slices.Repeat([]event.Draft{a.moved()}, 1500)...)
	plain := event.Draft{Type: "Plain", Data: []byte("{ \"a\": \"<&> \\u00e9\\/\u2028\", \"n\": [1e400, -0,  1.10] }")}
	r.append(t, event.Stream("application", "2"), plain)
	large := event.Draft{Type: "Plain", Data: []byte(`{"text": "` + strings.Repeat("x", 900_000) + `"}`)}
	for range 10 {
		r.append(t, event.Stream("application", "2"), large)
	}
	held := r.held(t, "CustomerRegistered", "AddressGiven", "Plain")
	read := make([]event.Event, len(held))
	for i := range held {
		text, err := json.Marshal(held[i])
		if err != nil {
			t.Fatal(err)
		}
		if read[i], err = event.ParseEvent(text); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(read[0].Data, held[0].Data) || bytes.Contains(read[1501].Data, []byte("<")) {
		t.Fatal("white space and escapes of data are not put to the test")
	}
	want, err := r.support().Open(t.Context(), held)
	if err != nil || strings.Count(string(want[1500].Data), quoted(a.street)) != 2 {
		t.Fatalf("the last of many is not opened: %v", err)
	}
	got, err := r.support().Open(t.Context(), read)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want { // data apart: it is much
		if !bytes.Equal(want[i].Data, got[i].Data) {
			t.Errorf("the data of event %d differs", i)
		}
		want[i].Data, got[i].Data = nil, nil
	}
	same(t, "opened from JSON", want, got)
}

// heldDenied: nothing opens without a purpose, or for one that is not allowed.
func heldDenied(t *testing.T, r *sealedRig) {
	a := ada()
	r.append(t, event.Stream("customer", a.email), a.registered())
	held := r.held(t, "CustomerRegistered")
	events, err := r.As(desk()).Open(t.Context(), held)
	fails(t, "without a purpose", err, event.ErrInvalid, "purpose_missing")
	if len(events) > 0 {
		t.Errorf("without a purpose: %d events", len(events))
	}
	for code, s := range map[string]*lethe.Session{
		"purpose_unknown": r.As(desk()).For("canary-purpose", "ticket 7"),
		"purpose_denied":  r.As(desk()).For("scoring", ""), "reason_missing": r.As(desk()).For("support", ""),
	} {
		events, err := s.Open(t.Context(), held)
		fails(t, code, err, event.ErrDenied, code)
		if err != nil {
			hides(t, code, err.Error(), a)
		}
		if len(events) > 0 {
			t.Errorf("%s: %d events", code, len(events))
		}
	}
	_, err = r.As(desk()).Open(t.Context(), nil)
	fails(t, "none without a purpose", err, event.ErrInvalid, "purpose_missing")
	r.unused(t)
}

// unused holds that no use is on record.
func (r *sealedRig) unused(t *testing.T) {
	t.Helper()
	if page, err := r.home.Privacy().Uses(t.Context(), storage.UseQuery{Limit: 10}); err != nil || len(page.Uses) > 0 {
		t.Errorf("uses are %+v, %v", page.Uses, err)
	}
}

// heldAltered: what is not word for word an event of the log does not open, and leaves no use behind.
func heldAltered(t *testing.T, r *sealedRig) {
	a, b := ada(), bob()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.moved())[0])
	other := aliasOf(t, r.append(t, event.Stream("customer", b.email), b.moved())[0])
	r.append(t, event.Stream("application", "1"), a.registered())
	held := r.held(t, "AddressGiven")
	registered := r.held(t, "CustomerRegistered")[0]
	for name, change := range map[string]func(e *event.Event){
		"position":    func(e *event.Event) { e.Position++ },
		"no position": func(e *event.Event) { e.Position = 0 },
		"beyond":      func(e *event.Event) { e.Position = ^event.Position(0) },
		"id":          func(e *event.Event) { e.ID = held[1].ID },
		"type":        func(e *event.Event) { e.Type = "CustomerRegistered" },
		"stream":      func(e *event.Event) { e.Stream = event.Stream("application", "1") },
		"version":     func(e *event.Event) { e.Version++ },
		"time":        func(e *event.Event) { e.RecordedAt = e.RecordedAt.Add(1000) },
		"leaf":        func(e *event.Event) { e.Leaf[0]++ },
		"schema":      func(e *event.Event) { e.Schema = registered.Schema },
		"no schema":   func(e *event.Event) { e.Schema = event.SchemaID{} },
		"format":      func(e *event.Event) { e.Format = event.Protobuf },
		"no data":     func(e *event.Event) { e.Data = nil },
		"data": func(e *event.Event) {
			e.Data = bytes.ReplaceAll(e.Data, []byte(krid.String()), []byte(other.String()))
		},
		"no relations": func(e *event.Event) { e.Relations = nil },
		"relations": func(e *event.Event) {
			e.Relations = append(slices.Clone(e.Relations), event.Relation{Role: "x", Kind: "customer", ID: other.String()})
		},
		"metadata": func(e *event.Event) { e.Metadata = map[string]string{"x-auth-email": ""} },
		"opened":   func(e *event.Event) { e.Data = a.moved().Data },
		"another":  func(e *event.Event) { e.ID, e.Boxes = event.ID{7}, registered.Boxes },
	} {
		e := held[0]
		change(&e)
		events, err := r.support().Open(t.Context(), []event.Event{held[1], e})
		fails(t, name, err, event.ErrNotFound, "event_unknown")
		if len(events) > 0 {
			t.Errorf("%s: %d events", name, len(events))
		}
		if err != nil {
			hides(t, name, err.Error(), a, b)
		}
	}
	r.unused(t)
}

// heldForeign: boxes of another event, fewer, more or none do not open, nor do damaged ones.
func heldForeign(t *testing.T, r *sealedRig) {
	a := ada()
	r.append(t, event.Stream("customer", a.email), a.registered(), a.registered(), a.moved())
	held := r.held(t, "CustomerRegistered", "AddressGiven")
	for name, boxes := range map[string][]byte{
		"of an event of its type": held[1].Boxes, "of another type": held[2].Boxes, "none": nil,
		"text": []byte("canary-rumour"), "cut": held[0].Boxes[:len(held[0].Boxes)-1],
		"one more": append(slices.Clone(held[0].Boxes), 0),
	} {
		e := held[0]
		e.Boxes = boxes
		events, err := r.support().Open(t.Context(), []event.Event{e})
		fails(t, name, err, event.ErrInvalid, "box_foreign")
		if len(events) > 0 {
			t.Errorf("%s: %d events", name, len(events))
		}
		if err != nil {
			hides(t, name, err.Error(), a)
		}
	}
	r.unused(t)
	e := held[2]
	e.Boxes = slices.Clone(e.Boxes)
	e.Boxes[len(e.Boxes)-1]++
	events, err := r.support().Open(t.Context(), []event.Event{e})
	fails(t, "damaged", err, event.ErrInvalid, "box_damaged")
	if len(events) > 0 {
		t.Errorf("damaged: %d events", len(events))
	}
	if text, err := json.Marshal(events); err != nil || len(events) > 0 {
		hides(t, "damaged", string(text), a)
	}
}

// heldWithheld: a restriction and an erasure count for what is held, and truncated events stay truncated.
func heldWithheld(t *testing.T, r *sealedRig) {
	a, b := ada(), bob()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.moved())[0])
	erased := aliasOf(t, r.append(t, event.Stream("customer", b.email), b.moved())[0])
	gone := event.Stream("application", "1")
	r.append(t, gone, a.moved(), draft("Plain"))
	held := r.held(t, "AddressGiven")

	if err := r.home.Keeper().Destroy(t.Context(), erased, keyring.Ending{Receipt: "1/4711"}); err != nil {
		t.Fatal(err)
	}
	restricted := policy.SubjectRestricted{Principal: krid, Ground: policy.AccuracyContested, Case: "case-7"}
	if _, err := r.home.Privacy().Record(t.Context(), officer(), event.ID{}, restricted); err != nil {
		t.Fatal(err)
	}
	if err := r.As(officer()).TruncateStream(t.Context(), gone, 2); err != nil {
		t.Fatal(err)
	}
	got, err := r.support().Open(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "who is restricted", []string{"/home/lines/0/text contact restricted", "/home/street contact restricted"},
		withheld(&got[0]))
	same(t, "who is erased", []string{"/home/lines/0/text contact erased", "/home/street contact erased"},
		withheld(&got[1]))
	if w := got[1].Withheld; len(w) > 0 && w[0].Receipt != "1/4711" {
		t.Errorf("the receipt is %q", w[0].Receipt)
	}
	if e := got[2]; !e.Pruned || e.Data != nil || e.Boxes != nil || e.Position != held[2].Position {
		t.Errorf("what is truncated came back with %d bytes of data, pruned %t", len(e.Data), e.Pruned)
	}
	for i := range got {
		hides(t, "what came back", shown(t, &got[i]), a, b)
	}
}

// heldUsed: the use is on record under the positions of the log.
func heldUsed(t *testing.T, r *sealedRig) {
	a := ada()
	krid := aliasOf(t, r.append(t, event.Stream("customer", a.email), a.moved(), a.moved())[0])
	held := r.held(t, "AddressGiven")
	if _, err := r.support().Open(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	page, err := r.home.Privacy().Uses(t.Context(), storage.UseQuery{KRID: krid, Limit: 10})
	if err != nil || len(page.Uses) != 1 {
		t.Fatalf("uses are %+v, %v", page.Uses, err)
	}
	u := page.Uses[0]
	if u.Actor != desk() || u.Purpose != "support" || u.Reason != "ticket 7" || u.Code != "suite 1" {
		t.Errorf("the use is %+v", u)
	}
	want := []storage.UseEntry{
		{KRID: krid, Group: "contact", Count: 2, First: held[0].Position, Last: held[1].Position},
		{KRID: krid, Group: "reference", Count: 2, First: held[0].Position, Last: held[1].Position},
	}
	same(t, "what was opened", want, u.Entries)
}
