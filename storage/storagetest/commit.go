package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// CommitAtomic holds that everything in a batch is there once Commit returned.
func CommitAtomic(t *testing.T, open Open) {
	s := open(t).Store
	list := []Item{item("application", "a"), item(event.SystemKind, "streams"), item("customer", "b")}
	tile := storage.Tile{ID: storage.TileID{Level: 1, N: 2}, Hashes: bytes.Repeat([]byte{3}, 8192)}
	closed := storage.StreamState{Stream: list[2].Stream, Closed: true, Truncated: 2, Pruned: 1}
	var b storage.Batch
	head, err := s.Commit(t.Context(), probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		b = batch(h, f, list)
		b.Tiles, b.Streams = []storage.Tile{tile}, []storage.StreamState{closed}
		return b, nil
	})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	closed.Version = 1
	got := read(t, s)
	same(t, "head", head, got.Head)
	same(t, "records", stored(b.Records), got.Records)
	same(t, "streams", []storage.StreamState{
		{Stream: list[0].Stream, Version: 1}, closed, {Stream: list[1].Stream, Version: 1},
	}, got.Streams)
	tiles, err := s.Tiles(t.Context(), []storage.TileID{tile.ID})
	if err != nil {
		t.Fatalf("tiles: %v", err)
	}
	same(t, "tile", tile.Hashes, tiles[0])
}

// CommitDurable holds that a durable engine has everything again when it is opened again, and that an engine that is
// not has nothing left, so that nobody takes it for one.
func CommitDurable(t *testing.T, open Open) {
	e := open(t)
	tile := storage.Tile{ID: storage.TileID{Level: 0, N: 0}, Hashes: bytes.Repeat([]byte{5}, 8192)}
	for i := range 3 {
		records := Append(t, e.Store, append(items(5), item(event.SystemKind, "streams"))...)
		tile.ID.N = uint64(i)
		states := []storage.StreamState{{
			Stream: event.Stream("closed", fmt.Sprint(i)), Closed: true, Truncated: 4, Pruned: 2,
		}}
		b := storage.Batch{Tiles: []storage.Tile{tile}, Streams: states}
		if _, err := e.Store.Commit(t.Context(), storage.Probe{}, give(b)); err != nil {
			t.Fatalf("commit tile: %v", err)
		}
		if err := e.Store.Rewrite(t.Context(), 0, []storage.Edit{edit(records[1])}); err != nil {
			t.Fatalf("rewrite: %v", err)
		}
		from := storage.Checkpoint{Revision: uint64(i)}
		to := storage.Checkpoint{Cursor: event.Cursor{Position: records[5].Position}, Note: []byte("note")}
		if _, err := e.Store.Advance(t.Context(), "relay", from, to); err != nil {
			t.Fatalf("advance: %v", err)
		}
		before := read(t, e.Store)
		if !e.Features.Durable {
			continue
		}
		e.Reopen(t)
		same(t, "store after it was opened again", before, read(t, e.Store))
		tiles, err := e.Store.Tiles(t.Context(), []storage.TileID{tile.ID})
		if err != nil || !bytes.Equal(tiles[0], tile.Hashes) {
			t.Errorf("tile after the store was opened again: %v", err)
		}
	}
	if !e.Features.Durable {
		forgets(t, e, open)
	}
}

func forgets(t *testing.T, e *Engine, open Open) {
	t.Helper()
	before := read(t, e.Store).Head
	if err := e.Store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if _, err := e.Store.Head(t.Context()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("head after Close: %v", err)
	}
	next := read(t, open(t).Store)
	if next.Head.Store == before.Store || len(next.Records) > 0 {
		t.Error("an engine that is not durable opened what another store had kept")
	}
}

// CommitEmpty holds that a batch with nothing in it changes nothing.
func CommitEmpty(t *testing.T, open Open) {
	s := open(t).Store
	for range 2 {
		before := read(t, s)
		head, err := s.Commit(t.Context(), storage.Probe{}, give(storage.Batch{}))
		if err != nil {
			t.Fatalf("commit nothing: %v", err)
		}
		same(t, "head of an empty commit", before.Head, head)
		unchanged(t, s, before)
		Append(t, s, item(event.SystemKind, "streams"), item("application", "a"))
	}
	// Stream states alone leave frontier and last system event as they are.
	before := read(t, s)
	want := storage.StreamState{Stream: event.Stream("application", "a"), Version: 2, Truncated: 1}
	alone := storage.Batch{Streams: []storage.StreamState{want}}
	head, err := s.Commit(t.Context(), storage.Probe{}, give(alone))
	if err != nil {
		t.Fatalf("commit stream state: %v", err)
	}
	same(t, "head after a batch without records", before.Head, head)
	before.Streams[0] = want
	unchanged(t, s, before)
}

// CommitKeepsRecords holds that records come back as they went in.
func CommitKeepsRecords(t *testing.T, open Open) {
	s := open(t).Store
	long := string(bytes.Repeat([]byte("x"), event.MaxIDBytes))
	full := Item{
		Stream:   event.Stream("application", "ünï/"+long[:200]),
		Recorded: math.MinInt64 / 1000, Boxes: []byte{0, 255, 0},
		Draft: event.Draft{
			ID: event.ID{15: 1}, Type: "Application registered – ünï", Schema: event.SchemaID{1, 2, 3},
			OccurredAt: time.UnixMicro(-1).UTC(), Correlation: long, Causation: event.ID{0: 255},
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Producer:    event.Producer{Name: "loans", Version: "1", Commit: "abc"},
			Relations: []event.Relation{
				{Role: "affected", Kind: "account", ID: long}, {Role: "issuer", Kind: "employee", ID: "112"},
			},
			Metadata: map[string]string{"channel": "", "branch": "Gouda", "note": "not indexed"},
			Data:     []byte(`{"text":"` + string(bytes.Repeat([]byte("y"), 200_000)) + `"}`),
		},
	}
	bare := Item{Stream: event.Stream("b", "1"), Draft: event.Draft{Type: "B"}, Recorded: math.MaxInt64 / 1000}
	list := []Item{full, bare, item("application", "a"), item("application", "stub")}
	var want []storage.Record
	_, err := s.Commit(t.Context(), probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		b := batch(h, f, list)
		b.Records[2].Commitments, b.Records[2].Boxes = []byte{}, []byte{} // nothing in them: nil on the way out
		b.Records[3] = pruned(b.Records[3])                               // as a copy of a store would hand it in
		want = stored(b.Records)
		want[2].Commitments, want[2].Boxes = nil, nil
		return b, nil
	})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	got := readAll(t, s, storage.Query{})
	same(t, "records", want, got)
	for i, it := range list[:3] {
		e, err := got[i].Event()
		if err != nil {
			t.Fatalf("decode record %d: %v", i, err)
		}
		it.Draft.ID = e.ID
		same(t, "draft", it.Draft, e.Draft)
	}
}

// CommitGapless holds that no failure leaves a gap in positions or versions.
func CommitGapless(t *testing.T, open Open) {
	s := open(t).Store
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 10 {
		Append(t, s, items(3)...)
		if _, err := commit(ended, s, items(2)...); err == nil {
			t.Fatal("a commit with an ended context went through")
		}
		refused := errors.New("refused")
		_, err := s.Commit(t.Context(), storage.Probe{}, func(h storage.Head, f storage.Found) (storage.Batch, error) {
			return batch(h, f, items(2)), refused
		})
		if !errors.Is(err, refused) {
			t.Fatalf("commit %d: %v", i, err)
		}
		_, err = s.Commit(t.Context(), storage.Probe{}, func(h storage.Head, f storage.Found) (storage.Batch, error) {
			b := batch(h, f, []Item{item("gap", fmt.Sprint(i))})
			b.Records[0].Position++
			return b, nil
		})
		if !errors.Is(err, storage.ErrRefused) {
			t.Fatalf("commit with a gap: %v", err)
		}
	}
	gapless(t, readAll(t, s, storage.Query{}), 30)
}

// gapless checks that records are positions 1 to n, each stream's versions in order, and no id twice.
func gapless(t *testing.T, records []storage.Record, n int) {
	t.Helper()
	if len(records) != n {
		t.Fatalf("the log holds %d events, want %d", len(records), n)
	}
	versions := map[event.StreamID]event.Version{}
	ids := map[event.ID]bool{}
	for i, r := range records {
		versions[r.Stream]++
		if r.Position != event.Position(i+1) || r.Version != versions[r.Stream] || ids[r.ID] {
			t.Fatalf("place %d holds %s, want version %d and an id of its own", i+1, r, versions[r.Stream])
		}
		ids[r.ID] = true
	}
}

// CommitConcurrent holds that commits of many goroutines happen one after the other, each as a whole, while readers
// see the log grow without gaps.
func CommitConcurrent(t *testing.T, open Open) {
	const writers, commits = 8, 30
	s := open(t).Store
	var inside, decided atomic.Int64
	var sum atomic.Int64
	write := func(ctx context.Context, w, i int) error {
		list := []Item{item("shared", fmt.Sprint((w+i)%3)), item("own", fmt.Sprint(w)), item("shared", "all")}
		list = list[:1+(w+i)%3]
		sum.Add(int64(len(list)))
		_, err := s.Commit(ctx, probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
			if decided.Add(1); inside.Add(1) != 1 {
				return storage.Batch{}, errors.New("two decide at once")
			}
			defer inside.Add(-1)
			return batch(h, f, list), nil
		})
		return err
	}
	errs := make(chan error, writers+2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range commits {
				if err := write(ctx, w, i); err != nil {
					errs <- fmt.Errorf("writer %d, commit %d: %w", w, i, err)
					return
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() { errs <- follow(ctx, s) })
	}
	writing.Wait()
	gapless(t, readAll(t, s, storage.Query{}), int(sum.Load()))
	if decided.Load() != writers*commits {
		t.Errorf("decide was called %d times for %d commits", decided.Load(), writers*commits)
	}
	Append(t, s, item("end", "1"))
	reading.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// follow reads a growing log until an event of kind end, and checks that each position comes once, in order.
func follow(ctx context.Context, s storage.Store) error {
	next := event.Position(1)
	for {
		page, err := s.Page(ctx, storage.Query{From: uint64(next), Limit: 7})
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		for _, r := range page.Records {
			if r.Position != next || r.Position > page.Head {
				return fmt.Errorf("follow: got position %d instead of %d under head %d", r.Position, next, page.Head)
			}
			if next++; r.Stream.Kind == "end" {
				return nil
			}
		}
		if err := s.Wait(ctx, next-1); err != nil {
			return fmt.Errorf("follow: %w", err)
		}
	}
}

// CommitRefused holds that an error of decide comes back as it is and nothing has happened.
func CommitRefused(t *testing.T, open Open) {
	s := open(t).Store
	Append(t, s, items(4)...)
	before := read(t, s)
	for _, refused := range []error{errors.New("refused"), event.ErrConflict, event.Invalid("oversized", "too much")} {
		decide := func(h storage.Head, f storage.Found) (storage.Batch, error) {
			return batch(h, f, []Item{item("new", "1")}), refused
		}
		head, err := s.Commit(t.Context(), storage.Probe{}, decide)
		if err != refused { //nolint:errorlint // as it is means the same value
			t.Errorf("Commit returned %v instead of decide's %v", err, refused)
		}
		same(t, "head of a refused commit", storage.Head{}, head)
		unchanged(t, s, before)
	}
	Append(t, s, items(1)...)
}

// CommitChecked holds that a batch that does not continue the log is refused as a whole.
func CommitChecked(t *testing.T, open Open) {
	s := open(t).Store
	old := Append(t, s, items(4)...)
	tile := storage.Tile{ID: storage.TileID{Level: 0, N: 3}, Hashes: bytes.Repeat([]byte{1}, 8192)}
	closed := event.Stream("application", "closed")
	first := storage.Batch{
		Tiles: []storage.Tile{tile}, Streams: []storage.StreamState{{Stream: closed, Closed: true}},
	}
	if _, err := s.Commit(t.Context(), storage.Probe{}, give(first)); err != nil {
		t.Fatalf("commit tile and closed stream: %v", err)
	}
	before := read(t, s)
	list := []Item{item("application", "a0"), item("new", "1"), item("new", "1")}
	for name, spoil := range map[string]func(b *storage.Batch){
		"position repeated":          func(b *storage.Batch) { b.Records[0].Position-- },
		"position skipped":           func(b *storage.Batch) { b.Records[2].Position++ },
		"positions swapped":          func(b *storage.Batch) { slices.Reverse(b.Records[1:]) },
		"position zero":              func(b *storage.Batch) { b.Records[0].Position = 0 },
		"position huge":              func(b *storage.Batch) { b.Records[0].Position = math.MaxUint64 },
		"version repeated":           func(b *storage.Batch) { b.Records[0].Version-- },
		"version skipped":            func(b *storage.Batch) { b.Records[0].Version++ },
		"version skipped in batch":   func(b *storage.Batch) { b.Records[2].Version++ },
		"version repeated in batch":  func(b *storage.Batch) { b.Records[2].Version-- },
		"version of a new stream":    func(b *storage.Batch) { b.Records[1].Version = 0 },
		"version huge":               func(b *storage.Batch) { b.Records[0].Version = math.MaxUint64 },
		"id in the log":              func(b *storage.Batch) { b.Records[2].ID = old[1].ID },
		"id twice in the batch":      func(b *storage.Batch) { b.Records[2].ID = b.Records[0].ID },
		"id zero":                    func(b *storage.Batch) { b.Records[1].ID = event.ID{} },
		"stream closed":              func(b *storage.Batch) { b.Records[2].Stream, b.Records[2].Version = closed, 1 },
		"stream opened in the batch": func(b *storage.Batch) { reopened(b, closed) },
		"tile stored":                func(b *storage.Batch) { b.Tiles = []storage.Tile{tile} },
	} {
		_, err := s.Commit(t.Context(), probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
			b := batch(h, f, list)
			b.Tiles = []storage.Tile{{ID: storage.TileID{Level: 9, N: 9}, Hashes: tile.Hashes}}
			b.Streams = []storage.StreamState{{Stream: list[0].Stream, Closed: true}}
			spoil(&b)
			return b, nil
		})
		if !errors.Is(err, storage.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		unchanged(t, s, before)
		if _, err := s.Tiles(t.Context(), []storage.TileID{{Level: 9, N: 9}}); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%s: the tile of a refused batch: %v", name, err)
		}
	}
	Append(t, s, list...)
}

func reopened(b *storage.Batch, closed event.StreamID) {
	b.Records[2].Stream, b.Records[2].Version = closed, 1
	b.Streams = append(b.Streams, storage.StreamState{Stream: closed})
}
