package storagetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Item is an event to append and the stream it goes to, with what a sequencer would have added.
type Item struct {
	Stream   event.StreamID
	Draft    event.Draft // a zero id is minted
	Recorded int64       // µs since 1970; 0: as many milliseconds after a fixed time as the position says
	Boxes    []byte
}

// Append commits items as one batch that continues whatever is there, and returns them as they are stored.
func Append(t testing.TB, s storage.Store, items ...Item) []storage.Record {
	t.Helper()
	records, err := commit(t.Context(), s, items...)
	if err != nil {
		t.Fatalf("append %d events: %v", len(items), err)
	}
	return records
}

// commit is Append for goroutines, which may not end a test.
func commit(ctx context.Context, s storage.Store, items ...Item) (records []storage.Record, err error) {
	_, err = s.Commit(ctx, probe(items), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		b := batch(h, f, items)
		records = stored(b.Records)
		return b, nil
	})
	return records, err
}

// probe asks for the streams of items, each once.
func probe(items []Item) (p storage.Probe) {
	seen := map[event.StreamID]bool{}
	for _, it := range items {
		if !seen[it.Stream] {
			seen[it.Stream] = true
			p.Streams = append(p.Streams, it.Stream)
		}
	}
	return p
}

// batch makes items continue the head and their streams, whose states must be found.
func batch(h storage.Head, f storage.Found, items []Item) storage.Batch {
	terms := storage.NewTerms(h.Identity)
	versions := map[event.StreamID]event.Version{}
	for _, state := range f.Streams {
		versions[state.Stream] = state.Version
	}
	b := storage.Batch{Records: make([]storage.Record, len(items)), System: h.System}
	for i, it := range items {
		position := h.Position + event.Position(i) + 1
		versions[it.Stream]++
		b.Records[i] = record(terms, it, position, versions[it.Stream])
		if it.Stream.Kind == event.SystemKind {
			b.System = position
		}
	}
	b.Frontier = frontier(h.Position + event.Position(len(items)))
	return b
}

func record(terms *storage.Terms, it Item, position event.Position, version event.Version) storage.Record {
	d := it.Draft
	d.Canonical()
	if d.ID.IsZero() {
		rand.Read(d.ID[:]) // never fails
	}
	if it.Recorded == 0 {
		it.Recorded = epoch + int64(position)*1000
	}
	return storage.Record{
		Position: position, ID: d.ID, Stream: it.Stream, Version: version, Type: d.Type, Recorded: it.Recorded,
		Leaf: sha256.Sum256(append([]byte("leaf"), d.ID[:]...)), Request: sha256.Sum256(d.ID[:]),
		Body: event.AppendBody(nil, &d), Commitments: append([]byte("commitments "), d.ID[:]...), Boxes: it.Boxes,
		Terms: terms.Append(nil, it.Stream, &d),
	}
}

// epoch is when the suite's events begin to be recorded.
const epoch = 1_700_000_000_000_000

func frontier(at event.Position) []byte { return fmt.Appendf(nil, "frontier at %d", at) }

// stored is how records come back.
func stored(records []storage.Record) []storage.Record {
	out := make([]storage.Record, len(records))
	for i, r := range records {
		r.Terms = nil
		out[i] = r
	}
	return out
}

// pruned is how a record comes back after Rewrite.
func pruned(r storage.Record) storage.Record {
	r.Body, r.Commitments, r.Boxes = nil, nil, nil
	return r
}

func edit(r storage.Record) storage.Edit {
	return storage.Edit{Position: r.Position, ID: r.ID, Leaf: r.Leaf}
}

// item is a plain event in stream kind/id.
func item(kind, id string) Item {
	return Item{Stream: event.Stream(kind, id), Draft: event.Draft{Type: "Noted", Data: []byte(`{"n":1}`)}}
}

// items are n plain events over three streams, with boxes in every other.
func items(n int) []Item {
	list := make([]Item, n)
	for i := range list {
		list[i] = item("application", fmt.Sprint("a", i%3))
		if i%2 == 0 {
			list[i].Boxes = []byte("boxes")
		}
	}
	return list
}

// give is a decide that commits b whatever is found.
func give(b storage.Batch) func(storage.Head, storage.Found) (storage.Batch, error) {
	return func(storage.Head, storage.Found) (storage.Batch, error) { return b, nil }
}

// nothing is a decide that commits nothing; it hands out what was found.
func nothing(found *storage.Found) func(storage.Head, storage.Found) (storage.Batch, error) {
	return func(_ storage.Head, f storage.Found) (storage.Batch, error) {
		*found = f
		return storage.Batch{}, nil
	}
}

// ask returns what a store finds for a probe.
func ask(t testing.TB, s storage.Store, p storage.Probe) (found storage.Found) {
	t.Helper()
	if _, err := s.Commit(t.Context(), p, nothing(&found)); err != nil {
		t.Fatalf("commit nothing: %v", err)
	}
	return found
}

// content is what a store tells of itself.
type content struct {
	Head        storage.Head
	Records     []storage.Record
	Streams     []storage.StreamState
	Checkpoints []storage.NamedCheckpoint
	Tokens      []storage.Token
}

func read(t testing.TB, s storage.Store) (c content) {
	t.Helper()
	var err error
	if c.Head, err = s.Head(t.Context()); err != nil {
		t.Fatalf("head: %v", err)
	}
	c.Records = readAll(t, s, storage.Query{})
	if c.Streams, err = s.Streams(t.Context(), storage.StreamQuery{Limit: 1 << 20}); err != nil {
		t.Fatalf("streams: %v", err)
	}
	if c.Checkpoints, err = s.Checkpoints(t.Context()); err != nil {
		t.Fatalf("checkpoints: %v", err)
	}
	if c.Tokens, err = s.Tokens(t.Context()); err != nil {
		t.Fatalf("tokens: %v", err)
	}
	return c
}

// readAll pages forward to the end.
func readAll(t testing.TB, s storage.Store, q storage.Query) (all []storage.Record) {
	t.Helper()
	q.Limit = 1000
	for {
		page, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatalf("page from %d: %v", q.From, err)
		}
		all = append(all, page.Records...)
		if page.Done {
			return all
		}
		if page.Scanned < max(q.From, 1) {
			t.Fatalf("page from %d came to %d and is not done", q.From, page.Scanned)
		}
		q.From = page.Scanned + 1
	}
}

// unchanged compares a store with what it held before.
func unchanged(t testing.TB, s storage.Store, before content) {
	t.Helper()
	same(t, "store after a call that must change nothing", before, read(t, s))
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	// Whole slices of bytes are compared at once: cmp goes through them one by one, which takes seconds.
	if diff := cmp.Diff(want, got, cmp.Comparer(sameBytes)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sameBytes tells nil from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
