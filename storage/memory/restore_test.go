package memory_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/storagetest"
)

func restore(t *testing.T, from *memory.Store, at event.Position) *memory.Store {
	t.Helper()
	s, err := memory.Restore(from, at, []byte("restored"), seeded(9))
	if err != nil {
		t.Fatalf("restore at %d: %v", at, err)
	}
	return s
}

func commit(t *testing.T, s storage.Store, b storage.Batch) {
	t.Helper()
	_, err := s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return b, nil
	})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func TestRestoreIsAnotherLife(t *testing.T) {
	from := memory.Open(memory.Options{Rand: seeded(1), Indexed: []string{"branch"}})
	system := storagetest.Item{Stream: event.Stream(event.SystemKind, "streams"), Draft: event.Draft{Type: "lethe.T"}}
	records := storagetest.Append(t, from, item("a"), system, item("b"), item("a"), system, item("c"))
	old := head(t, from)

	s := restore(t, from, 4)
	want := old
	want.Position, want.System, want.Frontier = 4, 2, []byte("restored")
	got := head(t, s)
	want.Incarnation = got.Incarnation
	want.Lineage = []storage.Fork{{Incarnation: old.Incarnation, First: 1}, {Incarnation: got.Incarnation, First: 5}}
	if diff := cmp.Diff(want, got); diff != "" || got.Incarnation == old.Incarnation {
		t.Errorf("head of a restored store (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(records[:4], stripped(page(t, s, storage.Query{}).Records)); diff != "" {
		t.Errorf("records of a restored store (-want +got):\n%s", diff)
	}

	// Both lives go their own way, from their own versions and ids.
	storagetest.Append(t, s, item("a"), item("b"))
	storagetest.Append(t, from, item("a"))
	if a, b := page(t, s, storage.Query{Stream: item("a").Stream}), page(t, from, storage.Query{}); a.Scanned != 3 ||
		b.Head != 7 || a.Head != 6 {
		t.Errorf("after the fork: stream at %d, heads %d and %d", a.Scanned, a.Head, b.Head)
	}
	if diff := cmp.Diff(old.Lineage, head(t, from).Lineage); diff != "" {
		t.Errorf("restoring changed the lineage it came from (-before +after):\n%s", diff)
	}

	third := restore(t, s, 5)
	if l := head(t, third).Lineage; len(l) != 3 || l[1].First != 5 || l[2].First != 6 {
		t.Errorf("lineage of a restored restore: %v", l)
	}
	if h := head(t, restore(t, from, 0)); h.Position != 0 || h.System != 0 || h.Lineage[1].First != 1 {
		t.Errorf("restored at 0: %+v", h)
	}
	if _, err := memory.Restore(from, 8, nil, nil); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("restore beyond the head: %v", err)
	}
}

// stripped are records as Append returned them: without what only the way in has.
func stripped(records []storage.Record) []storage.Record {
	for i := range records {
		records[i].Terms = nil
	}
	return records
}

func TestRestoreTakesWhatHeldThen(t *testing.T) {
	from := memory.Open(memory.Options{})
	a, b := item("a").Stream, item("b").Stream
	list := make([]storagetest.Item, 300)
	for i := range list {
		list[i] = item("a")
	}
	records := storagetest.Append(t, from, list...)
	tile := func(n uint64) storage.Tile {
		return storage.Tile{ID: storage.TileID{N: n}, Hashes: bytes.Repeat([]byte{byte(n)}, 8192)}
	}
	commit(t, from, storage.Batch{
		Tiles: []storage.Tile{tile(0)}, Streams: []storage.StreamState{{Stream: a, Truncated: 5}},
	})
	storagetest.Append(t, from, append(list, item("b"))...)
	commit(t, from, storage.Batch{
		Tiles:   []storage.Tile{tile(1), {ID: storage.TileID{Level: 9, N: 0}, Hashes: tile(0).Hashes}},
		Streams: []storage.StreamState{{Stream: a, Truncated: 5, Pruned: 5}, {Stream: b, Closed: true}},
	})
	r := records[0]
	if err := from.Rewrite(t.Context(), 0, []storage.Edit{{Position: 1, ID: r.ID, Leaf: r.Leaf}}); err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	note := storage.Checkpoint{Cursor: event.Cursor{Position: 500}, Note: []byte("n")}
	advanced, err := from.Advance(t.Context(), "relay", storage.Checkpoint{}, note)
	if err != nil {
		t.Fatalf("advance: %v", err)
	}

	s := restore(t, from, 511) // one leaf short of the second tile
	streams, err := s.Streams(t.Context(), storage.StreamQuery{Limit: 10})
	if err != nil {
		t.Fatalf("streams: %v", err)
	}
	if diff := cmp.Diff([]storage.StreamState{{Stream: a, Version: 511, Truncated: 5}}, streams); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	tiles, err := s.Tiles(t.Context(), []storage.TileID{{N: 0}})
	if err != nil || !bytes.Equal(tiles[0], tile(0).Hashes) {
		t.Errorf("full tile: %v", err)
	}
	for _, id := range []storage.TileID{{N: 1}, {Level: 9}} {
		if _, err := s.Tiles(t.Context(), []storage.TileID{id}); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("tile %v beyond the fork: %v", id, err)
		}
	}
	if _, err := restore(t, from, 512).Tiles(t.Context(), []storage.TileID{{N: 1}}); err != nil {
		t.Errorf("tile that is full at the fork: %v", err)
	}
	if got := page(t, s, storage.Query{To: 1}).Records[0]; got.Body != nil {
		t.Error("a pruned body came back")
	}
	checkpoint, err := s.Checkpoint(t.Context(), "relay")
	if err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	if diff := cmp.Diff(advanced, checkpoint); diff != "" {
		t.Errorf("checkpoint (-want +got):\n%s", diff)
	}
}
