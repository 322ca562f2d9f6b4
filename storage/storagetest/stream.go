package storagetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// StreamsListed holds that all streams are listed, in the order of their bytes, page by page.
func StreamsListed(t *testing.T, open Open) {
	s := open(t).Store
	ids := []event.StreamID{ // in order; each has a neighbour that another order would misplace
		event.Stream("B", "1"), event.Stream("a", "1"), event.Stream("a", "10"), event.Stream("a", "2"),
		event.Stream("a", "Z"), event.Stream("a", "a"), event.Stream("a", "é"), event.Stream("a-b", "0"),
		event.Stream("ab", "1"), event.Stream("b", "1"), event.Stream(event.SystemKind, "streams"),
	}
	var list []Item
	for _, id := range slices.Backward(ids) {
		list = append(list, Item{Stream: id, Draft: event.Draft{Type: "T"}})
	}
	Append(t, s, list...)
	Append(t, s, list[:4]...)
	var want []storage.StreamState
	for i, id := range ids {
		state := storage.StreamState{Stream: id, Version: 1}
		if i >= len(ids)-4 {
			state.Version = 2
		}
		want = append(want, state)
	}
	pending := []storage.StreamState{{Stream: ids[2], Truncated: 1}, {Stream: ids[3], Truncated: 2, Pruned: 2}}
	set(t, s, append(pending, storage.StreamState{Stream: ids[8], Truncated: 2, Pruned: 1})...)
	want[2].Truncated, want[3].Truncated, want[3].Pruned, want[8].Truncated, want[8].Pruned = 1, 2, 2, 2, 1

	listed := func(what string, q storage.StreamQuery, want []storage.StreamState) {
		t.Helper()
		for _, q.Limit = range []int{1, 2, 3, len(ids), 1000} {
			same(t, what, want, listAll(t, s, q))
		}
	}
	listed("all streams", storage.StreamQuery{}, want)
	listed("streams of kind a", storage.StreamQuery{Kind: "a"}, want[1:7])
	listed("streams of an unknown kind", storage.StreamQuery{Kind: "none"}, nil)
	listed("system streams", storage.StreamQuery{Kind: event.SystemKind}, want[10:])
	listed("streams after one", storage.StreamQuery{After: ids[4]}, want[5:])
	listed("streams after one that is not there", storage.StreamQuery{After: event.Stream("a", "1~")}, want[3:])
	listed("streams of kind a after one of B", storage.StreamQuery{After: ids[0], Kind: "a"}, want[1:7])
	listed("streams of kind a after one of b", storage.StreamQuery{After: ids[9], Kind: "a"}, nil)
	listed("streams after the last", storage.StreamQuery{After: ids[10]}, nil)
	listed("pending streams", storage.StreamQuery{Pending: true}, []storage.StreamState{want[2], want[8]})
	listed("pending streams of kind a", storage.StreamQuery{Pending: true, Kind: "a"}, want[2:3])
	for _, limit := range []int{0, -1} {
		if _, err := s.Streams(t.Context(), storage.StreamQuery{Limit: limit}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("streams with a limit of %d: %v", limit, err)
		}
	}
}

func listAll(t *testing.T, s storage.Store, q storage.StreamQuery) (all []storage.StreamState) {
	t.Helper()
	for {
		page, err := s.Streams(t.Context(), q)
		if err != nil {
			t.Fatalf("streams after %s: %v", q.After, err)
		}
		if len(page) > q.Limit || len(all) > 100 {
			t.Fatalf("%d streams with a limit of %d, after %d of them", len(page), q.Limit, len(all))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		q.After = page[len(page)-1].Stream
	}
}

// set commits stream states alone.
func set(t testing.TB, s storage.Store, states ...storage.StreamState) {
	t.Helper()
	if _, err := s.Commit(t.Context(), storage.Probe{}, give(storage.Batch{Streams: states})); err != nil {
		t.Fatalf("commit stream states: %v", err)
	}
}

// StreamStateKept holds that a state is kept as it was set last, and that versions are the engine's own.
func StreamStateKept(t *testing.T, open Open) {
	e := open(t)
	a, early := event.Stream("application", "a"), event.Stream("application", "early")
	expect := func(want ...storage.StreamState) {
		t.Helper()
		same(t, "states as listed", want, read(t, e.Store).Streams)
		var p storage.Probe
		for _, state := range want {
			p.Streams = append(p.Streams, state.Stream)
		}
		same(t, "states as probed", want, ask(t, e.Store, p).Streams)
	}
	Append(t, e.Store, Item{Stream: a, Draft: event.Draft{Type: "T"}})
	set(t, e.Store, storage.StreamState{Stream: a, Version: 99, Truncated: 5},
		storage.StreamState{Stream: early, Version: 99, Closed: true})
	expect(storage.StreamState{Stream: a, Version: 1, Truncated: 5}, storage.StreamState{Stream: early, Closed: true})
	Append(t, e.Store, Item{Stream: a, Draft: event.Draft{Type: "T"}})
	expect(storage.StreamState{Stream: a, Version: 2, Truncated: 5}, storage.StreamState{Stream: early, Closed: true})
	e.Reopen(t)
	closed := storage.StreamState{Stream: a, Closed: true, Pruned: 3}
	set(t, e.Store, closed, storage.StreamState{Stream: early})
	closed.Version = 2
	expect(closed, storage.StreamState{Stream: early})
	Append(t, e.Store, Item{Stream: early, Draft: event.Draft{Type: "T"}})
	expect(closed, storage.StreamState{Stream: early, Version: 1})
}
