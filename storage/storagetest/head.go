package storagetest

import (
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// HeadIdentity holds what a new store says of itself.
func HeadIdentity(t *testing.T, open Open) {
	first, second := read(t, open(t).Store), read(t, open(t).Store)
	for _, c := range []content{first, second} {
		if c.Head.Position != 0 || c.Head.System != 0 || c.Head.Fence != 0 || c.Head.Frontier != nil {
			t.Errorf("a new store is not empty: %+v", c.Head)
		}
		if len(c.Records)+len(c.Streams)+len(c.Checkpoints)+len(c.Tokens) > 0 {
			t.Errorf("a new store holds %d records, %d streams, %d checkpoints, %d tokens",
				len(c.Records), len(c.Streams), len(c.Checkpoints), len(c.Tokens))
		}
		same(t, "lineage", []storage.Fork{{Incarnation: c.Head.Incarnation, First: 1}}, c.Head.Lineage)
		same(t, "indexed keys", slices.Sorted(slices.Values(Indexed())), c.Head.Indexed)
		if c.Head.Incarnation == 0 || c.Head.Store == (event.StoreID{}) || c.Head.Secret == [32]byte{} {
			t.Error("a new store has no incarnation, id or secret")
		}
	}
	if a, b := first.Head, second.Head; a.Store == b.Store || a.Secret == b.Secret || a.Incarnation == b.Incarnation {
		t.Error("two new stores share id, secret or incarnation")
	}
}

// HeadMovesWithCommit holds that Head and Commit tell the state after the last batch.
func HeadMovesWithCommit(t *testing.T, open Open) {
	s := open(t).Store
	want := read(t, s).Head
	for i, batchItems := range [][]Item{
		{item("application", "a")},
		{item("application", "a"), item(event.SystemKind, "streams"), item("application", "b")},
		{item("application", "b"), item("application", "b")},
	} {
		decide := func(h storage.Head, f storage.Found) (storage.Batch, error) {
			same(t, "head given to decide", want, h)
			return batch(h, f, batchItems), nil
		}
		returned, err := s.Commit(t.Context(), probe(batchItems), decide)
		if err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
		want.Position += event.Position(len(batchItems))
		want.Frontier = frontier(want.Position)
		if i == 1 {
			want.System = 3
		}
		same(t, "head that Commit returned", want, returned)
		same(t, "head after Commit", want, read(t, s).Head)
	}
}
