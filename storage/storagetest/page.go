package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// PageOrder holds that a page is in order, forward and backward, with nothing twice.
func PageOrder(t *testing.T, open Open) {
	s := open(t).Store
	all := Append(t, s, items(20)...)
	m := newModel(t, all)
	for _, q := range []storage.Query{
		{}, {Backward: true}, {From: 5}, {From: 5, To: 9}, {From: 9, To: 5, Backward: true}, {From: 5, Backward: true},
		{To: 5, Backward: true}, {From: 20}, {From: 1, To: 1}, {From: 20, To: 20, Backward: true},
	} {
		for _, q.Limit = range []int{1, 2, 19, 20, 21, math.MaxInt} {
			m.walk(t, s, q)
		}
	}
}

// PageComplete holds that a follower that resumes after Scanned gets every match once, while the log grows and
// matches are rare.
func PageComplete(t *testing.T, open Open) {
	e := open(t)
	s := e.Store
	rare := item("rare", "1")
	rare.Draft.Relations = []event.Relation{{Role: "affected", Kind: "account", ID: "rare"}}
	filter := event.Filter{{Relations: []event.Relation{{Kind: "account", ID: "rare"}}}}
	plain := items(e.events() / 5)
	var want, got []storage.Record
	q := storage.Query{Filter: filter, From: 1, Limit: 2}
	for range 6 {
		want = append(want, Append(t, s, rare, rare, rare)...)
		Append(t, s, plain...)
		for {
			page, err := s.Page(t.Context(), q)
			if err != nil {
				t.Fatalf("page from %d: %v", q.From, err)
			}
			got = append(got, page.Records...)
			if page.Scanned >= q.From {
				q.From = page.Scanned + 1
			}
			if page.Done {
				break
			}
		}
	}
	same(t, "what a follower of rare events got", want, got)
	head := read(t, s).Head.Position
	if q.From != uint64(head)+1 {
		t.Errorf("the follower came to %d, but the head is at %d", q.From-1, head)
	}
	q = storage.Query{Filter: event.Filter{{Relations: []event.Relation{{Kind: "account", ID: "never"}}}}, Limit: 5}
	newModel(t, readAll(t, s, storage.Query{})).walk(t, s, q)
}

// PageStream holds that a query with Stream walks that stream by version.
func PageStream(t *testing.T, open Open) {
	s := open(t).Store
	list := items(30)
	for i := range list {
		list[i].Draft.Type = fmt.Sprint("T", i%4)
		list[i].Recorded = epoch + int64(i*7%30)
	}
	m := newModel(t, Append(t, s, list...))
	stream := list[1].Stream
	for _, q := range []storage.Query{
		{}, {Backward: true}, {From: 3, To: 7}, {From: 7, To: 3, Backward: true}, {From: 10}, {From: 11},
		{Filter: event.Filter{{Types: []string{"T1"}}}}, {Filter: event.Filter{{Types: []string{"T9"}}}},
		{Filter: event.Filter{{Stream: list[0].Stream}}},
		{Filter: event.Filter{{Stream: stream}, {Kinds: []string{"no"}}}},
		{Since: epoch + 10, Until: epoch + 20}, {Since: epoch + 10, Backward: true},
	} {
		q.Stream = stream
		for _, q.Limit = range []int{1, 3, 10, 100} {
			m.walk(t, s, q)
		}
	}
	for _, unknown := range []event.StreamID{event.Stream("application", "none"), event.Stream("none", "a1")} {
		for _, q := range []storage.Query{
			{}, {Backward: true}, {From: 1, To: 5}, {From: math.MaxUint64, Backward: true},
		} {
			q.Stream, q.Limit = unknown, 10
			page, err := s.Page(t.Context(), q)
			if err != nil {
				t.Fatalf("page of an unknown stream: %v", err)
			}
			same(t, "page of an unknown stream", storage.Page{Done: true, Head: 30}, page)
		}
	}
}

// PageByID holds that a query with ID finds that one event, whatever else it says.
func PageByID(t *testing.T, open Open) {
	e := open(t)
	records := Append(t, e.Store, items(5)...)
	if err := e.Store.Rewrite(t.Context(), 0, []storage.Edit{edit(records[3])}); err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	records[3] = pruned(records[3])
	for range 2 {
		for _, q := range []storage.Query{
			{Limit: 1}, {Limit: 9, From: 4, To: 2}, {Limit: 1, Stream: event.Stream("application", "a1")},
			{Limit: 1, Stream: event.Stream("none", "1"), Since: 1, Until: 2, Backward: true, From: math.MaxUint64},
			{Limit: 1, Filter: event.Filter{{Types: []string{"none"}}}},
			{Limit: 1, Filter: event.Filter{{Metadata: map[string]string{"note": "not indexed"}}}},
		} {
			for _, r := range records {
				q.ID = r.ID
				page, err := e.Store.Page(t.Context(), q)
				if err != nil {
					t.Fatalf("page of one id: %v", err)
				}
				same(t, "page of one id", storage.Page{
					Records: []storage.Record{r}, Scanned: uint64(r.Position), Done: true, Head: 5,
				}, page)
			}
			q.ID = event.ID{7}
			page, err := e.Store.Page(t.Context(), q)
			if err != nil {
				t.Fatalf("page of an unknown id: %v", err)
			}
			same(t, "page of an unknown id", storage.Page{Done: true, Head: 5}, page)
		}
		e.Reopen(t)
	}
}

// PageBytes holds that large events make short pages, which together are the log.
func PageBytes(t *testing.T, open Open) {
	s := open(t).Store
	all := items(24)
	for i := range all {
		all[i].Draft.Data = fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, i, strings.Repeat("x", 1<<20-64))
	}
	Append(t, s, all...)
	stream := readAll(t, s, storage.Query{Limit: 1})[0].Stream
	for _, q := range []storage.Query{
		{}, {Backward: true}, {Stream: stream}, {Filter: event.Filter{{Types: []string{all[0].Draft.Type}}}},
	} {
		want := 0
		for q.Limit = 1; ; q.Limit = 1000 {
			page, err := s.Page(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			bytes := 0
			for i := range page.Records {
				if bytes >= storage.MaxPageBytes {
					t.Fatalf("record %d comes after %d bytes", i, bytes)
				}
				bytes += len(page.Records[i].Body)
			}
			if want += len(page.Records); page.Done {
				break
			}
			if len(page.Records) == 0 {
				t.Fatal("a page of large events is empty")
			}
			q.From = page.Scanned + 1
			if q.Backward {
				q.From = page.Scanned - 1
			}
		}
		if q.Stream.IsZero() && len(q.Filter) == 0 && want != len(all) {
			t.Errorf("%d events in all, want %d", want, len(all))
		}
	}
}

// PageBounds holds what a page is at and beyond the ends of the log.
func PageBounds(t *testing.T, open Open) {
	s := open(t).Store
	bounds := []uint64{0, 1, 2, 9, 10, 11, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64}
	walk := func(m *model, q storage.Query) {
		for _, q.Limit = range []int{1, 4, math.MaxInt} {
			for _, q.Backward = range []bool{false, true} {
				m.walk(t, s, q)
			}
		}
	}
	check := func(m *model) {
		for _, from := range bounds {
			for _, to := range bounds {
				walk(m, storage.Query{From: from, To: to})
				walk(m, storage.Query{From: from, To: to, Stream: event.Stream("application", "a0")})
			}
		}
	}
	check(newModel(t, nil))
	check(newModel(t, Append(t, s, items(10)...)))
	for _, limit := range []int{0, -1, math.MinInt} {
		if _, err := s.Page(t.Context(), storage.Query{Limit: limit}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("page with a limit of %d: %v", limit, err)
		}
	}
	m := newModel(t, readAll(t, s, storage.Query{}))
	for _, q := range []storage.Query{
		{Since: math.MaxInt64}, {Until: math.MinInt64}, {Since: math.MinInt64, Until: math.MaxInt64},
		{Since: -1}, {Until: -1},
		{Since: epoch + 5000, Until: epoch + 5000}, {Since: epoch + 5000, Until: epoch + 5001}, {Since: epoch + 8000},
	} {
		q.Limit = 3
		m.walk(t, s, q)
	}
}

// PageSnapshot holds that a page answers as of one head, never of half a batch, and holds nothing open.
func PageSnapshot(t *testing.T, open Open) {
	const batches, size = 60, 3
	s := open(t).Store
	ctx, cancel := context.WithCancelCause(t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel(nil)
	writing.Go(func() {
		for range batches {
			if _, err := commit(ctx, s, items(size)...); err != nil {
				cancel(err)
				return
			}
		}
	})
	for head := event.Position(0); head < batches*size; {
		if err := s.Wait(ctx, head); err != nil {
			t.Fatalf("wait: %v (%v)", err, context.Cause(ctx))
		}
		page, err := s.Page(ctx, storage.Query{Limit: batches * size})
		if err != nil {
			t.Fatalf("page: %v (%v)", err, context.Cause(ctx))
		}
		if page.Head < head || page.Head%size != 0 {
			t.Fatalf("page as of head %d after one of %d, in a log of batches of %d", page.Head, head, size)
		}
		if head = page.Head; page.Done && (page.Scanned != uint64(head) || len(page.Records) != int(head)) {
			t.Fatalf("page as of %d is done at %d with %d records", head, page.Scanned, len(page.Records))
		}
	}
	writing.Wait()

	// A page in hand keeps neither a commit nor a rewrite from going through, nor do they change it.
	page, err := s.Page(t.Context(), storage.Query{Limit: 5})
	if err != nil {
		t.Fatalf("page: %v", err)
	}
	want := readAll(t, s, storage.Query{To: uint64(len(page.Records))})
	Append(t, s, items(3)...)
	if err := s.Rewrite(t.Context(), 0, []storage.Edit{edit(page.Records[0])}); err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	if _, err := s.Scrub(t.Context()); err != nil {
		t.Fatalf("scrub: %v", err)
	}
	same(t, "page in hand after a rewrite", want, page.Records)
}
