package lethetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

func readRanges(t *testing.T, r *rig) {
	for n := range 40 {
		d := event.Draft{Type: fmt.Sprint("T", n%2), Data: fmt.Appendf(nil, `{"n": %d}`, n)}
		r.append(t, stream("1"), d)
		r.append(t, stream("2"), d)
	}
	for _, test := range []struct {
		r    lethe.Range
		want []event.Version
	}{
		{lethe.Range{From: 39}, []event.Version{39, 40}},
		{lethe.Range{To: 2}, []event.Version{1, 2}},
		{lethe.Range{From: 3, To: 4}, []event.Version{3, 4}},
		{lethe.Range{From: 4, To: 3}, []event.Version{}},
		{lethe.Range{Limit: 3}, []event.Version{1, 2, 3}},
		{lethe.Range{Backward: true, Limit: 2}, []event.Version{40, 39}},
		{lethe.Range{From: 2, Backward: true}, []event.Version{2, 1}},
		{lethe.Range{From: 9, To: 8, Backward: true}, []event.Version{9, 8}},
		{lethe.Range{From: 400, To: 39, Backward: true}, []event.Version{40, 39}},
		{lethe.Range{From: 41}, []event.Version{}},
	} {
		got := collect(t, r.session.Read(t.Context(), stream("1"), test.r))
		same(t, fmt.Sprintf("%+v", test.r), test.want, versions(got))
	}
	for range 2 { // leaving the loop early harms nobody
		for e, err := range r.session.Read(t.Context(), stream("1"), lethe.Range{}) {
			if err != nil || e.Version != 1 {
				t.Errorf("got %s, %v", e, err)
			}
			break
		}
	}
	err := failure(r.session.Read(t.Context(), stream("none"), lethe.Range{}))
	fails(t, "no such stream", err, event.ErrNotFound, "not_found")
	err = failure(r.session.Read(t.Context(), event.Stream("a b", "1"), lethe.Range{}))
	fails(t, "no stream at all", err, event.ErrInvalid, "malformed_name")
}

// readLong reads over many pages, both ways.
func readLong(t *testing.T, r *rig) {
	const n = 2600
	r.append(t, stream("1"), drafts("A", n)...)
	for _, backward := range []bool{false, true} {
		want := make([]event.Version, n)
		for i := range want {
			want[i] = event.Version(i + 1)
		}
		if backward {
			slices.Reverse(want)
		}
		got := versions(collect(t, r.session.Read(t.Context(), stream("1"), lethe.Range{Backward: backward})))
		if !slices.Equal(want, got) {
			t.Errorf("backward %t: %d events, not in order", backward, len(got))
		}
		for _, limit := range []int{255, 257, 1280, 1281, n + 1} {
			got := versions(collect(t, r.session.Read(t.Context(), stream("1"), lethe.Range{Backward: backward, Limit: limit})))
			if !slices.Equal(want[:min(limit, n)], got) {
				t.Errorf("backward %t, limit %d: %d events", backward, limit, len(got))
			}
		}
	}
}

// readLarge reads more bytes than any message holds.
func readLarge(t *testing.T, r *rig) {
	const n, size = 9, 900_000
	for range n {
		r.append(t, stream("1"), large("A", size))
	}
	var live []event.Event
	for e, err := range r.session.Subscribe(t.Context(), nil, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if live = append(live, e); len(live) == n {
			break
		}
	}
	for way, events := range map[string][]event.Event{
		"read":     collect(t, r.session.Read(t.Context(), stream("1"), lethe.Range{})),
		"query":    collect(t, r.session.Query(t.Context(), lethe.Query{})),
		"backward": collect(t, r.session.Query(t.Context(), lethe.Query{Backward: true})), "subscribe": live,
	} {
		if len(events) != n {
			t.Errorf("%s: %d events", way, len(events))
		}
		for _, e := range events {
			if len(e.Data) != size {
				t.Errorf("%s: %d bytes of data", way, len(e.Data))
			}
		}
	}
}

func readOwnWrites(t *testing.T, r *rig) {
	for n := range 50 {
		_, err := r.session.AppendAll(t.Context(), request(
			write(event.Stream("a", fmt.Sprint(n)), event.None, draft("A")),
			write(event.Stream("b", "all"), event.At(event.Version(n)), draft("B"))))
		if err != nil {
			t.Fatal(err)
		}
		if got := collect(t, r.session.Read(t.Context(), event.Stream("b", "all"), lethe.Range{})); len(got) != n+1 {
			t.Fatalf("after append %d: %d events", n+1, len(got))
		}
	}
}

// pageWalk walks by hand, over streams and over the log.
func pageWalk(t *testing.T, r *rig) {
	for n := range 30 {
		r.append(t, stream(fmt.Sprint(n%2)), draft(fmt.Sprint("T", n%3)))
	}
	for _, q := range []storage.Query{
		{}, {Backward: true}, {From: 5, To: 25}, {From: 25, To: 5, Backward: true}, {Stream: stream("1")},
		{Stream: stream("1"), Backward: true, From: 9}, {Filter: event.Filter{{Types: []string{"T1"}}}},
		{Stream: stream("1"), Filter: event.Filter{{Types: []string{"T1"}}}}, {Stream: stream("none")},
	} {
		var whole []event.Position
		for i, e := range r.all(t) {
			n := uint64(i + 1)
			if !q.Stream.IsZero() {
				n = uint64(e.Version)
			}
			low, high := q.From, q.To
			if q.Backward {
				low, high = high, low
			}
			in := (q.Stream.IsZero() || e.Stream == q.Stream) && n >= low && (high == 0 || n <= high)
			if in && q.Filter.Matches(&e) {
				whole = append(whole, e.Position)
			}
		}
		if q.Backward {
			slices.Reverse(whole)
		}
		for _, limit := range []int{1, 4, 1000, 5000} {
			var got []event.Position
			walk := lethe.PageQuery{Query: q}
			walk.Limit = limit
			for done := false; !done; {
				page, err := r.session.Page(t.Context(), walk)
				if err != nil {
					t.Fatalf("%+v: %v", walk, err)
				}
				if len(page.Events) > limit || page.Head != 30 {
					t.Errorf("%+v: %d events as of %d", walk, len(page.Events), page.Head)
				}
				got = append(got, positions(page.Events)...)
				done, walk.From = page.Done, page.Next(walk.Backward)
			}
			if !slices.Equal(whole, got) {
				t.Errorf("%+v by %d: %v, want %v", q, limit, got, whole)
			}
		}
	}
}

func pageRefused(t *testing.T, r *rig) {
	for code, q := range map[string]storage.Query{
		"malformed_limit": {},
		"not_indexed":     {Limit: 1, Filter: event.Filter{{Metadata: map[string]string{"color": "red"}}}},
		"malformed_name":  {Limit: 1, Stream: event.Stream("a/b", "1")},
		"malformed_type":  {Limit: 1, Filter: event.Filter{{Types: []string{"a\xff"}}}},
	} {
		_, err := r.session.Page(t.Context(), lethe.PageQuery{Query: q})
		fails(t, code, err, event.ErrInvalid, code)
	}
}

func eventFound(t *testing.T, r *rig) {
	res := r.append(t, stream("1"), draft("A"), draft("B"))
	e, err := r.session.Event(t.Context(), res.Events[1].ID)
	if err != nil || e.Position != 2 || e.Type != "B" {
		t.Errorf("got %s, %v", e, err)
	}
	_, err = r.session.Event(t.Context(), id(77))
	fails(t, "no such event", err, event.ErrNotFound, "not_found")
	page, err := r.session.Page(t.Context(), lethe.PageQuery{Query: storage.Query{ID: e.ID, Limit: 1}})
	if err != nil || !page.Done || !slices.Equal(positions(page.Events), []event.Position{2}) {
		t.Errorf("page of one: %v, %v", page.Events, err)
	}
}
