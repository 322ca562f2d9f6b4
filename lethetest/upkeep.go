package lethetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

func streamClosed(t *testing.T, r *rig) {
	ctx := t.Context()
	r.append(t, stream("1"), withID(1, "A"))
	if err := r.session.CloseStream(ctx, stream("1")); err != nil {
		t.Fatal(err)
	}
	r.unchanged(t, "closed stream", func() {
		_, err := r.session.Append(ctx, stream("1"), event.Any, draft("B"))
		fails(t, "append", err, event.ErrClosed, "stream_closed")
		fails(t, "again", r.session.CloseStream(ctx, stream("1")), event.ErrClosed, "stream_closed")
		fails(t, "unknown", r.session.CloseStream(ctx, stream("2")), event.ErrNotFound, "not_found")
		fails(t, "reserved", r.session.CloseStream(ctx, event.Stream("lethe", "streams")), event.ErrInvalid, "reserved")
		err = r.session.CloseStream(ctx, event.Stream("a/b", "1"))
		fails(t, "no stream", err, event.ErrInvalid, "malformed_name")
		res, err := r.session.Append(ctx, stream("1"), event.Any, withID(1, "A"))
		if err != nil || !res.Repeated {
			t.Errorf("an append from before it was closed is known still: %+v, %v", res, err)
		}
	})
	record := r.all(t)[1]
	want := []event.Relation{{Role: "affected", Kind: "application", ID: "1"}, clerk().Issuer()}
	same(t, "who closed what", want, record.Relations)
}

func streamTruncated(t *testing.T, r *rig) {
	ctx := t.Context()
	r.append(t, stream("1"), drafts("A", 4)...)
	if err := r.session.TruncateStream(ctx, stream("1"), 3); err != nil {
		t.Fatal(err)
	}
	read := func(q lethe.Range) []event.Event { return collect(t, r.session.Read(ctx, stream("1"), q)) }
	same(t, "what is left", []event.Version{3, 4}, versions(read(lethe.Range{})))
	stubs := read(lethe.Range{Pruned: true})
	if len(stubs) != 4 || !stubs[0].Pruned || stubs[0].Type != "A" || stubs[0].Leaf == [32]byte{} || stubs[2].Pruned {
		t.Errorf("stubs keep header and leaf: %v", stubs)
	}
	if e, err := r.session.Event(ctx, stubs[1].ID); err != nil || !e.Pruned || len(e.Relations) > 0 {
		t.Errorf("a truncated event by its id: %s, %v", e, err)
	}
	r.unchanged(t, "refused truncation", func() {
		for _, before := range []event.Version{0, 1, 3, 6} {
			err := r.session.TruncateStream(ctx, stream("1"), before)
			fails(t, fmt.Sprint("before ", before), err, event.ErrInvalid, "malformed_version")
		}
		fails(t, "unknown", r.session.TruncateStream(ctx, stream("2"), 2), event.ErrNotFound, "not_found")
	})
	if err := r.session.TruncateStream(ctx, stream("1"), 5); err != nil {
		t.Fatal(err)
	}
	same(t, "nothing is left", []event.Version{}, versions(read(lethe.Range{})))
	r.append(t, stream("1"), draft("B"))
	same(t, "versions go on", []event.Version{5}, versions(read(lethe.Range{})))
}

func maxAge(t *testing.T, r *rig) {
	ctx := t.Context()
	for range 3 {
		r.append(t, stream("1"), draft("A"))
		r.append(t, event.Stream("loan", "1"), draft("A"))
		r.clock.Advance(time.Hour)
	}
	for code, set := range map[string]func() error{
		"malformed_age":  func() error { return r.session.SetMaxAge(ctx, "application", time.Millisecond) },
		"malformed_name": func() error { return r.session.SetMaxAge(ctx, "a/b", time.Hour) },
	} {
		r.unchanged(t, code, func() { fails(t, code, set(), event.ErrInvalid, code) })
	}
	for kind, age := range map[string]time.Duration{"application": 90 * time.Minute, "loan": time.Hour, "x": time.Second} {
		if err := r.session.SetMaxAge(ctx, kind, age); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"loan", "x"} {
		if err := r.session.SetMaxAge(ctx, kind, 0); err != nil {
			t.Fatal(err)
		}
	}
	ages, err := r.MaxAges(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "limits in force", map[string]time.Duration{"application": 90 * time.Minute}, ages)
	for _, want := range []int{1, 0} {
		if n, err := r.session.Expire(ctx); n != want || err != nil {
			t.Errorf("expire: %d streams, want %d, %v", n, want, err)
		}
	}
	same(t, "young enough", []event.Version{3}, versions(collect(t, r.session.Read(ctx, stream("1"), lethe.Range{}))))
	loans := collect(t, r.session.Read(ctx, event.Stream("loan", "1"), lethe.Range{}))
	same(t, "without limit", []event.Version{1, 2, 3}, versions(loans))
}

func streamsListed(t *testing.T, r *rig) {
	ctx := t.Context()
	const n = 1500
	for i := range n {
		if i%500 == 0 {
			r.append(t, event.Stream("loan", fmt.Sprint(i)), drafts("A", 3)...)
		}
	}
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%04d", i))
	}
	for i := 0; i < n; i += 500 {
		req := request()
		for _, id := range list[i : i+500] {
			req.Writes = append(req.Writes, write(stream(id), event.None, draft("A")))
		}
		if _, err := r.session.AppendAll(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(q storage.StreamQuery) []storage.StreamState {
		states, err := r.Streams(ctx, q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		return states
	}
	all := ask(storage.StreamQuery{Kind: "application", Limit: 5000})
	if len(all) != n || all[n-1].Stream != stream("1499") {
		t.Errorf("%d streams", len(all))
	}
	if some := ask(storage.StreamQuery{Limit: 1200}); len(some) != 1200 || some[1199].Stream != stream("1199") {
		t.Errorf("%d streams", len(some))
	}
	if err := r.session.TruncateStream(ctx, event.Stream("loan", "0"), 3); err != nil {
		t.Fatal(err)
	}
	if err := r.session.CloseStream(ctx, event.Stream("loan", "500")); err != nil {
		t.Fatal(err)
	}
	want := []storage.StreamState{
		{Stream: stream("1499"), Version: 1},
		{Stream: event.Stream("lethe", "streams"), Version: 2},
		{Stream: event.Stream("loan", "0"), Version: 3, Truncated: 3, Pruned: 3},
		{Stream: event.Stream("loan", "1000"), Version: 3},
		{Stream: event.Stream("loan", "500"), Version: 3, Closed: true},
	}
	same(t, "after a stream", want, ask(storage.StreamQuery{After: stream("1498~"), Limit: 10}))
	same(t, "one kind", want[2:4], ask(storage.StreamQuery{Kind: "loan", Limit: 2}))
	if got := ask(storage.StreamQuery{Pending: true, Limit: 10}); len(got) != 0 {
		t.Errorf("unfinished truncations: %v", got)
	}
	_, err := r.Streams(ctx, storage.StreamQuery{})
	fails(t, "no limit", err, event.ErrInvalid, "malformed_limit")
}
