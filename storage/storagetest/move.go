package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// heritage is the head of a log of another store: of its second life, with a fence.
func heritage() storage.Head {
	return storage.Head{
		Identity: storage.Identity{
			Store: event.StoreID{1, 2, 0xff}, Incarnation: 1<<63 + 5, Secret: [32]byte{7, 8, 0xfe},
			Lineage: []storage.Fork{{Incarnation: 9, First: 1}, {Incarnation: 1<<63 + 5, First: 41}},
			Indexed: slices.Sorted(slices.Values(Indexed())),
		},
		Position: 99, System: 3, Fence: 12, Frontier: []byte("of the other"),
	}
}

// adopted is the head of a store that took over heritage.
func adopted() storage.Head {
	h := heritage()
	return storage.Head{Identity: h.Identity, Fence: h.Fence, Life: storage.Life{State: storage.Filling}}
}

func adopt(t testing.TB, s storage.Store, h storage.Head) {
	t.Helper()
	if err := s.Adopt(t.Context(), h); err != nil {
		t.Fatalf("adopt: %v", err)
	}
}

// become sets what may be done with a log.
func become(t testing.TB, s storage.Store, l storage.Life) storage.Head {
	t.Helper()
	h, err := s.Commit(t.Context(), storage.Probe{}, give(storage.Batch{Life: &l}))
	if err != nil {
		t.Fatalf("become %s: %v", l.State, err)
	}
	return h
}

// changes are the calls, but for Commit and Rewrite, that change what a store keeps.
func changes(ctx context.Context, s storage.Store) map[string]func() error {
	return map[string]func() error{
		"Advance": func() error {
			_, err := s.Advance(ctx, "relay", storage.Checkpoint{Revision: 1}, storage.Checkpoint{})
			return err
		},
		"Advance of a new follower": func() error {
			_, err := s.Advance(ctx, "new", storage.Checkpoint{}, storage.Checkpoint{})
			return err
		},
		"AddToken": func() error { return s.AddToken(ctx, token("added")) },
		"RevokeToken": func() error {
			_, err := s.RevokeToken(ctx, tokenID, 1)
			return err
		},
		"UseTokens": func() error { return s.UseTokens(ctx, map[string]int64{tokenID: 1}) },
	}
}

func refusesChanges(t *testing.T, s storage.Store, sentinel error, code string) {
	t.Helper()
	before := read(t, s)
	for name, change := range changes(t.Context(), s) {
		if err := change(); !errors.Is(err, sentinel) || event.Code(err) != code {
			t.Errorf("%s in a store that is %s: %v", name, before.Head.Life.State, err)
		}
	}
	unchanged(t, s, before)
}

// LifeKept holds that a batch sets what may be done with a log, alone and with records, and that others leave it.
func LifeKept(t *testing.T, open Open) {
	e := open(t)
	if l := read(t, e.Store).Head.Life; l != (storage.Life{}) || l.State != storage.Live {
		t.Errorf("a new store is %+v", l)
	}
	for i, life := range []storage.Life{
		{State: storage.Filling}, {State: storage.Live}, {State: storage.Filling, Place: "/backup/é"},
		{State: storage.Live}, {State: storage.Moving, Place: "postgres://lethe@db:5432/bank?schema=lethe"},
	} {
		var b storage.Batch
		decide := func(h storage.Head, f storage.Found) (storage.Batch, error) {
			if b = (storage.Batch{}); i%2 == 0 {
				b = batch(h, f, items(2))
			}
			b.Life = &life
			return b, nil
		}
		want := read(t, e.Store).Head
		want.Position += event.Position(2 * ((i + 1) % 2))
		want.Life = life
		got, err := e.Store.Commit(t.Context(), probe(items(2)), decide)
		if err != nil {
			t.Fatalf("commit a life: %v", err)
		}
		if b.Frontier != nil {
			want.Frontier = b.Frontier
		}
		same(t, "head that Commit returned", want, got)
		e.Reopen(t)
		same(t, "head", want, read(t, e.Store).Head)
		var seen storage.Head
		_, err = e.Store.Commit(t.Context(), storage.Probe{},
			func(h storage.Head, _ storage.Found) (storage.Batch, error) {
				seen = h
				return storage.Batch{Streams: []storage.StreamState{{Stream: event.Stream("k", "s")}}}, nil
			})
		if err != nil {
			t.Fatalf("commit a stream: %v", err)
		}
		same(t, "head given to decide", want, seen)
		same(t, "head after a batch without a life", want, read(t, e.Store).Head)
	}
}

// MovedRefuses holds that nothing is added to a sealed log, and that it may still be read and pruned.
func MovedRefuses(t *testing.T, open Open) {
	e := open(t)
	r := Append(t, e.Store, items(4)...)
	advance(t, e.Store, "relay", storage.Checkpoint{}, storage.Checkpoint{})
	addTokens(t, e.Store, token(tokenID))
	for i, life := range []storage.State{storage.Moving, storage.Moving, storage.Moved, storage.Moved} {
		if i%2 == 0 {
			become(t, e.Store, storage.Life{State: life, Place: "/there"})
		}
		before := read(t, e.Store)
		if _, err := commit(t.Context(), e.Store, items(1)...); !errors.Is(err, storage.ErrRefused) {
			t.Errorf("append to a log that is %s: %v", life, err)
		}
		unchanged(t, e.Store, before)
		if life == storage.Moving {
			refusesChanges(t, e.Store, event.ErrClosed, "moving")
		} else {
			refusesChanges(t, e.Store, event.ErrClosed, "moved")
		}
		e.Reopen(t)
	}
	if err := e.Store.Rewrite(t.Context(), 0, []storage.Edit{edit(r[0])}); err != nil {
		t.Errorf("rewrite a log that moved: %v", err)
	}
	state := storage.StreamState{Stream: r[0].Stream, Version: 2, Truncated: 2, Pruned: 2}
	set(t, e.Store, state)
	after := read(t, e.Store)
	same(t, "a pruned record", pruned(r[0]), after.Records[0])
	same(t, "a stream", state, after.Streams[0])
	become(t, e.Store, storage.Life{})
	for name, change := range changes(t.Context(), e.Store) { // they were good ones
		if err := change(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// MovedIsFinal holds that a sealed store holds everything that was acknowledged, and never changes again, whoever
// was changing it at the time.
func MovedIsFinal(t *testing.T, open Open) {
	s := open(t).Store
	const each = 4
	addTokens(t, s, token("t0"), token("t1"), token("t2"), token("t3"))
	var advanced, used [each]uint64
	var begun atomic.Int64
	var at sync.WaitGroup
	for i := range each {
		at.Go(func() {
			name := fmt.Sprint("follower ", i)
			for n := uint64(0); ; n++ {
				_, err := s.Advance(t.Context(), name, storage.Checkpoint{Revision: n}, storage.Checkpoint{})
				if err != nil {
					ended(t, "Advance", err)
					return
				}
				advanced[i] = n + 1
				begun.Add(1)
			}
		})
		at.Go(func() {
			for n := uint64(1); ; n++ {
				if err := s.UseTokens(t.Context(), map[string]int64{fmt.Sprint("t", i): int64(n)}); err != nil {
					ended(t, "UseTokens", err)
					return
				}
				used[i] = n
				begun.Add(1)
			}
		})
	}
	for begun.Load() < 40 && !t.Failed() {
		read(t, s)
	}
	become(t, s, storage.Life{State: storage.Moving, Place: "/there"})
	final := read(t, s)
	at.Wait()
	unchanged(t, s, final)
	for i := range each {
		c, err := s.Checkpoint(t.Context(), fmt.Sprint("follower ", i))
		if err != nil || c.Revision != advanced[i] {
			t.Errorf("follower %d advanced to revision %d, stored is %d: %v", i, advanced[i], c.Revision, err)
		}
		if got := final.Tokens[i].Used; got != int64(used[i]) {
			t.Errorf("token %d was used at %d, stored is %d", i, used[i], got)
		}
	}
}

func ended(t *testing.T, what string, err error) {
	if event.Code(err) != "moving" {
		t.Errorf("%s: %v", what, err)
	}
}

// AdoptTakesOver holds that a new store takes over identity and fence, durably, and again without a change.
func AdoptTakesOver(t *testing.T, open Open) {
	e := open(t)
	h := heritage()
	adopt(t, e.Store, h)
	scribbleHead(h)
	for range 2 {
		same(t, "a store that adopted", content{Head: adopted()}, read(t, e.Store))
		refusesChanges(t, e.Store, event.ErrUnavailable, "incomplete_copy")
		e.Reopen(t)
	}
	r := Append(t, e.Store, items(3)...)
	set(t, e.Store, storage.StreamState{Stream: r[0].Stream, Closed: true})
	before := read(t, e.Store)
	same(t, "records of a copy", r, before.Records)
	again := heritage()
	again.Position, again.Fence, again.Indexed = 1000, 13, []string{"other"}
	again.Life = storage.Life{State: storage.Moved, Place: "/here"}
	adopt(t, e.Store, again)
	unchanged(t, e.Store, before)
	e.Reopen(t)
	unchanged(t, e.Store, before)
	if err := e.Store.Rewrite(t.Context(), 12, []storage.Edit{edit(r[0])}); err != nil {
		t.Errorf("rewrite a copy: %v", err)
	}
	same(t, "a pruned record of a copy", pruned(r[0]), read(t, e.Store).Records[0])
}

// AdoptIndexes holds that a store finds events by the secret and the keys it took over.
func AdoptIndexes(t *testing.T, open Open) {
	e := open(t)
	h := heritage()
	h.Indexed = []string{"branch", "desk"}
	adopt(t, e.Store, h)
	same(t, "indexed keys", []string{"branch", "desk"}, read(t, e.Store).Head.Indexed)
	desk := item("application", "a")
	desk.Draft.Metadata = map[string]string{"desk": "7", "branch": "north"}
	desk.Draft.Relations = []event.Relation{{Role: "owner", Kind: "person", ID: "1"}}
	var want []storage.Record
	for n := range e.events() {
		if n%7 == 0 {
			want = append(want, Append(t, e.Store, desk)...)
		} else {
			Append(t, e.Store, item("application", fmt.Sprint(n%3)))
		}
	}
	for _, key := range []string{"desk", "branch"} { // opened again, it has the keys it is opened with
		for name, f := range map[string]event.Filter{
			"metadata": {{Metadata: map[string]string{key: desk.Draft.Metadata[key]}}},
			"relation": {{Relations: []event.Relation{{Kind: "person", ID: "1"}}}},
			"stream":   {{Stream: desk.Stream}},
		} {
			got := readAll(t, e.Store, storage.Query{Filter: f})
			if !slices.EqualFunc(want, got, equal) {
				t.Errorf("by %s: %d records instead of %d", name, len(got), len(want))
			}
			after := want[len(want)-2].Position
			hit := ask(t, e.Store, storage.Probe{Conditions: []event.Condition{{Filter: f, After: after}}}).Hits[0]
			same(t, "hit by "+name, want[len(want)-1].Position, hit)
		}
		q := storage.Query{Filter: event.Filter{{Metadata: map[string]string{"channel": "web"}}}, Limit: 1}
		if _, err := e.Store.Page(t.Context(), q); key == "desk" && event.Code(err) != "not_indexed" {
			t.Errorf("by a key the other log does not index: %v", err)
		}
		e.Reopen(t)
	}
}

// AdoptRefused holds that only a new, empty store takes over a log.
func AdoptRefused(t *testing.T, open Open) {
	refuse := func(t *testing.T, s storage.Store, h storage.Head) {
		t.Helper()
		before := read(t, s)
		if err := s.Adopt(t.Context(), h); !errors.Is(err, event.ErrConflict) {
			t.Errorf("adopt: %v", err)
		}
		unchanged(t, s, before)
	}
	for name, use := range map[string]func(s storage.Store){
		"an event":   func(s storage.Store) { Append(t, s, items(1)...) },
		"a stream":   func(s storage.Store) { set(t, s, storage.StreamState{Stream: event.Stream("k", "s")}) },
		"a tile":     func(s storage.Store) { tiled(t, s) },
		"a follower": func(s storage.Store) { advance(t, s, "relay", storage.Checkpoint{}, storage.Checkpoint{}) },
		"a token":    func(s storage.Store) { addTokens(t, s, token(tokenID)) },
		"a move":     func(s storage.Store) { become(t, s, storage.Life{State: storage.Moving, Place: "/there"}) },
		"a life":     func(s storage.Store) { become(t, s, storage.Life{State: storage.Moved, Place: "/there"}) },
		"a heritage": func(s storage.Store) {
			adopt(t, s, heritage())
			become(t, s, storage.Life{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t).Store
			use(s)
			refuse(t, s, heritage())
		})
	}
	t.Run("itself", func(t *testing.T) {
		s := open(t).Store
		refuse(t, s, read(t, s).Head)
		refuse(t, s, storage.Head{})
	})
	for name, change := range map[string]func(h *storage.Head){
		"store":       func(h *storage.Head) { h.Store[3]++ },
		"incarnation": func(h *storage.Head) { h.Incarnation++ },
		"secret":      func(h *storage.Head) { h.Secret[31]++ },
		"lineage":     func(h *storage.Head) { h.Lineage[0].First++ },
	} {
		t.Run("another "+name, func(t *testing.T) {
			s := open(t).Store
			adopt(t, s, heritage())
			other := heritage()
			change(&other)
			refuse(t, s, other)
		})
	}
}

func tiled(t testing.TB, s storage.Store) {
	t.Helper()
	b := storage.Batch{Tiles: []storage.Tile{{Hashes: make([]byte, 8192)}}}
	if _, err := s.Commit(t.Context(), storage.Probe{}, give(b)); err != nil {
		t.Fatalf("commit a tile: %v", err)
	}
}

// InheritExact holds that checkpoints and tokens come over as they are, instead of what was there.
func InheritExact(t *testing.T, open Open) {
	e := open(t)
	adopt(t, e.Store, heritage())
	revoked := token("b")
	revoked.Revoked, revoked.Used, revoked.Label = 5, 6, ""
	admin := storage.Token{ID: "a", Admin: true, Kinds: []string{}}
	cursor := event.Cursor{Store: event.StoreID{1}, Incarnation: 1<<64 - 1, Position: 1<<64 - 1}
	first := []storage.NamedCheckpoint{
		{Follower: "audit", Checkpoint: storage.Checkpoint{Revision: 1 << 60, Cursor: cursor, Note: []byte("note")}},
		{Follower: "relay", Checkpoint: storage.Checkpoint{Revision: 3, Note: []byte{}}},
	}
	for _, step := range []struct {
		checkpoints []storage.NamedCheckpoint
		tokens      []storage.Token
	}{
		{first[:1], []storage.Token{token("gone"), token("b")}},
		{nil, nil},
		{first, []storage.Token{revoked, admin}},
	} {
		if err := e.Store.Inherit(t.Context(), step.checkpoints, step.tokens); err != nil {
			t.Fatalf("inherit: %v", err)
		}
		got := read(t, e.Store)
		if len(got.Checkpoints) != len(step.checkpoints) || len(got.Tokens) != len(step.tokens) {
			t.Errorf("inherited %d checkpoints and %d tokens", len(got.Checkpoints), len(got.Tokens))
		}
	}
	scribble(first[0].Note)
	scribbleTokens(revoked)
	revoked.Kinds, admin.Kinds = token("b").Kinds, nil
	want := []storage.NamedCheckpoint{first[0], first[1]}
	want[0].Note, want[1].Note = []byte("note"), nil
	for range 2 {
		same(t, "checkpoints", want, read(t, e.Store).Checkpoints)
		holds(t, e.Store, admin, revoked)
		e.Reopen(t)
	}
	become(t, e.Store, storage.Life{})
	to := advance(t, e.Store, "relay", want[1].Checkpoint, storage.Checkpoint{Note: []byte("on")})
	same(t, "revision after the copy", uint64(4), to.Revision)
}

// InheritRefused holds that only a store that is being filled inherits.
func InheritRefused(t *testing.T, open Open) {
	s := open(t).Store
	advance(t, s, "relay", storage.Checkpoint{}, storage.Checkpoint{})
	addTokens(t, s, token(tokenID))
	for _, life := range []storage.Life{{State: storage.Live}, {State: storage.Moved, Place: "/there"}} {
		become(t, s, life)
		before := read(t, s)
		if err := s.Inherit(t.Context(), nil, nil); !errors.Is(err, event.ErrConflict) {
			t.Errorf("inherit in a store that is %s: %v", life.State, err)
		}
		unchanged(t, s, before)
	}
}
