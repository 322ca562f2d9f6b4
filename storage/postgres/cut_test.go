package postgres_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// quiet is a clock under which a store does nothing by itself, so that the messages of one call can be counted: its
// listener stays away once it was cut off, and it looks for segments to merge when it is told to.
type quiet struct {
	event.SystemClock
	tick chan time.Time
	idle chan struct{} // it has looked, and will again with the next tick
}

func newQuiet() *quiet { return &quiet{tick: make(chan time.Time), idle: make(chan struct{}, 1)} }

func (c *quiet) After(d time.Duration) <-chan time.Time {
	switch d {
	case 500 * time.Millisecond:
		return nil
	case time.Second:
		c.idle <- struct{}{}
		return c.tick
	}
	return c.SystemClock.After(d)
}

// merge lets the store look once, and returns when it has done what there was to do.
func (c *quiet) merge() {
	<-c.idle
	c.tick <- c.Now()
	<-c.idle
	c.idle <- struct{}{}
}

// desk is a store over a line that is cut, and the same log seen by a store that is not.
type desk struct {
	t     *testing.T
	line  *pgtest.Line
	clock *quiet
	store *postgres.Store
	plain *postgres.Store
	n     uint64     // of errands, so that each has ids and names of its own
	ids   []event.ID // acknowledged, by position
	table *pgx.Conn  // a look behind the scenes
	asked int        // commits that were asked about, because nobody knew
	again int        // commits that were not made, for want of a connection

	during func()      // once, while a commit is decided
	failed func(error) // once, when a commit did not succeed
}

func newDesk(t *testing.T, flush int) *desk {
	address := pgtest.Place(t)
	d := &desk{t: t, line: pgtest.Proxy(t, address), clock: newQuiet()}
	d.store = open(t, d.line.Address(), postgres.Options{Clock: d.clock, Flush: flush, Timeout: 5 * time.Second})
	d.plain = open(t, address, postgres.Options{Clock: newQuiet(), Flush: flush})
	var schema string
	d.table, schema = connect(t, address)
	_, err := d.table.Exec(t.Context(), "SET search_path = "+pgx.Identifier{schema}.Sanitize())
	d.must(err)
	t.Cleanup(func() {
		if err := errors.Join(d.store.Close(), d.plain.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("errand %d: %v", d.n, err)
	}
}

func (d *desk) id(i int) (id event.ID) {
	binary.BigEndian.PutUint64(id[:], d.n)
	id[15] = byte(i) + 1
	return id
}

// written is what a commit shall add: events to streams, and states of streams.
type written struct {
	streams []event.StreamID // of the events, in order
	states  func(found []storage.StreamState) []storage.StreamState
	minted  bool // the ids are asked for only where nobody knew, as the log does with those it minted
}

var errThere = errors.New("it is there")

// commit appends, and asks with the same ids whether it is there where nobody knew. Nothing may be there of what was
// not made for want of a connection. There is no other error.
func (d *desk) commit(w written) []storage.Record {
	d.t.Helper()
	p := storage.Probe{Conditions: []event.Condition{
		{Filter: event.Filter{{Types: []string{"Never"}, Relations: []event.Relation{{Kind: "thing", ID: "1"}}}}},
	}}
	var ids []event.ID
	for i, s := range w.streams {
		ids = append(ids, d.id(i))
		if !slices.Contains(p.Streams, s) {
			p.Streams = append(p.Streams, s)
		}
	}
	if !w.minted {
		p.IDs = ids
	}
	var records []storage.Record
	unknown := false
	for range 10 {
		head, err := d.store.Commit(d.t.Context(), p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
			if d.during != nil {
				d.during()
				d.during = nil
			}
			if unknown && f.IDs[0].Position > 0 {
				return storage.Batch{}, d.whole(f.IDs)
			}
			b := d.batch(w, h, f)
			records = b.Records
			return b, nil
		})
		if err != nil && d.failed != nil {
			d.failed(err)
			d.failed = nil
		}
		switch {
		case err == nil && int(head.Position) != len(d.ids)+len(w.streams):
			d.t.Fatalf("errand %d: the head is at %d, want %d", d.n, head.Position, len(d.ids)+len(w.streams))
		case err == nil, errors.Is(err, errThere):
			for i := range records {
				d.ids = append(d.ids, records[i].ID)
			}
			return records
		case errors.Is(err, event.ErrUnknown):
			d.asked, unknown, p.IDs = d.asked+1, true, ids
		case errors.Is(err, event.ErrUnavailable):
			d.again++
		default:
			d.must(err)
		}
	}
	d.t.Fatalf("errand %d: its outcome stays unknown", d.n)
	return nil
}

// whole: what is there of an append is all of it, where it was put.
func (d *desk) whole(there []storage.Existing) error {
	for i, x := range there {
		if want := event.Position(len(d.ids) + i + 1); x.Position != want {
			return fmt.Errorf("event %d of an append is at %d, want %d", i, x.Position, want)
		}
	}
	return errThere
}

func (d *desk) batch(w written, h storage.Head, f storage.Found) storage.Batch {
	versions := make(map[event.StreamID]event.Version)
	for _, s := range f.Streams {
		versions[s.Stream] = s.Version
	}
	terms := storage.NewTerms(h.Identity)
	b := storage.Batch{Frontier: fmt.Appendf(nil, "frontier at %d", int(h.Position)+len(w.streams))}
	for i, s := range w.streams {
		versions[s]++
		id := d.id(i)
		draft := event.Draft{ID: id, Type: fmt.Sprint("T", d.n%50), Data: []byte(`{}`),
			Relations: []event.Relation{{Role: fmt.Sprint("role", d.n%20), Kind: "thing", ID: fmt.Sprint(d.n % 3)}}}
		draft.Canonical()
		b.Records = append(b.Records, storage.Record{
			Position: h.Position + event.Position(i) + 1, ID: id, Stream: s, Version: versions[s], Type: draft.Type,
			Recorded: int64(d.n), Leaf: sha256.Sum256(id[:]), Request: sha256.Sum256(id[:8]),
			Body: event.AppendBody(nil, &draft), Commitments: []byte("seed"), Terms: terms.Append(nil, s, &draft),
		})
	}
	if w.states != nil {
		b.Streams = w.states(f.Streams)
	}
	return b
}

// fresh are streams that only this errand writes to.
func (d *desk) fresh(n int) (streams []event.StreamID) {
	for i := range n {
		streams = append(streams, event.Stream("fresh", fmt.Sprintf("%d-%d", d.n, i%3)))
	}
	return streams
}

func (d *desk) append() { d.commit(written{streams: append(d.fresh(2), event.Stream("old", "1"))}) }

// alone appends to a stream that is known, as the only process does.
func (d *desk) alone() {
	d.commit(written{streams: []event.StreamID{event.Stream("old", "1")}, minted: true})
}

// aloneFor makes the store believe that it is the only one.
func (d *desk) aloneFor() {
	for range 6 {
		d.alone()
		d.n++
	}
}

// flush appends as much as a segment of the index takes.
func (d *desk) flush() { d.commit(written{streams: d.fresh(7)}) }

// end closes a stream with its last event.
func (d *desk) end() {
	s := d.fresh(1)
	d.commit(written{streams: s, states: func(found []storage.StreamState) []storage.StreamState {
		found[0].Closed = true
		return found
	}})
	states, err := d.plain.Streams(d.t.Context(), storage.StreamQuery{Kind: "fresh", Limit: 10_000})
	d.must(err)
	if !slices.Contains(states, storage.StreamState{Stream: s[0], Version: 1, Closed: true}) {
		d.t.Fatalf("errand %d: the stream is not closed", d.n)
	}
}

// truncate notes a truncation, prunes, and notes that it is done.
func (d *desk) truncate() {
	s := d.fresh(1)[0]
	mark := func(found []storage.StreamState) []storage.StreamState {
		found[0].Truncated = 2
		return found
	}
	records := d.commit(written{streams: []event.StreamID{s, s}, states: mark})
	head, err := d.store.Head(d.t.Context())
	d.must(err)
	r := records[0]
	d.must(d.store.Rewrite(d.t.Context(), head.Fence, []storage.Edit{{Position: r.Position, ID: r.ID, Leaf: r.Leaf}}))
	page, err := d.plain.Page(d.t.Context(), storage.Query{Stream: s, Limit: 3})
	d.must(err)
	if len(page.Records) != 2 || page.Records[0].Body != nil || page.Records[1].Body == nil {
		d.t.Fatalf("errand %d: of two records the first is to be pruned, there are %v", d.n, page.Records)
	}
	_, err = d.store.Scrub(d.t.Context())
	d.must(err)
}

// advance stores two checkpoints.
func (d *desk) advance() {
	from := storage.Checkpoint{}
	name := fmt.Sprint("follower", d.n)
	for i := range 2 {
		to, err := d.store.Advance(d.t.Context(), name, from,
			storage.Checkpoint{Cursor: event.Cursor{Position: event.Position(i + 1)}, Note: []byte("note")})
		d.must(err)
		from = to
	}
	there, err := d.plain.Checkpoint(d.t.Context(), name)
	d.must(err)
	if diff := cmp.Diff(from, there); diff != "" || there.Revision != 2 {
		d.t.Fatalf("errand %d: stored and there: %s", d.n, diff)
	}
}

// tokens adds, uses and revokes one.
func (d *desk) tokens() {
	k := storage.Token{ID: fmt.Sprint("token", d.n), Hash: sha256.Sum256([]byte{byte(d.n)}), Read: true, Created: 1}
	d.must(d.store.AddToken(d.t.Context(), k))
	d.must(d.store.UseTokens(d.t.Context(), map[string]int64{k.ID: 7}))
	revoked, err := d.store.RevokeToken(d.t.Context(), k.ID, 9)
	d.must(err)
	there, err := d.plain.Token(d.t.Context(), k.ID)
	d.must(err)
	k.Used, k.Revoked = 7, 9
	if diff := cmp.Diff(k, there) + cmp.Diff(k, revoked); diff != "" {
		d.t.Fatalf("errand %d: want and is: %s", d.n, diff)
	}
}

// read asks in every way there is. What it gets is what one gets without cuts.
func (d *desk) read() {
	last := storage.Query{From: uint64(max(len(d.ids)-40, 0)), Limit: 100}
	indexed, stream, backward := last, last, last
	indexed.Filter = event.Filter{{Relations: []event.Relation{{Kind: "thing", ID: "1"}}}}
	stream.Stream, stream.From = event.Stream("old", "1"), 0
	backward.Backward, backward.From, backward.Limit = true, 0, 20
	for i, q := range []storage.Query{last, indexed, stream, backward, {ID: d.ids[0], Limit: 1}} {
		got, err := d.store.Page(d.t.Context(), q)
		d.must(err)
		want, err := d.plain.Page(d.t.Context(), q)
		d.must(err)
		if diff := cmp.Diff(want, got); diff != "" || len(got.Records) == 0 {
			d.t.Fatalf("errand %d: page %d: %s", d.n, i, diff)
		}
	}
}

// list asks for what is not events.
func (d *desk) list() {
	ctx := d.t.Context()
	everything := func(s *postgres.Store) (answers []string) {
		note := func(answer any, err error) {
			d.must(err)
			answers = append(answers, fmt.Sprint(answer))
		}
		head, err := s.Head(ctx)
		note(head.Position, err)
		streams, err := s.Streams(ctx, storage.StreamQuery{Limit: 50})
		note(streams, err)
		checkpoints, err := s.Checkpoints(ctx)
		note(checkpoints, err)
		tokens, err := s.Tokens(ctx)
		note(tokens, err)
		tiles, err := s.Tiles(ctx, nil)
		note(tiles, err)
		sizes, err := s.Sizes(ctx)
		note(len(sizes), err)
		return answers
	}
	if diff := cmp.Diff(everything(d.plain), everything(d.store)); diff != "" {
		d.t.Fatalf("errand %d: %s", d.n, diff)
	}
}

// reopen opens the store once more, which may fail; trying again helps.
func (d *desk) reopen() {
	var s *postgres.Store
	var err error
	for range 5 {
		s, err = postgres.Open(d.t.Context(), d.line.Address(), &postgres.Options{Clock: newQuiet(), Flush: 7})
		if !errors.Is(err, event.ErrUnavailable) {
			break
		}
	}
	d.must(err)
	head, err := s.Head(d.t.Context())
	d.must(err)
	if int(head.Position) != len(d.ids) {
		d.t.Fatalf("errand %d: opened at %d, want %d", d.n, head.Position, len(d.ids))
	}
	d.must(s.Close())
}

// merge is an errand for which sixteen segments are made before. What was cut is done another time, when the store has
// found out which of its connections are gone.
func (d *desk) merge() {
	left := 16
	for range 5 {
		d.clock.merge()
		d.must(d.table.QueryRow(d.t.Context(), `SELECT count(*) FROM segment WHERE level = 0`).Scan(&left))
		if left < 16 {
			return
		}
	}
	d.t.Fatalf("errand %d: %d segments are not merged", d.n, left)
}

func (d *desk) segments() {
	for range 16 {
		d.flush()
		d.n++
	}
	_, err := d.store.Head(d.t.Context()) // it hears of the last one
	d.must(err)
}

// check holds the whole log against what was acknowledged: by position, and by every list of the index.
func (d *desk) check(s *postgres.Store) {
	d.t.Helper()
	scanned := d.gather(s, nil)
	if len(scanned) != len(d.ids) {
		d.t.Fatalf("%d events are acknowledged, there are %d", len(d.ids), len(scanned))
	}
	byType := make(map[string][]event.Position)
	for i, r := range scanned {
		if r.ID != d.ids[i] || int(r.Position) != i+1 {
			d.t.Fatalf("at position %d, place %d, is %v, want %v", r.Position, i+1, r.ID, d.ids[i])
		}
		byType[r.Type] = append(byType[r.Type], r.Position)
	}
	for name, want := range byType {
		var got []event.Position
		for _, r := range d.gather(s, event.Filter{{Types: []string{name}}}) {
			got = append(got, r.Position)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			d.t.Fatalf("events of type %s: %s", name, diff)
		}
	}
}

func (d *desk) gather(s *postgres.Store, f event.Filter) (all []storage.Record) {
	for q := (storage.Query{Filter: f, From: 1, Limit: 1000}); ; {
		page, err := s.Page(d.t.Context(), q)
		d.must(err)
		all = append(all, page.Records...)
		if page.Done {
			return all
		}
		q.From = page.Scanned + 1
	}
}

// errand is something a store is asked to do while its connections are cut.
type errand struct {
	do     func(*desk)
	before func(*desk) // each time, not cut
	cold   bool        // no connection is open when it begins
}

func errands() map[string]errand {
	ready := func(do func(*desk)) errand { return errand{do: do, before: do} }
	return map[string]errand{
		"append": ready((*desk).append), "flush": ready((*desk).flush), "end": ready((*desk).end),
		"truncate": ready((*desk).truncate), "advance": ready((*desk).advance), "tokens": ready((*desk).tokens),
		"read": ready((*desk).read), "list": ready((*desk).list),
		"alone":            {do: (*desk).alone, before: (*desk).aloneFor},
		"merge":            {do: (*desk).merge, before: (*desk).segments},
		"open":             {do: (*desk).reopen},
		"append, connect":  {do: (*desk).append, cold: true},
		"advance, connect": {do: (*desk).advance, cold: true},
	}
}

// TestCutAtEveryMessage asks a store to do one of everything, and each time all its connections are cut before or after
// another message. Whatever is lost on the way, the store goes on by itself; what was acknowledged is there, once.
// LETHE_CUTS=full takes every message, and both sides of it; otherwise a sample.
func TestCutAtEveryMessage(t *testing.T) {
	t.Parallel()
	from := new(maphash.Hash).Sum64()
	if text := os.Getenv("LETHE_SEED"); text != "" {
		var err error
		if from, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal("read LETHE_SEED: want a number")
		}
	}
	t.Logf("seed: LETHE_SEED=%d", from)
	all := errands()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, 7)
			d.segments() // something to read, and names that are known
			d.append()
			messages, cuts := d.cutEverywhere(all[name], rand.New(rand.NewPCG(from, 0)))
			d.clock.merge()
			d.check(d.store)
			d.check(d.plain)
			t.Logf("%d messages, %d cuts, %d commits of unknown outcome, %d not made: 0 of %d events lost, 0 doubled",
				messages, cuts, d.asked, d.again, len(d.ids))
			if cuts < min(messages, sample)/3 {
				t.Errorf("%d messages, but only %d cuts", messages, cuts)
			}
		})
	}
}

// run does an errand with a cut, and tells how many messages passed.
func (d *desk) run(e errand, number int, after bool) int {
	d.n++
	if e.before != nil {
		e.before(d)
	}
	if e.cold {
		d.line.CutAll()
	}
	d.n++
	d.line.CutAt(number, after)
	e.do(d)
	passed := d.line.Count()
	d.line.CutAt(0, false)
	return passed
}

// sample is how many of an errand's messages are cut at, unless all are.
const sample = 30

// cutEverywhere does an errand with cuts. To cut after a message is to cut before the next one, but for what happens
// meanwhile, so a sample takes one of both.
func (d *desk) cutEverywhere(e errand, chance *rand.Rand) (messages, cuts int) {
	d.line.CutAll() // the listener's connection, which would talk at any time
	for range 3 {
		messages = d.run(e, 0, false)
	}
	full := os.Getenv("LETHE_CUTS") == "full"
	step := 1
	if !full {
		step = 1 + messages/sample
	}
	for number := 1 + chance.IntN(step); number <= messages; number += step {
		side := chance.IntN(2) == 0
		for _, after := range []bool{false, true} {
			if (full || after == side) && d.run(e, number, after) >= number-1 {
				cuts++
			}
		}
	}
	return messages, cuts
}

// TestHang makes the network swallow everything at three moments of a commit: before it, when it was decided, and when
// it is made but not answered. The commit ends all the same, and what it was is found out when the network is back.
func TestHang(t *testing.T) {
	t.Parallel()
	address := pgtest.Place(t)
	line := pgtest.Proxy(t, with(address, "connect_timeout", "1"))
	d := &desk{t: t, line: line, plain: open(t, address, postgres.Options{})}
	d.store = open(t, line.Address(), postgres.Options{Timeout: time.Second, Patience: 50 * time.Millisecond})
	t.Cleanup(func() {
		if err := errors.Join(d.store.Close(), d.plain.Close()); err != nil {
			t.Error(err)
		}
	})
	ends := func(want error) func(error) {
		return func(err error) {
			if !errors.Is(err, want) {
				t.Errorf("commit %d: %v; want %v", d.n, err, want)
			}
			line.Delay(0)
			line.Hang(false)
		}
	}
	d.append()
	d.n++
	line.Hang(true)
	d.failed = ends(event.ErrUnavailable)
	d.append()

	d.n++
	d.during, d.failed = func() { line.Hang(true) }, ends(event.ErrUnknown)
	d.append()

	d.n++
	d.during, d.failed = func() { line.Delay(300 * time.Millisecond) }, ends(event.ErrUnknown)
	done := make(chan error)
	go func() {
		err := d.plain.Wait(t.Context(), event.Position(len(d.ids)))
		line.Hang(true)
		done <- err
	}()
	d.append()
	d.must(<-done)
	ends(nil)(nil) // if the answer was there sooner than the hang
	d.check(d.plain)
	if d.asked != 2 || d.again != 1 {
		t.Errorf("%d commits were of unknown outcome, %d were not made; want 2 and 1", d.asked, d.again)
	}
}

// TestHangReaders: what does not commit ends with its context when the network swallows everything, and works again
// when it is back.
func TestHangReaders(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 7)
	d.append()
	d.advance()
	d.line.Hang(true)
	calls := map[string]func(context.Context) error{
		"Head": func(ctx context.Context) error { _, err := d.store.Head(ctx); return err },
		"Page": func(ctx context.Context) error {
			_, err := d.store.Page(ctx, storage.Query{Limit: 1})
			return err
		},
		"Advance": func(ctx context.Context) error {
			_, err := d.store.Advance(ctx, "late", storage.Checkpoint{}, storage.Checkpoint{})
			return err
		},
		"AddToken": func(ctx context.Context) error {
			return d.store.AddToken(ctx, storage.Token{ID: "late", Created: 1})
		},
	}
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while the network hangs: %v", name, err)
		}
		cancel()
	}
	d.line.Hang(false)
	for name, call := range calls {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s when the network is back: %v", name, err)
		}
	}
}
