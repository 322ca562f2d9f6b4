package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/sqlite"
)

func inMemory(t testing.TB) storage.Store {
	t.Helper()
	return closing(t, memory.Open(memory.Options{Indexed: []string{"channel"}}))
}

func inFolder(t testing.TB) storage.Store {
	t.Helper()
	return inFolderOf(t, 50)
}

func inFolderOf(t testing.TB, flush int) storage.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir(), &sqlite.Options{Indexed: []string{"channel"}, Flush: flush})
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func inDatabase(t testing.TB) storage.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), pgtest.Place(t),
		&postgres.Options{Create: true, Indexed: []string{"channel"}, Flush: 50})
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func closing(t testing.TB, s storage.Store) storage.Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// life writes a random life into a store: appends, and streams, followers and tokens that come and go.
type life struct {
	t       testing.TB
	rand    *rand.Rand
	engine  storage.Store
	log     *log.Log
	cursors map[string]storage.Checkpoint
	tokens  int
}

func newLife(t testing.TB, seed uint64, engine storage.Store) *life {
	t.Helper()
	l, err := log.Open(t.Context(), engine, log.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &life{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)), engine: engine, log: l, cursors: map[string]storage.Checkpoint{},
	}
}

func (l *life) stream() event.StreamID {
	return event.Stream([]string{"loan", "person"}[l.rand.IntN(2)], fmt.Sprint(l.rand.IntN(12)))
}

// goOn does so many steps. What the log refuses is part of life.
func (l *life) goOn(steps int) {
	l.t.Helper()
	for range steps {
		if err := l.step(); err != nil && !errors.Is(err, event.ErrInvalid) && !errors.Is(err, event.ErrClosed) &&
			!errors.Is(err, event.ErrNotFound) {
			l.t.Fatal(err)
		}
	}
}

func (l *life) step() error {
	ctx := l.t.Context()
	switch n := l.rand.IntN(100); {
	case n < 4:
		return l.log.Close(ctx, event.Actor{}, l.stream())
	case n < 14:
		return l.log.Truncate(ctx, event.Actor{}, l.stream(), event.Version(2+l.rand.IntN(9)))
	case n < 24:
		return l.advance(fmt.Sprint("follower", l.rand.IntN(3)))
	case n < 30:
		return l.token()
	case n < 36:
		return l.narrow()
	}
	return l.append(1 + l.rand.IntN(9))
}

func (l *life) append(events int) error {
	w := log.Write{Stream: l.stream(), Expected: event.Any}
	for range events {
		w.Events = append(w.Events, event.Draft{
			Type: fmt.Sprint("Type", l.rand.IntN(4)), Data: fmt.Appendf(nil, `{"n":%d}`, l.rand.Uint32()),
			Relations:   []event.Relation{{Role: "owner", Kind: "person", ID: fmt.Sprint(l.rand.IntN(5))}},
			Metadata:    map[string]string{"channel": fmt.Sprint(l.rand.IntN(3))},
			Correlation: fmt.Sprint("c", l.rand.IntN(3)),
		})
	}
	_, err := l.log.Append(l.t.Context(), &log.Request{Writes: []log.Write{w}})
	return err
}

func (l *life) advance(follower string) error {
	head, err := l.log.Head(l.t.Context())
	if err != nil {
		return err
	}
	to := storage.Checkpoint{
		Cursor: event.Cursor{Store: head.Store, Incarnation: head.Incarnation, Position: head.Position},
		Note:   []byte(follower),
	}
	if to, err = l.engine.Advance(l.t.Context(), follower, l.cursors[follower], to); err == nil {
		l.cursors[follower] = to
	}
	return err
}

func (l *life) token() error {
	l.tokens++
	id := fmt.Sprint("token", l.tokens)
	err := l.engine.AddToken(l.t.Context(), storage.Token{ID: id, Read: true, Kinds: []string{"loan"}, Created: 5})
	if err == nil && l.rand.IntN(2) == 0 {
		_, err = l.engine.RevokeToken(l.t.Context(), id, 6)
	}
	return errors.Join(err, l.engine.UseTokens(l.t.Context(), map[string]int64{id: int64(l.rand.IntN(9))}))
}

// narrow sets fences, one or two.
func (l *life) narrow() error {
	fences := []storage.Fence{{Position: event.Position(l.rand.IntN(9))}, {KRID: event.KRID{byte(l.rand.IntN(3))}}}
	_, err := l.engine.Commit(l.t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return storage.Batch{Fences: fences[l.rand.IntN(2):]}, nil
	})
	return err
}

// content is what a store answers, of which a copy must give the same.
type content struct {
	Head        storage.Head
	Records     []storage.Record
	Streams     []storage.StreamState
	Checkpoints []storage.NamedCheckpoint
	Tokens      []storage.Token
	Fences      []storage.Fence
	Tiles       [][]byte
	Found       map[string][]event.Position
	Hits        []bool
}

func read(t testing.TB, s storage.Store) (c content) {
	t.Helper()
	ctx := t.Context()
	var all [6]error
	c.Head, all[0] = s.Head(ctx)
	c.Streams, all[1] = s.Streams(ctx, storage.StreamQuery{Limit: 10_000})
	c.Checkpoints, all[2] = s.Checkpoints(ctx)
	c.Tokens, all[3] = s.Tokens(ctx)
	fences, err := s.Fences(ctx, 0, 10_000)
	c.Fences, all[5] = append(c.Fences, fences...), err
	var tiles []storage.TileID
	for n := range uint64(c.Head.Position) / ledger.TileWidth {
		tiles = append(tiles, storage.TileID{N: n})
	}
	c.Tiles, all[4] = s.Tiles(ctx, tiles)
	if err := errors.Join(all[:]...); err != nil {
		t.Fatal(err)
	}
	c.Records = walk(t, s, storage.Query{})
	c.Found = map[string][]event.Position{}
	queries := queries(c)
	var p storage.Probe
	for name, q := range queries {
		for _, r := range walk(t, s, q) {
			c.Found[name] = append(c.Found[name], r.Position)
		}
	}
	for n := range 40 {
		q := queries[fmt.Sprint("condition ", n%4)]
		p.Conditions = append(p.Conditions, event.Condition{
			Filter: q.Filter, After: c.Head.Position * event.Position(n) / 40,
		})
	}
	_, err = s.Commit(ctx, p, func(_ storage.Head, f storage.Found) (storage.Batch, error) {
		c.Hits = nil
		for _, hit := range f.Hits {
			c.Hits = append(c.Hits, hit != 0) // which one is the engine's choice
		}
		return storage.Batch{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func queries(c content) map[string]storage.Query {
	all := map[string]storage.Query{"backward": {Backward: true}}
	for _, s := range c.Streams {
		all["stream "+s.Stream.String()] = storage.Query{Stream: s.Stream}
		all["in stream "+s.Stream.String()] = storage.Query{Filter: event.Filter{{Stream: s.Stream}}}
	}
	for n := range 4 {
		relation := []event.Relation{{Kind: "person", ID: fmt.Sprint(n)}}
		types := []string{fmt.Sprint("Type", n)}
		all[fmt.Sprint("type ", n)] = storage.Query{Filter: event.Filter{{Types: types}}}
		all[fmt.Sprint("channel ", n)] = storage.Query{
			Filter: event.Filter{{Metadata: map[string]string{"channel": fmt.Sprint(n)}}},
		}
		all[fmt.Sprint("condition ", n)] = storage.Query{
			Filter: event.Filter{{Types: types, Relations: relation}, {Correlation: fmt.Sprint("c", n), Relations: relation}},
		}
	}
	return all
}

func walk(t testing.TB, s storage.Store, q storage.Query) (all []storage.Record) {
	t.Helper()
	for q.Limit = 1000; ; {
		p, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Records...)
		if p.Done {
			return all
		}
		if q.From = p.Scanned + 1; q.Backward {
			q.From = p.Scanned - 1
		}
	}
}

// equal compares two stores in all they answer, but for their lives.
func equal(t testing.TB, want, got content) {
	t.Helper()
	want.Head.Life, got.Head.Life = storage.Life{}, storage.Life{}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Fatalf("the copy differs (-source +copy):\n%s", diff)
	}
}

// lives checks what may be done with a store.
func lives(t testing.TB, s storage.Store, want storage.Life) {
	t.Helper()
	head, err := s.Head(context.WithoutCancel(t.Context()))
	if err != nil || head.Life != want {
		t.Fatalf("the store is %+v, not %+v: %v", head.Life, want, err)
	}
}

// usable opens the log of a store and appends to it.
func usable(t testing.TB, s storage.Store) {
	t.Helper()
	l := newLife(t, uint64(time.Now().UnixNano()), s)
	if err := l.append(1); err != nil && !errors.Is(err, event.ErrClosed) {
		t.Fatalf("append to the copy: %v", err)
	}
	report, err := log.Verify(t.Context(), s, nil)
	if err != nil || !report.OK() {
		t.Fatalf("verify: %v, %+v", err, report.Findings)
	}
}
