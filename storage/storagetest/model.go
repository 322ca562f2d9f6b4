package storagetest

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// model is what a log should hold. It answers queries by looking at every event with event.Filter.Matches.
type model struct {
	records []storage.Record
	events  []event.Event
	streams map[event.StreamID][]int // where in records the versions of a stream are
}

// fataler is a test, or one run of a property.
type fataler interface {
	Context() context.Context
	Helper()
	Fatalf(format string, args ...any)
}

func newModel(t fataler, records []storage.Record) *model {
	m := &model{streams: map[event.StreamID][]int{}}
	m.add(t, records)
	return m
}

func (m *model) add(t fataler, records []storage.Record) {
	t.Helper()
	for _, r := range records {
		m.streams[r.Stream] = append(m.streams[r.Stream], len(m.records))
		m.records = append(m.records, storage.Record{})
		m.events = append(m.events, event.Event{})
		m.put(t, r)
	}
}

// put replaces the record at its position.
func (m *model) put(t fataler, r storage.Record) {
	t.Helper()
	e, err := r.Event()
	if err != nil {
		t.Fatalf("decode %s: %v", r, err)
	}
	m.records[r.Position-1], m.events[r.Position-1] = r, e
}

// place is something a query may look at: its position or version, and where it is in records.
type place struct {
	n  uint64
	at int
}

// span is all the places a query looks at, in its order.
func (m *model) span(q storage.Query) (span []place) {
	low, high := q.From, q.To
	if q.Backward {
		low, high = q.To, q.From
	}
	add := func(n uint64, at int) {
		if n >= low && (high == 0 || n <= high) {
			span = append(span, place{n, at})
		}
	}
	if q.Stream.IsZero() {
		for i := range m.records {
			add(uint64(i+1), i)
		}
	} else {
		for i, at := range m.streams[q.Stream] {
			add(uint64(i+1), at)
		}
	}
	if q.Backward {
		slices.Reverse(span)
	}
	return span
}

func (m *model) matches(q storage.Query, at int) bool {
	recorded := m.records[at].Recorded
	return (q.Since == 0 || recorded >= q.Since) && (q.Until == 0 || recorded < q.Until) &&
		q.Filter.Matches(&m.events[at])
}

// maxPages is how many pages of one walk are checked: with small pages, a walk of a long log is not finished.
const maxPages = 40

// walk follows a query page by page and holds each page against the model.
func (m *model) walk(t fataler, s storage.Store, q storage.Query) {
	t.Helper()
	span := m.span(q)
	for range maxPages {
		page, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatalf("page of %+v: %v", q, err)
		}
		looked := m.check(t, q, span, page)
		if page.Done {
			return
		}
		span = span[looked:]
		if q.From = page.Scanned + 1; q.Backward {
			q.From = page.Scanned - 1
		}
	}
}

// check holds one page against the places it could look at, and returns how many it did look at.
func (m *model) check(t fataler, q storage.Query, span []place, page storage.Page) int {
	t.Helper()
	if page.Head != event.Position(len(m.records)) {
		t.Fatalf("page of %+v answers as of %d instead of %d", q, page.Head, len(m.records))
	}
	if len(span) == 0 {
		if !page.Done || page.Scanned != 0 || len(page.Records) > 0 {
			t.Fatalf("page of %+v with nothing to look at: done %t, scanned %d, %d records",
				q, page.Done, page.Scanned, len(page.Records))
		}
		return 0
	}
	looked := 1 + slices.IndexFunc(span, func(p place) bool { return p.n == page.Scanned })
	if looked == 0 || page.Done != (looked == len(span)) || len(page.Records) > q.Limit {
		t.Fatalf("page of %+v, from %d to %d: scanned to %d, done %t, %d records",
			q, span[0].n, span[len(span)-1].n, page.Scanned, page.Done, len(page.Records))
	}
	var want []storage.Record
	for _, p := range span[:looked] {
		if m.matches(q, p.at) {
			want = append(want, m.records[p.at])
		}
	}
	if !slices.EqualFunc(want, page.Records, equal) {
		t.Fatalf("page of %+v, scanned to %d:\ngot  %v\nwant %v", q, page.Scanned, page.Records, want)
	}
	return looked
}

func equal(a, b storage.Record) bool {
	return a.Position == b.Position && a.ID == b.ID && a.Stream == b.Stream && a.Version == b.Version &&
		a.Type == b.Type && a.Recorded == b.Recorded && a.Leaf == b.Leaf && a.Request == b.Request &&
		string(a.Body) == string(b.Body) && (a.Body == nil) == (b.Body == nil) &&
		string(a.Commitments) == string(b.Commitments) && string(a.Boxes) == string(b.Boxes) && b.Terms == nil
}
