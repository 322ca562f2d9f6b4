package lethetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// id is a fixed event id.
func id(n byte) event.ID { return event.ID{0x01, 0x8f, 6: 0x70, 8: 0x80, 15: n} }

func withID(n byte, typ string) event.Draft { return event.Draft{ID: id(n), Type: typ} }

func appendPlaces(t *testing.T, r *rig) {
	res, err := r.session.AppendAll(t.Context(), request(
		write(stream("1"), event.None, draft("A"), withID(1, "B")),
		write(stream("2"), event.Any, draft("C")),
	))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Events) != 3 || res.Repeated || res.Last() != 3 {
		t.Fatalf("got %+v", res)
	}
	want := []log.Placed{
		{ID: res.Events[0].ID, Stream: stream("1"), Position: 1, Version: 1},
		{ID: id(1), Stream: stream("1"), Position: 2, Version: 2},
		{ID: res.Events[2].ID, Stream: stream("2"), Position: 3, Version: 1},
	}
	same(t, "places in the order of the request", want, res.Events)
	if res.Events[0].ID.IsZero() || res.Events[0].ID == res.Events[2].ID {
		t.Errorf("ids are minted: %v", res.Events)
	}
	again := r.append(t, stream("2"), draft("D"))
	if p := again.Events[0]; p.Position != 4 || p.Version != 2 {
		t.Errorf("the next is at %d, version %d", p.Position, p.Version)
	}
	all := r.all(t)
	same(t, "positions", []event.Position{1, 2, 3, 4}, positions(all))
	if !all[0].RecordedAt.Equal(r.clock.Now()) || all[0].Leaf == [32]byte{} {
		t.Errorf("recorded at %s, want the log's clock; leaf %x", all[0].RecordedAt, all[0].Leaf)
	}
}

func appendExpects(t *testing.T, r *rig) {
	r.append(t, stream("1"), draft("A"), draft("A"))
	for _, test := range []struct {
		stream   string
		expected event.Expected
		actual   event.Version
	}{
		{"1", event.None, 2}, {"1", event.At(1), 2}, {"1", event.At(3), 2}, {"new", event.At(1), 0},
	} {
		r.unchanged(t, "conflict", func() {
			_, err := r.session.Append(t.Context(), stream(test.stream), test.expected, draft("B"))
			fails(t, fmt.Sprint(test), err, event.ErrConflict, "version_conflict")
			var conflict *event.VersionConflict
			if !errors.As(err, &conflict) {
				t.Fatalf("%+v: got %v", test, err)
			}
			want := event.VersionConflict{Stream: stream(test.stream), Expected: test.expected, Actual: test.actual}
			same(t, "conflict", want, *conflict)
		})
	}
	for n, x := range []event.Expected{event.At(2), event.Any, event.At(4)} {
		if _, err := r.session.Append(t.Context(), stream("1"), x, draft("C")); err != nil {
			t.Errorf("append %d expecting %s: %v", n, x, err)
		}
	}
}

func appendRepeated(t *testing.T, r *rig) {
	traced := withID(1, "A")
	traced.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	condition := &event.Condition{Filter: event.Filter{{Types: []string{"A"}}}}
	req := log.Request{Writes: []log.Write{write(stream("1"), event.None, withID(1, "A"), withID(2, "B"))},
		Condition: condition}
	first, err := r.session.AppendAll(t.Context(), req)
	if err != nil || first.Repeated {
		t.Fatalf("first: %+v, %v", first, err)
	}
	r.unchanged(t, "repetition", func() {
		req.Writes[0].Events[0] = traced // in a new span; neither version nor condition would hold now
		again, err := r.session.AppendAll(t.Context(), req)
		if err != nil || !again.Repeated {
			t.Fatalf("again: %+v, %v", again, err)
		}
		same(t, "places", first.Events, again.Events)
		for what, list := range map[string][]event.Draft{
			"another type":        {withID(1, "A"), withID(2, "C")},
			"only one of two":     {withID(1, "A")},
			"the other way round": {withID(2, "B"), withID(1, "A")},
			"one more":            {withID(1, "A"), withID(2, "B"), withID(3, "C")},
			"the second only":     {withID(4, "A"), withID(2, "B")},
		} {
			_, err := r.session.Append(t.Context(), stream("1"), event.Any, list...)
			fails(t, what, err, event.ErrDuplicate, "id_conflict")
		}
		_, err = r.session.Append(t.Context(), stream("2"), event.Any, withID(1, "A"), withID(2, "B"))
		fails(t, "another stream", err, event.ErrDuplicate, "id_conflict")
	})
}

func appendCondition(t *testing.T, r *rig) {
	r.append(t, stream("1"), draft("A"), draft("B"))
	appended := func(after event.Position, f event.Filter) error {
		_, err := r.session.AppendAll(t.Context(), log.Request{
			Writes:    []log.Write{write(stream("2"), event.Any, draft("C"))},
			Condition: &event.Condition{Filter: f, After: after},
		})
		return err
	}
	r.unchanged(t, "failed condition", func() {
		err := appended(0, event.Filter{{Types: []string{"B"}}})
		fails(t, "condition", err, event.ErrConflict, "condition_failed")
		var failed *event.ConditionFailed
		if !errors.As(err, &failed) {
			t.Fatalf("got %v", err)
		}
		same(t, "condition", event.ConditionFailed{Hit: 2}, *failed)
		err = appended(1, nil)
		if !errors.As(err, &failed) || failed.After != 1 || failed.Hit != 2 {
			t.Errorf("any event after 1: %v", err)
		}
	})
	for what, err := range map[string]error{
		"after the last hit": appended(2, event.Filter{{Types: []string{"B"}}}),
		"no hit":             appended(0, event.Filter{{Kinds: []string{"loan"}}, {Correlation: "c"}}),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func appendAtomic(t *testing.T, r *rig) {
	r.append(t, stream("2"), draft("A"))
	r.unchanged(t, "half refused", func() {
		_, err := r.session.AppendAll(t.Context(), request(
			write(stream("1"), event.None, draft("B")), write(stream("2"), event.None, draft("B"))))
		fails(t, "second stream", err, event.ErrConflict, "version_conflict")
	})
	if err := failure(r.session.Read(t.Context(), stream("1"), lethe.Range{})); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("the first stream: %v", err)
	}
}

// invalidDrafts is what no draft may be, by the code it is refused with.
func invalidDrafts() map[string][]event.Draft {
	relation := func(role, kind, id string) event.Draft {
		return event.Draft{Type: "A", Relations: []event.Relation{{Role: role, Kind: kind, ID: id}}}
	}
	data := func(text string) event.Draft { return event.Draft{Type: "A", Data: []byte(text)} }
	return map[string][]event.Draft{
		"malformed_type": {{}, {Type: " A"}, {Type: "A\n"}, {Type: strings.Repeat("A", 201)}, {Type: "A\xff"}},
		"malformed_name": {
			relation("", "employee", "7"), relation("1st", "employee", "7"), relation("issuer", "a/b", "7"),
			{Type: "A", Metadata: map[string]string{"ü": "x"}},
		},
		"malformed_reference": {
			relation("issuer", "employee", ""), relation("issuer", "employee", "a b"),
			relation("issuer", "employee", strings.Repeat("x", 256)), relation("issuer", "employee", "\xf0"),
			{Type: "A", Correlation: "a b"},
		},
		"personal_reference":    {relation("issuer", "employee", "eve@example.org")},
		"malformed_traceparent": {{Type: "A", Traceparent: "00-0-0-01"}},
		"malformed_producer":    {{Type: "A", Producer: event.Producer{Name: "a\nb"}}},
		"malformed_time":        {{Type: "A", OccurredAt: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"malformed_metadata": {
			{Type: "A", Metadata: map[string]string{"k": strings.Repeat("x", 4097)}},
			{Type: "A", Metadata: map[string]string{"k": "\xff"}},
		},
		"oversized": {
			{Type: "A", Relations: make([]event.Relation, 257)},
			data(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`),
		},
		"invalid_json": {
			data(`[]`), data(`{`), data(`{} {}`), data(`{"a":01}`), data("{\"a\":\"\xff\"}"), data(`null`),
			data(`{"a":"\ud800"}`),
		},
		"duplicate_name": {data(`{"a":1,"b":{"c":1,"c":2}}`)},
		"reserved":       {{Type: "lethe.StreamClosed"}},
	}
}

// invalidRequests is what no request may be, by the code it is refused with.
func invalidRequests() map[string][]log.Request {
	a := draft("A")
	to := func(kind, id string) log.Request { return request(write(event.Stream(kind, id), event.Any, a)) }
	conditional := func(m event.Match) log.Request {
		return log.Request{Writes: to("a", "1").Writes, Condition: &event.Condition{Filter: event.Filter{m}}}
	}
	return map[string][]log.Request{
		"empty_or_oversized": {
			{}, request(write(stream("1"), event.Any)), request(write(stream("1"), event.Any, drafts("A", 10_001)...)),
			request(write(stream("1"), event.Any, a), write(stream("2"), event.Any)),
		},
		"malformed_name": {
			to("", ""), to("", "1"), to("a/b", "1"), to("ä", "1"), to(strings.Repeat("a", 65), "1"),
			conditional(event.Match{Kinds: []string{"a b"}}),
		},
		"malformed_reference": {to("a", ""), to("a", "1 2"), to("a", strings.Repeat("x", 256)), to("a", "x\x00")},
		"personal_reference":  {to("customer", "eve@example.org")},
		"reserved":            {to("lethe", "streams")},
		"malformed_version":   {request(write(stream("1"), -2, a))},
		"repeated_stream":     {request(write(stream("1"), event.Any, a), write(stream("1"), event.Any, a))},
		"repeated_id":         {request(write(stream("1"), event.Any, withID(1, "A"), withID(1, "A")))},
		"not_indexed":         {conditional(event.Match{Metadata: map[string]string{"color": "red"}})},
		"malformed_type":      {conditional(event.Match{Types: []string{""}})},
	}
}

func appendInvalid(t *testing.T, r *rig) {
	r.unchanged(t, "invalid input", func() {
		for code, list := range invalidDrafts() {
			for i, d := range list {
				_, err := r.Store.As(event.Actor{}).Append(t.Context(), stream("1"), event.Any, draft("A"), d)
				fails(t, fmt.Sprint(code, i), err, event.ErrInvalid, code)
			}
		}
		for code, list := range invalidRequests() {
			for i, req := range list {
				_, err := r.session.AppendAll(t.Context(), req)
				fails(t, fmt.Sprint(code, i), err, event.ErrInvalid, code)
			}
		}
	})
}

// large is a draft with n bytes of data.
func large(typ string, n int) event.Draft {
	return event.Draft{Type: typ, Data: fmt.Appendf(nil, `{"text":"%s"}`, bytes.Repeat([]byte("x"), n-11))}
}

func appendLarge(t *testing.T, r *rig) {
	list := make([]event.Draft, 0, 17)
	for len(list) < 15 {
		list = append(list, large("A", 1<<20))
	}
	res := r.append(t, stream("1"), list...)
	if len(res.Events) != 15 || len(r.append(t, stream("2"), drafts("A", 10_000)...).Events) != 10_000 {
		t.Error("the largest appends are taken")
	}
	r.unchanged(t, "oversized", func() {
		for _, n := range []int{17, 22} {
			for len(list) < n {
				list = append(list, large("A", 1<<20))
			}
			_, err := r.session.Append(t.Context(), stream("1"), event.Any, list...)
			fails(t, fmt.Sprint(n, " MiB"), err, event.ErrInvalid, "oversized")
		}
	})
}

func appendKeepsDrafts(t *testing.T, r *rig) {
	relations := []event.Relation{{Role: "z", Kind: "z", ID: "1"}, {Role: "a", Kind: "a", ID: "1"}}
	given := []event.Draft{{Type: "A", Relations: relations, OccurredAt: time.Unix(1, 999)}}
	kept := []event.Draft{{Type: "A", OccurredAt: time.Unix(1, 999),
		Relations: []event.Relation{{Role: "z", Kind: "z", ID: "1"}, {Role: "a", Kind: "a", ID: "1"}}}}
	r.append(t, stream("1"), given...)
	for _, o := range r.session.AppendEach(t.Context(), []log.Request{request(write(stream("1"), event.Any, given...))}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	same(t, "the caller's drafts", kept, given)
}

// appendConcurrent: of many who append at once each gets what is his own, and nothing is lost or there twice.
func appendConcurrent(t *testing.T, r *rig) {
	const callers, each = 16, 25
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			mine := stream(fmt.Sprint(c))
			for n := range each {
				res, err := r.session.Append(t.Context(), mine, event.At(event.Version(n)), draft(fmt.Sprint("T", c)))
				if err != nil || res.Events[0].Version != event.Version(n+1) || res.Events[0].Stream != mine {
					t.Errorf("caller %d, append %d: %+v, %v", c, n, res, err)
					return
				}
			}
			_, err := r.session.Append(t.Context(), mine, event.None, draft("late"))
			fails(t, "late", err, event.ErrConflict, "version_conflict")
		})
	}
	wg.Wait()
	all := r.all(t)
	if len(all) != callers*each {
		t.Fatalf("%d events, want %d", len(all), callers*each)
	}
	for i, e := range all {
		if e.Position != event.Position(i+1) || e.Type != "T"+e.Stream.ID {
			t.Fatalf("event %d is %s", i, e)
		}
	}
}

// appendRace: of many who expect the same version exactly one wins, version after version.
func appendRace(t *testing.T, r *rig) {
	const callers, rounds = 8, 20
	var won [rounds]atomic.Int32
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := range rounds {
				_, err := r.session.Append(t.Context(), stream("1"), event.At(event.Version(n)), draft("A"))
				if err == nil {
					won[n].Add(1)
				} else if !errors.Is(err, event.ErrConflict) {
					t.Errorf("round %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	for n := range won {
		if got := won[n].Load(); got != 1 {
			t.Errorf("%d callers appended version %d", got, n+1)
		}
	}
}
