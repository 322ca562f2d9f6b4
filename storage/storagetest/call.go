package storagetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// tokenID names the token that must be there before calls are made.
const tokenID = "called"

// calls are all calls of a store but Close, each of which would do something if it could.
func calls(s storage.Store, r storage.Record) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Head": func(ctx context.Context) error {
			_, err := s.Head(ctx)
			return err
		},
		"Commit": func(ctx context.Context) error {
			_, err := commit(ctx, s, items(2)...)
			return err
		},
		"Page": func(ctx context.Context) error {
			_, err := s.Page(ctx, storage.Query{Limit: 1})
			return err
		},
		"Wait":    func(ctx context.Context) error { return s.Wait(ctx, 0) },
		"Rewrite": func(ctx context.Context) error { return s.Rewrite(ctx, 0, []storage.Edit{edit(r)}) },
		"Tiles": func(ctx context.Context) error {
			_, err := s.Tiles(ctx, nil)
			return err
		},
		"Scrub": func(ctx context.Context) error {
			_, err := s.Scrub(ctx)
			return err
		},
		"Streams": func(ctx context.Context) error {
			_, err := s.Streams(ctx, storage.StreamQuery{Limit: 1})
			return err
		},
		"Checkpoint": func(ctx context.Context) error {
			_, err := s.Checkpoint(ctx, "relay")
			return err
		},
		"Advance": func(ctx context.Context) error {
			_, err := s.Advance(ctx, "relay", storage.Checkpoint{}, storage.Checkpoint{})
			return err
		},
		"Checkpoints": func(ctx context.Context) error {
			_, err := s.Checkpoints(ctx)
			return err
		},
		"Token": func(ctx context.Context) error {
			_, err := s.Token(ctx, tokenID)
			return err
		},
		"Tokens": func(ctx context.Context) error {
			_, err := s.Tokens(ctx)
			return err
		},
		"AddToken": func(ctx context.Context) error { return s.AddToken(ctx, token("added")) },
		"RevokeToken": func(ctx context.Context) error {
			_, err := s.RevokeToken(ctx, tokenID, 1)
			return err
		},
		"UseTokens": func(ctx context.Context) error { return s.UseTokens(ctx, map[string]int64{tokenID: 1}) },
		"Fences": func(ctx context.Context) error {
			_, err := s.Fences(ctx, 0, 1)
			return err
		},
		"Sizes": func(ctx context.Context) error {
			_, err := s.Sizes(ctx)
			return err
		},
	}
}

// heirCalls are those that only a store of another kind would do something for; here they are refused.
func heirCalls(s storage.Store) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Adopt":   func(ctx context.Context) error { return s.Adopt(ctx, heritage()) },
		"Inherit": func(ctx context.Context) error { return s.Inherit(ctx, nil, nil) },
		"InheritFences": func(ctx context.Context) error {
			return s.InheritFences(ctx, 1, []storage.Fence{{Number: 1}})
		},
	}
}

// ContextEnded holds that a call with a context that has ended does nothing and says so.
func ContextEnded(t *testing.T, open Open) {
	s := open(t).Store
	r := Append(t, s, items(3)...)[0]
	addTokens(t, s, token(tokenID))
	before := read(t, s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	all := calls(s, r)
	maps.Copy(all, heirCalls(s))
	for name, call := range all {
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	decided := false
	_, err := s.Commit(ended, storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		decided = true
		return storage.Batch{}, nil
	})
	if decided || !errors.Is(err, context.Canceled) {
		t.Errorf("Commit with an ended context decided (%t): %v", decided, err)
	}
	unchanged(t, s, before)
	for name, call := range calls(s, r) { // the calls were good ones
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// CloseEnds holds that nothing works after Close, and that Close may be repeated.
func CloseEnds(t *testing.T, open Open) {
	s := open(t).Store
	r := Append(t, s, items(3)...)[0]
	addTokens(t, s, token(tokenID))
	ended := waiters(t.Context(), s)
	for range 10 { // time for them to get into Wait; an append would wake them
		read(t, s)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	for err := range ended {
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("Wait that was waiting when the store closed: %v", err)
		}
	}
	all := calls(s, r)
	maps.Copy(all, heirCalls(s))
	for name, call := range all {
		if err := call(t.Context()); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// CopyKept holds that callers may overwrite what they gave and what they got.
func CopyKept(t *testing.T, open Open) {
	s := open(t).Store
	identity := read(t, s).Head.Identity
	identity.Lineage, identity.Indexed = slices.Clone(identity.Lineage), slices.Clone(identity.Indexed)
	list := items(3)
	var given storage.Batch
	decide := func(h storage.Head, f storage.Found) (storage.Batch, error) {
		given = batch(h, f, list)
		given.Tiles = []storage.Tile{{Hashes: bytes.Repeat([]byte{7}, 8192)}}
		scribbleHead(h)
		return given, nil
	}
	returned, err := s.Commit(t.Context(), probe(list), decide)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	to := storage.Checkpoint{Note: []byte("note")}
	advanced, err := s.Advance(t.Context(), "relay", storage.Checkpoint{}, to)
	if err != nil {
		t.Fatalf("advance: %v", err)
	}
	wantRecords := stored(given.Records)
	for i := range wantRecords {
		wantRecords[i].Body = bytes.Clone(wantRecords[i].Body)
		wantRecords[i].Commitments = bytes.Clone(wantRecords[i].Commitments)
		wantRecords[i].Boxes = bytes.Clone(wantRecords[i].Boxes)
	}
	wantTile := bytes.Clone(given.Tiles[0].Hashes)

	scribbleRecords(given.Records)
	scribble(given.Frontier, given.Tiles[0].Hashes, to.Note, advanced.Note)
	scribbleHead(returned)
	before := read(t, s)
	same(t, "identity after its slices were overwritten", identity, before.Head.Identity)
	same(t, "records after their slices were overwritten", wantRecords, before.Records)
	same(t, "frontier after its slice was overwritten", frontier(3), before.Head.Frontier)
	same(t, "note after its slice was overwritten", []byte("note"), before.Checkpoints[0].Note)
	tokensKept(t, s)
	before = read(t, s)

	got := read(t, s)
	scribbleRecords(got.Records)
	scribbleHead(got.Head)
	scribble(got.Checkpoints[0].Note)
	scribbleTokens(got.Tokens...)
	for range 2 {
		tiles, err := s.Tiles(t.Context(), []storage.TileID{{}})
		if err != nil {
			t.Fatalf("tiles: %v", err)
		}
		same(t, "tile", wantTile, tiles[0])
		scribble(tiles[0])
	}
	unchanged(t, s, before)
}

func scribble(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] = 0xee
		}
	}
}

func scribbleRecords(records []storage.Record) {
	for i := range records {
		scribble(records[i].Body, records[i].Commitments, records[i].Boxes)
		records[i] = storage.Record{}
	}
}

func scribbleHead(h storage.Head) {
	scribble(h.Frontier)
	for i := range h.Lineage {
		h.Lineage[i] = storage.Fork{}
	}
	for i := range h.Indexed {
		h.Indexed[i] = "scribble"
	}
}
